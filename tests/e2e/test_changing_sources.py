"""The matrix: whatever changes in front of a step, what comes out of it decodes, part by part, in the right form.

Every run has all ways out at once.  `scripts/test` runs a slice in which each way out meets both ffmpegs as the
server's, both containers of HLS, and changes of every kind; `-m matrix` runs all of it.  The reader is ffmpeg 9.0, one
part at a time: it reads no change of codec within a session, and no second init segment within a playlist.
"""

import shutil
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path

import pytest
import trio
from attrs import evolve, frozen

from mmids_trio.media.events import MediaPacket
from tests.support.changing import (
    BUNDLED,
    FPS,
    PART_SECONDS,
    Form,
    Found,
    Source,
    TsListener,
    Watcher,
    hls_parts,
    look_at,
    write_flv,
)
from tests.support.program import Launch, Program
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

FFMPEGS = {"5.1": "ffmpeg", "9.0": BUNDLED}
TS = Form()
FMP4 = Form(audio="opus")
LOST_PICTURES = 2 * FPS
"""Of a part that somebody joins or leaves: less than two groups, one on each side."""

ANY = "any"
"""A profile that is the encoder's own business."""


@frozen
class Change:
    """What happens to a source: the forms that follow each other, and how one comes after the other."""

    forms: tuple[Form, ...]
    play: "Callable[[Program, Sequence[Sequence[MediaPacket]]], Awaitable[None]]"
    steps: tuple[str, ...] = ()


async def on_air(program: Program, parts: Sequence[Sequence[MediaPacket]]) -> None:
    """One connection goes on in another form."""
    source = await Source.connected(program.rtmp_port)
    for part in parts:
        await source.send(part)
    await source.leave()


async def cut_and_back(program: Program, parts: Sequence[Sequence[MediaPacket]]) -> None:
    """The connection breaks, and another one comes within the grace."""
    for part in parts:
        source = await Source.connected(program.rtmp_port)
        await source.send(part)
        if part is not parts[-1]:
            source.cut()
    await source.leave()


async def taken_over(program: Program, parts: Sequence[Sequence[MediaPacket]]) -> None:
    """Another connection takes the stream key from one that is still there."""
    sources = []
    for part in parts:
        sources.append(await Source.connected(program.rtmp_port))
        await sources[-1].send(part)
    await sources.pop().leave()
    for source in sources:
        source.cut()


async def with_a_slate(program: Program, parts: Sequence[Sequence[MediaPacket]]) -> None:
    """A gap that the slate fills, between the first part and the last."""
    source = await Source.connected(program.rtmp_port)
    await source.send(parts[0])
    await program.logged("slate is ready")
    source.cut()
    await trio.sleep(1 + PART_SECONDS)
    source = await Source.connected(program.rtmp_port)
    await source.send(parts[-1])
    await source.leave()


async def with_a_backup(program: Program, parts: Sequence[Sequence[MediaPacket]]) -> None:
    """The primary dies, the backup, which has been sending all the time, goes on."""
    main, spare = await Source.connected(program.rtmp_port, "main"), await Source.connected(program.rtmp_port, "spare")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(main.send, parts[0])
        await program.logged("source switched.*to='main'")
        nursery.start_soon(spare.send, [*parts[1], *later(parts[1])])
        await trio.sleep(PART_SECONDS)
        await main.leave()
    await spare.leave()


def later(part: Sequence[MediaPacket]) -> list[MediaPacket]:
    """The same again, behind it."""
    return [
        evolve(packet, timestamp=packet.timestamp + PART_SECONDS * 1000)
        for packet in part
        if not packet.is_sequence_header
    ]


def changes(base: Form) -> Mapping[str, Change]:
    """All of them, for streams of one form."""
    small, wide, high = base, evolve(base, size=(320, 180)), evolve(base, profile="High")
    other_rate = evolve(base, sample_rate=44_100)
    return {
        "slate": Change((base, evolve(base, profile=ANY), base), with_a_slate, ("slate after=1",)),
        "takeover": Change((small, wide), taken_over),
        "grace": Change((small, wide), cut_and_back),
        "failover": Change((small, wide), with_a_backup, ("failover primary=main backup=spare output=show after=0.5",)),
        "size": Change((small, wide, small), on_air),
        "profile": Change((base, high), on_air),
        **({"rate": Change((base, other_rate), on_air)} if base.audio == "aac" else {}),  # Opus has but one
        "channels": Change((base, evolve(base, channels=2)), on_air),
        "video codec": Change((base, evolve(base, video="hevc", profile="Main")), on_air),
        "audio codec": Change((base, evolve(base, audio="mp3" if base.audio == "aac" else "aac")), on_air),
    }


CASES = [
    (name, version, base)
    for base in (TS, FMP4)
    for version in FFMPEGS
    for name in changes(base)
    # 5.1 reads none of the codecs that need fragmented MP4, whatever they come in.
    if version == "9.0" or (base is TS and name != "video codec")
]
SLICE = {
    ("slate", "5.1", "aac"),
    ("takeover", "9.0", "aac"),
    ("rate", "5.1", "aac"),
    ("size", "9.0", "opus"),
    ("video codec", "9.0", "aac"),
}


def case_of(name: str, version: str, base: Form) -> object:
    marks = () if (name, version, base.audio) in SLICE else (pytest.mark.matrix,)
    return pytest.param((name, version, base), id=f"{name}, ffmpeg {version}, {base.audio}", marks=marks)


APPS = ("watch", "forwarded", "transcoded", "rtmp_push", "ffmpeg_push")
"""Ways out that are watched over RTMP, in applications of these names."""


def workflows(directory: Path, port: int, push_port: int, *steps: str) -> str:
    """All ways out of one stream, on one port, and targets of our own for those that push over RTMP."""
    receive, watch = (f"rtmp_{what} stream_key=* port={port} rtmp_app=" for what in ("receive", "watch"))
    bodies = {
        "main": [
            f"{receive}in grace=30 on_busy=takeover",
            *steps,
            f'ffmpeg_hls path="{directory}/hls" duration=1 count=0',
            f"ffmpeg_push target=tcp://127.0.0.1:{push_port}",
            f"ffmpeg_push target=rtmp://127.0.0.1:{port}/ffmpeg_push/show",
            f"rtmp_push target=rtmp://127.0.0.1:{port}/rtmp_push/show",
            "workflow_forwarder target_workflow=forwarded",
            "workflow_forwarder target_workflow=transcoded",
            f"{watch}watch",
        ],
        "forwarded": [f"{watch}forwarded"],
        "transcoded": ["ffmpeg_transcode vcodec=h264 h264_preset=ultrafast acodec=aac", f"{watch}transcoded"],
        "rtmp_target": [f"{receive}rtmp_push", f"{watch}rtmp_push"],
        "ffmpeg_target": [f"{receive}ffmpeg_push", f"{watch}ffmpeg_push"],
    }
    return "".join(f"workflow {name} {{\n" + "\n".join(lines) + "\n}\n" for name, lines in bodies.items())


@pytest.mark.parametrize("case", [case_of(*case) for case in CASES])
async def test_every_part_of_what_comes_out_decodes_in_its_own_form(
    case: tuple[str, str, Form], launch: Launch, nursery: trio.Nursery, tmp_path: Path, free_port: int
) -> None:
    name, version, base = case
    change = changes(base)[name]
    recorded = {form: form.record(tmp_path / f"{number}.flv") for number, form in enumerate({*change.forms})}
    listener = TsListener(tmp_path)
    push_port = await nursery.start(listener.serve)
    settings = f'ffmpeg_path "{shutil.which(FFMPEGS[version])}"\n    grace_after 0'
    program = await launch(workflows(tmp_path, free_port, push_port, *change.steps), settings=settings)
    watchers = {app: await Watcher.connected(nursery, free_port, app) for app in APPS}
    await change.play(program, [recorded[form] for form in change.forms])
    playlist = tmp_path / "hls" / "show.m3u8"
    await eventually(lambda: playlist.exists() and "#EXT-X-ENDLIST" in playlist.read_text(), "end of the playlist")
    codecs = len(list(groupby(change.forms, lambda form: (form.video, form.audio))))
    for app, watcher in watchers.items():
        sessions = codecs if app.endswith("push") else 1
        await eventually(partial(watcher.has_seen, sessions), f"end of {app}")
    for workflow in ("main", "forwarded", "transcoded", "rtmp_target", "ffmpeg_target"):
        await program.delete(workflow)
    ways: dict[str, list[Path]] = {"hls": hls_parts(playlist), "ts push": listener.files}
    for app, watcher in watchers.items():
        parts = watcher.parts()
        ways[app] = [write_flv(part, tmp_path / f"{app}-{number}.flv") for number, part in enumerate(parts)]
        assert watcher.sessions == (codecs if app.endswith("push") else 1), app
    problems = []
    for way, files in ways.items():
        found: Sequence[Found] = [await look_at(file) for file in files]
        wanted: Sequence[Form] = change.forms
        if way == "transcoded":
            found, wanted = merged(found), transcoded(wanted)
        problems += [f"{way}: {problem}" for problem in problems_of(found, wanted)]
    assert problems == []


def transcoded(forms: Sequence[Form]) -> list[Form]:
    """What becomes of them: an encoder makes one form of all that has the same size, rate and channels."""
    became = (evolve(form, profile=ANY, video="h264", audio="aac") for form in forms)
    return [form for form, _ in groupby(became)]


def merged(found: Sequence[Found]) -> list[Found]:
    """Parts of one form that follow each other, together: an encoder may say the same in other words."""
    groups = [list(group) for _, group in groupby(found, lambda part: evolve(part.form, profile=ANY))]
    return [
        Found(group[0].form, sum(part.pictures for part in group), "".join(part.flaws for part in group))
        for group in groups
    ]


def problems_of(found: Sequence[Found], forms: Sequence[Form]) -> Iterator[str]:
    """What is wrong with the parts that came out one way."""
    yield from (f"part {number}: {part.flaws[:300]}" for number, part in enumerate(found) if part.flaws)
    if len(found) != len(forms):
        yield f"{len(found)} parts of {len(forms)}: {found}"
        return
    for number, (part, form) in enumerate(zip(found, forms, strict=True)):
        seen = evolve(part.form, profile=ANY) if form.profile == ANY else part.form
        if seen != form:
            yield f"part {number}: {seen} instead of {form}"
        if part.pictures < PART_SECONDS * FPS - LOST_PICTURES:
            yield f"part {number}: {part.pictures} pictures"
