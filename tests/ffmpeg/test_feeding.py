"""The queue before a child: never waits, holds little, drops whole groups and counts them."""

from collections.abc import Sequence

import pytest
import trio
import trio.testing
from attrs import define, evolve, field

from mmids_trio.errors import StepError
from mmids_trio.ffmpeg.feeding import MAX_LIVES, STALL_SECONDS, ChildFeed, NextChild
from mmids_trio.ffmpeg.state import ChildState
from mmids_trio.media.events import MediaEvent, MediaKind, MediaPacket, StreamId
from mmids_trio.media_memory import MediaMemory, MediaOwner
from mmids_trio.testing.processes import PIPE_BYTES, Behaviour, FakeInput, FakeProcess, FakeSpawner


@define
class Policy:
    """Lets data through as it is, from a key frame on."""

    is_outdated: bool = False
    beginning: bytes = b""
    ending: bytes = b""
    base: int | None = None
    _codec: str = "avc1"
    _is_skipping: bool = field(default=True, init=False)

    @property
    def codecs(self) -> frozenset[str]:
        return frozenset((self._codec,))

    def begin(self) -> bytes:
        self.is_outdated, self._is_skipping, self.base = False, True, None
        return self.beginning

    def finish(self) -> bytes:
        return self.ending

    def skip_to_key_frame(self) -> None:
        self._is_skipping = True

    def render(self, event: MediaEvent) -> bytes:
        assert isinstance(event, MediaPacket)
        assert event.codec is not None
        self.is_outdated, self._codec = self.base is not None and event.codec != self._codec, event.codec
        self._is_skipping = self._is_skipping and not event.is_key_frame
        if self.is_outdated or self._is_skipping:
            return b""
        self.base = event.timestamp if self.base is None else self.base
        return event.data


def frame(data: bytes, *, key: bool = False, codec: str = "avc1") -> MediaPacket:
    return MediaPacket(StreamId("s"), MediaKind.VIDEO, 0, data, codec, key)


def group(letter: bytes, size: int = 10, frames: int = 4) -> Sequence[MediaPacket]:
    return [frame(letter.upper() * size, key=True), *(frame(letter * size) for _ in range(frames - 1))]


async def child(behaviour: Behaviour) -> tuple[FakeProcess, FakeInput]:
    process = await FakeSpawner([behaviour]).spawn(["x"], stdin=True, stdout=False)
    assert process.stdin is not None
    return process, process.stdin


async def settle() -> None:
    await trio.testing.wait_all_tasks_blocked()


@pytest.fixture
def feed() -> ChildFeed:
    return ChildFeed(Policy(), ChildState(), max_seconds=10, max_bytes=1000)


async def test_events_reach_the_child_in_order(feed: ChildFeed, nursery: trio.Nursery) -> None:
    _, stdin = await child(Behaviour())
    nursery.start_soon(feed.run, stdin)
    await settle()
    for letter in (b"a", b"b"):
        feed.offer(group(letter, size=2))
        await settle()
    assert stdin.received == b"AAaaaaaaBBbbbbbb"
    assert feed.queued_bytes == 0


async def test_a_child_begins_with_a_key_frame(feed: ChildFeed, nursery: trio.Nursery) -> None:
    feed.offer(group(b"a"))
    _, stdin = await child(Behaviour())
    nursery.start_soon(feed.run, stdin)
    await settle()
    feed.offer([frame(b"b"), *group(b"c", 1)])
    await settle()
    assert stdin.received == b"Cccc"


async def test_what_the_policy_begins_with_is_written_at_once(nursery: trio.Nursery) -> None:
    feed = ChildFeed(Policy(beginning=b"FLV"), ChildState())
    _, stdin = await child(Behaviour())
    nursery.start_soon(feed.run, stdin)
    await settle()
    assert stdin.received == b"FLV"


async def test_a_full_queue_drops_up_to_a_key_frame_for_which_there_is_room(
    feed: ChildFeed, nursery: trio.Nursery
) -> None:
    process, stdin = await child(Behaviour(reads_stdin=False))
    stdin.send_nowait(b"-" * PIPE_BYTES)
    nursery.start_soon(feed.run, stdin)
    await settle()
    feed.offer(group(b"a", 300, frames=3))  # 900 of 1000
    feed.offer(group(b"b", 60, frames=3))  # its key frame fits, the next one does not
    feed.offer(group(b"c", 10, frames=3))  # would fit, but the queue is still above one half
    assert feed.state.dropped_groups == 2
    assert feed.queued_bytes == 960
    process.read_input()
    await settle()
    feed.offer([frame(b"c"), *group(b"d", 1)])
    process.read_input()
    await settle()
    process.read_input()
    assert bytes(stdin.received).lstrip(b"-") == b"A" * 300 + b"a" * 600 + b"B" * 60 + b"Dddd"
    assert feed.state.dropped_groups == 2


async def test_what_is_too_old_makes_the_queue_full_too(
    autojump_clock: trio.abc.Clock, feed: ChildFeed, nursery: trio.Nursery
) -> None:
    _, stdin = await child(Behaviour(reads_stdin=False))
    stdin.send_nowait(b"-" * PIPE_BYTES)
    nursery.start_soon(feed.run, stdin)
    await trio.sleep(1)
    feed.offer(group(b"a", 1))
    await trio.sleep(10)
    feed.offer(group(b"b", 1))
    assert feed.state.dropped_groups == 0
    await trio.sleep(0.1)
    feed.offer(group(b"c", 1))
    assert (feed.queued_bytes, feed.state.dropped_groups) == (8, 1)


async def test_a_frame_larger_than_the_queue_passes_an_empty_one(feed: ChildFeed, nursery: trio.Nursery) -> None:
    _, stdin = await child(Behaviour())
    nursery.start_soon(feed.run, stdin)
    await settle()
    feed.offer([frame(b"K" * 5000, key=True)])
    await settle()
    assert len(stdin.received) == 5000


async def test_offering_to_a_stuck_child_never_waits_nor_grows(feed: ChildFeed, nursery: trio.Nursery) -> None:
    _, stdin = await child(Behaviour(reads_stdin=False))
    nursery.start_soon(feed.run, stdin)
    await settle()
    for _ in range(5000):
        feed.offer(group(b"a", 50))
        assert feed.queued_bytes <= 1000
    assert feed.state.dropped_groups > 4900


async def test_a_child_that_takes_nothing_for_long_is_given_up(autojump_clock: trio.abc.Clock, feed: ChildFeed) -> None:
    _, stdin = await child(Behaviour(reads_stdin=False))
    stdin.send_nowait(b"-" * PIPE_BYTES)
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            with pytest.raises(StepError, match="takes no input for 30 s"):
                await feed.run(stdin)

        nursery.start_soon(run)
        await settle()
        feed.offer(group(b"a"))
    assert trio.current_time() == STALL_SECONDS
    assert feed.queued_bytes == 0


async def test_end_lets_the_queue_be_written_first(feed: ChildFeed, nursery: trio.Nursery) -> None:
    _, stdin = await child(Behaviour())
    async with trio.open_nursery() as running:
        running.start_soon(feed.run, stdin)
        await settle()
        feed.offer(group(b"a", 1))
        feed.end()
    assert stdin.received == b"Aaaa"


async def next_child(feed: ChildFeed) -> bytes:
    """What one child gets, until another one is to go on."""
    _, stdin = await child(Behaviour())
    with pytest.raises(NextChild):
        await feed.run(stdin)
    return bytes(stdin.received)


async def test_a_changed_stream_goes_on_in_the_next_child_without_a_loss(feed: ChildFeed) -> None:
    first: list[bytes] = []
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            first.append(await next_child(feed))

        nursery.start_soon(run)
        await settle()
        feed.offer(group(b"a", 1))
        feed.offer([frame(b"X", key=True, codec="other"), frame(b"x", codec="other")])
    assert first == [b"Aaaa"]
    assert feed.codecs == {"other"}
    feed.offer([frame(b"y", codec="other")])
    feed.end()
    _, stdin = await child(Behaviour())
    await feed.run(stdin)
    assert stdin.received == b"Xxy"
    assert feed.queued_bytes == 0


async def test_what_a_child_is_started_for_is_what_it_gets(feed: ChildFeed) -> None:
    feed.prepare()
    feed.offer(group(b"a", 1))
    feed.offer([frame(b"X", key=True, codec="other")])
    feed.offer([evolve(frame(b"Z", key=True, codec="third"), timestamp=9)])
    feed.end()
    told = []
    for codec in ("avc1", "other"):
        assert (set(feed.codecs), feed.base) == ({codec}, 0)
        told.append(await next_child(feed))
    assert (set(feed.codecs), feed.base) == ({"third"}, 9)
    assert told == [b"Aaaa", b"X"]


async def test_a_child_that_waited_for_one_codec_leaves_another_one_to_the_next(feed: ChildFeed) -> None:
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            assert await next_child(feed) == b""

        nursery.start_soon(run)
        await settle()
        feed.offer([frame(b"X", key=True, codec="other")])
    assert feed.codecs == {"other"}
    feed.end()
    _, stdin = await child(Behaviour())
    await feed.run(stdin)
    assert stdin.received == b"X"


async def test_a_stream_that_changes_without_end_costs_no_more_than_its_caps(feed: ChildFeed) -> None:
    feed.prepare()
    for number in range(100):
        feed.offer([frame(b"K%03d" % number, key=True, codec=str(number % 2))])
        assert feed.queued_bytes <= 4 * MAX_LIVES
    assert feed.state.dropped_groups == 100 - MAX_LIVES
    feed.end()
    assert [await next_child(feed) for _ in range(MAX_LIVES - 1)] == [b"K%03d" % number for number in range(7)]
    _, stdin = await child(Behaviour())
    await feed.run(stdin)
    assert stdin.received == b"K099"


async def test_what_the_policy_kept_back_is_written_at_the_end() -> None:
    feed = ChildFeed(Policy(ending=b"end"), ChildState())
    feed.prepare()
    feed.end()
    _, stdin = await child(Behaviour())
    await feed.run(stdin)
    assert stdin.received == b"end"


async def test_the_next_child_gets_nothing_that_was_meant_for_the_last(feed: ChildFeed, nursery: trio.Nursery) -> None:
    _, stuck = await child(Behaviour(reads_stdin=False))
    stuck.send_nowait(b"-" * PIPE_BYTES)
    async with trio.open_nursery() as first:
        first.start_soon(feed.run, stuck)
        await settle()
        feed.offer(group(b"a"))
        first.cancel_scope.cancel()
    _, stdin = await child(Behaviour())
    nursery.start_soon(feed.run, stdin)
    await settle()
    feed.offer([frame(b"a"), *group(b"b", 1)])
    await settle()
    assert stdin.received == b"Bbbb"


async def test_at_the_bound_of_memory_a_child_that_has_begun_goes_on_with_a_key_frame(
    feed: ChildFeed, nursery: trio.Nursery
) -> None:
    memory = MediaMemory(400)
    feed.charge_to(memory, MediaOwner())
    _, stdin = await child(Behaviour())
    nursery.start_soon(feed.run, stdin)
    await settle()
    feed.offer(group(b"a"))
    await settle()
    feed.offer(group(b"b", size=100))  # before the child can read: the fifth hundred would be too much
    feed.offer([frame(b"c" * 100), *group(b"d")])
    assert feed.queued_bytes == memory.held <= 400
    await settle()
    assert stdin.received == b"".join(event.data for event in (*group(b"a"), *group(b"d")))
    assert (memory.held, feed.queued_bytes, feed.state.dropped_groups) == (0, 0, 1)
    assert memory.rejections.raised() == {"logs_let_go_for_media_bytes": 1}


async def test_at_the_bound_of_memory_what_no_child_has_begun_with_is_forgotten(
    feed: ChildFeed, nursery: trio.Nursery
) -> None:
    memory = MediaMemory(400)
    feed.charge_to(memory, MediaOwner())
    feed.prepare()
    feed.offer(group(b"b", size=101))
    assert memory.held == feed.queued_bytes == 0
    feed.offer(group(b"c"))
    _, stdin = await child(Behaviour())
    nursery.start_soon(feed.run, stdin)
    await settle()
    assert stdin.received == b"C" * 10 + b"c" * 30


async def test_at_the_bound_of_memory_a_child_that_lacks_its_beginning_is_replaced(feed: ChildFeed) -> None:
    memory = MediaMemory(400)
    feed.charge_to(memory, MediaOwner())
    _, stdin = await child(Behaviour())
    with pytest.RaisesGroup(pytest.RaisesExc(StepError, match="max_media_bytes")):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(feed.run, stdin)
            await settle()
            feed.offer(group(b"b", size=101))
    assert stdin.received == b""
    assert memory.held == feed.queued_bytes == 0


async def test_what_is_being_written_is_not_let_go(feed: ChildFeed, nursery: trio.Nursery) -> None:
    memory = MediaMemory(400)
    feed.charge_to(memory, MediaOwner())
    process, stdin = await child(Behaviour(reads_stdin=False))
    stdin.send_nowait(b"-" * (PIPE_BYTES - 5))
    nursery.start_soon(feed.run, stdin)
    await settle()
    feed.offer(group(b"a"))
    await settle()
    feed.offer(group(b"b", size=101))
    assert (memory.held, feed.queued_bytes) == (0, 40)
    for _ in range(2):
        process.read_input()
        await settle()
    assert stdin.received[PIPE_BYTES - 5 :] == b"A" * 10 + b"a" * 30
