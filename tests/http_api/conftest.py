"""A scripted stand-in for the workflow manager, and the API served over it on a loopback port."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import NoReturn

import httpx2
import pytest
import structlog
import trio
from attrs import define, field, frozen
from hypercorn.typing import ASGIFramework
from structlog.testing import LogCapture

from mmids_trio.definitions import WorkflowDefinition, step_ids
from mmids_trio.errors import ConfigurationError, NoSuchStep, Place, Problem
from mmids_trio.http_api.app import create_app
from mmids_trio.http_api.listening import bind, port_of
from mmids_trio.http_api.server import serve
from mmids_trio.rejections import RejectCounters
from mmids_trio.workflow.plan import WorkflowSet
from mmids_trio.workflow.status import (
    BY_API,
    Outcome,
    OutcomeKind,
    PlannedStep,
    PlanView,
    StepStatus,
    Switched,
    WorkflowOwner,
    WorkflowStatus,
)

KNOWN_STEPS = {"rtmp_receive", "rtmp_watch"}
HANG_SECONDS = 20


@define
class ScriptedChange:
    """A change whose end the test decides."""

    plan: PlanView
    ended: trio.Event = field(factory=trio.Event)
    outcome: Outcome | None = None
    waits_cancelled: int = 0

    def end(self, kind: OutcomeKind, message: str = "") -> None:
        self.outcome = Outcome(kind, message)
        self.ended.set()

    async def wait_outcome(self) -> Outcome:
        try:
            await self.ended.wait()
        except trio.Cancelled:
            self.waits_cancelled += 1
            raise
        assert self.outcome is not None
        return self.outcome


@define
class ScriptedWorkflows:
    """Remembers what it was asked for; `ending`, if set, is how every change ends at once."""

    statuses: dict[str, WorkflowStatus] = field(factory=dict)
    definitions: dict[str, WorkflowDefinition] = field(factory=dict)
    changes: list[ScriptedChange] = field(factory=list)
    applied: list[tuple[WorkflowDefinition, bool]] = field(factory=list)
    stopped: list[str] = field(factory=list)
    ending: Outcome | None = None
    changed: trio.Event = field(factory=trio.Event)
    may_stop: trio.Event | None = None
    failure: Exception | None = None
    asked_by: list[str] = field(factory=list)

    def names(self) -> list[str]:
        if self.failure is not None:
            raise self.failure
        return list(self.statuses)

    def status(self, name: str) -> WorkflowStatus | None:
        return self.statuses.get(name)

    def definition(self, name: str) -> WorkflowDefinition | None:
        if name not in self.statuses:
            return None
        return self.definitions.get(name) or WorkflowDefinition(name)

    async def prepare(self, definitions: object, reactors: object = ()) -> None:
        """Nothing is late here."""
        await trio.lowlevel.checkpoint()

    def validate(self, definition: WorkflowDefinition) -> WorkflowDefinition:
        problems = [
            Problem(step.place or Place("<request>", 1, 1, ""), f"unknown step type {step.step_type!r}")
            for step in definition.steps
            if step.step_type not in KNOWN_STEPS
        ]
        if problems:
            raise ConfigurationError(problems)
        return definition

    def owner(self, name: str) -> WorkflowOwner | None:
        return BY_API if name in self.statuses else None

    def plan(
        self,
        definition: WorkflowDefinition,
        *,
        owner: WorkflowOwner = BY_API,
        in_place: bool | None = None,
        show_keys: bool = False,
    ) -> PlanView:
        ids = step_ids(definition.steps)
        steps = tuple(PlannedStep(i, s.step_type, "start") for i, s in zip(ids, definition.steps, strict=True))
        created = definition.name not in self.statuses
        return PlanView(definition.name, created=created, changed=True, steps=steps, owner=owner)

    def apply(
        self,
        definition: WorkflowDefinition,
        *,
        rollback: bool = False,
        owner: WorkflowOwner,
        in_place: bool | None = None,
    ) -> ScriptedChange:
        change = ScriptedChange(self.plan(definition))
        if self.ending is not None:
            change.end(self.ending.kind, self.ending.message)
        self.changes.append(change)
        self.applied.append((definition, rollback))
        self.definitions[definition.name] = definition
        steps = tuple(StepStatus("1", step.step_type, step.parameters, "Active") for step in definition.steps)
        self.statuses[definition.name] = WorkflowStatus("Running", steps, ())
        self.changed.set()
        return change

    def by(self, who: str) -> "ScriptedWorkflows":
        self.asked_by.append(who)
        return self

    def apply_all(self, wanted: WorkflowSet) -> NoReturn:
        raise NotImplementedError

    def switch(self, name: str, step_id: str, to: str) -> Switched:
        raise NoSuchStep(f"{name}, {step_id} and {to}")

    async def stop(self, name: str) -> None:
        self.stopped.append(name)
        if self.may_stop is not None:
            await self.may_stop.wait()
        self.statuses.pop(name, None)
        for change in self.changes:
            if change.plan.workflow == name and change.outcome is None:
                change.end(OutcomeKind.STOPPED, f"workflow {name!r} was stopped")


@frozen
class Served:
    """A running server."""

    port: int
    shutdown: trio.Event
    scope: trio.CancelScope
    ended: trio.Event

    async def connect(self, data: bytes = b"") -> trio.SocketStream:
        """A bare connection, with `data` sent over it."""
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        await stream.send_all(data)
        return stream


Serve = Callable[..., Awaitable[Served]]


@pytest.fixture
def rejections() -> RejectCounters:
    """Where the API under test counts whom it refuses."""
    return RejectCounters()


async def _run(app: ASGIFramework, listeners: list[trio.SocketListener], served: Served, **kwargs: object) -> None:
    with served.scope:
        await serve(app, listeners, shutdown=served.shutdown, **kwargs)  # type: ignore[arg-type]  # task_status
    served.ended.set()


@pytest.fixture
async def serve_app(nursery: trio.Nursery, rejections: RejectCounters) -> Serve:
    """Serves an application on a free loopback port until the end of the test."""

    async def start(app: ASGIFramework, **options: object) -> Served:
        listeners = await bind("127.0.0.1", 0)
        served = Served(port_of(listeners), trio.Event(), trio.CancelScope(), trio.Event())
        await nursery.start(partial(_run, app, listeners, served, rejections=rejections, **options))
        return served

    return start


@pytest.fixture
def workflows() -> ScriptedWorkflows:
    """The stand-in that the API under test drives."""
    return ScriptedWorkflows()


@pytest.fixture
async def served(serve_app: Serve, workflows: ScriptedWorkflows, rejections: RejectCounters) -> Served:
    """The API without a token."""
    return await serve_app(create_app(workflows, workflows, token=None, version="1.2.3", rejections=rejections))


@pytest.fixture
async def client(served: Served) -> AsyncIterator[httpx2.AsyncClient]:
    """An ordinary HTTP client of the API without a token."""
    url = f"http://127.0.0.1:{served.port}"
    async with httpx2.AsyncClient(base_url=url, trust_env=False, verify=False, timeout=HANG_SECONDS) as client:
        yield client


@pytest.fixture
async def guarded(
    serve_app: Serve, workflows: ScriptedWorkflows, rejections: RejectCounters
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client (without credentials) of the API with the token `s3cret`."""
    served = await serve_app(create_app(workflows, workflows, token="s3cret", version="1.2.3", rejections=rejections))
    url = f"http://127.0.0.1:{served.port}"
    async with httpx2.AsyncClient(base_url=url, trust_env=False, verify=False, timeout=HANG_SECONDS) as client:
        yield client


@pytest.fixture
def logs() -> Iterator[LogCapture]:
    """What is logged, with the bound context of each line."""
    capture = LogCapture()
    before = structlog.get_config()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, capture])
    yield capture
    structlog.configure(**before)
