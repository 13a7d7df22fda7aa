"""`ffmpeg_pull` with children that only exist in memory: each is one stream, for as long as it lives."""

import errno
from itertools import pairwise

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock

from mmids_trio.ffmpeg.media_pipe import tags_from_event
from mmids_trio.media.events import MediaPacket, StreamEnded, StreamMetadata, StreamStarted
from mmids_trio.media.flv import flv_header
from mmids_trio.rtmp.flv_tags import metadata_tag
from mmids_trio.testing.ffmpeg import FakeFfmpeg
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.network import MemoryNetwork
from mmids_trio.testing.processes import Behaviour, FakeSpawner
from mmids_trio.testing.recorder import Recorder
from mmids_trio.workflow.status import OutcomeKind
from tests.support.numbered_events import legality
from tests.support.scripted_source import Take, messages

PULL = "ffmpeg_pull location=rtmp://example.org/live/secret stream_name=clip"
TAKE = Take(seconds=1)
FILM = b"".join([flv_header(audio=True, video=True), metadata_tag({"width": 640}), *map(tags_from_event, TAKE.packets)])
PLAYS = Behaviour(stdout=[(0.5, FILM)], exits_after=2.0)
LIVES = Behaviour(stdout=[(0.5, FILM)])
DEAD = Behaviour(exits_after=0.1, exit_status=1, stderr=[(0.05, b"secret: Connection refused\n")])


def harness(recorder: Recorder, *behaviours: Behaviour, before: str = "", pull: str = PULL) -> Harness:
    configuration = f"workflow w {{\n{before}{pull}\nrecord\n}}\n"
    return Harness(configuration, [recorder.step_type()], MemoryNetwork(), FakeFfmpeg(FakeSpawner(behaviours)))


def children(h: Harness) -> FakeSpawner:
    assert isinstance(h.spawner, FakeFfmpeg)
    return h.spawner.children


async def test_what_the_child_writes_is_a_stream(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with harness(recorder, LIVES) as h:
        assert h.workflow("w").status == "Running"
        assert recorder.events == []
        await trio.sleep(1)
        started, metadata, *packets = recorder.events
        assert isinstance(started, StreamStarted)
        assert started.stream_name == "clip"
        assert isinstance(metadata, StreamMetadata)
        assert metadata.values == {"width": 640.0}
        assert [packet.data for packet in packets if isinstance(packet, MediaPacket)] == [
            packet.data for packet in TAKE.packets
        ]
        assert {event.stream_id for event in recorder.events} == {started.stream_id}


async def test_the_stream_ends_with_its_child_and_the_next_one_is_another_of_the_same_name(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    async with harness(recorder, PLAYS, LIVES) as h:
        await trio.sleep(10)
        assert children(h).attempts == [0.0, 2.5]
        assert legality(recorder.events) is None
        starts = [event for event in recorder.events if isinstance(event, StreamStarted)]
        assert [event.stream_name for event in starts] == ["clip", "clip"]
        assert starts[0].stream_id != starts[1].stream_id
        assert [event.stream_id for event in recorder.events if isinstance(event, StreamEnded)] == [starts[0].stream_id]


@pytest.mark.parametrize("source", ["location=/films/clip.mp4", "location=http://h/clip.mp4 loop=false"])
async def test_what_is_finite_is_played_once(source: str, autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with harness(recorder, PLAYS, LIVES, pull=f"ffmpeg_pull {source} stream_name=clip") as h:
        await trio.sleep(1000)
        assert children(h).attempts == [0.0]
        [stream] = h.workflow("w").active_steps[0].streams
        assert (stream.name, stream.state) == ("clip", "finished")
        assert "loop=true" in stream.message
        assert isinstance(recorder.events[-1], StreamEnded)
        assert h.workflow("w").status == "Running"
        await h.put("workflow w {\nrecord\n}\n")
        await h.put(f"workflow w {{\nffmpeg_pull {source} stream_name=clip\nrecord\n}}\n")
        await trio.sleep(1)
        assert children(h).attempts == [0.0, pytest.approx(1000.0)]


@pytest.mark.thorough
@pytest.mark.parametrize("ended", [DEAD, evolve(PLAYS, exit_status=1)], ids=["at once", "in its midst"])
async def test_a_file_that_failed_is_played_again(ended: Behaviour, autojump_clock: MockClock) -> None:
    pull = "ffmpeg_pull location=/films/clip.mp4 stream_name=clip"
    async with harness(Recorder(), ended, PLAYS, pull=pull) as h:
        await trio.sleep(1000)
        assert len(children(h).attempts) == 2


async def test_a_file_that_is_to_be_repeated_is_played_over_and_over(autojump_clock: MockClock) -> None:
    pull = "ffmpeg_pull location=/films/clip.mp4 stream_name=clip loop=true"
    async with harness(Recorder(), PLAYS, LIVES, pull=pull) as h:
        await trio.sleep(10)
        assert children(h).attempts == [0.0, 2.5]
        assert "-stream_loop" in children(h).processes[0].arguments


async def test_a_child_that_brings_nothing_is_no_stream(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with harness(recorder, Behaviour(stdout=[(0.1, FILM[:5])], exits_after=1.0)):
        await trio.sleep(10)
        assert recorder.events == []


async def test_a_dead_source_is_tried_again_with_backoff_and_the_step_stays_active(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with harness(recorder, DEAD) as h:
        await trio.sleep(200)
        waits = [after - before - 0.1 for before, after in pairwise(children(h).attempts)]
        assert waits == pytest.approx([0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30, 30])
        assert h.workflow("w").status == "Running"
        assert messages(h) == [("clip", "ffmpeg exited with status 1\n***: Connection refused")]


async def test_a_child_that_cannot_be_started_is_tried_again_and_the_details_say_why(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with harness(recorder, Behaviour(cannot_start=errno.EACCES), LIVES) as h:
        await trio.sleep(0.2)
        assert messages(h) == [("clip", "ffmpeg cannot be started: EACCES")]
        await trio.sleep(1)
        assert recorder.packets


async def test_garbage_from_a_child_is_its_end_and_the_next_one_is_read(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with harness(recorder, Behaviour(stdout=[(0.1, b"this is no FLV at all")]), LIVES) as h:
        await trio.sleep(2)
        assert len(children(h).processes) == 2
        assert len(children(h).running) == 1
        assert TAKE.report(recorder.packets).missed == ()
        assert messages(h)[0][1].startswith("ffmpeg was ended: ")


async def test_what_comes_from_earlier_steps_does_not_get_past_it(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with harness(recorder, LIVES, before="rtmp_receive rtmp_app=live stream_key=*\n") as h:
        await h.publish("other", TAKE.packets)
        await trio.sleep(1)
        assert [event.stream_name for event in recorder.events if isinstance(event, StreamStarted)] == ["clip"]


async def test_a_workflow_that_stands_still_holds_up_the_child(autojump_clock: MockClock) -> None:
    """Nothing piles up: what is not read stays with the child, and the pipe to it is full."""
    recorder = Recorder()
    recorder.hold()
    film = flv_header(audio=True, video=True) + b"".join(
        tags_from_event(packet) for packet in Take(seconds=60, key_frame_bytes=200_000).packets
    )
    async with harness(recorder, Behaviour(stdout=[(0.0, film)])) as h:
        await trio.sleep(5)
        [child] = children(h).running
        assert child.stdout is not None
        assert child.stdout.unread > len(film) / 2
        recorder.release()
        await trio.sleep(1)
        assert child.stdout.unread == 0


async def test_deleting_the_workflow_while_the_source_is_dead_returns_at_once(autojump_clock: MockClock) -> None:
    async with harness(Recorder(), DEAD) as h:
        await trio.sleep(20)
        before = trio.current_time()
        await h.stop("w")
        assert trio.current_time() == before
        children(h).check_nothing_is_left()


async def test_a_change_while_the_source_is_dead_takes_no_time(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with harness(recorder, DEAD, DEAD, LIVES) as h:
        await trio.sleep(1)
        outcome = await h.put("workflow w {\nffmpeg_pull location=other.mp4 stream_name=clip\nrecord\n}\n")
        assert outcome.kind is OutcomeKind.APPLIED
        assert trio.current_time() == pytest.approx(1)
        await trio.sleep(1)
        assert children(h).processes[-1].arguments[-1] == "pipe:1"
        assert "file:other.mp4" in children(h).processes[-1].arguments
        assert recorder.packets


async def test_the_child_is_asked_to_end_by_sigint(autojump_clock: MockClock) -> None:
    async with harness(Recorder(), LIVES) as h:
        await trio.sleep(1)
        await h.stop("w")
        [child] = children(h).processes
        assert [name.name for _, name in child.signals] == ["SIGINT"]
