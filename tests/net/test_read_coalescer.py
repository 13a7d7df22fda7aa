"""Where many publish they are read in turns: how often, how long they wait, and that nothing is lost."""

from contextlib import suppress
from itertools import pairwise

import pytest
import trio
from attrs import define, evolve, field
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.media.events import MediaPacket, StreamEnded, StreamMetadata, StreamStarted
from mmids_trio.net.read_coalescer import FEW, LONGEST_REST, READS_PER_SECOND, SHORTEST_REST, SLICE, ReadCoalescer
from mmids_trio.rtmp.protocol.events import MediaReceived
from mmids_trio.rtmp.protocol.message import VIDEO
from mmids_trio.rtmp.server.activities import Activities
from mmids_trio.rtmp.server.endpoints import Publication
from mmids_trio.testing.clients import Disconnected
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.recorder import Recorder
from mmids_trio.workflow.step import Inbox, Outbox

MANY = FEW + 12
STREAM = generate_stream(seconds=2)
FRAMES = [packet for packet in STREAM if not packet.is_sequence_header]


@define(eq=False)
class Sleeper:
    """Rests, and is read by nobody but itself."""

    has_watchers: bool = False
    reads: list[float] = field(factory=list)
    has_more: bool = True
    """Whether it has to go on in its own task."""

    def is_watched(self, now: float) -> bool:
        return self.has_watchers

    def is_worth_reading(self, now: float) -> bool:
        return True

    def read_nowait(self, now: float) -> bool:
        self.reads.append(trio.current_time())
        return not self.has_more


def turns_of(count: int, *, is_merging: bool = True) -> ReadCoalescer:
    turns = ReadCoalescer(is_merging)
    for client in range(count):
        turns.note(client, publishes=True)
    return turns


@pytest.mark.parametrize(
    ("count", "interval"), [(0, 0), (FEW, 0), (FEW + 1, (FEW + 1) / READS_PER_SECOND), (10_000, LONGEST_REST)]
)
def test_the_more_publish_the_longer_they_rest_within_a_bound(count: int, interval: float) -> None:
    assert turns_of(count).interval == interval
    assert turns_of(count, is_merging=False).interval == 0


def test_who_has_left_does_not_count() -> None:
    turns = turns_of(FEW + 1)
    turns.note(0, publishes=True)  # said twice
    turns.note(0, publishes=False)
    turns.note("a watcher", publishes=False)
    assert turns.interval == 0


async def test_few_never_rest() -> None:
    assert not await turns_of(FEW).rest(Sleeper())


async def test_all_who_rest_are_woken_together_in_slices(autojump_clock: MockClock) -> None:
    turns, woken = turns_of(MANY), list[float]()

    async def client() -> None:
        while True:
            assert await turns.rest(Sleeper())
            woken.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(turns.run)
        began = trio.current_time()
        for _ in range(MANY):
            nursery.start_soon(client)
        await trio.sleep(3.5 * turns.interval)
        nursery.cancel_scope.cancel()
    assert MANY > 2 * SLICE
    assert woken == pytest.approx([began + turn * MANY / READS_PER_SECOND for turn in (1, 2, 3) for _ in range(MANY)])


async def reads_of(turns: ReadCoalescer, clients: list[Sleeper], seconds: float) -> None:
    """Of clients for whom there is nothing to do but to be read."""
    async with trio.open_nursery() as nursery:
        for client in clients:
            client.has_more = False
            nursery.start_soon(turns.rest, client)
        await wait_all_tasks_blocked()
        nursery.start_soon(turns.run)
        await trio.sleep(seconds)
        nursery.cancel_scope.cancel()


async def test_who_has_nothing_but_frames_is_read_turn_by_turn_and_not_woken(autojump_clock: MockClock) -> None:
    turns, clients = turns_of(MANY), [Sleeper() for _ in range(MANY)]
    began = trio.current_time()
    await reads_of(turns, clients, 3.5 * turns.interval)
    for client in clients:
        assert client.reads == pytest.approx([began + turn * turns.interval for turn in (1, 2, 3)])


async def test_who_is_watched_rests_for_a_shorter_time(autojump_clock: MockClock) -> None:
    turns, clients = turns_of(50), [Sleeper(has_watchers=number < 25) for number in range(50)]
    await reads_of(turns, clients, 1.0)
    for client in clients:
        pauses = [later - earlier for earlier, later in pairwise(client.reads)]
        longest = SHORTEST_REST if client.has_watchers else LONGEST_REST
        assert 0 < max(pauses) <= longest + 2 * SHORTEST_REST


async def test_who_leaves_while_others_are_read_is_not_read(autojump_clock: MockClock) -> None:
    turns = turns_of(MANY)
    scope, gone = trio.CancelScope(), Sleeper(has_more=False)

    class Leaver(Sleeper):
        def read_nowait(self, now: float) -> bool:
            scope.cancel()
            return super().read_nowait(now)

    async def leave() -> None:
        with scope:
            await turns.rest(gone)

    async with trio.open_nursery() as nursery:
        for number in range(2 * SLICE):
            nursery.start_soon(turns.rest, Leaver(has_more=False) if not number else Sleeper(has_more=False))
            await wait_all_tasks_blocked()
        nursery.start_soon(leave)
        await wait_all_tasks_blocked()
        nursery.start_soon(turns.run)
        await trio.sleep(LONGEST_REST)
        nursery.cancel_scope.cancel()
    assert gone.reads == []


async def test_who_rests_is_woken_when_there_are_few_again(autojump_clock: MockClock) -> None:
    turns = turns_of(FEW + 1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(turns.run)
        nursery.start_soon(turns.rest, Sleeper())
        await wait_all_tasks_blocked()
        turns.note(0, publishes=False)
        await trio.sleep(LONGEST_REST)
        assert len(nursery.child_tasks) == 1  # `run`, which waits for nothing now
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("_round", range(8))  # each has another order
async def test_who_comes_while_all_are_woken_is_not_forgotten(_round: int, autojump_clock: MockClock) -> None:
    turns, woken = turns_of(MANY), list[int]()

    async def client(number: int) -> None:
        await turns.rest(Sleeper())
        woken.append(number)
        if len(woken) > FEW + 1:
            return
        turns.note(number, publishes=True)
        with trio.fail_after(2 * LONGEST_REST):
            await turns.rest(Sleeper())

    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as clients:
            for number in range(MANY):
                clients.start_soon(client, number)
            await wait_all_tasks_blocked()
            for number in range(MANY):
                turns.note(number, publishes=False)
            nursery.start_soon(turns.run)
        nursery.cancel_scope.cancel()


CONFIGURATION = """\
settings {
    %s
}
workflow w {
    rtmp_receive rtmp_app=live stream_key=*
    record
}
"""


@define(eq=False)
class Arrivals(Recorder):
    """Notes when batches come."""

    batches: list[tuple[float, list[MediaPacket]]] = field(factory=list)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        while True:
            events = await inbox.receive()
            self.events += events
            self.batches.append((trio.current_time(), [event for event in events if isinstance(event, MediaPacket)]))
            await outbox.send(events)


async def publish_from(publishers: int, setting: str = "") -> tuple[int, float]:
    """In how many batches all their frames come, and how late the latest of them, in seconds."""
    step = Arrivals()
    async with Harness(CONFIGURATION % setting, [step.step_type()]) as h:
        clients = [await h.publish(f"live/key{number}", STREAM[:2]) for number in range(publishers)]
        await trio.sleep(1)
        step.batches.clear()
        began = trio.current_time()
        for frame in FRAMES:
            await trio.sleep_until(began + frame.timestamp / 1000)
            for client in clients:
                await client.send([frame])
        await trio.sleep(1)
        for stream in {packet.stream_id for packet in step.packets}:
            got = [packet.data for packet in step.packets if packet.stream_id == stream]
            assert got == [packet.data for packet in STREAM]
        assert len(step.packets) == publishers * len(STREAM)
        late = [when - began - packet.timestamp / 1000 for when, batch in step.batches for packet in batch]
        return len(step.batches), max(late)


@pytest.mark.thorough
async def test_few_publishers_are_read_when_they_send(autojump_clock: MockClock) -> None:
    _, latest = await publish_from(FEW)
    assert latest < 0.001


@pytest.mark.thorough
async def test_many_publishers_are_read_in_turns_and_nothing_is_late_for_longer_than_one(
    autojump_clock: MockClock,
) -> None:
    at_once, never_late = await publish_from(MANY, "rtmp_merge_reads false")
    in_turns, latest = await publish_from(MANY)
    assert never_late < 0.001
    assert 0.001 < latest < MANY / READS_PER_SECOND + 0.001
    assert in_turns < at_once


@pytest.mark.thorough
async def test_a_publisher_of_many_that_falls_silent_is_disconnected_in_time(autojump_clock: MockClock) -> None:
    async with Harness(CONFIGURATION % "publisher_timeout 5", [Recorder().step_type()]) as h:
        clients = [await h.publish(f"live/key{number}", STREAM[:4]) for number in range(MANY)]
        began = trio.current_time()
        for client in clients:
            with trio.fail_after(10):
                await client.read_until(lambda client=client: client.is_disconnected)  # type: ignore[misc]  # of a lambda with a default
        assert trio.current_time() - began == pytest.approx(5, abs=2 * LONGEST_REST)


async def test_a_publisher_of_many_that_trickles_a_frame_is_disconnected_in_time(autojump_clock: MockClock) -> None:
    """A byte for each turn, so that none of its reads finds nothing."""
    async with Harness(CONFIGURATION % "publisher_timeout 5", [Recorder().step_type()]) as h:
        clients = [await h.publish(f"live/key{number}", STREAM[:4]) for number in range(MANY)]
        await trio.sleep(1)
        trickling, began = clients[0], trio.current_time()
        trickling.connection.send_media(VIDEO, 100, bytes(10_000))
        frame = trickling.connection.data_to_send()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trickling.read_until_closed)
            for place in range(1000):
                if trickling.is_disconnected:
                    break
                await trickling.transport.send_all(frame[place : place + 1])
                if place % 100 == 0:
                    for client in clients[1:]:
                        await client.send(STREAM[4:5])
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        assert trickling.is_disconnected
        assert trio.current_time() - began == pytest.approx(4, abs=0.5)
        assert not any(client.is_disconnected for client in clients[1:])


@pytest.mark.thorough
async def test_the_end_of_one_of_many_is_noticed(autojump_clock: MockClock) -> None:
    step = Recorder()
    async with Harness(CONFIGURATION % "", [step.step_type()]) as h:
        clients = [await h.publish(f"live/key{number}", STREAM[:4]) for number in range(MANY)]
        clients[3].close()
        await trio.sleep(1)
        assert sum(isinstance(event, StreamEnded) for event in step.events) == 1


async def test_who_sends_much_is_read_until_there_is_nothing_more(autojump_clock: MockClock) -> None:
    """Or else one of many could send no more than 64 KiB a turn, which is 13 Mbit/s."""
    step = Arrivals()
    large = evolve(FRAMES[-1], data=FRAMES[-1].data + bytes(2_000_000))
    async with Harness(CONFIGURATION % "", [step.step_type()]) as h:
        clients = [await h.publish(f"live/key{number}", STREAM[:2]) for number in range(MANY)]
        await trio.sleep(1)
        began = trio.current_time()
        await clients[0].send([large])
        await trio.sleep(1)
    [arrived] = [when for when, batch in step.batches for packet in batch if packet.data == large.data]
    assert arrived - began < 3 * MANY / READS_PER_SECOND


async def test_who_is_watched_rests_no_longer_after_a_frame_that_its_own_task_had_to_read(
    autojump_clock: MockClock,
) -> None:
    """A key frame, as a rule: the frame after it came up to 40 ms late, one of sixty."""
    step, late = Arrivals(), []
    frame = evolve(FRAMES[-1], data=FRAMES[-1].data + bytes(2_000))
    large = evolve(frame, data=frame.data + bytes(50_000))
    served = CONFIGURATION.replace("    record", "    rtmp_watch rtmp_app=live stream_key=*\n    record") % ""
    async with Harness(served, [step.step_type()]) as h:
        clients = [await h.publish(f"live/key{number}", STREAM[:4]) for number in range(MANY)]
        for number in range(2):
            await h.watch(f"live/key{number}")
        for wait in range(0, 20, 3):
            await clients[1].send([frame])  # somebody else is watched, too, and read often
            await clients[0].send([large])
            await trio.sleep(LONGEST_REST)
            await clients[0].send([frame])  # for which its own task has waited
            await trio.sleep(wait / 1000)
            marked = evolve(frame, data=frame.data + bytes([wait]))
            sent = trio.current_time()
            await clients[0].send([marked])
            await trio.sleep(LONGEST_REST)
            [came] = [when for when, batch in step.batches for packet in batch if packet.data == marked.data]
            late.append(came - sent)
    assert max(late) < 2 * SHORTEST_REST < MANY / READS_PER_SECOND


@pytest.mark.thorough
async def test_whatever_is_no_frame_is_left_to_the_clients_own_tasks_in_order(autojump_clock: MockClock) -> None:
    """Metadata, the end of a stream and a broken protocol, while everybody rests."""
    step = Recorder()
    async with Harness(CONFIGURATION % "", [step.step_type()]) as h:
        clients = [await h.publish(f"live/key{number}", STREAM[:6]) for number in range(MANY)]
        await trio.sleep(1)
        told, left, broken = clients[:3]
        told.connection.send_metadata({"title": "news"})
        await told.send(STREAM[6:8])
        await left.unpublish()
        await broken.transport.send_all(
            b"\x02\x00\x00\x00\x00\x00\x04\x01\x00\x00\x00\x00\x80\x00\x00\x00"
        )  # no chunk size
        with trio.fail_after(1):
            await broken.read_until(lambda: broken.is_disconnected)
        for client in clients[3:]:
            await client.send(STREAM[6:8])
        await trio.sleep(1)
        names = {event.stream_id: event.stream_name for event in step.events if isinstance(event, StreamStarted)}
        of_told = [event for event in step.events if names[event.stream_id] == "key0"]
        assert [type(event) for event in of_told[-3:]] == [StreamMetadata, MediaPacket, MediaPacket]
        ended = {names[event.stream_id] for event in step.events if isinstance(event, StreamEnded)}
        assert ended == {"key1", "key2"}
        got = [names[packet.stream_id] for packet in step.packets if packet.data == STREAM[7].data]
        assert sorted(got) == sorted(f"key{number}" for number in range(MANY) if number not in {1, 2})


async def test_what_goes_wrong_with_one_who_is_read_ends_its_connection_alone(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Recorder()
    hand_on_nowait = Activities.hand_on_nowait

    def fail_for_one(self: Activities, publication: Publication, frames: MediaReceived) -> object:
        if publication.stream_id.endswith("/3"):
            raise RuntimeError("a bug")
        return hand_on_nowait(self, publication, frames)

    monkeypatch.setattr(Activities, "hand_on_nowait", fail_for_one)
    with capture_logs():
        async with Harness(CONFIGURATION % "", [step.step_type()]) as h:
            clients = [await h.publish(f"live/key{number}", STREAM[:4]) for number in range(MANY)]
            for frame in STREAM[4:8]:
                for number, client in enumerate(clients):
                    with suppress(Disconnected):
                        await client.send([frame])
                    assert number == 2 or not client.is_disconnected
                await trio.sleep(LONGEST_REST)
            assert sum(isinstance(event, StreamEnded) for event in step.events) == 1
            got = [packet for packet in step.packets if packet.data == STREAM[7].data]
            assert len(got) == MANY - 1
