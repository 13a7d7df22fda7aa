"""How long a connection may be silent, in each of its phases; in virtual time, to the second."""

from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.net.transport import Transport
from mmids_trio.testing.clients import RtmpClient
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.recorder import Recorder
from tests.support.rtmp import PLAIN_HANDSHAKE

Closings = Callable[[], list[str]]

LIVE = """
workflow w {
    rtmp_receive rtmp_app=live stream_key=*
    record
    rtmp_watch rtmp_app=live stream_key=*
}
"""


def live(settings: str = "", recorder: Recorder | None = None) -> Harness:
    text = f"settings {{\n{settings}\n}}\n{LIVE}" if settings else LIVE
    return Harness(text, [(recorder or Recorder()).step_type()])


async def drip(transport: Transport) -> None:
    for place in range(len(PLAIN_HANDSHAKE)):
        await transport.send_all(PLAIN_HANDSHAKE[place : place + 1])
        await trio.sleep(0.5)


async def seconds_until_closed(transport: Transport) -> float:
    began = trio.current_time()
    while await transport.receive_some(1000):
        pass
    return round(trio.current_time() - began, 3)


async def seconds_until_client_is_closed(client: RtmpClient) -> float:
    began = trio.current_time()
    await client.read_until_closed()
    return round(trio.current_time() - began, 3)


async def seconds_of_chat(client: RtmpClient) -> float:
    """How long a client that says something all the time, but nothing that counts, is let be."""
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.read_until_closed)
        while not client.is_disconnected:
            client.connection.ping(1)
            client.transport.send_nowait(client.connection.data_to_send())
            await trio.sleep(0.9)
    return trio.current_time() - began


@pytest.mark.parametrize("sent", [b"", b"\x03", PLAIN_HANDSHAKE[:1537], PLAIN_HANDSHAKE[:-1]])
async def test_a_handshake_may_take_ten_seconds(sent: bytes, autojump_clock: MockClock, closings: Closings) -> None:
    async with live() as h:
        transport = await h.open()
        await transport.send_all(sent)
        assert await seconds_until_closed(transport) == 10
    assert closings() == ["no handshake within 10 seconds"]


async def test_a_handshake_that_drips_in_is_not_waited_for_any_longer(
    autojump_clock: MockClock, closings: Closings
) -> None:
    async with live() as h:
        transport = await h.open()
        began = trio.current_time()
        with pytest.raises(trio.BrokenResourceError):
            await drip(transport)
        assert trio.current_time() - began == pytest.approx(10, abs=0.6)
    assert closings() == ["no handshake within 10 seconds"]


async def test_a_client_that_never_connects_is_idle_for_thirty_seconds(
    autojump_clock: MockClock, closings: Closings
) -> None:
    async with live() as h:
        transport = await h.open()
        await transport.send_all(PLAIN_HANDSHAKE)
        assert await seconds_until_closed(transport) == 30
    assert closings() == ["it neither published nor played for 30 seconds"]


async def test_a_client_that_chats_but_does_nothing_is_idle(autojump_clock: MockClock, closings: Closings) -> None:
    async with live() as h:
        client = await h.connect()
        assert await seconds_of_chat(client) == pytest.approx(30, abs=1)
    assert closings() == ["it neither published nor played for 30 seconds"]


async def test_a_publisher_that_sends_anything_but_media_is_silent(
    autojump_clock: MockClock, closings: Closings
) -> None:
    async with live() as h:
        client = await h.publish("key", generate_stream(seconds=1))
        assert await seconds_of_chat(client) == pytest.approx(30, abs=1)
    assert closings() == ["the publisher was silent for 30 seconds"]


async def test_a_watcher_without_media_that_answers_no_ping_is_given_up(
    autojump_clock: MockClock, closings: Closings
) -> None:
    async with live() as h:
        await h.watch("key")
        await trio.sleep(89)
        assert closings() == []
        await trio.sleep(2)
        assert closings() == ["no answer to 2 pings"]


@pytest.mark.thorough
async def test_a_watcher_that_takes_media_need_not_answer_pings(autojump_clock: MockClock, closings: Closings) -> None:
    async with live() as h:
        publisher = await h.publish("key")
        watcher = await h.watch("key")
        for second in range(300):
            await publisher.send(generate_stream(seconds=1, start_timestamp=second * 1000))
            with trio.move_on_after(1):
                while await watcher.transport.receive_some(100_000):  # takes everything and says nothing
                    pass
        assert closings() == []


@pytest.mark.parametrize(
    ("settings", "timeout"), [("", 30), ("publisher_timeout 5", 5), ("publisher_timeout 300", 300)]
)
async def test_a_publisher_that_falls_silent_is_disconnected(
    settings: str, timeout: int, autojump_clock: MockClock, closings: Closings
) -> None:
    async with live(settings) as h:
        client = await h.publish("key")
        await trio.sleep(timeout - 1)
        await client.send(generate_stream(seconds=1))
        assert await seconds_until_client_is_closed(client) == timeout
        await h.publish("key")  # the key is free again
    assert closings() == [f"the publisher was silent for {timeout} seconds", "what it used has ended"]


@pytest.mark.thorough
async def test_a_publisher_may_be_silent_for_ever_where_there_is_no_timeout(
    autojump_clock: MockClock, closings: Closings
) -> None:
    """It is asked whether it is there, for the sake of the network, and need not answer."""
    async with live("publisher_timeout 0") as h:
        client = await h.publish("key")
        await client.send(generate_stream(seconds=1))
        await trio.sleep(80_000)
        await client.send(generate_stream(seconds=1))
        await wait_all_tasks_blocked()
        assert closings() == []


@pytest.mark.parametrize(
    ("settings", "timeout"), [("publisher_timeout 5", 5), ("", 30), ("publisher_timeout 300", 300)]
)
async def test_the_silence_of_a_publisher_counts_from_the_permission_to_publish(
    settings: str, timeout: int, autojump_clock: MockClock
) -> None:
    async with live(settings) as h:
        client = await h.connect()
        await trio.sleep(25)
        await client.publish("key")
        assert await seconds_until_client_is_closed(client) == timeout


async def test_a_client_that_stopped_publishing_may_be_idle_again(autojump_clock: MockClock) -> None:
    async with live() as h:
        client = await h.publish("key", generate_stream(seconds=1))
        await trio.sleep(20)
        await client.unpublish()
        assert await seconds_until_client_is_closed(client) == 30


@pytest.mark.thorough
async def test_a_publisher_that_has_to_wait_for_its_workflow_is_not_silent(
    autojump_clock: MockClock, closings: Closings
) -> None:
    recorder = Recorder()
    packets = generate_stream(seconds=60, frame_bytes=8_000)
    async with live(recorder=recorder) as h:
        client = await h.publish("key")
        recorder.hold()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send, packets)
            await trio.sleep(100)
            assert nursery.child_tasks, "the socket has taken everything"
            recorder.release()
        await wait_all_tasks_blocked()
        assert [packet.data for packet in recorder.packets] == [packet.data for packet in packets]
        assert closings() == []


async def test_a_watcher_that_waits_for_a_stream_is_pinged_and_not_idle(
    autojump_clock: MockClock, closings: Closings
) -> None:
    async with live() as h:
        client = await h.watch("key")
        with trio.move_on_after(3600):
            await client.read_until_closed()
        assert not client.is_disconnected
        assert closings() == []


async def test_a_silent_watcher_is_pinged_every_thirty_seconds(autojump_clock: MockClock) -> None:
    async with live() as h:
        client = await h.watch("key")
        began, heard = trio.current_time(), []
        with trio.move_on_after(100):
            while True:
                await client.read_some()
                heard.append(round(trio.current_time() - began))
    assert [second for second in heard if second] == [30, 60, 90]


async def test_bytes_that_came_in_time_count_although_the_machine_stood_still_after(
    autojump_clock: MockClock, closings: Closings
) -> None:
    recorder = Recorder()
    packets = generate_stream(seconds=2)
    async with live(recorder=recorder) as h:
        client = await h.publish("key")
        client.connection.send_media(9, packets[0].timestamp, packets[0].data)
        client.transport.send_nowait(client.connection.data_to_send())
        autojump_clock.jump(31)
        await client.send(packets[1:])
        await wait_all_tasks_blocked()
        assert len(recorder.packets) == len(packets)
        assert closings() == []


async def test_announcements_that_have_to_wait_for_the_workflow_leave_their_publisher_its_whole_time(
    autojump_clock: MockClock, closings: Closings
) -> None:
    """No frame comes with what waited, so only the wait itself can excuse the silence."""
    recorder = Recorder()
    frames = generate_stream(seconds=1)
    async with live(recorder=recorder) as h:
        client = await h.publish("key")
        recorder.hold()
        for number in range(40):  # more than links and sockets hold in batches
            await client.send_metadata({"width": float(number)})
            await wait_all_tasks_blocked()
        await trio.sleep(100)
        recorder.release()
        await trio.sleep(29)
        await client.send(frames)
        await wait_all_tasks_blocked()
        assert [packet.data for packet in recorder.packets] == [packet.data for packet in frames]
        assert closings() == []


async def test_a_publisher_is_silent_once_its_workflow_waits_for_it(
    autojump_clock: MockClock, closings: Closings
) -> None:
    recorder = Recorder()
    async with live(recorder=recorder) as h:
        client = await h.publish("key")
        recorder.hold()
        for number in range(40):
            await client.send_metadata({"width": float(number)})
            await wait_all_tasks_blocked()
        await trio.sleep(100)
        recorder.release()
        assert await seconds_until_client_is_closed(client) == 30
    assert closings() == ["the publisher was silent for 30 seconds"]
