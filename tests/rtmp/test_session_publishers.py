"""Publishers from their first command to every way in which they may end."""

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.media.events import MediaEvent, MediaPacket, StreamEnded, StreamMetadata, StreamStarted
from mmids_trio.rtmp.protocol import message as types
from mmids_trio.testing.clients import RtmpClient
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.recorder import Recorder
from tests.support.numbered_events import legality
from tests.support.rtmp import command, message, pipelined

Closings = Callable[[], list[str]]
End = Callable[[RtmpClient], Awaitable[object]]

LIVE = """
workflow w {
    rtmp_receive rtmp_app=live stream_key=*
    record
}
"""


def live(recorder: Recorder) -> Harness:
    return Harness(LIVE, [recorder.step_type()])


def story(events: list[MediaEvent]) -> list[str]:
    """The events in short; a run of media is one word."""
    words: list[str] = []
    for event in events:
        word = {StreamMetadata: "metadata", StreamEnded: "ended", MediaPacket: "media"}.get(type(event), "")
        if isinstance(event, StreamStarted):
            word = f"started {event.stream_name}"
        if not words or word != "media" or words[-1] != "media":
            words.append(word)
    return words


async def unpublish(client: RtmpClient) -> None:
    await client.unpublish()


async def close(client: RtmpClient) -> None:
    client.close()


async def reset(client: RtmpClient) -> None:
    client.transport.reset()


async def close_stream(client: RtmpClient) -> None:
    await client.command("closeStream", None, stream=1)


async def delete_stream(client: RtmpClient) -> None:
    await client.command("deleteStream", None, 1.0)


async def publish_another(client: RtmpClient) -> None:
    await client.command("publish", None, "another", "live", stream=1)


async def break_the_protocol(client: RtmpClient) -> None:
    await client.transport.send_all(message(1, bytes(4)))  # a chunk size of 0


async def fall_silent(client: RtmpClient) -> None:
    await trio.sleep(30)


ENDS = [unpublish, close, reset, close_stream, delete_stream, publish_another, break_the_protocol, fall_silent]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: str(end.__name__))
async def test_however_a_publisher_ends_its_stream_ends_and_its_key_is_free(
    end: End, autojump_clock: MockClock, closings: Closings
) -> None:
    recorder = Recorder()
    async with live(recorder) as h:
        client = await h.publish("key", generate_stream(seconds=1))
        await wait_all_tasks_blocked()
        await end(client)
        await wait_all_tasks_blocked()
        assert story(recorder.events)[:3] == ["started key", "media", "ended"]
        await h.publish("key", generate_stream(seconds=1))
        await wait_all_tasks_blocked()
        assert story(recorder.events)[-2:] == ["started key", "media"]
        assert len(closings()) <= 1
    h.assert_quiet()


@pytest.mark.parametrize("end", [close, reset, unpublish], ids=lambda end: str(end.__name__))
async def test_a_publisher_that_ends_under_back_pressure_has_its_stream_ended_too(
    end: End, autojump_clock: MockClock, closings: Closings
) -> None:
    recorder = Recorder()
    packets = generate_stream(seconds=10, frame_bytes=8_000)
    async with live(recorder) as h:
        client = await h.publish("key")
        recorder.hold()
        with trio.move_on_after(1):
            await client.send(packets)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(end, client)
            await trio.sleep(1)
            recorder.release()
        await wait_all_tasks_blocked()
        if end is not unpublish:  # what was half sent comes before it, so it never gets through
            assert story(recorder.events) == ["started key", "media", "ended"]
            await h.publish("key")
        assert legality(recorder.events) is None
        closings()


@pytest.mark.thorough
async def test_a_publisher_that_is_stopped_under_back_pressure_leaves_nothing(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with live(recorder) as h:
        client = await h.publish("key")
        recorder.hold()
        with trio.move_on_after(1):
            await client.send(generate_stream(seconds=60, frame_bytes=8_000))
        await h.stop("w")
        h.assert_quiet()


async def test_one_connection_may_publish_again_and_again(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    packets = generate_stream(seconds=1)
    async with live(recorder) as h:
        client = await h.connect()
        for key in ("a", "b", "a"):
            await client.publish(key, packets)
            await client.unpublish()
        await wait_all_tasks_blocked()
    assert story(recorder.events) == [word for key in ("a", "b", "a") for word in (f"started {key}", "media", "ended")]
    assert [packet.data for packet in recorder.packets] == [packet.data for packet in packets] * 3
    started = [event.stream_id for event in recorder.events if isinstance(event, StreamStarted)]
    assert len(set(started)) == 3


async def test_one_connection_may_publish_two_streams_at_once(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with live(recorder) as h:
        client = await h.publish("a", generate_stream(seconds=1))
        await client.command("publish", None, "b", "live", stream=2)
        await wait_all_tasks_blocked()
        for timestamp in range(3):
            for stream in (1, 2):
                await client.transport.send_all(message(types.AUDIO, b"\xaf\x01..", stream=stream, timestamp=timestamp))
        await wait_all_tasks_blocked()
        ids = {event.stream_name: event.stream_id for event in recorder.events if isinstance(event, StreamStarted)}
        assert [packet.stream_id for packet in recorder.packets[-6:]] == [ids["a"], ids["b"]] * 3


async def test_metadata_and_media_arrive_in_the_order_in_which_they_were_sent(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    packets = generate_stream(seconds=1)
    async with live(recorder) as h:
        client = await h.publish("key")
        await client.send_metadata({"width": 640.0})
        await client.send(packets[:10])
        await client.send_metadata({"width": 320.0})
        await client.send(packets[10:])
        await client.unpublish()
        await wait_all_tasks_blocked()
    assert story(recorder.events) == ["started key", "metadata", "media", "metadata", "media", "ended"]
    assert recorder.events[1:2] == [StreamMetadata(recorder.events[0].stream_id, {"width": 640.0})]
    assert [(packet.kind, packet.timestamp, packet.data) for packet in recorder.packets] == [
        (packet.kind, packet.timestamp, packet.data) for packet in packets
    ]


def audio(timestamp: int) -> bytes:
    return message(types.AUDIO, b"\xaf\x01.." + bytes([timestamp]), stream=1, timestamp=timestamp)


async def test_a_client_that_waits_for_no_answer_is_served_like_any_other(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with live(recorder) as h:
        transport = await h.open()
        await transport.send_all(pipelined(audio(1), audio(2)))
        await wait_all_tasks_blocked()
        await transport.send_all(audio(3))
        await wait_all_tasks_blocked()
        assert [packet.timestamp for packet in recorder.packets] == [1, 2, 3]


@pytest.mark.schedules(20)
async def test_a_publish_that_is_replaced_in_the_same_breath_is_not_in_the_way_of_the_next(
    autojump_clock: MockClock, closings: Closings
) -> None:
    """Whichever of the two tasks comes first."""
    recorder = Recorder()
    again = command("publish", 4, None, "key", "live", stream=1)
    async with live(recorder) as h:
        transport = await h.open()
        await transport.send_all(pipelined(again, again, audio(1)))
        await wait_all_tasks_blocked()
        await transport.send_all(audio(2))
        await wait_all_tasks_blocked()
        assert closings() == []
        assert story(recorder.events)[-2:] == ["started key", "media"]
        assert legality(recorder.events) is None


async def test_a_publish_that_is_withdrawn_in_the_same_breath_leaves_the_key_free(
    autojump_clock: MockClock, closings: Closings
) -> None:
    recorder = Recorder()
    async with live(recorder) as h:
        transport = await h.open()
        await transport.send_all(pipelined(audio(1), command("FCUnpublish", 5, None, "key")))
        await wait_all_tasks_blocked()
        await h.publish("key")
        assert closings() == []
        assert legality(recorder.events) is None


async def test_a_publish_that_waits_for_a_busy_workflow_can_be_withdrawn(
    autojump_clock: MockClock, closings: Closings
) -> None:
    recorder = Recorder()
    async with live(recorder) as h:
        busy = await h.publish("busy")
        recorder.hold()
        with trio.move_on_after(1):
            await busy.send(generate_stream(seconds=60, frame_bytes=8_000))
        hasty = await h.connect()
        with trio.move_on_after(20):
            await hasty.publish("key")
        hasty.close()
        await trio.sleep(1)
        recorder.release()
        await wait_all_tasks_blocked()
        assert "started key" not in story(recorder.events)
        await h.publish("key")
        assert closings() == []


@pytest.mark.thorough
async def test_a_publisher_that_reads_nothing_is_no_problem_until_it_floods(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with live(recorder) as h:
        client = await h.publish("key")
        for _ in range(20):
            await client.send(generate_stream(seconds=10))
        await wait_all_tasks_blocked()
        assert len(recorder.packets) == 20 * len(generate_stream(seconds=10))
