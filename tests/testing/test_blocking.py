"""A step that keeps the loop is named, with the place; one that waits as it should, or a slow machine, is not."""

import time
from collections.abc import Callable

import pytest
import trio
from attrs import field, frozen
from trio.testing import MockClock

from mmids_trio.steps import Flow, Inbox, NoParameters, Outbox, StepType
from mmids_trio.testing import BlockingCall, Harness, explore, generate_stream
from mmids_trio.testing.real_time import LoopTimes
from mmids_trio.testing.watchdog import active_watchdog

pytestmark = pytest.mark.mmids_limits()  # those of whoever uses the kit

TEXT = "workflow w {\n rtmp_receive rtmp_app=live stream_key=*\n work\n}\n"


def until_seen(work: Callable[[], object]) -> None:
    """Work for 0.2 s after the watchdog has looked, however busy the machine is."""
    watchdog = active_watchdog()
    assert watchdog is not None
    times = watchdog._times
    gives_up = time.monotonic() + 10
    while (times._first is None or times._first.began != times.began) and time.monotonic() < gives_up:
        time.sleep(0.001)
    ends = time.thread_time() + 0.2 if work is compute else time.monotonic() + 0.2
    while (time.thread_time() if work is compute else time.monotonic()) < ends:
        work()


def compute() -> None:
    """Use the processor."""
    sum(range(10_000))


def sleep() -> None:
    """Wait in the system, as for a file or a name."""
    time.sleep(0.05)


@frozen
class Works:
    """A step that does something with all that comes, and passes it on."""

    work: Callable[[], object]
    flow: Flow = field(default=Flow.PASSES_ON, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        while True:
            events = await inbox.receive()
            self.work()
            await outbox.send(events)

    def step_type(self) -> StepType:
        return StepType("work", NoParameters, lambda _parameters, _context: self)


@pytest.fixture(autouse=True)
def _looks_may_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmids_trio.testing.real_time.LONGEST_LOOK_S", 10.0)


async def publish_to(step: Works) -> None:
    async with Harness(TEXT, [step.step_type()]) as h:
        await h.publish("key", generate_stream(seconds=0.1))
        await trio.sleep(1)


@pytest.mark.thorough
async def test_a_step_that_computes_for_long_is_named_with_its_place(autojump_clock: MockClock) -> None:
    # It may be seen between two calls.
    places = r"\S*test_blocking\.py:\d+ in (compute|until_seen) < .*test_blocking\.py:\d+ in Works\.run"
    with pytest.raises(BlockingCall, match=rf"kept the loop for \d+ ms: {places}"):
        await publish_to(Works(lambda: until_seen(compute)))


async def test_a_step_that_waits_without_trio_is_named_with_its_place(autojump_clock: MockClock) -> None:
    with pytest.raises(BlockingCall, match=r"RunningStep\._run kept the loop for .*test_blocking\.py:\d+ in sleep < "):
        await publish_to(Works(lambda: until_seen(sleep)))


async def test_a_step_that_does_little_is_not(autojump_clock: MockClock) -> None:
    await publish_to(Works(compute))


@pytest.mark.thorough
async def test_the_test_itself_may_take_its_time(autojump_clock: MockClock) -> None:
    async with Harness(TEXT, [Works(compute).step_type()]):
        until_seen(compute)


async def test_a_step_that_waited_for_a_processor_is_not(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LoopTimes, "_delay", lambda _: time.perf_counter())  # as if it had waited all the time
    await publish_to(Works(lambda: until_seen(sleep)))


@pytest.mark.thorough
async def test_nobody_is_named_under_a_debugger(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmids_trio.testing.real_time.is_debugged", lambda: True)
    await publish_to(Works(lambda: until_seen(compute)))


async def publish_and_fail(step: Works) -> None:
    async with Harness(TEXT, [step.step_type()]) as h:
        await h.publish("key", generate_stream(seconds=0.1))
        await trio.sleep(1)
        raise ZeroDivisionError


@pytest.mark.thorough
async def test_a_block_that_fails_has_it_in_a_note(autojump_clock: MockClock) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        await publish_and_fail(Works(lambda: until_seen(compute)))
    assert caught.value.__notes__[0].startswith("blocking call: ")


@pytest.mark.thorough
def test_exploring_names_tasks_below_the_test() -> None:
    async def block() -> None:
        until_seen(compute)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(block)

    with pytest.raises(BlockingCall, match=r"in test_exploring_names_tasks_below_the_test\.<locals>\.block"):
        explore(main, schedules=1)
