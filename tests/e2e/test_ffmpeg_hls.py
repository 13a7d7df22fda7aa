"""`ffmpeg_hls` on a real server: what is in the directory, when it is there, how it ends, and that nothing is outside.

The encoder sends so many seconds of media and then waits, so "within two segments" is not a matter of luck.
"""

import json
import signal
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from mmids_trio.ffmpeg.ended_files import JOURNAL
from tests.support.encoder import encoder, tags_of
from tests.support.ffmpeg import GOP_FRAMES, Crew, Recording, in_order
from tests.support.ffmpeg import probe as packets_in
from tests.support.program import Launch, Program
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

RECEIVE = "rtmp_receive rtmp_app=live stream_key=* port=0"
WATCH = "rtmp_watch rtmp_app=live stream_key=* port=0"
SHOWN = 11
"""Seconds that are published."""


def workflow(*steps: str) -> str:
    """The workflow `live` of these steps."""
    return "\n    ".join(["workflow live {", RECEIVE, *steps]) + "\n}\n"


def hls(directory: Path, options: str = "") -> str:
    """The step."""
    return f'ffmpeg_hls path="{directory}" {options}'


def durations(playlist: Path) -> list[float]:
    """Of the segments in a playlist, in seconds."""
    lines = playlist.read_text().splitlines()
    return [float(line.removeprefix("#EXTINF:").rstrip(",")) for line in lines if line.startswith("#EXTINF:")]


def has_ended(playlist: Path) -> bool:
    """Whether it says that nothing more comes."""
    return playlist.suffix == ".m3u8" and playlist.exists() and "#EXT-X-ENDLIST\n" in playlist.read_text()


def seconds_of(playlist: Path) -> float:
    """Its length, as ffprobe finds it."""
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_format", str(playlist)]
    done: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=30).stdout)
    return float(done["format"]["duration"])


def flaws(playlist: Path) -> str:
    """What a decoder has to say against it, to its end."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", str(playlist), "-f", "null", "-"]
    done = subprocess.run(command, check=False, capture_output=True, timeout=30)
    return done.stderr.decode() + (f"exit status {done.returncode}" if done.returncode else "")


def as_flv(playlist: Path, target: Path) -> Path:
    """The media of a playlist in the container that they were published in: without ADTS headers, as it were."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(playlist), "-c", "copy", str(target)]
    subprocess.run(command, check=True, timeout=30)
    return target


def segments(directory: Path) -> list[str]:
    """Names of what is in a directory, apart from playlists."""
    return sorted(entry.name for entry in directory.iterdir() if entry.suffix != ".m3u8")


async def published(program: Program, show: Recording, key: str = "show", *, seconds: float = SHOWN) -> str | None:
    """Publish so much and leave; the server's reason where it does not want it."""
    async with encoder(program.rtmp_port) as client:
        refusal = await client.publish(key)
        if refusal is None:
            await client.send(tags_of(show.path, before=seconds))
        return refusal


@pytest.mark.parametrize("duration", [1, 2, 3])
async def test_the_first_segment_is_there_within_two_segment_lengths(
    launch: Launch, show: Recording, tmp_path: Path, duration: int
) -> None:
    program = await launch(workflow(hls(tmp_path / "out", f"duration={duration} count=0")))
    async with encoder(program.rtmp_port) as client:
        assert await client.publish("show") is None
        await client.send(tags_of(show.path, before=2 * duration))
        playlist = tmp_path / "out" / "show.m3u8"
        await eventually(playlist.exists, "playlist")
        assert durations(playlist)[0] == pytest.approx(duration, abs=0.1)
        assert segments(tmp_path / "out")[0] == "show0.ts"
        assert not has_ended(playlist)


@pytest.mark.parametrize(
    ("options", "lasting"),
    [
        ("count=5", (2, 5)),
        ("duration=1 count=3", (1, 3)),
        ("duration=1 count=5", (1, 5)),
        ("duration=3 count=2", (3, 2)),
    ],
)
async def test_segments_are_as_long_and_as_many_as_asked(
    launch: Launch, show: Recording, tmp_path: Path, options: str, lasting: tuple[int, int]
) -> None:
    duration, count = lasting
    seconds = 7 * duration
    program = await launch(workflow(hls(tmp_path / "out", options)))
    await published(program, show, seconds=seconds)
    playlist = tmp_path / "out" / "show.m3u8"
    await eventually(lambda: has_ended(playlist), "end of the playlist")
    assert durations(playlist) == pytest.approx([duration] * count, abs=0.1)
    assert seconds_of(playlist) == pytest.approx(count * duration, abs=0.2)
    # ffmpeg keeps a few that have left the list, for players who are just reading them
    assert count <= len(segments(tmp_path / "out")) <= count + 2
    assert flaws(playlist) == ""


async def stop_by_leaving(_program: Program) -> None:
    """The publisher leaves, which it does anyway."""


async def stop_by_delete(program: Program) -> None:
    """The workflow is deleted while the publisher is there."""
    assert (await program.delete("live")).status == 200


async def stop_by_change(program: Program) -> None:
    """The step is taken out of the workflow, which goes on."""
    assert (await program.put(workflow(WATCH))).status == 200


async def stop_the_server(program: Program) -> None:
    """The server is told to stop."""
    program.child.send(signal.SIGTERM)
    assert await program.child.end() == 0


@pytest.mark.parametrize("stop", [stop_by_leaving, stop_by_delete, stop_by_change, stop_the_server])
async def test_all_segments_are_kept_and_play_to_the_end_however_it_ends(
    launch: Launch, show: Recording, tmp_path: Path, stop: Callable[[Program], Awaitable[None]]
) -> None:
    program = await launch(workflow(hls(tmp_path / "out", "count=0"), WATCH))
    playlist = tmp_path / "out" / "show.m3u8"
    async with encoder(program.rtmp_port) as client:
        assert await client.publish("show") is None
        await client.send(tags_of(show.path, before=SHOWN))
        await eventually(lambda: playlist.exists() and len(durations(playlist)) == SHOWN // 2, "last whole segment")
        await stop(program)
        if stop is not stop_by_leaving:
            assert has_ended(playlist), "what was stopped is complete when that is answered"
    await eventually(lambda: has_ended(playlist), "end of the playlist")
    assert durations(playlist) == pytest.approx([2.0] * (SHOWN // 2) + [SHOWN % 2], abs=0.1)
    assert segments(tmp_path / "out") == [f"show{number}.ts" for number in range(SHOWN // 2 + 1)]
    assert seconds_of(playlist) == pytest.approx(SHOWN, abs=0.1)
    assert flaws(playlist) == ""
    written = in_order(packets_in(as_flv(playlist, tmp_path / "written.flv")))
    assert len(written.video) == SHOWN * GOP_FRAMES
    assert written.audio == show.packets.audio[: len(written.audio)]
    assert len(written.audio) * 1024 / 44_100 == pytest.approx(SHOWN, abs=0.1)


async def test_the_stream_goes_on_behind_the_step_and_a_fixed_name_takes_the_place_of_its_own(
    launch: Launch, crew: Crew, clip: Recording, tmp_path: Path
) -> None:
    program = await launch(workflow(hls(tmp_path / "a" / "b", "duration=1 count=0 stream_name=fixed"), WATCH))
    player = await crew.play(program.url())
    await program.logged("watcher joined")
    assert await (await crew.publish(clip, program.url())).end() == 0
    playlist = tmp_path / "a" / "b" / "fixed.m3u8"
    await eventually(lambda: has_ended(playlist), "end of the playlist")
    assert seconds_of(playlist) == pytest.approx(2, abs=0.1)
    assert flaws(playlist) == ""
    await program.delete("live")
    assert await player.child.end() == 0
    assert player.packets == clip.packets


HOSTILE = ["../x", "a/b", "..", "/etc/x", "%2e%2e", "%2e%2e%2fx", "n\0l", "x" * 300, "-y", "%d", "a\\b", "ä b#", ".hid"]


@pytest.mark.parametrize("key", HOSTILE, ids=lambda key: ascii(key[:12]))
async def test_hostile_names_of_streams_stay_inside_the_directory_and_play(
    launch: Launch, show: Recording, tmp_path: Path, key: str
) -> None:
    program = await launch(workflow(hls(tmp_path / "web" / "out", "duration=1 count=0")))
    before = files_under(tmp_path, "web")
    refusal = await published(program, show, key, seconds=2)
    assert refusal is None
    out = tmp_path / "web" / "out"
    playlist = await eventually(lambda: next((path for path in out.iterdir() if has_ended(path)), None), "playlist")
    assert [entry.name for entry in (tmp_path / "web").iterdir()] == ["out"]
    assert files_under(tmp_path, "web") == before
    assert len(list(out.iterdir())) == 3
    assert all(entry.is_file() for entry in out.iterdir())
    assert seconds_of(playlist) == pytest.approx(2, abs=0.1)
    assert flaws(playlist) == ""


def files_under(directory: Path, without: str) -> Sequence[str]:
    """All files but those in `without`, and but the logs of the server, which are named after streams as well."""
    return sorted(
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if path.relative_to(directory).parts[0] != without and "logs" not in path.relative_to(directory).parts
    )


async def test_the_logs_of_children_stay_inside_their_directory(
    launch: Launch, show: Recording, tmp_path: Path
) -> None:
    program = await launch(workflow(hls(tmp_path / "out", "duration=1 count=0")))
    for key in ("../../../escaped", "x" * 300):
        assert await published(program, show, key, seconds=2) is None
    await eventually(lambda: sum(map(has_ended, (tmp_path / "out").iterdir())) == 2, "two playlists")
    assert not any("escaped" in path for path in files_under(tmp_path, "out"))
    logs = [entry for entry in (program.directory / "logs" / "ffmpeg").iterdir() if entry.name != JOURNAL]
    assert len(logs) == 2
    assert all(entry.is_file() and entry.name.startswith("live-") for entry in logs)


async def test_a_directory_that_cannot_be_made_is_told(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    program = await launch("")
    refused = await program.put(workflow(hls(tmp_path / "file" / "out")))
    assert refused.status == 409
    assert "Not a directory" in refused.json["error"]
