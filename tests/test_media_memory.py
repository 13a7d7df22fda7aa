"""What clients make the server hold is bounded: for a connection, an address and all; what nobody needs goes first."""

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.media_memory import LOW_WATER, MAX_CONNECTION_BYTES, MediaHolding, MediaMemory, MediaOwner
from mmids_trio.rtmp.protocol import message as types
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from tests.support.rtmp import PLAIN_HANDSHAKE, command, connect, message

MIB = 1024 * 1024
LIVE = "workflow w {\nrtmp_receive rtmp_app=live stream_key=* grace=60\nrtmp_watch rtmp_app=live stream_key=*\n}\n"


@define(eq=False)
class Held:
    """Somebody who holds bytes."""

    memory: MediaMemory
    owner: MediaOwner
    is_watched: bool = False
    ends: bool = False
    holding: MediaHolding = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.holding = MediaHolding(
            self.memory, self.owner, lambda: self.holding.resize(0), lambda: self.is_watched, self.ends
        )

    @property
    def size(self) -> int:
        return self.holding.size


def held(memory: MediaMemory, source: str, size: int, *, is_watched: bool = False, ends: bool = False) -> Held:
    one = Held(memory, MediaOwner(source, object()), is_watched, ends)
    one.holding.resize(size)
    return one


def test_at_the_bound_of_the_server_what_nobody_watches_goes_first_and_the_largest_before_others() -> None:
    memory = MediaMemory(1_000)
    watched = held(memory, "a", 240, is_watched=True)
    small, large = held(memory, "b", 100), held(memory, "b", 140)
    others = [held(memory, source, 240, is_watched=True) for source in "cd"]
    held(memory, "e", 70, is_watched=True)
    assert (large.size, small.size) == (0, 100)
    assert watched.size == others[0].size == 240
    assert memory.held <= LOW_WATER * 1_000
    assert memory.rejections.raised() == {"logs_let_go_for_media_bytes": 1}


def test_one_address_holds_a_quarter_and_others_lose_nothing() -> None:
    memory = MediaMemory(1_000)
    honest = held(memory, "honest", 200, is_watched=False)
    for _ in range(100):
        held(memory, "hostile", 30, is_watched=True)
        assert memory.of_source("hostile") <= 250
    assert honest.size == 200


def test_a_connection_that_holds_the_most_ends_where_no_log_is_left() -> None:
    memory = MediaMemory(1_000)
    sessions = [held(memory, f"{number}", 100 + number, is_watched=True, ends=True) for number in range(10)]
    assert memory.held <= 1_000
    assert sessions[9].size == 0
    assert memory.rejections.raised()["media_bytes_beyond_limit"] >= 1


def test_a_publisher_has_room_once_what_nobody_watches_is_gone_and_else_has_none() -> None:
    memory = MediaMemory(1_000)
    unwatched = [held(memory, source, 235) for source in "abcd"]
    assert memory.has_room_for("e")
    assert sum(one.size for one in unwatched) < 900
    for source in "efgh":
        held(memory, source, 225, is_watched=True)
    assert not memory.has_room_for("i")
    assert memory.held <= 1_000


def test_what_is_held_follows_a_stream_to_its_next_publisher_and_leaves_no_trace() -> None:
    memory = MediaMemory(1_000)
    memory.own("stream", "192.0.2.1", "first")
    one = Held(memory, memory.owner_of("stream"))
    one.holding.resize(100)
    memory.own("stream", "192.0.2.2", "second")
    assert (memory.of_source("192.0.2.1"), memory.of_source("192.0.2.2")) == (0, 100)
    memory.leave("stream")
    memory.disown("stream")
    assert memory.held == 0
    assert (memory._of_source, memory._of_connection, memory._holdings, memory._owners) == ({}, {}, {}, {})


FRAME = b"\x17\x01\0\0\0" + bytes(1_000_000)
INTER = b"\x27\x01\0\0\0" + bytes(1_000_000)


@pytest.mark.thorough
async def test_one_connection_with_many_streams_holds_no_more_than_one_with_one(autojump_clock: MockClock) -> None:
    async with Harness(LIVE) as h:
        transport = await h.open()
        await transport.send_all(PLAIN_HANDSHAKE + connect("live"))
        for n in range(1, 9):
            await transport.send_all(command("createStream", 2, None))
            await transport.send_all(command("publish", 3, None, f"key {n}", "live", stream=n))
        await wait_all_tasks_blocked()
        most = 0
        for round_number in range(12):
            for n in range(1, 9):
                frame = FRAME if not round_number else INTER
                await transport.send_all(message(types.VIDEO, frame, stream=n, timestamp=40 * round_number))
                await wait_all_tasks_blocked()
                most = max(most, h.server.memory.held)
        assert 20 * MIB < most <= MAX_CONNECTION_BYTES
        assert set(h.server.rejections.raised()) == {"logs_let_go_for_media_bytes"}
    assert h.server.memory.held == 0


async def test_the_log_of_an_interrupted_stream_that_nobody_watches_is_let_go(autojump_clock: MockClock) -> None:
    stream = generate_stream(seconds=10, frame_bytes=10_000, gop=1000)
    async with Harness("settings {\ngrace_after 0\n}\n" + LIVE) as h:
        watcher = await h.watch("live/watched")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watcher.read_until_closed)
            for key in ("unwatched", "watched"):
                publisher = await h.publish(f"live/{key}", stream)
                await wait_all_tasks_blocked()
                before = h.server.memory.held
                assert before > MIB
                publisher.close()
                await wait_all_tasks_blocked()
                assert (h.server.memory.held > MIB) is (key == "watched")
            nursery.cancel_scope.cancel()
        watcher.close()
        await wait_all_tasks_blocked()
        assert h.server.memory.held == 0


@pytest.mark.thorough
async def test_unfinished_messages_of_publishers_are_bounded_for_their_address(autojump_clock: MockClock) -> None:
    """128 MiB for the server, so 32 MiB for an address; each of twenty publishers begins a message of 15 MiB."""
    begun = message(1, (0xFFFFFF).to_bytes(4, "big")) + b"\x04" + bytes(3) + b"\xf0\0\0\x09" + b"\1\0\0\0"
    async with Harness("settings {\nmax_media_bytes 134217728\n}\n" + LIVE) as h:
        most = 0
        for number in range(20):
            transport = await h.open(peer_host="198.51.100.1")
            publish = command("createStream", 2, None) + command("publish", 3, None, f"{number}", "live", stream=1)
            await transport.send_all(PLAIN_HANDSHAKE + connect("live") + publish)
            await wait_all_tasks_blocked()
            try:
                await transport.send_all(begun + bytes(4 * MIB))
            except trio.BrokenResourceError:
                continue
            await wait_all_tasks_blocked()
            most = max(most, h.server.memory.held)
        assert 20 * MIB < most <= 33 * MIB
        assert h.server.rejections["media_bytes_beyond_limit"] >= 1
        await h.publish("live/honest", generate_stream(seconds=1), peer_host="203.0.113.1")
    assert h.server.memory.held == 0
