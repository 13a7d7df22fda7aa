"""Leases that are shared, let go and taken again."""

import pytest
import trio
from attrs import evolve
from structlog.typing import EventDict
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.stream_request import StreamRequest
from tests.reactors.stand_ins import DOWN, INVALID, Bench, Holder, flow, valid


async def test_two_holders_share_an_answer_and_the_last_one_ends_it(bench: Bench, autojump_clock: MockClock) -> None:
    await bench.start()
    bench.executor.script["s"] = [valid(flow("a", routed=True))]
    receiver = await bench.held("s")
    forwarder = await bench.held("s")
    assert (forwarder.hold.is_valid, forwarder.hold.routable) == (True, ("a",))
    assert (bench.lease().holders, bench.asked("s")) == (2, [0])
    receiver.hold.release()
    receiver.hold.release()
    await trio.sleep(100)
    assert (bench.lease().holders, bench.running) == (1, {"a"})
    forwarder.hold.release()
    await wait_all_tasks_blocked()
    assert (bench.running, bench.reactor.view().leases) == (set(), ())


async def test_holders_that_come_before_the_first_answer_share_it(bench: Bench, autojump_clock: MockClock) -> None:
    await bench.start()
    bench.executor.seconds = 3
    holders = [bench.hold("s") for _ in range(3)]
    for holder in holders:
        await holder.hold.wait_answer()
    assert bench.asked("s") == [0]


async def test_a_lease_let_go_before_its_answer_starts_nothing(bench: Bench, autojump_clock: MockClock) -> None:
    await bench.start()
    bench.executor.seconds = 3
    bench.executor.script["s"] = [valid("a")]
    holder = bench.hold("s")
    await trio.sleep(1)
    holder.hold.release()
    await trio.sleep(10)
    assert (bench.workflows.applied, bench.executor.busy) == ([], set())


async def test_a_lease_let_go_at_once_asks_nobody(bench: Bench, autojump_clock: MockClock) -> None:
    await bench.start()
    bench.hold("s").hold.release()
    await trio.sleep(1)
    assert bench.executor.asked == []


async def test_a_lease_let_go_between_tries_is_not_tried_again(bench: Bench, autojump_clock: MockClock) -> None:
    await bench.start()
    bench.executor.script["s"] = [DOWN]
    holder = bench.hold("s")
    await trio.sleep(6)
    holder.hold.release()
    await trio.sleep(100)
    assert bench.asked("s") == [0, 5]


async def test_who_waits_for_an_answer_is_woken_by_the_release(bench: Bench, autojump_clock: MockClock) -> None:
    await bench.start()
    bench.executor.script["s"] = [DOWN]
    holder = bench.hold("s")
    await trio.sleep(1)
    holder.hold.release()
    await holder.hold.wait_answer()
    assert holder.hold.is_valid is False
    assert trio.current_time() - bench.began == 1


async def test_a_hold_during_the_end_of_the_last_lease_waits_for_that_end(
    bench: Bench, autojump_clock: MockClock
) -> None:
    await bench.start()
    bench.workflows.stop_seconds = 3
    bench.executor.script["s"] = [valid("a")]
    (await bench.held("s")).hold.release()
    await trio.sleep(1)
    again = await bench.held("s")
    assert bench.asked("s") == [0, 3]
    assert (again.hold.is_valid, bench.running) == (True, {"a"})


async def test_a_third_lease_waits_for_the_first_though_the_second_never_asked(
    bench: Bench, autojump_clock: MockClock
) -> None:
    await bench.start()
    bench.workflows.stop_seconds = 3
    bench.executor.script["s"] = [valid("a")]
    (await bench.held("s")).hold.release()
    await trio.sleep(1)
    bench.hold("s").hold.release()
    await trio.sleep(1)
    await bench.held("s")
    assert bench.asked("s") == [0, 3]


async def test_an_update_cut_short_by_the_last_release_leaves_nothing(bench: Bench, autojump_clock: MockClock) -> None:
    await bench.start(interval=60)
    bench.workflows.stop_seconds = 3
    bench.executor.script["s"] = [valid("a", "b"), valid("b", "c")]
    holder = await bench.held("s")
    await trio.sleep(61)
    holder.hold.release()
    again = bench.hold("s")
    await trio.sleep(1)
    assert bench.running == set()
    await again.hold.wait_answer()
    assert bench.asked("s") == [0, 60, 64]
    assert bench.running == {"b", "c"}


async def test_a_holder_may_take_the_stream_again_as_soon_as_it_is_revoked(
    bench: Bench, autojump_clock: MockClock
) -> None:
    again: list[Holder] = []

    def retake(holder: Holder) -> None:
        holder.hold.release()
        again.append(bench.hold("s"))

    await bench.start(interval=60)
    bench.workflows.stop_seconds = 3
    bench.executor.script["s"] = [valid("a"), INVALID, valid("a")]
    bench.hold("s", then=retake)
    await trio.sleep(62)
    assert [holder.hold.is_valid for holder in again] == [None]
    await again[0].hold.wait_answer()
    assert (again[0].hold.is_valid, bench.asked("s")) == (True, [0, 60, 63])


async def test_two_streams_cannot_have_one_name_for_two_workflows(
    bench: Bench, autojump_clock: MockClock, logs: list[EventDict]
) -> None:
    await bench.start()
    bench.executor.script = {"s": [valid("a")], "t": [valid("x", flow("a", "other"), "y")]}
    first, second = await bench.held("s"), await bench.held("t")
    assert (first.hold.is_valid, second.hold.is_valid) == (True, False)
    assert bench.running == {"a"}
    assert str(bench.workflows.owner("a")) == "reactor 'lookup' (for stream 's')"
    [conflict, *_] = [entry for entry in logs if entry["event"] == "workflow name conflict"]
    assert conflict["owner"] == "reactor 'lookup' (for stream 's')"
    assert conflict["by"] == "reactor 'lookup' (for stream 't')"
    second.hold.release()
    await trio.sleep(1)
    assert bench.running == {"a"}


async def test_two_reactors_cannot_have_one_workflow(bench: Bench, autojump_clock: MockClock) -> None:
    bench.executor.script["s"] = [valid("a")]
    await bench.start()
    await bench.held("s")
    await bench.start(name="other")
    other = await bench.held("s")
    assert other.hold.is_valid is False
    assert "belongs to the reactor 'lookup' (for stream 's')" in str(bench.lease().last_error)


async def test_a_workflow_of_the_api_is_not_taken_over(bench: Bench, autojump_clock: MockClock) -> None:
    bench.workflows.apply(flow("a"))
    await bench.start()
    bench.executor.script["s"] = [valid("a", "b")]
    holder = await bench.held("s")
    assert (holder.hold.is_valid, bench.running) == (False, {"a"})
    holder.hold.release()
    await trio.sleep(1)
    assert bench.running == {"a"}


async def test_a_conflict_that_goes_away_is_over_with_the_next_try(bench: Bench, autojump_clock: MockClock) -> None:
    bench.workflows.apply(flow("a"))
    await bench.start()
    bench.executor.script["s"] = [valid("a")]
    holder = bench.hold("s")
    await trio.sleep(1)
    await bench.workflows.stop("a")
    await holder.hold.wait_answer()
    assert (holder.hold.is_valid, bench.asked("s")) == (True, [0, 5])


async def test_an_update_that_loses_a_name_while_it_stops_others_puts_them_back(
    bench: Bench, autojump_clock: MockClock
) -> None:
    await bench.start(interval=60)
    bench.workflows.stop_seconds = 3
    bench.executor.script["s"] = [valid("a"), valid("b"), valid("a")]
    holder = await bench.held("s")
    await trio.sleep(61)
    bench.workflows.apply(flow("b"))
    await trio.sleep(3)
    assert bench.running == {"a", "b"}
    assert (holder.told, bench.lease().workflows) == ([], ("a",))


async def test_an_update_with_a_conflict_stops_nothing(bench: Bench, autojump_clock: MockClock) -> None:
    bench.workflows.apply(flow("b"))
    await bench.start(interval=60)
    bench.executor.script["s"] = [valid("a"), valid("b")]
    holder = await bench.held("s")
    await trio.sleep(200)
    assert (holder.hold.is_valid, bench.running, bench.workflows.ends) == (True, {"a", "b"}, {})


@pytest.mark.parametrize("is_over", [False, True])
async def test_a_reactor_that_does_not_run_answers_not_valid(
    bench: Bench, autojump_clock: MockClock, is_over: bool
) -> None:
    async with trio.open_nursery() as bench.nursery:
        await bench.start()
        bench.nursery.cancel_scope.cancel()
    holder = await bench.held("s") if is_over else await bench.held("t")
    assert (holder.hold.is_valid, bench.executor.asked) == (False, [])
    holder.hold.release()
    assert bench.reactor.view().leases == ()


async def test_equal_workflows_of_two_leases_run_once_and_end_with_the_last(
    bench: Bench, autojump_clock: MockClock
) -> None:
    await bench.start()
    bench.executor.script = {"s": [valid("a", "b")], "t": [valid("x", "a")]}
    first, second = await bench.held("s"), await bench.held("t")
    assert (first.hold.is_valid, second.hold.is_valid) == (True, True)
    assert bench.workflows.applied == ["a", "b", "x"]
    first.hold.release()
    await trio.sleep(1)
    assert bench.running == {"a", "x"}
    second.hold.release()
    await trio.sleep(1)
    assert bench.running == set()


async def test_a_shared_workflow_changes_when_all_its_leases_want_that(bench: Bench, autojump_clock: MockClock) -> None:
    new = valid(flow("a", "new"))
    await bench.start(interval=10)
    bench.executor.script = {"s": [valid("a"), new], "t": [valid("a"), valid("a"), new]}
    first, _ = await bench.held("s"), await bench.held("t")
    await trio.sleep(15)  # the first lease wants it otherwise, the second one does not yet
    assert bench.workflows.running["a"] == flow("a")
    assert first.hold.is_valid
    await trio.sleep(10)
    assert bench.workflows.running["a"] == flow("a", "new")
    assert bench.workflows.applied == ["a", "a"]


async def test_a_shared_workflow_changes_when_the_lease_that_wanted_the_old_one_ends(
    bench: Bench, autojump_clock: MockClock
) -> None:
    await bench.start(interval=10)
    bench.executor.script = {"s": [valid("a"), valid(flow("a", "new"))], "t": [valid("a")]}
    _, second = await bench.held("s"), await bench.held("t")
    await trio.sleep(15)
    second.hold.release()
    await trio.sleep(1)
    assert bench.workflows.running["a"] == flow("a", "new")


async def test_who_comes_when_the_service_has_changed_its_mind_about_a_stream_is_let_in_to_what_runs(
    bench: Bench, autojump_clock: MockClock
) -> None:
    """Without updates the publisher's lease never hears of it; those who watch must not be refused for that."""
    await bench.start()
    bench.executor.script["s"] = [valid("a"), valid(flow("a", "new"))]
    publisher = await bench.held(StreamRequest(key="s"))
    watcher = await bench.held(StreamRequest(key="s", action="watch"))
    assert watcher.hold.is_valid
    assert bench.workflows.running == {"a": flow("a")}
    publisher.hold.release()
    await trio.sleep(1)
    assert bench.workflows.running == {"a": flow("a", "new")}


PUBLISHED = StreamRequest(key="s", query="token=hunter2", app="live", port=1935, protocol="rtmp", address="192.0.2.1")


async def test_publishers_share_a_lease_by_their_full_name(bench: Bench, autojump_clock: MockClock) -> None:
    await bench.start()
    await bench.held(PUBLISHED)
    await bench.held(evolve(PUBLISHED, address="192.0.2.2"))
    await bench.held(evolve(PUBLISHED, query="token=other"))
    await bench.held(evolve(PUBLISHED, query=""))
    await bench.held(evolve(PUBLISHED, app="elsewhere"))
    assert [name for _, name in bench.executor.asked] == [
        "s?token=hunter2",
        "s?token=other",
        "s",
        "s?token=hunter2",
    ]
    assert [lease.holders for lease in bench.reactor.view().leases] == [2, 1, 1, 1]


@pytest.mark.parametrize(("per_watcher", "asked"), [(False, ["s"]), (True, ["s?token=hunter2", "s?token=other", "s"])])
async def test_watchers_share_a_lease_by_the_key_unless_the_reactor_says_otherwise(
    bench: Bench, autojump_clock: MockClock, per_watcher: bool, asked: list[str]
) -> None:
    await bench.start(per_watcher=per_watcher)
    watched = evolve(PUBLISHED, action="watch")
    for query in ("token=hunter2", "token=other", ""):
        await bench.held(evolve(watched, query=query))
    assert [name for _, name in bench.executor.asked] == asked
    request = bench.executor.requests[0]
    assert (request.action, request.app) == ("watch", "live")
    assert request.address == ("192.0.2.1" if per_watcher else None)


async def test_who_publishes_and_who_watches_are_asked_about_apart(bench: Bench, autojump_clock: MockClock) -> None:
    bench.executor.script["s"] = [valid("a"), INVALID]
    await bench.start()
    published, watched = evolve(PUBLISHED, query=""), evolve(PUBLISHED, query="", action="watch")
    assert (await bench.held(published)).hold.is_valid
    assert not (await bench.held(watched)).hold.is_valid
    assert [lease.action for lease in bench.reactor.view().leases] == ["publish", "watch"]
    assert bench.running == {"a"}


async def test_a_query_is_in_no_view_event_owner_or_log(
    bench: Bench, autojump_clock: MockClock, logs: list[EventDict]
) -> None:
    bench.executor.script[PUBLISHED.name] = [valid("a"), DOWN, INVALID]
    bench.executor.deaf_for = 9
    await bench.start(interval=10)
    holder = await bench.held(PUBLISHED)
    owner = bench.workflows.owner("a")
    await trio.sleep(100)
    shown = [bench.reactor.view(), bench.reactor.leased, bench.events, PUBLISHED, holder, owner]
    holder.hold.release()
    await trio.sleep(100)
    assert len(logs) > 5
    assert "hunter2" not in f"{shown!r} {shown} {logs!r}"


async def test_the_end_of_a_valid_lease_is_told(bench: Bench, autojump_clock: MockClock) -> None:
    bench.executor.script = {"t": [INVALID]}
    bench.workflows.stop_seconds = 2
    await bench.start()
    first, second, denied = await bench.held(PUBLISHED), await bench.held(PUBLISHED), await bench.held("t")
    denied.hold.release()
    first.hold.release()
    await trio.sleep(1)
    assert bench.executor.released == []
    second.hold.release()
    await trio.sleep(5)
    assert [name for _, name in bench.executor.released] == [PUBLISHED.name]


async def test_a_release_is_told_before_the_next_question_and_repeated_where_it_is_not_heard(
    bench: Bench, autojump_clock: MockClock, logs: list[EventDict]
) -> None:
    await bench.start()
    (await bench.held("s")).hold.release()
    again = await bench.held("s")
    [(released, _)] = bench.executor.released
    assert released <= bench.executor.asked[1][0]
    bench.executor.deaf_for = 2
    again.hold.release()
    left = trio.current_time()
    third = await bench.held("s")  # does not wait for a service that is out of order
    assert trio.current_time() == left
    await trio.sleep(100)
    assert [when - left for when, _ in bench.executor.released[1:]] == [15]
    assert [entry["event"] for entry in logs if "release" in entry["event"]] == ["release failed", "release failed"]
    bench.executor.deaf_for = 3
    third.hold.release()
    await trio.sleep(100)
    assert logs[-1]["event"] == "release given up"
    assert bench.reactor.leased == []
