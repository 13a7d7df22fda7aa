"""How many streams there may be, and how many of them may wait for a publisher: one too many costs nobody else."""

import gc
from collections.abc import Sequence

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.media.events import MediaEvent, StreamEnded, StreamStarted
from mmids_trio.rejections import RejectCounters
from mmids_trio.rtmp.server.endpoints import RequestRefused
from mmids_trio.rtmp.server.session import RtmpSession
from mmids_trio.steps.publishers import Publishers
from mmids_trio.steps.stream_room import MAX_INTERRUPTED_OF_ADDRESS, StreamRoom
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.step_ends import FakeStepContext
from tests.support.publishing import Guest, Sink
from tests.support.rtmp import PLAIN_HANDSHAKE, command, connect

FRAMES = generate_stream(seconds=1)
LIVE = "workflow {} {{\nrtmp_receive rtmp_app={} stream_key=* {}\n}}\n"


def ended(sink: Sink) -> list[str]:
    """The names of the streams that have ended, in order."""
    names = {event.stream_id: event.stream_name for event in sink.events if isinstance(event, StreamStarted)}
    return [names[event.stream_id] for event in sink.events if isinstance(event, StreamEnded)]


async def test_of_all_steps_together_there_are_as_many_streams_as_the_server_has_room_for() -> None:
    room = StreamRoom(max_streams=3)
    steps = [Publishers(FakeStepContext(), Sink(), room=room) for _ in range(2)]
    first = await steps[0].publish("a", Guest())
    await steps[0].publish("b", Guest())
    await steps[1].publish("a", Guest())
    for step in steps:
        with pytest.raises(RequestRefused):
            await step.publish("one too many", Guest())
    first.end()
    await steps[1].publish("one that fits again", Guest())
    assert room.present == 3


async def test_one_that_takes_a_stream_over_needs_no_room_of_its_own() -> None:
    publishers = Publishers(FakeStepContext(), Sink(), grace=5, room=StreamRoom(max_streams=1))
    (await publishers.publish("key", Guest())).vanish()
    await publishers.publish("key", Guest())
    assert publishers.room.present == 1


async def test_the_server_and_a_step_refuse_publishers_beyond_their_number_and_count_them(
    autojump_clock: MockClock,
) -> None:
    text = "settings {\nmax_streams 5\n}\n" + LIVE.format("a", "a", "max_streams=2") + LIVE.format("b", "b", "")
    async with Harness(text) as h, trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(_publish, h, f"a/{number}")
        await wait_all_tasks_blocked()
        assert _publishing(h, "a") == 2
        for number in range(10):
            nursery.start_soon(_publish, h, f"b/{number}")
        await wait_all_tasks_blocked()
        assert (_publishing(h, "a"), _publishing(h, "b")) == (2, 3)
        assert h.server.rejections.raised() == {"streams_beyond_limit": 2 + 7}
        nursery.cancel_scope.cancel()


async def _publish(h: Harness, path: str) -> None:
    app, key = path.split("/")
    transport = await h.open(peer_host="192.0.2.1")
    publish = command("createStream", 2, None) + command("publish", 3, None, key, "live", stream=1)
    await transport.send_all(PLAIN_HANDSHAKE + connect(app) + publish)
    await trio.sleep_forever()


def _publishing(h: Harness, workflow: str) -> int:
    return sum(step.clients.publishers for step in h.workflow(workflow).active_steps if step.clients is not None)


async def test_one_connection_publishes_eight_streams_and_keeps_them_when_it_wants_more(
    autojump_clock: MockClock,
) -> None:
    async with Harness(LIVE.format("w", "live", "")) as h:
        transport = await h.open()
        wanted = b"".join(
            command("createStream", 2, None) + command("publish", 3, None, f"key {n}", "live", stream=n)
            for n in range(1, 17)
        )
        await transport.send_all(PLAIN_HANDSHAKE + connect("live") + wanted)
        await wait_all_tasks_blocked()
        assert _publishing(h, "w") == 8
        assert h.server.rejections.raised() == {"streams_beyond_limit_of_connection": 8}
        await transport.send_all(command("deleteStream", 4, None, 1.0) + command("createStream", 5, None))
        await transport.send_all(command("publish", 6, None, "another", "live", stream=1))
        await wait_all_tasks_blocked()
        assert _publishing(h, "w") == 8
        assert h.server.rejections.raised() == {"streams_beyond_limit_of_connection": 8}


async def _on_air(publishers: Publishers, key: str, seconds: float, host: str = "192.0.2.1") -> None:
    """Publish for so long, and vanish."""
    publication = await publishers.publish(key, Guest(host))
    events: Sequence[MediaEvent] = [evolve(FRAMES[0], stream_id=publication.stream_id)]
    await publication.send(events)
    await trio.sleep(seconds)
    await publication.send(events)
    publication.vanish()


async def test_a_stream_has_to_have_been_on_the_air_for_a_while_to_be_waited_for(autojump_clock: MockClock) -> None:
    sink, rejections = Sink(), RejectCounters()
    publishers = Publishers(FakeStepContext(), sink, grace=60, room=StreamRoom(grace_after=5, rejections=rejections))
    await _on_air(publishers, "too short", 4.9)
    await _on_air(publishers, "long enough", 5)
    assert ended(sink) == ["too short"]
    assert rejections.raised() == {"too_short_on_air_for_grace": 1}


async def test_silence_is_no_time_on_the_air(autojump_clock: MockClock) -> None:
    sink = Sink()
    publishers = Publishers(FakeStepContext(), sink, grace=60, room=StreamRoom(grace_after=5))
    publication = await publishers.publish("key", Guest())
    await publication.send([evolve(FRAMES[0], stream_id=publication.stream_id)])
    await trio.sleep(50)
    publication.vanish()
    assert ended(sink) == ["key"]


async def test_all_publishers_of_a_stream_count_for_its_time_on_the_air(autojump_clock: MockClock) -> None:
    sink = Sink()
    publishers = Publishers(FakeStepContext(), sink, grace=60, room=StreamRoom(grace_after=5))
    await _on_air(publishers, "key", 6)
    await _on_air(publishers, "key", 1)
    assert ended(sink) == []


async def test_of_too_many_interrupted_streams_the_oldest_ends_first_those_of_the_same_address(
    autojump_clock: MockClock,
) -> None:
    sink, rejections = Sink(), RejectCounters()
    room = StreamRoom(max_interrupted=20, rejections=rejections)
    publishers = Publishers(FakeStepContext(), sink, grace=60, room=room)
    await _on_air(publishers, "honest", 1)
    for number in range(MAX_INTERRUPTED_OF_ADDRESS + 1):
        await _on_air(publishers, f"hostile {number}", 0, host="198.51.100.1")
    assert ended(sink) == ["hostile 0"]
    for number in range(4):
        await _on_air(publishers, f"other {number}", 0, host=f"203.0.113.{number}")
    assert ended(sink) == ["hostile 0", "honest"]
    assert room.interrupted == 20
    assert rejections.raised() == {"interrupted_streams_beyond_limit": 2}


@pytest.mark.parametrize("leave", ["come back", "time out"])
async def test_who_waits_no_more_takes_no_place(leave: str, autojump_clock: MockClock) -> None:
    publishers = Publishers(FakeStepContext(), Sink(), grace=5, room=StreamRoom(max_interrupted=1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(publishers.end_overdue)
        await _on_air(publishers, "key", 1)
        if leave == "come back":
            await publishers.publish("key", Guest())
        else:
            await trio.sleep(6)
        assert publishers.room.interrupted == 0
        nursery.cancel_scope.cancel()


@pytest.mark.thorough
async def test_what_is_kept_of_a_key_keeps_no_connection_of_its_publisher(autojump_clock: MockClock) -> None:
    text = "workflow w {\nrtmp_receive rtmp_app=live stream_key=*\nrtmp_watch rtmp_app=live stream_key=*\n}\n"
    async with Harness(text) as h:
        for key in ("a", "b", "c"):
            publisher = await h.publish(f"live/{key}", generate_stream(seconds=1))
            await trio.sleep(1)
            publisher.close()
        await trio.sleep(60)
        gc.collect()
        kept = [each for each in gc.get_objects() if isinstance(each, RtmpSession)]
        assert len(kept) <= 1  # not one for each key; a frame that has just logged may hold the last one
    h.assert_quiet()
