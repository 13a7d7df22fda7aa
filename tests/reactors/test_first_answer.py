"""The first answer about a stream: tries, refusals, failures."""

import pytest
import trio
from structlog.typing import EventDict
from trio.testing import MockClock

from mmids_trio.reactors.executor import Answer
from tests.reactors.stand_ins import DOWN, EMPTY, INVALID, Bench, flow, valid


async def test_a_valid_stream_gets_its_workflows_and_what_is_routable(bench: Bench, autojump_clock: MockClock) -> None:
    await bench.start()
    bench.executor.script["s"] = [valid(flow("b", routed=True), "c", flow("a", routed=True))]
    holder = bench.hold("s")
    assert (holder.hold.is_valid, holder.hold.routable) == (None, ())
    await holder.hold.wait_answer()
    assert (holder.hold.is_valid, holder.hold.routable) == (True, ("b", "a"))
    assert bench.running == {"a", "b", "c"}
    assert str(bench.workflows.owner("a")) == "reactor 'lookup' (for stream 's')"
    assert holder.told == []


async def test_a_valid_stream_may_have_nothing_to_run(bench: Bench, autojump_clock: MockClock) -> None:
    await bench.start()
    holder = await bench.held("s")
    assert holder.hold.is_valid is True
    assert bench.running == set()


async def test_a_stream_that_is_not_valid_is_not_asked_about_again(bench: Bench, autojump_clock: MockClock) -> None:
    await bench.start()
    bench.executor.script["s"] = [INVALID]
    holder = await bench.held("s")
    assert trio.current_time() == bench.began
    await trio.sleep(1000)
    assert holder.hold.is_valid is False
    assert bench.asked("s") == [0]


async def test_a_failing_executor_is_tried_at_0_5_and_15_seconds(bench: Bench, autojump_clock: MockClock) -> None:
    await bench.start()
    bench.executor.script["s"] = [DOWN]
    holder = await bench.held("s")
    assert trio.current_time() - bench.began == 15
    assert holder.hold.is_valid is False
    await trio.sleep(1000)
    assert bench.asked("s") == [0, 5, 15]
    assert (bench.lease().failures, bench.lease().last_error) == (1, "the service is down")


async def test_the_pauses_come_after_the_tries(bench: Bench, autojump_clock: MockClock) -> None:
    await bench.start()
    bench.executor.seconds = 10
    bench.executor.script["s"] = [DOWN]
    await bench.held("s")
    assert bench.asked("s") == [0, 15, 35]
    assert trio.current_time() - bench.began == 45


async def test_a_later_try_may_succeed(bench: Bench, autojump_clock: MockClock) -> None:
    await bench.start()
    bench.executor.script["s"] = [DOWN, DOWN, valid("a")]
    holder = await bench.held("s")
    assert (holder.hold.is_valid, bench.running) == (True, {"a"})
    assert (bench.lease().failures, bench.lease().last_error) == (0, None)


async def test_while_tries_fail_the_error_is_visible(bench: Bench, autojump_clock: MockClock) -> None:
    await bench.start()
    bench.executor.script["s"] = [DOWN]
    bench.hold("s")
    await trio.sleep(1)
    assert (bench.lease().valid, bench.lease().last_error) == (None, "the service is down")


async def test_on_failure_may_allow_a_stream(bench: Bench, autojump_clock: MockClock) -> None:
    await bench.start(allow=True)
    bench.executor.script["s"] = [DOWN]
    holder = await bench.held("s")
    assert (holder.hold.is_valid, bench.running) == (True, set())
    assert bench.lease().last_answer == "valid, as on_failure says"


async def test_on_failure_does_not_allow_what_the_service_denies(bench: Bench, autojump_clock: MockClock) -> None:
    await bench.start(allow=True)
    bench.executor.script["s"] = [DOWN, INVALID]
    assert (await bench.held("s")).hold.is_valid is False


@pytest.mark.parametrize("fault", [ValueError("a bug"), ExceptionGroup("", [KeyError("x")])])
async def test_a_fault_of_the_executor_is_a_failure(
    bench: Bench, autojump_clock: MockClock, logs: list[EventDict], fault: Exception
) -> None:
    await bench.start()
    bench.executor.script["s"] = [fault, valid("a")]
    holder = await bench.held("s")
    assert (holder.hold.is_valid, bench.asked("s")) == (True, [0, 5])
    assert any(entry["event"] == "reactor request crashed" for entry in logs)


async def test_a_workflow_that_is_not_valid_is_a_failure_told_without_its_source(
    bench: Bench, autojump_clock: MockClock
) -> None:
    await bench.start()
    bench.executor.script["s"] = [valid("a", flow("b", "bad"))]
    holder = await bench.held("s")
    assert (holder.hold.is_valid, bench.running) == (False, set())
    assert bench.lease().last_error == "<answer>:2:5: unknown step type 'bad'"


async def test_an_answer_with_one_name_twice_is_a_failure(bench: Bench, autojump_clock: MockClock) -> None:
    await bench.start()
    bench.executor.script["s"] = [valid("a", flow("a", "other"))]
    await bench.held("s")
    assert (bench.running, bench.lease().last_error) == (set(), "the answer holds workflow 'a' twice")


async def test_streams_do_not_wait_for_each_other(bench: Bench, autojump_clock: MockClock) -> None:
    await bench.start()
    bench.executor.script["slow"] = [DOWN]
    slow = bench.hold("slow")
    await bench.held("quick")
    assert trio.current_time() == bench.began
    assert slow.hold.is_valid is None


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (EMPTY, (True, (), None)),
        (valid("a"), (True, ("a",), None)),
        (INVALID, (False, (), None)),
        (DOWN, (False, (), "the service is down")),
    ],
)
async def test_listeners_hear_of_answers_and_failures(
    bench: Bench, autojump_clock: MockClock, answer: Answer | Exception, told: tuple[bool, tuple[str, ...], str | None]
) -> None:
    await bench.start()
    bench.executor.script["s"] = [answer]
    await bench.held("s")
    [event] = bench.events
    assert (event.reactor, event.stream) == ("lookup", "s")
    assert (event.valid, event.workflows, event.error) == told
