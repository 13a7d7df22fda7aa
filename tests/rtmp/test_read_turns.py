"""Where many publish they are read in turns: how often, how long they wait, and that nothing is lost."""

import pytest
import trio
from attrs import define, evolve, field
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.media.events import MediaPacket, StreamEnded
from mmids_trio.rtmp.read_turns import FEW, LONGEST_REST, READS_PER_SECOND, SLICE, ReadTurns
from mmids_trio.steps.base import Inbox, Outbox
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.recorder import Recorder

MANY = FEW + 12
STREAM = generate_stream(seconds=2)
FRAMES = [packet for packet in STREAM if not packet.is_sequence_header]


def turns_of(count: int, *, is_merging: bool = True) -> ReadTurns:
    turns = ReadTurns(is_merging)
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
    assert not await turns_of(FEW).rest()


async def test_all_who_rest_are_woken_together_in_slices(autojump_clock: MockClock) -> None:
    turns, woken = turns_of(MANY), list[float]()

    async def client() -> None:
        while True:
            assert await turns.rest()
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


async def test_who_rests_is_woken_when_there_are_few_again(autojump_clock: MockClock) -> None:
    turns = turns_of(FEW + 1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(turns.run)
        nursery.start_soon(turns.rest)
        await wait_all_tasks_blocked()
        turns.note(0, publishes=False)
        await trio.sleep(LONGEST_REST)
        assert len(nursery.child_tasks) == 1  # `run`, which waits for nothing now
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("_round", range(8))  # each has another order
async def test_who_comes_while_all_are_woken_is_not_forgotten(_round: int, autojump_clock: MockClock) -> None:
    turns, woken = turns_of(MANY), list[int]()

    async def client(number: int) -> None:
        await turns.rest()
        woken.append(number)
        if len(woken) > FEW + 1:
            return
        turns.note(number, publishes=True)
        with trio.fail_after(2 * LONGEST_REST):
            await turns.rest()

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


async def test_few_publishers_are_read_when_they_send(autojump_clock: MockClock) -> None:
    _, latest = await publish_from(FEW)
    assert latest < 0.001


async def test_many_publishers_are_read_in_turns_and_nothing_is_late_for_longer_than_one(
    autojump_clock: MockClock,
) -> None:
    at_once, never_late = await publish_from(MANY, "rtmp_merge_reads false")
    in_turns, latest = await publish_from(MANY)
    assert never_late < 0.001
    assert 0.001 < latest < MANY / READS_PER_SECOND + 0.001
    assert in_turns < at_once


async def test_a_publisher_of_many_that_falls_silent_is_disconnected_in_time(autojump_clock: MockClock) -> None:
    async with Harness(CONFIGURATION % "publisher_timeout 5", [Recorder().step_type()]) as h:
        clients = [await h.publish(f"live/key{number}", STREAM[:4]) for number in range(MANY)]
        began = trio.current_time()
        for client in clients:
            with trio.fail_after(10):
                await client.read_until(lambda client=client: client.is_disconnected)  # type: ignore[misc]  # of a lambda with a default
        assert trio.current_time() - began == pytest.approx(5, abs=2 * LONGEST_REST)


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
