"""Reloads in memory: all or nothing, one at a time, whoever waits, and with respect for what the API has changed."""

from functools import partial

import pytest
import trio
from attrs import define, evolve, field
from structlog.testing import capture_logs
from trio.testing import wait_all_tasks_blocked

from mmids_trio.config.parameters import NoParameters
from mmids_trio.config.parser import parse, parse_workflow
from mmids_trio.config.settings import Settings
from mmids_trio.errors import ConfigurationError, MmidsError, StepError
from mmids_trio.media.flow import Flow
from mmids_trio.reload.configuration_file import Configuration
from mmids_trio.reload.live import live_settings
from mmids_trio.reload.reloader import Reloader
from mmids_trio.server.app import Server
from mmids_trio.server.building import World, build_server
from mmids_trio.state.record import merge
from mmids_trio.state.recorder import RecordedChanges
from mmids_trio.steps.registry import StepType
from mmids_trio.testing.network import MemoryNetwork
from mmids_trio.workflow.status import OutcomeKind
from mmids_trio.workflow.step import Inbox, Outbox

FILE = "mmids.config"


def workflow(name: str, key: str = "a") -> str:
    return f"workflow {name} {{\n    rtmp_receive rtmp_app={name} stream_key={key}\n}}\n"


def refuse(*_: object) -> object:
    raise StepError("cannot start")


class Lasting:
    """A step that is told to fail, or takes its time to end."""

    flow = Flow.PRODUCES

    def __init__(self) -> None:
        self.may_end = trio.Event()
        self.shall_fail = trio.Event()

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        try:
            await self.shall_fail.wait()
            raise StepError("told to fail")
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                await self.may_end.wait()


def _made(step: Lasting, _values: object, _context: object) -> Lasting:
    return step


BROKEN = StepType("broken", NoParameters, refuse)  # type: ignore[arg-type]  # nothing of it is ever used
BROKEN_WORKFLOW = "workflow broken {\n    broken\n}\n"


@define(eq=False)
class Stage:
    """A server in memory with `text` in its file, and the ways to change it."""

    text: str
    server: Server
    reloader: Reloader = field(init=False)
    recorded: RecordedChanges = field(init=False)
    reads: int = 0
    gate: trio.Event | None = None
    fault: Exception | None = None
    renewals: int = 0
    settings: Settings = field(factory=Settings)

    def __attrs_post_init__(self) -> None:
        server = self.server
        live = live_settings(server.rtmp, server.ffmpeg, server.workflows)
        self.reloader = Reloader(
            server.settings,
            self.load,
            server.workflows,
            server.recorder,
            live,
            self.renew,
            server.hub.publish,
            lambda: 1_800_000_000.0,
        )
        self.recorded = RecordedChanges(server.workflows, server.recorder)

    async def renew(self) -> None:
        await trio.lowlevel.checkpoint()
        self.renewals += 1

    async def load(self) -> Configuration:
        self.reads += 1
        await trio.lowlevel.checkpoint()
        if self.gate is not None:
            await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        document = parse(self.text, FILE)
        if document.problems:
            raise ConfigurationError(document.problems)
        workflows = tuple(self.server.steps.validate(workflow) for workflow in document.workflows)
        return Configuration(FILE, evolve(document, workflows=workflows), self.settings, self.text)

    async def put(self, text: str, *, rollback: bool = False) -> OutcomeKind:
        definition = self.server.workflows.validate(parse_workflow(text, "request"))
        return (await self.recorded.apply(definition, rollback=rollback).wait_outcome()).kind

    async def reload(self, text: str) -> OutcomeKind:
        self.text = text
        return (await (await self.reloader.reload()).wait_outcome()).kind

    def running(self) -> dict[str, str | None]:
        """The stream keys."""
        definitions = {name: self.server.workflows.definition(name) for name in self.server.workflows.names()}
        return {
            name: definition.steps[0].parameters.get("stream_key")
            for name, definition in definitions.items()
            if definition is not None
        }


async def start(nursery: trio.Nursery, text: str, **more: Lasting) -> Stage:
    lasting = [StepType(name, NoParameters, partial(_made, step)) for name, step in more.items()]
    stage = Stage(text, build_server(Settings(), world=World(network=MemoryNetwork()), more_steps=[BROKEN, *lasting]))
    await nursery.start(stage.server.run, (await stage.load()).document.workflows)
    await nursery.start(stage.reloader.run)
    return stage


async def test_what_the_file_says_anew_runs_and_what_it_says_no_more_does_not(nursery: trio.Nursery) -> None:
    stage = await start(nursery, workflow("kept") + workflow("changed") + workflow("gone"))
    await stage.put(workflow("made"))
    assert await stage.reload(workflow("kept") + workflow("changed", "b") + workflow("new")) is OutcomeKind.APPLIED
    assert stage.running() == {"kept": "a", "changed": "b", "made": "a", "new": "a"}
    assert str(stage.server.workflows.owner("new")) == f"configuration file {FILE}"


async def test_a_reload_that_changes_nothing_does_not_claim_in_the_log_that_it_did(nursery: trio.Nursery) -> None:
    stage = await start(nursery, workflow("kept"))
    with capture_logs() as logs:
        await stage.reload(workflow("kept"))
        assert [line["event"] for line in logs] == ["configuration reloaded"]
        await stage.reload(workflow("kept", "b"))
    assert "set of workflows changed" in [line["event"] for line in logs]


async def test_certificates_are_read_again_with_a_file_that_is_put_in_place_and_only_then(
    nursery: trio.Nursery,
) -> None:
    stage = await start(nursery, workflow("kept"))
    await stage.reload(workflow("kept"))
    assert stage.renewals == 1
    with pytest.raises(ConfigurationError):
        await stage.reload("workflow {")
    assert stage.renewals == 1


async def test_the_log_names_what_is_wrong_without_the_line_that_may_hold_a_key(nursery: trio.Nursery) -> None:
    stage = await start(nursery, workflow("kept"))
    with capture_logs() as lines, pytest.raises(ConfigurationError):
        await stage.reload("workflow w {\n    rtmp_receive rtmp_app=live stream_key=private port=x\n}\n")
    [problem] = [line["problem"] for line in lines if line["event"] == "configuration not reloaded"]
    assert problem.startswith(f"{FILE}:2:")
    assert "'port'" in problem
    assert "private" not in str(lines)


async def test_a_reload_of_the_same_file_keeps_what_the_api_has_changed(nursery: trio.Nursery) -> None:
    file = workflow("changed") + workflow("deleted")
    stage = await start(nursery, file)
    await stage.put(workflow("changed", "b"))
    await stage.recorded.stop("deleted")
    reload = await stage.reloader.reload()
    assert not reload.plan.changed
    await reload.wait_outcome()
    assert stage.running() == {"changed": "b"}


async def test_a_file_that_changed_overrules_the_api_and_says_so(nursery: trio.Nursery) -> None:
    stage = await start(nursery, workflow("changed") + workflow("deleted") + workflow("gone"))
    await stage.put(workflow("changed", "b"))
    await stage.put(workflow("gone", "b"))
    await stage.recorded.stop("deleted")
    stage.text = workflow("changed", "c") + workflow("deleted", "c")
    reload = await stage.reloader.reload()
    assert (await reload.wait_outcome()).kind is OutcomeKind.APPLIED
    assert stage.running() == {"changed": "c", "deleted": "c"}
    assert [warning.partition(" over the API")[0] for warning in reload.warnings] == [
        "workflow 'changed' was changed",
        "workflow 'gone' was changed",
        "workflow 'deleted' was deleted",
    ]
    assert not stage.server.recorder.state.entries


async def test_a_file_with_errors_changes_nothing(nursery: trio.Nursery) -> None:
    stage = await start(nursery, workflow("live"))
    stage.text = workflow("live", "b") + "workflow {\n}\n"
    with pytest.raises(ConfigurationError, match="expected a workflow name"):
        await stage.reloader.reload()
    assert stage.running() == {"live": "a"}


async def test_a_file_of_which_something_cannot_start_changes_nothing(nursery: trio.Nursery) -> None:
    stage = await start(nursery, workflow("live") + workflow("changed"))
    await stage.put(workflow("changed", "b"))
    state = stage.server.recorder.state
    stage.settings = Settings(publisher_timeout=5)
    kind = await stage.reload(workflow("live", "b") + workflow("changed", "c") + BROKEN_WORKFLOW)
    assert kind is OutcomeKind.ROLLED_BACK
    assert stage.running() == {"live": "a", "changed": "b"}
    assert stage.server.recorder.state == state
    assert stage.server.rtmp.publisher_timeout == Settings().publisher_timeout
    assert await stage.reload(workflow("live") + workflow("changed")) is OutcomeKind.APPLIED
    assert stage.running() == {"live": "a", "changed": "b"}


async def test_settings_change_where_they_can(nursery: trio.Nursery) -> None:
    stage = await start(nursery, "")
    stage.settings = Settings(publisher_timeout=5, http_api_token="new", log_path="/elsewhere")
    reload = await stage.reloader.reload()
    await reload.wait_outcome()
    assert set(reload.applied_settings) == {"publisher_timeout", "http_api_token"}
    assert reload.needs_restart == ("log_path",)
    assert stage.server.rtmp.publisher_timeout == 5
    assert stage.reloader.settings == Settings(publisher_timeout=5, http_api_token="new")


async def test_an_ffmpeg_that_does_not_work_changes_nothing(nursery: trio.Nursery) -> None:
    stage = await start(nursery, workflow("live"))
    stage.text, stage.settings = workflow("live", "b"), Settings(ffmpeg_path="/none/ffmpeg")
    with pytest.raises(StepError, match="the setting ffmpeg_path names /none/ffmpeg, which does not exist"):
        await stage.reloader.reload()
    assert stage.running() == {"live": "a"}


@pytest.mark.thorough
async def test_a_fault_of_ours_ends_one_reload_and_not_the_next(nursery: trio.Nursery) -> None:
    stage = await start(nursery, "")
    stage.fault = RuntimeError("a bug")
    with pytest.raises(MmidsError, match="internal error"):
        await stage.reloader.reload()
    stage.fault = None
    assert await stage.reload(workflow("live")) is OutcomeKind.APPLIED


async def test_requests_that_come_while_a_file_is_read_share_the_next_reading(nursery: trio.Nursery) -> None:
    stage = await start(nursery, "")
    before, stage.gate = stage.reads, trio.Event()
    async with trio.open_nursery() as waiting:
        for _ in range(5):
            waiting.start_soon(stage.reloader.reload)
            await wait_all_tasks_blocked()
        assert stage.reads == before + 1
        stage.gate.set()
    assert stage.reads == before + 2


async def test_whoever_stops_waiting_stops_nothing(nursery: trio.Nursery) -> None:
    stage = await start(nursery, "")
    stage.text, stage.gate = workflow("live"), trio.Event()
    async with trio.open_nursery() as waiting:
        waiting.start_soon(stage.reloader.reload)
        await wait_all_tasks_blocked()
        waiting.cancel_scope.cancel()
    stage.gate.set()
    await wait_all_tasks_blocked()
    assert stage.running() == {"live": "a"}


async def test_a_change_that_was_rolled_back_is_forgotten_by_whoever_waited_for_it(nursery: trio.Nursery) -> None:
    stage = await start(nursery, workflow("live"))
    assert await stage.put(BROKEN_WORKFLOW, rollback=True) is OutcomeKind.ROLLED_BACK
    assert not stage.server.recorder.state.entries
    broken_live = BROKEN_WORKFLOW.replace("workflow broken", "workflow live")
    assert await stage.put(broken_live, rollback=True) is OutcomeKind.ROLLED_BACK
    assert not stage.server.recorder.state.entries


async def test_a_workflow_that_failed_is_remembered_as_it_was_asked_for(nursery: trio.Nursery) -> None:
    stage = await start(nursery, "")
    assert await stage.put(BROKEN_WORKFLOW) is OutcomeKind.FAILED
    assert list(stage.server.recorder.state.entries) == ["broken"]


async def test_the_end_of_the_server_is_no_deletion(nursery: trio.Nursery) -> None:
    stage = await start(nursery, "")
    await stage.put(workflow("made"))
    stage.server.stop()
    await wait_all_tasks_blocked()
    assert list(stage.server.recorder.state.entries) == ["made"]


async def test_a_file_that_is_in_place_counts_also_where_something_has_failed_since(nursery: trio.Nursery) -> None:
    old, new = Lasting(), Lasting()
    stage = await start(nursery, "workflow w {\n    old\n}\n", old=old, new=new)
    stage.text, stage.settings = "workflow w {\n    new\n}\n", Settings(publisher_timeout=5)
    reload = await stage.reloader.reload()
    await wait_all_tasks_blocked()
    new.may_end.set()
    new.shall_fail.set()
    await wait_all_tasks_blocked()
    old.may_end.set()
    assert (await reload.wait_outcome()).kind is OutcomeKind.FAILED
    assert stage.server.rtmp.publisher_timeout == 5
    assert stage.server.recorder.state.entries == {}
    await stage.put(workflow("w"))
    assert merge((await stage.load()).document.workflows, stage.server.recorder.state).dropped == ()


async def test_a_change_during_a_reload_that_the_end_of_the_server_cuts_short_counts_with_the_new_file(
    nursery: trio.Nursery,
) -> None:
    old = Lasting()
    stage = await start(nursery, workflow("live") + "workflow w {\n    old\n}\n", old=old)
    stage.text = workflow("live", "b")
    reload = await stage.reloader.reload()
    await wait_all_tasks_blocked()
    await stage.put(workflow("live", "c"))
    stage.server.stop()
    await wait_all_tasks_blocked()
    old.may_end.set()
    assert (await reload.wait_outcome()).kind is OutcomeKind.STOPPED
    merged = merge((await stage.load()).document.workflows, stage.server.recorder.state)
    assert (merged.dropped, merged.workflows[0].steps[0].parameters["stream_key"]) == ((), "c")


CLUSTER = """
cluster world {{
    registry redis://127.0.0.1:6379
    node a
    advertise rtmp://a.example:1935
    secret 0123456789abcdef0123
    linger {linger}
}}
"""


async def test_a_changed_cluster_node_counts_after_a_restart_and_the_rest_of_the_file_at_once(
    nursery: trio.Nursery,
) -> None:
    before = CLUSTER.format(linger="30s")
    stage = await start(nursery, before + workflow("live"))
    stage.reloader.cluster = parse(before, FILE).cluster
    assert stage.reloader.cluster is not None
    stage.text = before + workflow("live", "b")
    assert (await stage.reloader.reload()).needs_restart == ()
    for text in (CLUSTER.format(linger="5s") + workflow("live", "c"), workflow("live", "d")):
        stage.text = text
        reload = await stage.reloader.reload()
        assert (await reload.wait_outcome()).kind is OutcomeKind.APPLIED
        assert reload.needs_restart == ("cluster",)
    assert stage.running() == {"live": "d"}
    assert stage.reloader.cluster == parse(before, FILE).cluster  # which the server is in until it starts again


async def test_a_file_with_a_wrong_cluster_node_changes_nothing(nursery: trio.Nursery) -> None:
    stage = await start(nursery, workflow("live"))
    stage.text = CLUSTER.format(linger="never") + workflow("live", "b")
    with pytest.raises(ConfigurationError, match="linger"):
        await stage.reloader.reload()
    assert stage.running() == {"live": "a"}
