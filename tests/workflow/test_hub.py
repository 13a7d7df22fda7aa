"""The event hub, and what workflows tell it: each thing that happens once."""

from collections.abc import AsyncIterator

import pytest
import trio
from attrs import define, field
from trio.testing import wait_all_tasks_blocked

from mmids_trio.errors import StepError
from mmids_trio.workflow.events import StreamWentLive, StreamWentOff, WorkflowEnded, WorkflowFailed, WorkflowStarted
from mmids_trio.workflow.hub import EventHub, Subscription
from tests.support.numbered_events import Footage
from tests.support.toy_forwarding import Crossing
from tests.support.toy_steps import definition


@define(eq=False)
class Listener:
    """What one subscriber has heard, each event a line with the label of its step."""

    crossing: Crossing
    subscription: Subscription
    lines: list[str] = field(factory=list)

    async def listen(self) -> None:
        async for event in self.subscription:
            self.lines.append(self._line(event))

    def _line(self, event: object) -> str:
        match event:
            case WorkflowStarted(workflow=name):
                return f"{name} started"
            case WorkflowFailed(workflow=name, reason=reason):
                return f"{name} failed: {reason.rpartition(': ')[2]}"
            case WorkflowEnded(workflow=name):
                return f"{name} ended"
            case StreamWentLive(workflow=workflow, step_id=step_id, name=name):
                return f"{workflow}/{self._label(step_id)}: {name} began"
            case StreamWentOff(workflow=workflow, step_id=step_id, name=name):
                return f"{workflow}/{self._label(step_id)}: {name} over"
        raise AssertionError(event)

    def _label(self, step_id: str) -> str:
        return next(step.label for step in self.crossing.bench.built if step.context.step_id == step_id)

    async def heard(self) -> list[str]:
        """What was heard since the last time."""
        await wait_all_tasks_blocked()
        lines, self.lines = self.lines, []
        return lines


@pytest.fixture
async def ear(crossing: Crossing, nursery: trio.Nursery) -> AsyncIterator[Listener]:
    with crossing.hub.subscribe() as subscription:
        listener = Listener(crossing, subscription)
        nursery.start_soon(listener.listen)
        yield listener


# The hub by itself.


def event(number: int) -> WorkflowStarted:
    return WorkflowStarted(str(number))


async def next_of(subscription: Subscription) -> int:
    with trio.fail_after(1):
        got = await anext(subscription)
    assert isinstance(got, WorkflowStarted)
    return int(got.workflow)


async def test_every_subscriber_gets_every_event_from_its_beginning_on() -> None:
    hub = EventHub()
    with hub.subscribe() as early:
        hub.publish(event(1))
        with hub.subscribe() as late:
            hub.publish(event(2))
            assert [await next_of(early), await next_of(early)] == [1, 2]
            assert await next_of(late) == 2
        hub.publish(event(3))
        assert await next_of(early) == 3
        assert late.missed == 0
    hub.publish(event(4))


async def test_a_subscriber_that_does_not_keep_up_misses_the_oldest_and_knows_how_many() -> None:
    hub = EventHub()
    with hub.subscribe(capacity=3) as slow, hub.subscribe() as other:
        for number in range(10):
            hub.publish(event(number))
        assert slow.missed == 7
        assert [await next_of(slow) for _ in range(3)] == [7, 8, 9]
        assert [await next_of(other) for _ in range(10)] == list(range(10))
        hub.publish(event(10))
        assert await next_of(slow) == 10
        assert (slow.missed, other.missed) == (7, 0)


async def test_waiting_for_an_event_can_be_cancelled_and_loses_none(nursery: trio.Nursery) -> None:
    hub = EventHub()
    with hub.subscribe() as subscription:
        with trio.CancelScope() as scope:
            scope.cancel()
            await anext(subscription)
        hub.publish(event(1))
        with trio.CancelScope() as scope:
            scope.cancel()
            await anext(subscription)
        assert await next_of(subscription) == 1


def test_what_is_no_event_is_refused_where_it_is_published() -> None:
    hub = EventHub()
    with hub.subscribe() as subscription:
        with pytest.raises(TypeError, match=r"^expected an event of mmids_trio\.workflow\.events, got str$"):
            hub.publish("something")  # type: ignore[arg-type]  # a step of one's own may be untyped
        assert subscription.take() == []


# What workflows tell it.


async def test_a_workflow_starts_once_and_ends_once(crossing: Crossing, ear: Listener) -> None:
    await crossing.run("w", "recorder:a")
    assert await ear.heard() == ["w started"]
    await crossing.run("w", "recorder:a", "recorder:b")
    await crossing.run("w", "recorder:a", "recorder:b")
    assert await ear.heard() == []
    await crossing.stop("w")
    assert await ear.heard() == ["w ended"]


async def test_a_workflow_fails_once_and_starts_again(crossing: Crossing, ear: Listener) -> None:
    await crossing.run("w", "recorder:a", "recorder:b")
    crossing.bench["a"].fail(StepError("one"))
    crossing.bench["b"].fail(StepError("two"))
    await wait_all_tasks_blocked()
    started, failed = await ear.heard()
    assert (started, failed[:9]) == ("w started", "w failed:")
    await crossing.run("w", "recorder:a", "recorder:b")
    await crossing.apply("w", "recorder:a", "recorder:c refuses")
    await crossing.run("w", "recorder:a")
    assert await ear.heard() == ["w started", "w failed: c refuses", "w started"]


async def test_a_creation_that_fails_is_no_start(crossing: Crossing, ear: Listener) -> None:
    await crossing.apply("w", "recorder:a refuses")
    assert await ear.heard() == ["w failed: a refuses"]


@pytest.mark.parametrize("ticks", range(-3, 4))
async def test_a_running_step_and_a_new_one_that_fail_together_are_one_failure(
    crossing: Crossing, ear: Listener, ticks: int
) -> None:
    await crossing.run("w", "recorder:a")
    change = crossing.manager.apply(definition("w", "recorder:a", "recorder:b waits refuses"), rollback=True)
    await wait_all_tasks_blocked()
    falls = [lambda: crossing.bench["a"].fail(StepError("broken")), crossing.bench["b"].let_ready]
    first, second = falls if ticks > 0 else reversed(falls)
    first()
    for _ in range(abs(ticks)):
        await trio.lowlevel.checkpoint()
    second()
    await change.wait_outcome()
    assert await ear.heard() == ["w started", "w failed: broken"]


async def test_a_stream_begins_and_is_over_once_however_many_steps_it_passes(crossing: Crossing, ear: Listener) -> None:
    stream = Footage()
    await crossing.run("w", "source:s", "recorder:a", "replacer:r", "recorder:b")
    await crossing.begin("s", stream, 3)
    await crossing.run("w", "source:s", "replacer:r", "recorder:b")
    await crossing.send("s", [stream.end()])
    crossing.bench.end("s", "x")
    assert await ear.heard() == ["w started", "w/s: name of x began", "w/s: name of x over"]


@pytest.mark.parametrize("end", ["step removed", "step failed", "workflow stopped", "new step failed", "step replaced"])
async def test_whatever_ends_a_source_ends_its_streams(crossing: Crossing, ear: Listener, end: str) -> None:
    await crossing.run("w", "source:s", "recorder:a")
    await crossing.begin("s", Footage(), 3)
    await ear.heard()
    match end:
        case "step removed":
            await crossing.run("w", "recorder:a")
        case "step failed":
            crossing.bench["s"].fail(StepError("broken"))
        case "workflow stopped":
            await crossing.stop("w")
        case "new step failed":
            await crossing.apply("w", "source:s", "recorder:a", "recorder:b refuses")
        case "step replaced":
            await crossing.run("w", "source:t", "recorder:a")
    heard = await ear.heard()
    assert [line for line in heard if "name of x" in line] == ["w/s: name of x over"]


@pytest.mark.parametrize("target", [("recorder:t",), ("source:p", "recorder:t")])
async def test_a_forwarded_stream_begins_where_it_came_in_and_nowhere_else(
    crossing: Crossing, ear: Listener, target: tuple[str, ...]
) -> None:
    stream = Footage()
    await crossing.run("target", *target)
    await crossing.run("w", "source:s", "forward:target")
    await crossing.begin("s", stream, 3)
    change = crossing.manager.apply(definition("target", "source:q", "slow:m", "recorder:t"))
    await crossing.bench.send("s", [*stream.frames(3), stream.end()])
    await change.wait_outcome()
    await crossing.begin("s", Footage(), 3)
    await crossing.stop("target")
    await crossing.stop("w")
    heard = await ear.heard()
    assert [line for line in heard if "name" in line] == ["w/s: name of x began", "w/s: name of x over"] * 2
