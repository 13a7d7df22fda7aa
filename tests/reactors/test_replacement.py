"""Reactors that come, change and go while the server runs, together with the workflows that ask them."""

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.config.parameters import NoParameters
from mmids_trio.config.parser import parse
from mmids_trio.errors import ConfigurationError
from mmids_trio.media.flow import Flow
from mmids_trio.reactors.executor import CommonParameters, ExecutorKind
from mmids_trio.steps.registry import StepType
from mmids_trio.testing.clients import ClientRefused
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.reactors import FakeReactorService
from mmids_trio.workflow.plan import SetConflict, WorkflowSet
from mmids_trio.workflow.status import Outcome, OutcomeKind, WorkflowOwner
from mmids_trio.workflow.step import Inbox, Outbox
from tests.reactors.stand_ins import EMPTY, INVALID, Bench

R = "reactor r executor=scripted update_interval=20 {\n}\n"
CHANGED = "reactor r executor=other update_interval=10 {\n}\n"
ADDED = "reactor n executor=other {\n}\n"
ASKING = "workflow w {\n rtmp_receive rtmp_app=in stream_key=* reactor=r\n}\n"


class Slow:
    """A step that is never ready, and takes a second to end."""

    flow = Flow.PRODUCES

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(1)


OF_FILE = WorkflowOwner("config")


def parsed(text: str, *delete: str) -> WorkflowSet:
    document = parse(text, "test")
    assert not document.problems
    return WorkflowSet(document.workflows, delete, document.reactors, OF_FILE)


async def apply(harness: Harness, text: str, *delete: str) -> Outcome:
    workflows = harness.server.workflows
    return await workflows.apply_all(workflows.validate_all(parsed(text, *delete))).wait_outcome()


def harness(first: FakeReactorService, second: FakeReactorService, text: str = R + ASKING) -> Harness:
    return Harness(text, more_executors=[first.kind(), second.kind("other")])


async def test_a_changed_reactor_keeps_its_leases_and_asks_by_its_new_definition(autojump_clock: MockClock) -> None:
    first, second = FakeReactorService({"k": ""}), FakeReactorService({"k": ""})
    async with harness(first, second) as h:
        publisher = await h.publish("in/k")
        assert await apply(h, CHANGED + ASKING) == Outcome(OutcomeKind.APPLIED, "running")
        await trio.sleep(25)
        assert (first.asked, second.asked) == (["k"], ["k"] * 3)
        second.answers.clear()
        await publisher.read_until_closed()
        assert trio.current_time() < 40


async def test_an_equal_reactor_is_left_alone(autojump_clock: MockClock) -> None:
    first = FakeReactorService({"k": ""})
    async with harness(first, FakeReactorService()) as h:
        await h.publish("in/k")
        assert await apply(h, R + ASKING) == Outcome(OutcomeKind.APPLIED, "nothing to change")
        await trio.sleep(15)
        assert first.asked == ["k"]


async def test_an_added_reactor_is_there_for_the_steps_of_its_set(autojump_clock: MockClock) -> None:
    second = FakeReactorService({"k": ""})
    async with harness(FakeReactorService(), second) as h:
        text = "workflow v {\n rtmp_receive rtmp_app=more stream_key=* reactor=n\n}\n"
        with pytest.raises(ConfigurationError, match="there is no reactor 'n'"):
            h.server.workflows.validate_all(evolve(parsed(text), reactors=None))
        assert (await apply(h, R + ADDED + ASKING + text)).kind is OutcomeKind.APPLIED
        await h.publish("more/k")
        with pytest.raises(ClientRefused):
            await h.publish("more/l")
        assert second.asked == ["k", "l"]


async def test_a_set_that_is_rolled_back_leaves_all_reactors_as_they_were(autojump_clock: MockClock) -> None:
    first, second = FakeReactorService({"k": ""}), FakeReactorService({"k": ""})
    async with harness(first, second, R + ASKING) as h:
        await h.publish("in/k")
        taken = "workflow v {\n rtmp_receive rtmp_app=in stream_key=k reactor=n\n}\n"
        outcome = await apply(h, CHANGED + ADDED + ASKING + taken)
        assert outcome.kind is OutcomeKind.ROLLED_BACK
        await wait_all_tasks_blocked()
        with pytest.raises(ConfigurationError, match="there is no reactor 'n'"):
            h.server.workflows.validate_all(evolve(parsed(taken), reactors=None))
        assert h.server.reactors.get("n") is None
        await trio.sleep(15)
        assert (first.asked, second.asked) == (["k"], [])
        await trio.sleep(10)
        assert first.asked == ["k", "k"]


async def test_a_reactor_that_is_asked_cannot_be_removed(autojump_clock: MockClock) -> None:
    async with harness(FakeReactorService(), FakeReactorService()) as h:
        workflows = h.server.workflows
        reason = "reactor 'r' cannot be removed: workflow 'w' asks it"
        with pytest.raises(SetConflict, match=reason):
            workflows.apply_all(WorkflowSet(reactors=()))
        with pytest.raises(ConfigurationError, match="there is no reactor 'r'"):
            workflows.validate_all(parsed(ASKING))
        plan = workflows.plan_all(WorkflowSet(delete=("w",), reactors=(), owner=OF_FILE))
        assert [(reactor.name, reactor.action) for reactor in plan.reactors] == [("r", "stop")]
        assert (await apply(h, "", "w")).kind is OutcomeKind.APPLIED
        with pytest.raises(ConfigurationError, match="there is none"):
            workflows.validate_all(evolve(parsed(ASKING), reactors=None))


async def test_a_workflow_that_begins_to_ask_a_reactor_meanwhile_takes_its_removal_back(
    autojump_clock: MockClock,
) -> None:
    async with harness(FakeReactorService(), FakeReactorService(), R) as h:
        asking = h.server.workflows.validate_all(evolve(parsed(ASKING), reactors=None))
        change = h.server.workflows.apply_all(WorkflowSet(reactors=()))
        h.server.workflows.apply(asking.definitions[0])
        outcome = await change.wait_outcome()
        assert outcome == Outcome(
            OutcomeKind.ROLLED_BACK, "rolled back: reactor 'r' cannot be removed: workflow 'w' asks it"
        )


async def test_of_two_sets_that_change_reactors_the_newer_counts(autojump_clock: MockClock) -> None:
    async with harness(FakeReactorService(), FakeReactorService(), R) as h:
        workflows = h.server.workflows
        older = workflows.apply_all(parsed(CHANGED))
        newer = workflows.apply_all(parsed(R + ADDED))
        assert (await older.wait_outcome()).kind is OutcomeKind.SUPERSEDED
        assert (await newer.wait_outcome()).kind is OutcomeKind.APPLIED
        plan = workflows.plan_all(parsed(R + ADDED))
        assert [reactor.action for reactor in plan.reactors] == ["keep", "keep"]


async def test_two_sets_that_leave_the_reactors_as_they_are_go_their_own_ways(autojump_clock: MockClock) -> None:
    step = StepType("slow", NoParameters, lambda _values, _context: Slow())
    async with Harness(R, [step], more_executors=[FakeReactorService().kind()]) as h:
        workflows = h.server.workflows
        older = workflows.apply_all(parsed(R + "workflow a {\n slow\n}\n"))
        assert (await apply(h, R + "workflow b {\n}\n")).kind is OutcomeKind.APPLIED
        assert older.outcome is None


async def test_a_newer_set_of_reactors_waits_until_all_of_the_older_one_is_taken_back(
    autojump_clock: MockClock,
) -> None:
    """They share no workflow, so that nothing but this keeps the two apart."""
    service = FakeReactorService({"k": ""})
    step = StepType("slow", NoParameters, lambda _values, _context: Slow())
    async with Harness(R, [step], more_executors=[FakeReactorService().kind(), service.kind("other")]) as h:
        workflows = h.server.workflows
        older = workflows.apply_all(parsed(R + ADDED + "workflow old {\n slow\n}\n"))
        await wait_all_tasks_blocked()
        text = R + ADDED + "workflow new {\n rtmp_receive rtmp_app=in stream_key=* reactor=n\n}\n"
        newer = workflows.apply_all(workflows.validate_all(parsed(text)))
        await wait_all_tasks_blocked()
        assert (older.outcome, newer.outcome) == (None, None)
        assert (await older.wait_outcome()).kind is OutcomeKind.SUPERSEDED
        assert (await newer.wait_outcome()).kind is OutcomeKind.APPLIED
        await h.publish("in/k")  # the reactor is the newer one's, which the older one has not taken away
        assert service.asked == ["k"]


async def test_workflows_of_reactors_are_refused_and_left_alone(autojump_clock: MockClock) -> None:
    leased = "workflow leased {\n rtmp_watch rtmp_app=out stream_key=*\n}\n"
    async with harness(FakeReactorService({"k": leased}), FakeReactorService()) as h:
        await h.publish("in/k")
        await wait_all_tasks_blocked()
        workflows = h.server.workflows
        for wanted in (WorkflowSet(parse(leased, "test").workflows), WorkflowSet(delete=("leased",))):
            with pytest.raises(SetConflict, match="workflow 'leased' belongs to the reactor 'r'"):
                workflows.apply_all(wanted)
        assert workflows.prunable((), OF_FILE) == ("w",)
        assert workflows.prunable(["w"], OF_FILE) == ()


async def test_a_reactor_goes_with_the_workflows_that_it_runs(autojump_clock: MockClock) -> None:
    leased = "workflow leased {\n rtmp_watch rtmp_app=out stream_key=* reactor=r\n}\n"
    async with harness(FakeReactorService({"k": leased}), FakeReactorService()) as h:
        await h.publish("in/k")
        await wait_all_tasks_blocked()
        assert list(h.server.workflows.names()) == ["w", "leased"]
        assert (await apply(h, "", "w")).kind is OutcomeKind.APPLIED
        await wait_all_tasks_blocked()
        assert not h.server.workflows.names()
    h.assert_quiet()


async def test_all_that_is_wrong_with_a_set_is_reported_at_once(autojump_clock: MockClock) -> None:
    async with harness(FakeReactorService(), FakeReactorService()) as h:
        text = "reactor x executor=nonsense {\n}\nworkflow a {\n nonsense\n}\nworkflow b {\n rtmp_watch\n}\n"
        with pytest.raises(ConfigurationError) as wrong:
            h.server.workflows.validate_all(parsed(text))
        assert [problem.place.line for problem in wrong.value.problems] == [1, 4, 7, 7]


async def test_an_executor_that_cannot_be_opened_takes_the_set_back(autojump_clock: MockClock) -> None:
    def broken(_values: object) -> None:
        raise OSError("secret")

    kind = ExecutorKind("broken", NoParameters, broken)  # type: ignore[arg-type]  # it never gets to return one
    async with Harness("", more_executors=[kind]) as h:
        outcome = await apply(h, "reactor b executor=broken {\n}\nworkflow x {\n}\n")
        assert outcome == Outcome(OutcomeKind.ROLLED_BACK, "rolled back: reactor 'b' cannot be started: OSError")
        assert not h.server.workflows.names()


async def test_no_executor_is_opened_of_a_set_that_was_given_up_while_it_waited(autojump_clock: MockClock) -> None:
    opened = []

    def note(_values: object) -> None:
        opened.append("n")
        raise OSError

    kind = ExecutorKind("other", NoParameters, note)  # type: ignore[arg-type]  # it never gets to return one
    step = StepType("slow", NoParameters, lambda _values, _context: Slow())
    async with Harness(R, [step], more_executors=[FakeReactorService().kind(), kind]) as h:
        workflows = h.server.workflows
        workflows.apply_all(parsed(R + "workflow w {\n slow\n}\n"))
        await wait_all_tasks_blocked()
        waiting = workflows.apply_all(parsed(R + ADDED + "workflow w {\n}\n"))
        await wait_all_tasks_blocked()
        assert (await apply(h, R + "workflow w {\n}\n")).kind is OutcomeKind.APPLIED
        assert (await waiting.wait_outcome()).kind is OutcomeKind.SUPERSEDED
        assert opened == []


async def test_a_question_that_is_under_way_is_answered_by_the_old_executor(autojump_clock: MockClock) -> None:
    first, second = FakeReactorService({"k": ""}, seconds=5), FakeReactorService()
    async with harness(first, second) as h:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(h.publish, "in/k")
            await trio.sleep(1)
            assert (await apply(h, CHANGED + ASKING)).kind is OutcomeKind.APPLIED
            assert (first.asked, second.asked) == (["k"], [])
        await trio.sleep(1)
        assert second.asked == ["k"]  # which does not know it


async def test_a_renewed_lease_asks_at_once_and_then_in_its_new_rhythm(bench: Bench, autojump_clock: MockClock) -> None:
    reactor = await bench.start(interval=60)
    bench.executor.script["s"] = [EMPTY, INVALID, EMPTY]
    holder = await bench.held("s")
    await trio.sleep(30)
    session = await reactor.open(bench.opened())
    reactor.renew(evolve(reactor.definition, update_interval=100), session, CommonParameters())
    await trio.sleep(250)
    assert bench.asked("s") == [0, 30, 130, 230]
    assert [told[0] for told in holder.told] == [False, True]


async def test_a_renewal_that_comes_while_a_question_is_under_way_is_followed_by_another_question(
    bench: Bench, autojump_clock: MockClock
) -> None:
    reactor = await bench.start(interval=60)
    await bench.held("s")
    bench.executor.seconds = 5
    await trio.sleep(62)
    session = await reactor.open(bench.opened())
    reactor.renew(evolve(reactor.definition, update_interval=100), session, CommonParameters())
    await trio.sleep(150)
    assert bench.asked("s") == [0, 60, 65, 165]
