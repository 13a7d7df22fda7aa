"""Inbox and outlet under trio: back-pressure, gates, what must always fit, and cancellation that loses nothing."""

from collections.abc import Sequence

import pytest
import trio
from attrs import Factory, define
from trio.testing import wait_all_tasks_blocked

from mmids_trio.media.events import MediaEvent, StreamId
from mmids_trio.testing.cancellation import cancel_everywhere
from mmids_trio.workflow.links import INBOX_BATCHES, INBOX_EVENTS, ChannelInbox, Outlet
from tests.support.numbered_events import Footage
from tests.support.toy_steps import is_frame

ROUNDS = 30
"""Tries of what trio decides by the toss of a coin: that all fall on one side happens once in a billion runs."""


@define
class Link:
    """An outlet connected to an inbox, with a stream on its way."""

    inbox: ChannelInbox = Factory(ChannelInbox)
    outlet: Outlet = Factory(Outlet)
    footage: Footage = Factory(Footage)
    received: list[MediaEvent] = Factory(list)

    async def open(self) -> None:
        self.outlet.connect(self.inbox)
        await self.outlet.send(self.footage.start())
        await self.inbox.receive()

    async def fill(self) -> None:
        for _ in range(INBOX_BATCHES):
            await self.outlet.send(self.footage.frames(1))

    async def send(self, count: int = 1) -> None:
        await self.outlet.send(self.footage.frames(count))

    async def read(self, frames: int) -> None:
        while len(self.frames) < frames:
            self.received += await self.inbox.receive()

    @property
    def frames(self) -> list[bytes]:
        return payloads(self.received)


def payloads(events: Sequence[MediaEvent]) -> list[bytes]:
    return [event.data for event in events if is_frame(event)]


def numbers(count: int) -> list[bytes]:
    return [b"x%d" % number for number in range(count)]


@pytest.fixture
async def link() -> Link:
    link = Link()
    await link.open()
    return link


async def test_a_sender_waits_where_the_inbox_is_full(link: Link, nursery: trio.Nursery) -> None:
    await link.fill()
    nursery.start_soon(link.send)
    await wait_all_tasks_blocked()
    assert len(await link.inbox.receive()) == INBOX_BATCHES
    assert payloads(await link.inbox.receive()) == [b"x%d" % INBOX_BATCHES]


async def test_a_sender_waits_where_the_inbox_holds_all_the_events_it_may_in_however_few_batches(
    link: Link, nursery: trio.Nursery
) -> None:
    for count in (INBOX_EVENTS - 1, 1, 1):
        nursery.start_soon(link.send, count)
        await wait_all_tasks_blocked()
    assert len(await link.inbox.receive()) == INBOX_EVENTS
    assert payloads(await link.inbox.receive()) == [b"x%d" % INBOX_EVENTS]


async def test_announcements_count_for_the_bound_of_an_inbox(link: Link, nursery: trio.Nursery) -> None:
    link.inbox.carry(link.footage.frames(INBOX_EVENTS))
    nursery.start_soon(link.send)
    await wait_all_tasks_blocked()
    assert len(await link.inbox.receive()) == INBOX_EVENTS


async def test_all_that_is_there_is_received_at_once_and_in_order(link: Link) -> None:
    await link.send(2)
    link.inbox.carry(link.footage.frames(1))
    await link.send(2)
    link.inbox.carry(link.footage.frames(1))
    assert payloads(await link.inbox.receive()) == numbers(6)


async def test_what_is_carried_fits_into_a_full_inbox_and_wakes_a_waiting_step(
    link: Link, nursery: trio.Nursery
) -> None:
    await link.fill()
    for _ in range(3 * INBOX_BATCHES):
        link.inbox.carry(link.footage.frames(1))
    assert len(await link.inbox.receive()) == 4 * INBOX_BATCHES
    nursery.start_soon(link.read, 2)
    await wait_all_tasks_blocked()
    link.inbox.carry(link.footage.frames(1))
    link.inbox.carry(link.footage.frames(1))
    await link.fill()
    await wait_all_tasks_blocked()
    rest = await link.inbox.receive()
    assert payloads([*link.received, *rest]) == [b"x%d" % number for number in range(64, 64 + 2 + INBOX_BATCHES)]


async def test_an_end_of_a_stream_passes_a_full_inbox_behind_all_that_was_sent(link: Link) -> None:
    await link.fill()
    link.outlet.end_stream(link.footage.stream_id)
    link.outlet.end_stream(link.footage.stream_id)
    link.outlet.end_stream(StreamId("unknown"))
    received = await link.inbox.receive()
    assert received[INBOX_BATCHES:] == [link.footage.end()]


async def test_many_senders_of_one_step_all_get_through(link: Link) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(5 * INBOX_BATCHES):
            nursery.start_soon(link.send)
        nursery.start_soon(link.read, 5 * INBOX_BATCHES)
    assert sorted(link.frames) == sorted(numbers(5 * INBOX_BATCHES))


async def test_a_closed_gate_holds_senders_and_ends_and_lets_them_go_to_the_new_target(
    link: Link, nursery: trio.Nursery
) -> None:
    link.outlet.close_gate()
    nursery.start_soon(link.send, 2)
    other = Footage(StreamId("y"))
    link.outlet.ledger.admit(other.start())
    await wait_all_tasks_blocked()
    link.outlet.end_stream(other.stream_id)
    target = ChannelInbox()
    link.outlet.connect(target)
    link.outlet.open_gate()
    await wait_all_tasks_blocked()
    assert await target.receive() == [other.end(), *Footage().frames(2)]
    assert link.inbox.discard() == len(link.footage.start())


async def test_a_sender_that_waits_for_room_goes_to_the_new_target(link: Link, nursery: trio.Nursery) -> None:
    await link.fill()
    nursery.start_soon(link.send)
    await wait_all_tasks_blocked()
    target = ChannelInbox()
    link.outlet.connect(target)
    await wait_all_tasks_blocked()
    assert payloads(await target.receive()) == [b"x%d" % INBOX_BATCHES]
    assert len(await link.inbox.receive()) == INBOX_BATCHES


async def test_a_detached_outlet_swallows_everything_and_holds_nobody(
    link: Link, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    await link.fill()
    nursery.start_soon(link.send)
    await wait_all_tasks_blocked()
    link.outlet.close_gate()
    link.outlet.detach()
    with trio.fail_after(1):
        await link.outlet.send(link.footage.frames(1))
    link.outlet.end_stream(link.footage.stream_id)
    assert payloads(await link.inbox.receive()) == numbers(INBOX_BATCHES)
    assert list(link.outlet.ledger.streams) == [link.footage.stream_id]


async def test_an_outlet_without_target_keeps_its_ledger(link: Link) -> None:
    link.outlet.connect(None)
    await link.send()
    other = Footage(StreamId("y"))
    await link.outlet.send(other.start())
    assert list(link.outlet.ledger.streams) == ["x", "y"]


async def test_who_listens_to_an_outlet_is_told_of_what_was_in_order(link: Link) -> None:
    told: list[MediaEvent] = []
    link.outlet.on_media = told.extend
    await link.send(2)
    await link.outlet.send(Footage(StreamId("never began")).frames(1))
    assert payloads(told) == numbers(2)


async def test_suppressed_events_are_kept_back_once_and_only_the_very_same(link: Link) -> None:
    suppressed = link.footage.frames(2)
    link.outlet.connect(link.inbox, suppressed)
    equal = Footage().frames(2)
    await link.outlet.send([*equal, *suppressed, *suppressed])
    assert payloads(await link.inbox.receive()) == numbers(2) * 2


async def test_a_suppressed_event_that_a_step_has_dropped_does_not_keep_the_later_ones(link: Link) -> None:
    dropped, *kept = suppressed = link.footage.frames(3)
    link.outlet.connect(link.inbox, suppressed)
    await link.outlet.send([*kept, *link.footage.frames(1), dropped])
    assert payloads(await link.inbox.receive()) == [b"x3", b"x0"]


async def test_a_step_is_at_rest_only_when_it_has_come_back_for_more(link: Link, nursery: trio.Nursery) -> None:
    rested = trio.Event()

    async def rest() -> None:
        await link.inbox.wait_rest()
        rested.set()

    await link.send()
    nursery.start_soon(rest)
    await wait_all_tasks_blocked()
    await link.inbox.receive()
    await wait_all_tasks_blocked()
    assert not rested.is_set()
    nursery.start_soon(link.inbox.receive)
    await wait_all_tasks_blocked()
    assert rested.is_set()


async def test_who_waits_for_rest_finds_it_although_a_sender_was_quicker_after_the_wake_up(
    nursery: trio.Nursery,
) -> None:
    """The step asks for more, which wakes who waits for that; in the same turn a sender that had waited for room goes
    on.  Which of the two runs first is trio's choice, so there are as many rounds as make it choose both."""
    rests: list[bool] = []

    async def rest(link: Link) -> None:
        await link.inbox.wait_rest()
        rests.append(link.inbox.is_at_rest)

    for _ in range(ROUNDS):
        link = Link()
        await link.open()
        await link.fill()
        nursery.start_soon(link.send)
        nursery.start_soon(rest, link)
        await wait_all_tasks_blocked()
        nursery.start_soon(link.read, INBOX_BATCHES + 2)
        await wait_all_tasks_blocked()
    assert rests == [True] * ROUNDS


async def test_discarding_counts_what_was_not_taken_and_what_is_in_hand(link: Link, nursery: trio.Nursery) -> None:
    await link.send(2)
    await link.inbox.receive()
    await link.send(3)
    link.inbox.carry(link.footage.frames(4))
    assert link.inbox.discard() == 2 + 3 + 4
    assert link.inbox.discard() == 0
    nursery.start_soon(link.read, 1)
    await wait_all_tasks_blocked()
    assert link.inbox.discard() == 0  # who waits for more has nothing in hand
    await link.send()
    await wait_all_tasks_blocked()
    assert link.frames == [b"x9"]


async def test_cancelled_receives_lose_and_repeat_nothing() -> None:
    link = Link()

    async def receive() -> None:
        link.received += await link.inbox.receive()

    async def once() -> None:
        nonlocal link
        link = Link()
        await link.open()
        await link.send()
        await receive()
        link.inbox.carry(link.footage.frames(2))
        await receive()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            nursery.start_soon(link.send)

    def check() -> None:
        sent = link.footage.number
        rest = link.inbox.discard() if link.received == [] else 0
        assert link.frames == numbers(len(link.frames))
        assert len(link.frames) <= sent
        assert rest in (0, 1, 4)

    assert await cancel_everywhere(once, check) >= 5


async def test_a_cancelled_send_arrives_whole_or_not_at_all(link: Link) -> None:
    """Cancelled at every await of a send to a full inbox: whatever was admitted has been put, and nothing else."""

    async def once() -> None:
        nonlocal link
        link = Link()
        await link.open()
        await link.fill()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.send, 3)
            await wait_all_tasks_blocked()
            link.received += await link.inbox.receive()

    def check() -> None:
        link.received += link.inbox._take_all()
        frames = link.frames
        assert frames == numbers(len(frames))
        assert len(frames) in (*range(INBOX_BATCHES + 1), INBOX_BATCHES + 3)

    assert await cancel_everywhere(once, check) >= 3


@pytest.mark.parametrize("gate", [False, True])
async def test_a_cancelled_wait_leaves_no_trace(link: Link, gate: bool) -> None:
    if gate:
        link.outlet.close_gate()
    else:
        await link.fill()
    before = link.footage.number
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.send)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    link.outlet.open_gate()
    received = await link.inbox.receive() if not gate else []
    assert payloads(received) == numbers(before)
