"""`slate` in a whole server: what watchers see in a gap, and what becomes of a slate that cannot be made."""

import errno
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.errors import ConfigurationError
from mmids_trio.ffmpeg.slate_arguments import MAX_LOOP_BYTES
from mmids_trio.media.events import MediaEvent, MediaKind, MediaPacket, StreamEnded, StreamStarted
from mmids_trio.steps.slate import PREPARE_SECONDS
from mmids_trio.testing.clients import RtmpClient
from mmids_trio.testing.ffmpeg import FakeFfmpeg, Script
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_metadata, generate_stream
from mmids_trio.testing.recorder import Recorder
from mmids_trio.workflow.events import StreamResumed, StreamStalled
from tests.support.publishing import WAIT_FOR_ALL

LIVE = generate_stream(seconds=3, seed=1)
AGAIN = generate_stream(seconds=3, seed=2)
BARS = generate_stream("slate", seconds=1, seed=3, b_frames=0)
RECEIVE = "rtmp_receive rtmp_app=live stream_key=* grace=60 on_busy=takeover"
SLATE = "slate after=0.5"
WATCH = "rtmp_watch rtmp_app=live stream_key=*"
MADE = Script().brings(BARS).exits(at=1.0)


def workflow(*steps: str) -> str:
    return "workflow w {\n" + "\n".join(steps) + "\n}\n"


def harness(recorder: Recorder, *scripts: Script, slate: str = SLATE) -> Harness:
    ffmpeg = FakeFfmpeg(script=scripts or MADE)
    return Harness(WAIT_FOR_ALL + workflow(RECEIVE, slate, WATCH, "record"), [recorder.step_type()], spawner=ffmpeg)


async def pace(client: RtmpClient, packets: Sequence[MediaPacket]) -> None:
    began = trio.current_time()
    for packet in packets:
        await trio.sleep_until(began + packet.timestamp / 1000)
        await client.send([packet])
    await wait_all_tasks_blocked()


@asynccontextmanager
async def watching(h: Harness) -> AsyncIterator[RtmpClient]:
    client = await h.watch("key")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.read_until_closed)
        yield client
        assert not client.is_disconnected
        nursery.cancel_scope.cancel()


def frames(packets: Sequence[MediaEvent]) -> list[MediaPacket]:
    return [packet for packet in packets if isinstance(packet, MediaPacket) and not packet.is_sequence_header]


def origins(packets: Sequence[MediaEvent]) -> str:
    """From where frames come, one letter for a row of the same: L, A (the second publisher) or S (the slate)."""
    letters = {packet.data: letter for letter, of in (("L", LIVE), ("A", AGAIN), ("S", BARS)) for packet in of}
    found = [letters[frame.data] for frame in frames(packets)]
    return "".join(letter for place, letter in enumerate(found) if found[place - 1 : place] != [letter])


def assert_continuous(packets: Sequence[MediaEvent], longest: float) -> None:
    """No timestamp of a kind goes back, and no two pictures are further apart than `longest` seconds."""
    for kind in (MediaKind.VIDEO, MediaKind.AUDIO):
        times = [frame.timestamp for frame in frames(packets) if frame.kind is kind]
        assert all(0 <= b - a <= longest * 1000 for a, b in pairwise(times))


def state(h: Harness) -> str | None:
    [stream] = h.workflow("w").active_steps[1].streams
    return stream.state


@pytest.mark.thorough
async def test_a_gap_shows_the_slate_and_live_is_back_at_its_key_frame(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with harness(recorder) as h, watching(h) as watcher:
        first = await h.publish("key")
        await pace(first, LIVE)
        assert state(h) == "live"
        first.close()
        await trio.sleep(0.44)
        assert state(h) == "live"
        await trio.sleep(0.1)
        assert state(h) == "slate"
        await trio.sleep(20)
        await pace(await h.publish("key"), AGAIN)
        assert state(h) == "live"
        assert origins(recorder.packets) == origins(watcher.packets) == "LSA"
        back = next(frame for frame in frames(recorder.packets) if frame.data in {p.data for p in AGAIN})
        assert back.is_key_frame
        assert_continuous(recorder.packets, 0.5 + 0.045)
        assert_continuous(watcher.packets, 0.5 + 0.045)
        took = trio.current_time() - 0.05
        newest = max(frame.timestamp for frame in frames(recorder.packets)) / 1000
        assert newest == pytest.approx(took, abs=0.1), "the timeline goes on in real time"
        kinds = [type(event) for event in h.events()]
        assert kinds.count(StreamStalled) == 1
        assert [event.gap_ms for event in h.events() if isinstance(event, StreamResumed)][-1] > 20_000
        assert [type(e) for e in recorder.events if isinstance(e, (StreamStarted, StreamEnded))] == [StreamStarted]
    h.assert_quiet()


@pytest.mark.thorough
async def test_a_publisher_that_stays_but_sends_nothing_is_a_gap(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with harness(recorder) as h:
        client = await h.publish("key")
        await pace(client, LIVE)
        await trio.sleep(2)
        await pace(client, AGAIN)
        assert origins(recorder.packets) == "LSA"


@pytest.mark.thorough
async def test_after_max_nothing_is_sent_until_live_is_back(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with harness(recorder, slate=f"{SLATE} max=2") as h:
        client = await h.publish("key")
        await pace(client, LIVE)
        await trio.sleep(2.6)
        count = len(recorder.packets)
        assert state(h) == "silent"
        await trio.sleep(5)
        assert len(recorder.packets) == count
        await pace(client, AGAIN)
        assert state(h) == "live"


@pytest.mark.thorough
async def test_a_gap_before_the_slate_is_ready_is_filled_when_it_is(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with harness(recorder, Script().brings(BARS, at=9).exits(at=10)) as h:
        await pace(await h.publish("key"), LIVE)
        await trio.sleep(5)
        assert origins(recorder.packets) == "L"
        [stream] = h.workflow("w").active_steps[1].streams
        assert stream.message == "live; the slate is not ready"
        await trio.sleep(6)
        assert origins(recorder.packets) == "LS"


async def test_a_slate_that_is_ready_while_a_later_step_holds_everything_up_is_shown(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with harness(recorder, Script().brings(BARS, at=3).exits(at=4)) as h:
        client = await h.publish("key", LIVE)
        await wait_all_tasks_blocked()
        recorder.hold()
        for packet in AGAIN:
            await client.send([packet])
            await wait_all_tasks_blocked()
        await trio.sleep(10)
        recorder.release()
        await trio.sleep(1)
        assert origins(recorder.packets).endswith("S")


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Script().logs("no such file").exits(1, at=0.2), "no such file"),
        (Script().exits(0, at=0.2), "exited"),
        (Script().cannot_start(errno.EACCES), "cannot be started"),
    ],
    ids=["fails", "brings nothing", "does not start"],
)
async def test_a_slate_that_fails_is_tried_again(fault: Script, told: str, autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with harness(recorder, fault, fault, MADE) as h:
        await pace(await h.publish("key"), LIVE[: len(LIVE) // 2])
        [stream] = h.workflow("w").active_steps[1].streams
        assert told in (stream.last_error or "")
        await trio.sleep(10)
        assert h.workflow("w").status == "Running"
        assert origins(recorder.packets) == "LS"
    h.assert_quiet()


@pytest.mark.thorough
async def test_a_child_that_stalls_is_ended_and_tried_again(autojump_clock: MockClock) -> None:
    recorder, ffmpeg = Recorder(), FakeFfmpeg(script=[Script().stalls(at=0.1), MADE])
    async with Harness(WAIT_FOR_ALL + workflow(RECEIVE, SLATE, "record"), [recorder.step_type()], spawner=ffmpeg) as h:
        await pace(await h.publish("key"), LIVE)
        await trio.sleep(PREPARE_SECONDS - 10)
        assert [len(ffmpeg.processes), len(ffmpeg.running)] == [1, 1]
        await trio.sleep(20)
        assert [len(ffmpeg.processes), len(ffmpeg.running)] == [2, 0]
        await pace(await h.publish("key"), AGAIN)
        await trio.sleep(3)
        assert origins(recorder.packets) == "LAS", "the first stream had to end without a slate"
    h.assert_quiet()


@pytest.mark.thorough
async def test_of_a_slate_that_is_too_large_the_beginning_is_shown(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    huge = generate_stream("slate", seconds=30, seed=3, b_frames=0, audio=False, key_frame_bytes=MAX_LOOP_BYTES // 20)
    async with harness(recorder, Script().brings(huge)) as h:
        await pace(await h.publish("key"), LIVE)
        await trio.sleep(40)
        assert state(h) == "slate"
    h.assert_quiet()


@pytest.mark.thorough
async def test_another_size_has_another_slate_made(autojump_clock: MockClock) -> None:
    recorder, ffmpeg = Recorder(), FakeFfmpeg(script=MADE)
    text = WAIT_FOR_ALL + workflow(RECEIVE, SLATE, "record")
    async with Harness(text, [recorder.step_type()], spawner=ffmpeg) as h:
        for number, (width, stream) in enumerate(((1280, LIVE), (640, AGAIN), (1280, LIVE)), 1):
            client = await h.publish("key")
            await client.send_metadata({**generate_metadata(), "width": width, "height": 360})
            await pace(client, stream)
            await trio.sleep(3)
            assert len(ffmpeg.processes) == min(number, 2), "the first one is still there"
            assert f"size={width}x360" in " ".join(ffmpeg.processes[-1].arguments) or number > 2
        assert origins(recorder.packets) == "LSASLS"


@pytest.mark.thorough
async def test_sizes_that_nobody_has_any_more_make_room(autojump_clock: MockClock) -> None:
    recorder, ffmpeg = Recorder(), FakeFfmpeg(script=MADE)
    async with Harness(WAIT_FOR_ALL + workflow(RECEIVE, SLATE, "record"), [recorder.step_type()], spawner=ffmpeg) as h:
        for number in range(20):
            client = await h.publish("key")
            await client.send_metadata({**generate_metadata(), "width": 320 + 2 * number})
            await pace(client, LIVE)
            await trio.sleep(2)
            assert state(h) == "slate"
            assert "not ready" not in h.workflow("w").active_steps[1].streams[0].message
        assert len(ffmpeg.processes) == 20


@pytest.mark.thorough
@pytest.mark.parametrize("change", ["delete", "put", "remove"])
async def test_a_change_while_the_slate_is_shown(change: str, autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with harness(recorder) as h:
        first = await h.publish("key")
        await pace(first, LIVE)
        first.close()
        await trio.sleep(2)
        assert origins(recorder.packets) == "LS"
        if change == "delete":
            await h.stop("w")
            h.assert_quiet()
            return
        steps = [] if change == "remove" else [f"{SLATE} max=9"]
        async with watching(h) as watcher:
            await h.put(workflow(RECEIVE, *steps, WATCH, "record"))
            await pace(await h.publish("key"), AGAIN)
            await wait_all_tasks_blocked()
            assert origins(watcher.packets).endswith("A")
        assert_continuous(recorder.packets, 10)
    h.assert_quiet()


@pytest.mark.thorough
async def test_it_is_put_into_a_running_workflow(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    ffmpeg = FakeFfmpeg(script=MADE)
    text = WAIT_FOR_ALL + workflow(RECEIVE, WATCH, "record")
    async with Harness(text, [recorder.step_type()], spawner=ffmpeg) as h, watching(h) as watcher:
        client = await h.publish("key")
        await pace(client, LIVE)
        await h.put(workflow(RECEIVE, SLATE, WATCH, "record"))
        await pace(client, AGAIN)
        await trio.sleep(2)
        assert origins(watcher.packets) == origins(recorder.packets) == "LAS"


@pytest.mark.parametrize("line", ["slate", "slate after=0", "slate after=1 max=0", "slate after=1 file="])
async def test_parameters_are_checked(line: str) -> None:
    with pytest.raises(ConfigurationError):
        Harness(workflow(line))


async def test_a_file_that_cannot_be_read_is_an_error_of_the_step(autojump_clock: MockClock) -> None:
    async with Harness() as h:
        change = h.apply(workflow("slate after=1 file=/nowhere/slate.png"))
        assert "'/nowhere/slate.png' cannot be read" in (await change.wait_outcome()).message
