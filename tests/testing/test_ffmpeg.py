"""Scripted children do what their script says, at its times, and the server deals with it as with real ones."""

import errno
import signal
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.testing.checker import StreamChecker
from mmids_trio.testing.ffmpeg import FakeFfmpeg, Script, fed_packets
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.recorder import Recorder
from mmids_trio.workflow.events import StreamWentLive, StreamWentOff

PULL = "workflow w {\n    ffmpeg_pull location=rtmp://example.org/live/x stream_name=clip\n    record\n}\n"
PUSH = (
    "workflow w {\n    rtmp_receive rtmp_app=live stream_key=*\n    ffmpeg_push target=rtmp://example.org/live/x\n}\n"
)
PACKETS = generate_stream(seconds=4)


async def spawn(script: Script) -> tuple[FakeFfmpeg, float]:
    ffmpeg = FakeFfmpeg(script=script)
    await ffmpeg.spawn(["ffmpeg", "-i", "x"], stdin=True, stdout=True)
    return ffmpeg, trio.current_time()


async def test_a_child_writes_logs_and_exits_at_its_times(autojump_clock: MockClock) -> None:
    script = Script().writes(b"second", at=2).writes(b"first", at=1).logs("oh", at=3).exits(7, at=4)
    ffmpeg, began = await spawn(script)
    [process] = ffmpeg.processes
    assert process.stdout is not None
    found = []
    for output in (process.stdout, process.stdout, process.stderr):
        found.append((await output.receive_some(100), trio.current_time() - began))
    assert found == [(b"first", 1), (b"second", 2), (b"oh\n", 3)]
    assert await process.wait() == 7
    assert trio.current_time() - began == 4


async def test_a_child_that_stalls_reads_and_writes_no_more_but_obeys(autojump_clock: MockClock) -> None:
    ffmpeg, _ = await spawn(Script().writes(b"late", at=10).stalls(at=5))
    [process] = ffmpeg.processes
    assert process.stdin is not None
    assert process.stdout is not None
    await process.stdin.send_all(b"before")
    await trio.sleep(6)
    await process.stdin.send_all(b"behind")
    with trio.move_on_after(100) as scope:
        await process.stdout.receive_some(1)
    assert scope.cancelled_caught
    assert process.stdin.received == b"before"
    process.stdin.close()
    assert not process.has_ended
    process.send_signal(signal.SIGTERM)
    assert process.has_ended


async def test_signals_have_the_effect_that_the_script_says(autojump_clock: MockClock) -> None:
    for script, number, after in [
        (Script(), signal.SIGINT, 0),
        (Script().stops_slowly(3), signal.SIGTERM, 3),
        (Script().ignores(signal.SIGINT), signal.SIGTERM, 0),
        (Script().ignores(signal.SIGINT), signal.SIGINT, None),
        (Script().ignores(), signal.SIGTERM, None),
        (Script().ignores(), signal.SIGKILL, 0),
        (Script().survives_sigkill(), signal.SIGKILL, None),
    ]:
        ffmpeg, began = await spawn(script)
        [process] = ffmpeg.processes
        process.send_signal(number)
        with trio.move_on_after(100):
            await process.wait()
        assert (trio.current_time() - began if process.has_ended else None) == after


async def test_a_child_that_cannot_be_started(autojump_clock: MockClock) -> None:
    with pytest.raises(OSError, match="EACCES"):
        await spawn(Script().cannot_start(errno.EACCES))


async def test_media_comes_in_its_time_and_the_next_child_follows(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    ffmpeg = FakeFfmpeg(script=[Script().brings(PACKETS, at=1).logs("gone", at=4.9).exits(1, at=5), Script()])
    async with Harness(PULL, [recorder.step_type()], spawner=ffmpeg) as h:
        await h.wait_event(StreamWentLive, since=0)
        began = trio.current_time()
        await h.wait_event(StreamWentOff, since=0)
        assert trio.current_time() - began == pytest.approx(4)
        checker = StreamChecker(PACKETS)
        checker.receive_packets(recorder.packets)
        checker.report().require_flawless()
        await trio.sleep(10)
        assert len(ffmpeg.processes) == 2
        assert len(ffmpeg.running) == 1
    h.assert_quiet()


async def test_what_a_child_was_fed_can_be_checked(autojump_clock: MockClock) -> None:
    ffmpeg = FakeFfmpeg()
    async with Harness(PUSH, spawner=ffmpeg) as h:
        publisher = await h.publish("live/show", PACKETS)
        await trio.sleep(1)
        await publisher.unpublish()
        await trio.sleep(1)
        [process] = ffmpeg.processes
        packets = fed_packets(process)
        checker = StreamChecker(PACKETS)
        checker.receive_packets(packets)
        checker.report().require_flawless()
    h.assert_quiet()


async def test_a_child_that_ignores_everything_is_killed(autojump_clock: MockClock) -> None:
    ffmpeg = FakeFfmpeg(script=Script().ignores())
    async with Harness(PUSH, spawner=ffmpeg) as h:
        await h.publish("live/show", PACKETS)
        await wait_all_tasks_blocked()
        await trio.sleep(1)
        await h.stop("w")
        h.assert_quiet()
    [process] = ffmpeg.processes
    numbers = [number for _, number in process.signals]
    assert numbers[-1] is signal.SIGKILL
    assert all(one[0] < two[0] for one, two in pairwise(process.signals))
