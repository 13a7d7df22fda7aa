"""Whatever a server leaves behind is found, and what belongs to others, or is only there while it runs, is not."""

import pytest
import trio
from trio.testing import MockClock

from mmids_trio.config.parameters import NoParameters
from mmids_trio.media.flow import Flow
from mmids_trio.steps.registry import StepType
from mmids_trio.testing.harness import PRUNE_EVERY, Harness, split_address
from mmids_trio.workflow.step import Inbox, Outbox

LIVE = "workflow live {\n    rtmp_receive rtmp_app=live stream_key=*\n}\n"


async def wait_a_minute() -> None:
    await trio.sleep(60)


class Leaky:
    """A step that starts a task in a nursery that is not its own."""

    flow = Flow.PASSES_ON

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        self.nursery.start_soon(wait_a_minute)
        task_status.started()
        await trio.sleep_forever()


async def test_a_task_in_a_nursery_of_somebody_else_is_found_while_it_lives(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        step = StepType("leaky", NoParameters, lambda _parameters, _context: Leaky(nursery))
        async with Harness("workflow w {\n    leaky\n}\n", [step]) as h:
            await h.stop("w")
            with pytest.raises(AssertionError, match=r"the task .*wait_a_minute \(.*test_quiet.py:\d+\) still runs"):
                h.assert_quiet()
            await trio.sleep(61)
            h.assert_quiet()
    h.assert_quiet()


async def test_tasks_of_the_test_are_its_own(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        async with Harness(LIVE) as h:
            nursery.start_soon(wait_a_minute)
            watcher = await h.publish("live/show")
            nursery.start_soon(watcher.read_until_closed)
        h.assert_quiet()


async def test_everything_that_is_left_is_named_at_once(autojump_clock: MockClock) -> None:
    async with Harness(LIVE) as h:
        await h.publish("live/show")
        left = h.what_is_left()
        assert [sentence.partition(":")[0].partition(" (")[0] for sentence in left] == [
            "still registered",
            "workflows live still run",
            "streams or clients are still shown",
            "ports [1935] are still open",
            "the stream 'show'",
            "the server still has 1 connections, on ports 1935",
        ]
        with pytest.raises(AssertionError) as caught:
            h.assert_quiet()
        assert all(sentence in str(caught.value) for sentence in left)


async def test_a_subscription_of_somebody_else_is_found(autojump_clock: MockClock) -> None:
    async with Harness() as h:
        with h.server.hub.subscribe(), pytest.raises(AssertionError, match="1 subscriptions"):
            h.assert_quiet()
        h.assert_quiet()


@pytest.mark.parametrize(
    ("address", "app", "key"),
    [
        ("live/key", "live", "key"),
        ("/live/key", "live", "key"),
        ("key", "live", "key"),
        ("show/a/b?token=x", "show", "a/b?token=x"),
        ("live/", "live", ""),
    ],
)
def test_an_address_is_an_application_and_a_key(address: str, app: str, key: str) -> None:
    assert split_address(address) == (app, key)


@pytest.mark.thorough
async def test_connections_that_are_over_are_forgotten_and_others_are_not(autojump_clock: MockClock) -> None:
    async with Harness(LIVE) as h:
        await h.publish("live/first")
        for _ in range(2 * PRUNE_EVERY):
            (await h.open()).close()
        assert len(h.transports) < PRUNE_EVERY
        assert any("the server still has 1 connections" in sentence for sentence in h.what_is_left())
