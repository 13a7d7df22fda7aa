"""What stands in for the workflow manager and for a lookup service, and a reactor between the two."""

from collections.abc import Callable, Hashable, Iterable
from contextlib import AbstractAsyncContextManager, nullcontext

import trio
from attrs import define, field

from mmids_trio.definitions import ReactorDefinition, StepDefinition, WorkflowDefinition, step_ids
from mmids_trio.errors import ConfigurationError, Place, Problem
from mmids_trio.reactors.asker import Asker
from mmids_trio.reactors.executor import Answer, CommonParameters, ExecutorFailure
from mmids_trio.reactors.lease import Hold
from mmids_trio.reactors.reactor import Reactor
from mmids_trio.reactors.views import LeaseView
from mmids_trio.stream_request import StreamRequest
from mmids_trio.workflow.events import ReactorAnswered
from mmids_trio.workflow.status import BY_API, StepStatus, WorkflowOwner, WorkflowStatus

API = BY_API
INVALID = Answer(valid=False)
EMPTY = Answer(valid=True)
ANYBODY = Asker("somewhere")
DOWN = ExecutorFailure("the service is down")


def flow(name: str, *steps: str, routed: bool = False) -> WorkflowDefinition:
    """A workflow with steps of these types; one of type `bad` is not valid."""
    return WorkflowDefinition(name, tuple(StepDefinition(step) for step in steps or ("step",)), routed)


def valid(*workflows: WorkflowDefinition | str) -> Answer:
    """An answer that calls for these workflows."""
    return Answer(True, tuple(flow(item) if isinstance(item, str) else item for item in workflows))


@define(eq=False)
class FakeWorkflows:
    """Workflows by name with their owners, as the manager has them, but with nothing in them."""

    stop_seconds: float = 0
    running: dict[str, WorkflowDefinition] = field(factory=dict)
    owners: dict[str, WorkflowOwner] = field(factory=dict)
    failed: set[str] = field(factory=set)
    applied: list[str] = field(factory=list)
    ends: dict[str, float] = field(factory=dict)
    stopped: list[str] = field(factory=list)
    prepared: list[WorkflowDefinition] = field(factory=list)

    def owner(self, name: str) -> WorkflowOwner | None:
        return self.owners.get(name)

    def status(self, name: str) -> WorkflowStatus | None:
        if name not in self.running:
            return None
        steps = self.running[name].steps
        described = (StepStatus(i, s.step_type, {}, "Active") for i, s in zip(step_ids(steps), steps, strict=True))
        return WorkflowStatus("Step id 1 failed: x" if name in self.failed else "Running", tuple(described), ())

    def definition(self, name: str) -> WorkflowDefinition | None:
        return self.running.get(name)

    async def prepare(self, definitions: Iterable[WorkflowDefinition], reactors: object = ()) -> None:
        await trio.lowlevel.checkpoint()
        self.prepared += definitions

    def validate(self, definition: WorkflowDefinition) -> WorkflowDefinition:
        assert definition in self.prepared, "the loop would wait for imports"
        if any(step.step_type == "bad" for step in definition.steps):
            raise ConfigurationError([Problem(Place("<answer>", 2, 5, "key=secret"), "unknown step type 'bad'")])
        return definition

    def apply(self, definition: WorkflowDefinition, *, owner: WorkflowOwner = API) -> None:
        assert self.owners.setdefault(definition.name, owner) == owner, "took over what somebody else owns"
        self.running[definition.name] = definition
        self.failed.discard(definition.name)
        self.applied.append(definition.name)

    async def stop(self, name: str) -> None:
        self.stopped.append(name)
        if self.running.pop(name, None):
            del self.owners[name]
            self.ends[name] = trio.current_time() + self.stop_seconds
        await trio.sleep_until(self.ends.get(name, trio.current_time()))


@define(eq=False)
class ScriptedExecutor:
    """Answers from a script per stream, the last line again and again; takes `seconds` for each."""

    seconds: float = 0
    script: dict[str, list[Answer | Exception]] = field(factory=dict)
    asked: list[tuple[float, str]] = field(factory=list)
    requests: list[StreamRequest] = field(factory=list)
    busy: set[Hashable] = field(factory=set)
    released: list[tuple[float, str]] = field(factory=list)
    deaf_for: int = 0
    """Releases that it does not hear."""

    async def release(self, request: StreamRequest) -> None:
        await trio.lowlevel.checkpoint()
        if self.deaf_for:
            self.deaf_for -= 1
            raise DOWN
        self.released.append((trio.current_time(), request.name))

    async def ask(self, request: StreamRequest) -> Answer:
        stream_name = request.name
        assert request.identity not in self.busy, "runs of one lease overlap"
        self.busy.add(request.identity)
        self.asked.append((trio.current_time(), stream_name))
        self.requests.append(request)
        try:
            await trio.sleep(self.seconds)
        finally:
            self.busy.remove(request.identity)
        lines = self.script.get(stream_name, [EMPTY])
        line = lines.pop(0) if len(lines) > 1 else lines[0]
        if isinstance(line, Exception):
            raise line
        return line


@define(eq=False)
class Holder:
    """A holder that notes what it is told, and does something then if asked to."""

    then: Callable[["Holder"], None] = lambda _: None
    told: list[tuple[bool | None, tuple[str, ...]]] = field(factory=list)
    hold: Hold = field(init=False)

    def on_change(self) -> None:
        self.told.append((self.hold.is_valid, self.hold.routable))
        self.then(self)


@define(eq=False)
class Bench:
    """A reactor named `lookup` on stand-ins."""

    nursery: trio.Nursery
    workflows: FakeWorkflows = field(factory=FakeWorkflows)
    executor: ScriptedExecutor = field(factory=ScriptedExecutor)
    events: list[ReactorAnswered] = field(factory=list)
    reactor: Reactor = field(init=False)
    began: float = field(init=False)

    def opened(self) -> AbstractAsyncContextManager[ScriptedExecutor]:
        """The executor, to be opened."""
        return nullcontext(self.executor)

    async def start(
        self, *, interval: int = 0, allow: bool = False, per_watcher: bool = False, name: str = "lookup"
    ) -> Reactor:
        """Run the reactor (or, with another name, one more on the same stand-ins)."""
        self.reactor = Reactor(
            ReactorDefinition(name, "scripted", interval),
            self.opened(),
            self.workflows,
            common=CommonParameters(allow, per_watcher),
            listener=self.events.append,
        )
        await self.nursery.start(self.reactor.run)
        self.began = trio.current_time()
        return self.reactor

    def hold(
        self,
        stream: str | StreamRequest,
        then: Callable[[Holder], None] = lambda _: None,
        asker: Asker = ANYBODY,
    ) -> Holder:
        holder = Holder(then)
        request = StreamRequest(key=stream) if isinstance(stream, str) else stream
        holder.hold = self.reactor.hold(request, holder.on_change, asker)
        return holder

    async def held(self, stream: str | StreamRequest) -> Holder:
        """A holder that has its first answer."""
        holder = self.hold(stream)
        await holder.hold.wait_answer()
        return holder

    def asked(self, stream: str) -> list[float]:
        """When the executor was asked about a stream, in seconds since the reactor began."""
        return [when - self.began for when, name in self.executor.asked if name == stream]

    @property
    def running(self) -> set[str]:
        return set(self.workflows.running)

    def lease(self) -> LeaseView:
        """The only lease."""
        [lease] = self.reactor.view().leases
        return lease
