"""Answers that change while a lease is held."""

import pytest
import trio
from structlog.typing import EventDict
from trio.testing import MockClock

from mmids_trio.reactors.executor import Answer
from mmids_trio.workflow.events import ReactorAnswered
from tests.reactors.stand_ins import API, DOWN, EMPTY, INVALID, Bench, Holder, flow, valid

INTERVAL = 60


async def start(bench: Bench, *script: Answer | Exception) -> Holder:
    """A holder of `s` with its first answer, from a reactor that updates every minute."""
    await bench.start(interval=INTERVAL)
    bench.executor.script["s"] = list(script)
    return await bench.held("s")


async def test_the_executor_runs_again_at_every_interval_while_the_lease_is_held(
    bench: Bench, autojump_clock: MockClock, logs: list[EventDict]
) -> None:
    holder = await start(bench, EMPTY)
    await trio.sleep(3 * INTERVAL + 1)
    assert bench.asked("s") == [0, 60, 120, 180]
    assert [entry["event"] for entry in logs].count("reactor answered") == 1  # the same answer is no news
    holder.hold.release()
    await trio.sleep(10 * INTERVAL)
    assert len(bench.asked("s")) == 4


async def test_the_view_says_when_the_next_update_is_due(bench: Bench, autojump_clock: MockClock) -> None:
    await start(bench, EMPTY)
    await trio.sleep(20)
    assert bench.lease().next_update == 40
    bench.executor.seconds = 5
    await trio.sleep(41)
    assert bench.lease().next_update is None


async def test_without_an_interval_nothing_is_asked_again(bench: Bench, autojump_clock: MockClock) -> None:
    await bench.start()
    await bench.held("s")
    await trio.sleep(50_000)
    assert bench.asked("s") == [0]
    assert bench.lease().next_update is None


async def test_a_slow_executor_skips_updates_and_never_overlaps(bench: Bench, autojump_clock: MockClock) -> None:
    bench.executor.seconds = 100
    await start(bench, EMPTY)
    await trio.sleep(300)
    assert bench.asked("s") == [0, 120, 240, 360]


async def test_an_update_starts_changes_keeps_and_stops_workflows(bench: Bench, autojump_clock: MockClock) -> None:
    await start(bench, valid("kept", flow("changed", "x"), "missing"), valid("kept", flow("changed", "y"), "new"))
    bench.workflows.applied.clear()
    await trio.sleep(INTERVAL + 1)
    assert bench.running == {"kept", "changed", "new"}
    assert bench.workflows.applied == ["changed", "new"]
    assert bench.workflows.running["changed"].steps[0].step_type == "y"


async def test_what_has_ended_is_not_stopped_again(bench: Bench, autojump_clock: MockClock) -> None:
    await start(bench, valid("a"), valid("b"), valid("c"))
    await trio.sleep(2 * INTERVAL + 1)
    assert bench.workflows.stopped == ["a", "b"]


async def test_what_goes_has_gone_before_what_comes_starts(bench: Bench, autojump_clock: MockClock) -> None:
    bench.workflows.stop_seconds = 3
    await start(bench, valid("old"), valid("new"))
    await trio.sleep(INTERVAL + 2)
    assert bench.running == set()
    await trio.sleep(2)
    assert bench.running == {"new"}


async def test_holders_are_told_when_what_is_routable_changes(bench: Bench, autojump_clock: MockClock) -> None:
    routed = valid(flow("a", routed=True))
    holder = await start(bench, routed, routed, valid(flow("a", routed=True), flow("b", routed=True)), valid("a"))
    await trio.sleep(4 * INTERVAL + 1)
    assert holder.told == [(True, ("a", "b")), (True, ())]


async def test_a_revoked_stream_is_told_to_every_holder_and_its_workflows_stop(
    bench: Bench, autojump_clock: MockClock
) -> None:
    first = await start(bench, valid(flow("a", routed=True)), INVALID)
    second = bench.hold("s", then=lambda holder: holder.hold.release())
    await trio.sleep(INTERVAL + 1)
    assert first.told == second.told == [(False, ())]
    assert bench.running == set()
    assert (bench.lease().holders, bench.lease().workflows) == (1, ())


async def test_a_revoked_stream_whose_holders_all_let_go_is_not_asked_about_again(
    bench: Bench, autojump_clock: MockClock
) -> None:
    bench.workflows.stop_seconds = 3
    await bench.start(interval=INTERVAL)
    bench.executor.script["s"] = [valid("a"), INVALID]
    bench.hold("s", then=lambda holder: holder.hold.release())
    await trio.sleep(5 * INTERVAL)
    assert (len(bench.asked("s")), bench.running, bench.reactor.view().leases) == (2, set(), ())


async def test_a_stream_may_become_valid_again(bench: Bench, autojump_clock: MockClock) -> None:
    holder = await start(bench, valid("a"), INVALID, valid("a"))
    await trio.sleep(2 * INTERVAL + 1)
    assert holder.told == [(False, ()), (True, ())]
    assert bench.running == {"a"}


async def test_a_failure_during_an_update_keeps_the_show_on_the_air(
    bench: Bench, autojump_clock: MockClock, logs: list[EventDict]
) -> None:
    holder = await start(bench, valid(flow("a", routed=True)), DOWN)
    await trio.sleep(3 * INTERVAL - 1)
    assert (holder.hold.is_valid, holder.hold.routable, holder.told) == (True, ("a",), [])
    assert bench.running == {"a"}
    assert bench.asked("s") == [0, 60, 65, 75, 120, 125, 135]
    lease = bench.lease()
    assert (lease.valid, lease.last_error, lease.failures) == (True, "the service is down", 2)
    assert lease.last_answer == "valid, to run: a"
    assert [entry["failures"] for entry in logs if entry["event"] == "reactor request given up"] == [1, 2]


async def test_a_good_answer_clears_the_error_but_not_the_count(bench: Bench, autojump_clock: MockClock) -> None:
    await start(bench, EMPTY, DOWN, DOWN, DOWN, EMPTY)
    await trio.sleep(3 * INTERVAL)
    assert (bench.lease().last_error, bench.lease().failures) == (None, 1)


async def test_a_stream_allowed_on_failure_gets_what_a_later_answer_says(
    bench: Bench, autojump_clock: MockClock
) -> None:
    await bench.start(interval=INTERVAL, allow=True)
    bench.executor.script["s"] = [DOWN, DOWN, DOWN, valid("a")]
    holder = await bench.held("s")
    await trio.sleep(INTERVAL)
    assert (holder.hold.is_valid, bench.running) == (True, {"a"})


async def test_a_deleted_workflow_comes_back_with_the_next_update(bench: Bench, autojump_clock: MockClock) -> None:
    await start(bench, valid("a"))
    await bench.workflows.stop("a")
    await trio.sleep(INTERVAL - 1)
    assert bench.running == set()
    await trio.sleep(2)
    assert bench.running == {"a"}


async def test_a_workflow_that_somebody_changed_is_put_back(bench: Bench, autojump_clock: MockClock) -> None:
    await start(bench, valid(flow("a", "x")))
    bench.workflows.running["a"] = flow("a", "y")
    await trio.sleep(INTERVAL + 1)
    assert bench.workflows.running["a"] == flow("a", "x")


async def test_a_workflow_that_is_routed_from_now_on_is_told_so(bench: Bench, autojump_clock: MockClock) -> None:
    await start(bench, valid("a"), valid(flow("a", routed=True)))
    await trio.sleep(INTERVAL + 1)
    assert bench.workflows.running["a"].routed_by_reactor
    assert bench.workflows.applied == ["a", "a"]


async def test_a_workflow_in_error_is_started_afresh(bench: Bench, autojump_clock: MockClock) -> None:
    await start(bench, valid("a"))
    bench.workflows.failed.add("a")
    await trio.sleep(INTERVAL + 1)
    assert bench.workflows.applied == ["a", "a"]


async def test_a_deleted_workflow_whose_name_was_taken_is_left_alone(bench: Bench, autojump_clock: MockClock) -> None:
    holder = await start(bench, valid("a", "b"))
    await bench.workflows.stop("a")
    bench.workflows.apply(flow("a"))
    await trio.sleep(2 * INTERVAL)
    assert holder.hold.is_valid is True
    assert "belongs to the set 'default' of the HTTP API" in str(bench.lease().last_error)
    holder.hold.release()
    await trio.sleep(1)
    assert (bench.running, bench.workflows.owner("a")) == ({"a"}, API)


async def test_a_holder_that_crashes_is_logged_and_the_others_are_told(
    bench: Bench, autojump_clock: MockClock, logs: list[EventDict]
) -> None:
    def crash(_: Holder) -> None:
        raise ValueError("a bug")

    await bench.start(interval=INTERVAL)
    bench.executor.script["s"] = [EMPTY, INVALID]
    bench.hold("s", then=crash)
    other = bench.hold("s")
    await trio.sleep(INTERVAL + 1)
    assert other.told == [(False, ())]
    assert any(entry["event"] == "holder of a reactor's lease crashed" for entry in logs)


class CrashesOnErrors(list[ReactorAnswered]):
    def append(self, event: ReactorAnswered) -> None:
        if event.error is not None:
            raise ValueError("a bug")
        super().append(event)


async def test_a_lease_that_crashes_takes_back_what_it_has_promised(
    bench: Bench, autojump_clock: MockClock, logs: list[EventDict]
) -> None:
    bench.events = CrashesOnErrors()
    bench.workflows.stop_seconds = 100
    holder = await start(bench, valid(flow("a", routed=True)), *[DOWN] * 3)
    await trio.sleep(INTERVAL + 20)
    assert (bench.running, bench.lease().workflows) == (set(), ())  # though their end takes a while
    assert holder.told == [(False, ())]
    await trio.sleep(100)
    assert any(entry["event"] == "lease crashed" for entry in logs)
    assert holder.told == [(False, ())]
    assert (bench.running, bench.reactor.leased) == (set(), [])


@pytest.mark.parametrize("joins", [1, 3])
async def test_who_joins_while_being_told_is_not_told_twice(
    bench: Bench, autojump_clock: MockClock, joins: int
) -> None:
    joined: list[Holder] = []
    await bench.start(interval=INTERVAL)
    bench.executor.script["s"] = [EMPTY, INVALID]
    bench.hold("s", then=lambda _: joined.extend(bench.hold("s") for _ in range(joins)))
    await trio.sleep(INTERVAL + 1)
    assert [holder.told for holder in joined] == [[]] * joins
    assert all(holder.hold.is_valid is False for holder in joined)


async def test_who_lets_go_while_others_are_told_is_not_told(bench: Bench, autojump_clock: MockClock) -> None:
    await bench.start(interval=INTERVAL)
    bench.executor.script["s"] = [EMPTY, INVALID]
    first = bench.hold("s", then=lambda _: gone.hold.release())
    gone = bench.hold("s")
    last = bench.hold("s")
    await trio.sleep(INTERVAL + 1)
    assert first.told == last.told == [(False, ())]
    assert gone.told == []
    assert bench.lease().holders == 2


async def test_who_has_let_go_is_not_told(bench: Bench, autojump_clock: MockClock) -> None:
    await bench.start(interval=INTERVAL)
    bench.executor.script["s"] = [EMPTY, INVALID]
    gone, other = bench.hold("s"), bench.hold("s")
    await trio.sleep(1)
    gone.hold.release()
    await trio.sleep(INTERVAL)
    assert (gone.told, other.told) == ([], [(False, ())])
