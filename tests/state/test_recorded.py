"""What is remembered is what runs: also of changes that others overtake, and of those that fail late."""

from pathlib import Path
from typing import cast

import trio
from attrs import define, field
from hypercorn.typing import ASGIFramework
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.config.parameters import NoParameters
from mmids_trio.config.parser import parse, parse_workflow
from mmids_trio.config.settings import Settings
from mmids_trio.definitions import StepDefinition, WorkflowDefinition
from mmids_trio.errors import StepError
from mmids_trio.media.flow import Flow
from mmids_trio.server.app import Server
from mmids_trio.server.building import World, build_server
from mmids_trio.state.record import State, StateEntry
from mmids_trio.state.recorder import ChangeRecorder, RecordedChanges
from mmids_trio.state.text import write
from mmids_trio.steps.registry import StepType
from mmids_trio.testing.harness import inline
from mmids_trio.testing.http import HttpClient
from mmids_trio.testing.network import MemoryNetwork
from mmids_trio.testing.reactors import FakeReactorService
from mmids_trio.workflow.change import Change
from mmids_trio.workflow.plan import SetPlan, WorkflowSet
from mmids_trio.workflow.status import Outcome, OutcomeKind, PlanView
from mmids_trio.workflow.step import Inbox, Outbox

SLOW = "workflow slow {\n    slow\n}\n"
REACTOR = "reactor r executor=scripted {\n}\n"


def workflow(name: str, key: str = "a") -> str:
    return f"workflow {name} {{\n    rtmp_receive rtmp_app={name} stream_key={key}\n}}\n"


@define(eq=False)
class Slow:
    """A step that is ready when it is told to be, fails when it is told to, and ends in its own time."""

    flow: Flow = Flow.PRODUCES
    may_be_ready: trio.Event = field(factory=trio.Event)
    may_end: trio.Event = field(factory=trio.Event)
    shall_fail: trio.Event = field(factory=trio.Event)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        await self.may_be_ready.wait()
        task_status.started()
        try:
            await self.shall_fail.wait()
            raise StepError("told to fail")
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                await self.may_end.wait()


@define(eq=False)
class Stage:
    """A server in memory, with steps of type `slow` and `fails_later`."""

    slow: Slow = field(factory=Slow)
    fails_later: Slow = field(factory=Slow)
    server: Server = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.fails_later.may_be_ready.set()
        self.fails_later.may_end.set()
        self.server = build_server(
            Settings(),
            world=World(network=MemoryNetwork()),
            more_steps=[
                StepType("slow", NoParameters, lambda _parameters, _context: self.slow),
                StepType("fails_later", NoParameters, lambda _parameters, _context: self.fails_later),
            ],
            more_executors=[FakeReactorService({}).kind()],
        )

    @property
    def recorded(self) -> RecordedChanges:
        return self.server.recorded

    @property
    def recorder(self) -> ChangeRecorder:
        return self.server.recorder

    async def start(self, nursery: trio.Nursery, text: str) -> None:
        definitions = [self.server.steps.validate(definition) for definition in parse(text, "file").workflows]
        await nursery.start(self.server.run, definitions)

    def put(self, text: str) -> Change[PlanView]:
        return self.recorded.apply(self.server.workflows.validate(parse_workflow(text, "request")))

    def put_set(self, text: str, *, brings_reactors: bool = False) -> Change[SetPlan]:
        document = parse(text, "request")
        assert not document.problems
        reactors = document.reactors if brings_reactors else None
        wanted = WorkflowSet(document.workflows, reactors=reactors, take_over=True)
        return self.recorded.apply_all(self.server.workflows.validate_all(wanted))


async def test_of_a_set_that_a_change_of_one_workflow_supersedes_nothing_is_remembered(nursery: trio.Nursery) -> None:
    stage = Stage()
    await stage.start(nursery, workflow("a") + workflow("b"))
    of_all = stage.put_set(workflow("a", "new") + workflow("b", "new") + SLOW)
    await wait_all_tasks_blocked()
    assert (await stage.put(workflow("a", "mine")).wait_outcome()).kind is OutcomeKind.APPLIED
    assert (await of_all.wait_outcome()).kind is OutcomeKind.SUPERSEDED
    assert stage.server.workflows.names() == ["a", "b"]
    assert list(stage.recorder.state.entries) == ["a"]
    assert stage.recorder.state.entries["a"].definition == stage.server.workflows.definition("a")


async def test_what_is_under_way_when_the_server_is_killed_is_remembered() -> None:
    stage = Stage()
    async with trio.open_nursery() as nursery:
        await stage.start(nursery, workflow("a"))
        change = stage.put_set(REACTOR + workflow("a", "new") + SLOW, brings_reactors=True)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert change.outcome is not None
    assert change.outcome.kind is OutcomeKind.STOPPED
    assert list(stage.recorder.state.entries) == ["a", "slow"]
    assert stage.recorder.state.reactors is not None


async def test_of_a_set_that_a_deletion_supersedes_nothing_is_remembered(nursery: trio.Nursery) -> None:
    stage = Stage()
    await stage.start(nursery, workflow("a") + workflow("b"))
    of_all = stage.put_set(REACTOR + workflow("a", "new") + workflow("b", "new") + SLOW, brings_reactors=True)
    await wait_all_tasks_blocked()
    assert stage.recorder.state.reactors is not None
    await stage.recorded.stop("a")
    assert (await of_all.wait_outcome()).kind is OutcomeKind.SUPERSEDED
    assert [(entry.name, entry.definition) for entry in stage.recorder.state] == [("a", None)]
    assert stage.recorder.state.reactors is None


async def test_a_deletion_whose_caller_hangs_up_is_remembered(nursery: trio.Nursery) -> None:
    stage = Stage()
    stage.slow.may_be_ready.set()
    await stage.start(nursery, SLOW + workflow("a"))
    async with trio.open_nursery() as caller:
        caller.start_soon(stage.recorded.stop, "slow")
        await wait_all_tasks_blocked()
        caller.cancel_scope.cancel()
    stage.slow.may_end.set()
    await wait_all_tasks_blocked()
    assert stage.server.workflows.names() == ["a"]
    assert [(entry.name, entry.definition) for entry in stage.recorder.state] == [("slow", None)]


async def test_a_set_in_progress_is_remembered_at_the_end_of_the_server(nursery: trio.Nursery) -> None:
    stage = Stage()
    await stage.start(nursery, workflow("a"))
    change = stage.put_set(workflow("a", "new") + SLOW)
    await wait_all_tasks_blocked()
    stage.server.stop()
    assert (await change.wait_outcome()).kind is OutcomeKind.STOPPED
    await wait_all_tasks_blocked()
    assert {entry.name: entry.definition is not None for entry in stage.recorder.state} == {"a": True, "slow": True}


async def test_a_set_that_wants_the_reactors_that_there_are_overtakes_one_that_adds_some(nursery: trio.Nursery) -> None:
    stage = Stage()
    await stage.start(nursery, "")
    await stage.put_set(workflow("a")).wait_outcome()
    adds = stage.put_set(REACTOR + SLOW, brings_reactors=True)
    await wait_all_tasks_blocked()
    same = stage.put_set(workflow("a"), brings_reactors=True)
    assert same.outcome == Outcome(OutcomeKind.APPLIED, "nothing to change")
    assert await adds.wait_outcome() == Outcome(OutcomeKind.SUPERSEDED, "superseded by a newer update of the reactors")
    stage.slow.may_be_ready.set()
    await wait_all_tasks_blocked()
    assert stage.server.workflows.names() == ["a"]
    assert (stage.server.workflows.reactor_definitions, stage.recorder.state.reactors) == ((), None)


async def test_changes_over_the_api_wait_until_the_start_is_over(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.start, nursery, SLOW + workflow("a") + workflow("b"))
        await wait_all_tasks_blocked()
        http = HttpClient(lambda: cast(ASGIFramework, stage.server.http_app), lambda: nursery)
        assert (await http.get("/workflows")).json() == [{"name": "slow"}]
        assert (await http.put("/workflows?wait=5", content=workflow("a", "mine"))).status == 200
        assert (await http.delete("/workflows/b")).status == 200
        await trio.sleep(5)
        wanted = stage.server.workflows.definition("a")
        assert wanted is not None
        assert wanted.steps[0].parameters["stream_key"] == "mine"
        assert stage.server.workflows.names() == ["slow", "a"]
        nursery.cancel_scope.cancel()


async def test_what_fails_after_the_swap_leaves_the_reactors_of_its_set(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage = Stage()
    stage.slow.may_be_ready.set()
    await stage.start(nursery, SLOW)
    change = stage.put_set(REACTOR + "workflow slow {\n    fails_later\n}\n", brings_reactors=True)
    await wait_all_tasks_blocked()
    stage.fails_later.shall_fail.set()
    await wait_all_tasks_blocked()
    stage.slow.may_end.set()
    assert (await change.wait_outcome()).kind is OutcomeKind.FAILED
    assert [reactor.name for reactor in stage.server.workflows.reactor_definitions] == ["r"]
    assert stage.recorder.state.reactors is not None
    assert stage.recorder.state.entries["slow"].definition == stage.server.workflows.definition("slow")


async def test_a_change_that_the_file_overrules_may_name_what_there_is_no_more(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    gone = WorkflowDefinition("w", (StepDefinition("step_of_a_plugin"),))
    kept = tmp_path / "state"
    kept.write_bytes(write(State({"w": StateEntry("w", gone, WorkflowDefinition("w").digest)})).data)
    server = build_server(Settings(state_path=str(kept)), world=World(network=MemoryNetwork(), offload=inline))
    await nursery.start(server.run, [])
    assert server.workflows.names() == []
    nursery.cancel_scope.cancel()
