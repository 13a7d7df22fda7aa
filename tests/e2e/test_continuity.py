"""A publisher that is killed again and again, targets that die and stall: what others notice of it."""

import re
import signal
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest
import trio

from tests.support.ffmpeg import GOP_FRAMES, Crew, Packet, Recording, place_of, probe
from tests.support.program import Launch, Program
from tests.support.web import NGINX, NGINX_RTMP, start_nginx

pytestmark = pytest.mark.e2e

RESTARTS = 10
WATCHERS = 20
AV_OFFSET_MS = 50
RTMP = "rtmp_app=live stream_key=* port="

with_nginx = pytest.mark.skipif(
    not (NGINX.exists() and NGINX_RTMP.exists()), reason="not installed: nginx, libnginx-mod-rtmp"
)


def workflow(name: str, *steps: str, options: str = "", port: int = 0) -> str:
    lines = [f"workflow {name} {{", f"rtmp_receive {RTMP}{port} {options}", *steps, f"rtmp_watch {RTMP}{port}", "}\n"]
    return "\n".join(lines)


def gaps(program: Program) -> list[int]:
    """Milliseconds for which the stream was without a publisher, each time."""
    return [int(entry["gap_ms"]) for entry in program.log_file() if entry["event"] == "stream goes on"]


def of_kind(packets: Sequence[Packet], kind: str) -> list[Packet]:
    return [packet for packet in packets if packet.kind == kind]


def assert_times(packets: Sequence[Packet], longest_gap: int) -> None:
    """Decoding times never go back, and never jump by more than a gap and a group of sound or pictures."""
    for kind in ("video", "audio"):
        steps = [b.dts - a.dts for a, b in pairwise(of_kind(packets, kind))]
        assert min(steps) >= 0, kind
        assert max(steps) <= longest_gap + 200, (kind, max(steps), longest_gap)


def runs(packets: Sequence[Packet], source: Sequence[Packet]) -> list[list[int]]:
    """By how many milliseconds the packets of each publisher were moved; each begins at the source's beginning."""
    places = {packet.hash: place for place, packet in enumerate(source)}
    found: list[list[int]] = []
    last = len(source)
    for packet in packets:
        place = places[packet.hash]
        if place <= last:
            found.append([])
        found[-1].append(packet.dts - source[place].dts)
        last = place
    return found


def assert_in_step(packets: Sequence[Packet], source: Sequence[Packet]) -> None:
    """Audio and video of each publisher were moved by the same."""
    video, audio = (runs(of_kind(packets, kind), of_kind(source, kind)) for kind in ("video", "audio"))
    assert len(video) == len(audio)
    for moved_video, moved_audio in zip(video, audio, strict=True):
        assert abs(median(moved_video) - median(moved_audio)) <= AV_OFFSET_MS


@with_nginx
async def test_a_publisher_that_is_killed_ten_times_in_a_row_is_one_show_to_everybody(
    launch: Launch, crew: Crew, show: Recording, free_port: int, tmp_path: Path
) -> None:
    nginx = await start_nginx(crew.nursery, tmp_path, free_port)
    hls = tmp_path / "hls"
    push, segments = f"rtmp_push target=rtmp://127.0.0.1:{free_port}/live/pushed", f"ffmpeg_hls path={hls} count=0"
    program = await launch(
        workflow("show", push, segments, options="grace=30 on_busy=takeover"), settings="grace_after 0"
    )
    publisher = await crew.publish(show, program.url())
    files = [tmp_path / f"{number}.flv" for number in range(WATCHERS)]
    watchers = [await crew.dump(program.url(), file) for file in files]
    await program.child.err.until(lambda _: program.count_logged("watcher joined") == WATCHERS, "all watchers")
    await nginx.err.line("publish: name='pushed'")
    for number in range(RESTARTS):
        await trio.sleep(2)  # a publisher's time on air, of which nothing else tells
        publisher.send(signal.SIGKILL)
        publisher = await crew.publish(show, program.url())
        await program.child.err.until(lambda _, n=number: len(gaps(program)) > n, "a stream that goes on")  # type: ignore[misc]  # of a lambda with a default
    await trio.sleep(2)
    assert program.count_logged("watcher left") == 0
    assert program.count_logged("child ended") == 0
    assert all(watcher.is_running for watcher in watchers)
    assert len(gaps(program)) == RESTARTS
    assert sum("publish: name='pushed'" in line for line in nginx.err.lines) == 1
    assert program.count_logged("target is down") == 0
    assert (await program.delete("show")).status == 200
    for watcher in watchers:
        await watcher.end()
    source, longest = probe(show.path), max(gaps(program))
    for file in (files[0], files[-1]):
        got = probe(file)
        assert_times(got, longest)
        assert_in_step(got, source)
        assert len(runs(of_kind(got, "video"), of_kind(source, "video"))) == RESTARTS + 1
    sizes = sorted(file.stat().st_size for file in files)
    assert sizes[0] > sizes[-1] * 0.8
    playlist = (hls / "show.m3u8").read_text()
    assert "#EXT-X-DISCONTINUITY" not in playlist.partition("#EXTINF")[2]
    assert re.findall(r"#EXT-X-ENDLIST", playlist) == ["#EXT-X-ENDLIST"]


async def test_a_dead_and_a_stalled_target_do_not_harm_the_good_one_and_come_back(
    launch: Launch, crew: Crew, show: Recording, free_port: int
) -> None:
    good, stalled = await launch(workflow("target")), await launch(workflow("target"))
    dead = f"rtmp://127.0.0.1:{free_port}/live/pushed"
    targets = ",".join([good.url("pushed"), dead, stalled.url("pushed")])
    source = await launch(workflow("show", f"rtmp_push target={targets}"))
    there = await crew.play(good.url("pushed"))
    await good.logged("watcher joined")
    await crew.publish(show, source.url())
    for target in (good, stalled):
        await target.logged("publisher joined")
    stalled.child.send(signal.SIGSTOP)
    await source.logged("target is down")
    await there.gets(5 * GOP_FRAMES)
    back = await launch(workflow("target", port=free_port))
    stalled.child.send(signal.SIGCONT)
    late, too = await crew.play(dead), await crew.play(stalled.url("pushed"))
    await late.gets(GOP_FRAMES)
    await too.gets(GOP_FRAMES)
    for player in (there, late, too):
        place_of(player.packets.video, show.packets.video)
        place_of(player.packets.audio, show.packets.audio)
    assert place_of(there.packets.video, show.packets.video) == 0
    assert place_of(there.packets.audio, show.packets.audio) == 0
    for target in (good, back):
        await target.logged("publisher joined")
        assert target.count_logged("publisher joined") == 1
