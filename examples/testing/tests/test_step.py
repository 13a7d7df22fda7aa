"""The step alone: with the inbox and outlet of a workflow, and no server."""

from collections.abc import Sequence
from functools import partial

import trio
from studio import FewStreams, few_streams
from trio.testing import wait_all_tasks_blocked

from mmids_trio.steps import MediaEvent, StreamEnded, StreamId, StreamStarted
from mmids_trio.testing import ChannelInbox, Outlet, cancel_everywhere, check_step


def started(name: str) -> MediaEvent:
    return StreamStarted(StreamId(name), name)


def ended(name: str) -> MediaEvent:
    return StreamEnded(StreamId(name))


def names(events: Sequence[MediaEvent]) -> list[str]:
    return [event.stream_id for event in events]


def test_a_stream_that_ends_makes_room_for_the_next() -> None:
    step = FewStreams(1)
    assert names(step.choose([started("a"), started("b"), ended("b")])) == ["a"]
    assert names(step.choose([ended("a"), started("c")])) == ["a", "c"]


async def test_a_step_that_is_cancelled_anywhere_ends_and_leaves_no_task() -> None:
    async def run() -> None:
        before, after, outlet = ChannelInbox(), ChannelInbox(), Outlet()
        outlet.connect(after)
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(FewStreams(1).run, before, outlet))
            before.put([started("a"), started("b"), ended("a")])
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()

    assert await cancel_everywhere(run) > 3


def test_the_step_keeps_the_contract_of_steps() -> None:
    check_step(few_streams(), "count=2", schedules=50)
