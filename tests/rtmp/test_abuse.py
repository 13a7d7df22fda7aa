"""Hostile clients, one kind a test: each is cut off by its own limit and counted, and nobody else notices.

While each of them does its worst, a publisher goes on and a watcher gets every frame.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.media.events import MediaPacket
from mmids_trio.net.transport import Transport
from mmids_trio.rtmp.protocol import amf
from mmids_trio.rtmp.protocol import message as types
from mmids_trio.rtmp.server.session import MAX_FRAME_SECONDS
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.workflow.status import Clients
from tests.support.rtmp import PLAIN_HANDSHAKE, command, connect, message

SECONDS = 10
PACKETS = generate_stream(seconds=SECONDS, frame_bytes=100)
LIVE = "workflow w {\nrtmp_receive rtmp_app=live stream_key=*\nrtmp_watch rtmp_app=live stream_key=*\n}\n"
CONNECTED = PLAIN_HANDSHAKE + connect() + command("createStream", 2, None)
PUBLISHING = CONNECTED + command("publish", 3, None, "theirs", "live", stream=1)
PLAYING = CONNECTED + command("play", 3, None, "theirs", stream=1)


@asynccontextmanager
async def bystanders(settings: str = "") -> AsyncIterator[Harness]:
    """A server with a publisher and a watcher, who must get everything, whatever happens in the block."""
    async with Harness(f"settings {{\n{settings}\n}}\n{LIVE}") as h:
        watcher = await h.watch("live/ours", peer_host="192.0.2.1")
        publisher = await h.publish("live/ours", PACKETS[:2], peer_host="192.0.2.2")
        async with trio.open_nursery() as nursery:

            async def send() -> None:
                while True:
                    await trio.sleep(5)
                    await publisher.send(PACKETS[-1:])

            nursery.start_soon(watcher.read_until_closed)
            nursery.start_soon(send)
            yield h
            nursery.cancel_scope.cancel()
        await publisher.send(PACKETS[2:])
        await watcher.read_until(lambda: PACKETS[-2].data in [packet.data for packet in watcher.packets])
        assert watcher.report(PACKETS[:-1]).missed == ()
        assert not watcher.is_disconnected
    h.assert_quiet()


async def until_cut_off(transport: Transport) -> None:
    """Read, like a client in good health, until the server hangs up."""
    with suppress(trio.BrokenResourceError):
        while await transport.receive_some(100_000):
            pass


async def say_on_and_on(transport: Transport, data: bytes, every: float) -> None:
    """The same again and again, as long as the server takes it, and reading all it answers."""

    async def say() -> None:
        with suppress(trio.BrokenResourceError):
            while True:
                await transport.send_all(data)
                await trio.sleep(every)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(say)
        await until_cut_off(transport)
        nursery.cancel_scope.cancel()


def metadata(values: dict[str, object]) -> bytes:
    return message(types.DATA_AMF0, amf.encode_all(["@setDataFrame", "onMetaData", values]), stream=1)


def nested(depth: int) -> bytes:
    return b"\x02\0\x07connect\0" + bytes(8) + b"\x03\0\x01a" * depth


FLOODS = {
    "metadata, small": (PUBLISHING, metadata({"x": 1.0}) * 1_000, 0.1),
    "metadata, large": (PUBLISHING, metadata({f"name{n}": "x" * 100 for n in range(5_000)}), 0.5),
    "commands": (CONNECTED, command("createStream", 4, None) + command("deleteStream", 5, None, 2.0), 0.0005),
    "pings": (PLAYING, message(types.USER_CONTROL, b"\0\x06" + bytes(4)) * 1_000, 0.5),
}


@pytest.mark.thorough
@pytest.mark.parametrize("flood", FLOODS)
async def test_a_flood_of_what_is_no_media_is_cut_off(flood: str, autojump_clock: MockClock) -> None:
    beginning, data, every = FLOODS[flood]
    async with bystanders() as h:
        transport = await h.open()
        await transport.send_all(beginning)
        with trio.fail_after(60):
            await say_on_and_on(transport, data, every)
        assert h.server.rejections.raised() == {"commands_or_metadata_flood": 1}


@pytest.mark.thorough
async def test_captions_with_every_frame_are_no_flood(autojump_clock: MockClock) -> None:
    captions = message(types.DATA_AMF0, amf.encode_all(["onTextData", {"text": "x" * 100}]), stream=1)
    async with bystanders() as h:
        transport = await h.open()
        await transport.send_all(PUBLISHING)
        with trio.move_on_after(100):
            await say_on_and_on(transport, captions * 60 + message(types.AUDIO, b"\xaf\x01x", stream=1), 1)
        assert h.server.rejections.raised() == {}


BREAKS = {
    "a huge declared message": (CONNECTED, b"\x03\0\0\0\xff\xff\xff\x14\0\0\0\0", "message_too_large"),
    "chunk streams": (
        CONNECTED,
        b"".join(bytes((0, n)) + bytes(3) + b"\0\0\0\x08" + bytes(4) for n in range(100)),
        "too_many_chunk_streams",
    ),
    "unfinished messages": (
        CONNECTED + message(1, (0xFFFFFF).to_bytes(4, "big")),
        b"\x04" + bytes(3) + b"\xff\xff\xff\x09" + bytes(4) + bytes(3 * 1024 * 1024),
        "too_many_unfinished_bytes",
    ),
    "AMF that is nested": (PLAIN_HANDSHAKE, message(types.COMMAND_AMF0, nested(1_000)), "amf_bomb"),
    "AMF of many values": (
        PUBLISHING,
        message(types.DATA_AMF0, amf.encode_all(["onMetaData"]) + b"\x0a\0\x01\0\0" + b"\x05" * 65_536, stream=1),
        "amf_bomb",
    ),
    "message streams": (CONNECTED, command("publish", 3, None, "a", stream=1_000), "message_stream_out_of_range"),
    "media before connect": (
        PLAIN_HANDSHAKE,
        message(types.AUDIO, bytes(1_000)) * 100,
        "connect_too_late",
    ),
}


@pytest.mark.parametrize("bomb", BREAKS)
async def test_who_wants_to_have_too_much_held_or_done_is_cut_off_at_once(bomb: str, autojump_clock: MockClock) -> None:
    beginning, data, counter = BREAKS[bomb]
    async with bystanders() as h:
        transport = await h.open()
        await transport.send_all(beginning)
        await wait_all_tasks_blocked()
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(until_cut_off, transport)
            try:
                await transport.send_all(data)
            except trio.BrokenResourceError:
                nursery.cancel_scope.cancel()
        assert trio.current_time() == began
        assert h.server.rejections.raised() == {counter: 1}


def clients(h: Harness) -> Clients:
    """How many there are."""
    found = [step.clients for step in h.workflow("w").active_steps if step.clients is not None]
    return Clients(sum([one.publishers for one in found]), sum([one.watchers for one in found]))


def unfinished(size: int) -> bytes:
    """A command of which so many bytes have come."""
    return message(types.AUDIO, bytes(4_000_000), chunk_stream=5)[:size]


@pytest.mark.parametrize(("beginning", "most"), [(CONNECTED, 65_536), (PLAYING, 16_384)])
async def test_who_does_not_publish_holds_little(beginning: bytes, most: int, autojump_clock: MockClock) -> None:
    async with bystanders() as h:
        modest, greedy = await h.open(), await h.open()
        for transport in (modest, greedy):
            await transport.send_all(beginning)
        await wait_all_tasks_blocked()
        await modest.send_all(unfinished(most - 100))
        await wait_all_tasks_blocked()
        assert h.server.rejections.raised() == {}
        await greedy.send_all(unfinished(most + most // 64 + 100))  # beside the headers of chunks
        await wait_all_tasks_blocked()
        assert h.server.rejections.raised() == {"too_many_unfinished_bytes": 1}


@pytest.mark.thorough
async def test_a_player_that_goes_on_with_a_message_for_ever_is_cut_off(autojump_clock: MockClock) -> None:
    async with bystanders() as h:
        players = [await h.open(peer_host="192.0.2.9") for _ in range(20)]
        for transport in players:
            await transport.send_all(PLAYING)
        await wait_all_tasks_blocked()
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for transport in players:
                await transport.send_all(unfinished(10_000))
                nursery.start_soon(say_on_and_on, transport, bytes(1), 20)
        assert 30 <= trio.current_time() - began <= 41
        assert h.server.rejections.raised() == {"message_unfinished_for_too_long": 20}


async def test_a_publisher_that_does_not_wait_for_its_answer_is_read_on_when_it_has_it(
    autojump_clock: MockClock,
) -> None:
    frame = bytes((0x27, 1, 0, 0, 0)) + bytes(600_000)
    async with bystanders() as h:
        transport = await h.open()
        await transport.send_all(PUBLISHING + message(types.VIDEO, frame, stream=1))
        await wait_all_tasks_blocked()
        assert h.server.rejections.raised() == {}
        assert clients(h).publishers == 2


@pytest.mark.thorough
async def test_a_flood_over_many_connections_of_an_address_is_cut_off_and_others_join(
    autojump_clock: MockClock,
) -> None:
    flood = command("createStream", 4, None, *[None] * 200) * 100
    async with bystanders() as h:
        inside = await h.open(peer_host="198.51.100.1")
        await inside.send_all(PLAYING)
        cut_off, said = 0, 0
        for _ in range(40):
            transport = await h.open(peer_host="198.51.100.1")
            with suppress(trio.BrokenResourceError):
                await transport.send_all(CONNECTED + flood)
                said += 1
            await wait_all_tasks_blocked()
            cut_off = h.server.rejections["commands_or_metadata_flood_of_ip"]
            transport.close()
        assert cut_off >= 25
        await inside.send_all(message(types.USER_CONTROL, b"\0\x06" + bytes(4)))
        await h.watch("live/ours", peer_host="203.0.113.1")
        await trio.sleep(20)
        await h.watch("live/ours", peer_host="198.51.100.1")
        assert set(h.server.rejections.raised()) <= {"commands_or_metadata_flood_of_ip", "replies_unread"}


@pytest.mark.thorough
async def test_a_thousand_players_of_one_address_join_within_ten_seconds(autojump_clock: MockClock) -> None:
    join = (
        PLAIN_HANDSHAKE
        + connect()
        + command("createStream", 2, None)
        + command("getStreamLength", 3, None, "theirs")
        + command("play", 4, None, "theirs", -2000.0, stream=1)
        + message(types.USER_CONTROL, b"\0\3\0\0\0\1\0\0\x0b\xb8", chunk_stream=2)
    )
    async with bystanders() as h:
        began = trio.current_time()
        for _ in range(1_000):
            transport = await h.open(peer_host="198.51.100.1")
            await transport.send_all(join)
        await wait_all_tasks_blocked()
        assert trio.current_time() - began < 10
        assert h.server.rejections.raised() == {}
        assert clients(h).watchers == 1_001


SLOW = {
    "says nothing": (b"", 0.0, 10, "handshake_too_slow"),
    "drips its handshake": (b"\x03", 1.0, 10, "handshake_too_slow"),
    "drips its connect": (PLAIN_HANDSHAKE + connect()[:5], 1.0, 30, "idle"),
    "does nothing": (CONNECTED, 0.0, 30, "idle"),
    "publishes nothing": (PUBLISHING, 0.0, 30, "publisher_without_frames"),
    "begins a frame and stops": (
        PUBLISHING + message(types.VIDEO, bytes(5_000), stream=1)[:700],
        0.0,
        31,
        "publisher_without_frames",
    ),
    "drips a frame, a byte a minute": (
        PUBLISHING + message(types.VIDEO, bytes(5_000), stream=1)[:50],
        59.0,
        31,
        "publisher_without_frames",
    ),
    "watches and is gone without a word": (PLAYING, 0.0, 91, "ping_unanswered"),
}


@pytest.mark.parametrize("kind", SLOW)
async def test_who_takes_too_long_is_cut_off(kind: str, autojump_clock: MockClock) -> None:
    sent, every, patience, counter = SLOW[kind]
    async with bystanders() as h:
        transport = await h.open()
        await transport.send_all(sent)
        began = trio.current_time()
        with trio.fail_after(2 * patience):
            if every:
                await say_on_and_on(transport, b"\0", every)
            else:
                await until_cut_off(transport)
        assert trio.current_time() - began <= patience + 1
        assert h.server.rejections.raised() == {counter: 1}


@pytest.mark.thorough
async def test_a_large_frame_over_a_slow_line_is_waited_for_and_not_for_ever(autojump_clock: MockClock) -> None:
    frame = message(types.VIDEO, bytes(1_000_000), stream=1)
    async with bystanders() as h:
        transport = await h.open()
        await transport.send_all(PUBLISHING)
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(until_cut_off, transport)
            for place in range(0, len(frame), 2_000):
                try:
                    await transport.send_all(frame[place : place + 2_000])
                except trio.BrokenResourceError:
                    break
                await trio.sleep(1)
            nursery.cancel_scope.cancel()
        assert trio.current_time() - began == pytest.approx(30 + MAX_FRAME_SECONDS, abs=2)
        assert h.server.rejections.raised() == {"publisher_without_frames": 1}


HEADERS = [packet for packet in PACKETS if packet.is_sequence_header]


@pytest.mark.thorough
async def test_a_publisher_of_nothing_but_headers_has_its_time_twice(autojump_clock: MockClock) -> None:
    async with bystanders() as h:
        client = await h.publish("live/theirs", peer_host="192.0.2.9")
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.read_until_closed)
            while not client.is_disconnected:
                _send_now(client.transport, client.connection.send_media, HEADERS)
                client.transport.send_nowait(client.connection.data_to_send())
                await trio.sleep(0.9)
        assert trio.current_time() - began == pytest.approx(60, abs=1)
        assert h.server.rejections.raised() == {"publisher_without_frames": 1}


def _send_now(_transport: Transport, send: Callable[[int, int, bytes], None], packets: list[MediaPacket]) -> None:
    for packet in packets:
        send(types.VIDEO if packet.kind.value == "video" else types.AUDIO, 0, packet.data)


@pytest.mark.thorough
async def test_thousands_of_idle_connections_take_only_the_room_there_is(autojump_clock: MockClock) -> None:
    async with bystanders("max_connections 500") as h:
        idle = [await h.open() for _ in range(2_000)]
        await wait_all_tasks_blocked()
        assert h.server.rejections.raised() == {"connections_beyond_limit": 2_000 - 498}
        await trio.sleep(11)
        assert h.server.rejections["handshake_too_slow"] == 498
        await h.publish("live/another")
        for transport in idle:
            transport.close()


@pytest.mark.parametrize("neighbours", [["198.51.100.1"] * 20, [f"2001:db8::{n:x}" for n in range(20)]])
async def test_one_address_takes_only_its_share(neighbours: list[str], autojump_clock: MockClock) -> None:
    async with bystanders("max_connections_per_ip 5") as h:
        taken = [await h.open(peer_host=host) for host in neighbours]
        await wait_all_tasks_blocked()
        assert h.server.rejections.raised() == {"connections_beyond_limit_of_ip": 15}
        await h.watch("live/ours", peer_host="2001:db8:0:1::1")
        for transport in taken[:5]:
            transport.close()
        await wait_all_tasks_blocked()
        await h.watch("live/ours", peer_host=neighbours[0])


@pytest.mark.thorough
async def test_a_player_that_reads_no_media_is_let_go(autojump_clock: MockClock) -> None:
    async with bystanders() as h:
        await h.watch("live/theirs")
        async with trio.open_nursery() as nursery:
            theirs = await h.publish("live/theirs")
            nursery.start_soon(theirs.read_until_closed)
            await theirs.send(generate_stream(seconds=5, frame_bytes=10_000))
            for second in range(6, 40):
                await trio.sleep(1)
                await theirs.send(generate_stream(seconds=0.1, start_timestamp=second * 1000))
            assert h.server.rejections.raised() == {"took_no_data": 1}
            nursery.cancel_scope.cancel()


@pytest.mark.thorough
async def test_a_client_that_reads_no_answers_is_let_go(autojump_clock: MockClock) -> None:
    async with bystanders() as h:
        transport = await h.open()
        await transport.send_all(PLAYING)
        with pytest.raises(trio.BrokenResourceError):  # noqa: PT012 - any of them may be the last
            while True:
                await transport.send_all(message(types.USER_CONTROL, b"\0\x06" + bytes(4)) * 500)
                await trio.sleep(1)
        assert h.server.rejections.raised() == {"replies_unread": 1}
