"""All reactors of a server, by name: the one place that runs them, and that puts others in their place."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Self

import trio
from attrs import define, evolve, field

from mmids_trio.definitions import ReactorDefinition
from mmids_trio.errors import ConfigurationError, MmidsError
from mmids_trio.offload import Work
from mmids_trio.reactors.asker import Asker
from mmids_trio.reactors.executor import ExecutorFailure, ExecutorRegistry
from mmids_trio.reactors.lease import Hold
from mmids_trio.reactors.leased import LeasableWorkflows
from mmids_trio.reactors.reactor import ExecutorSession, Reactor
from mmids_trio.reactors.views import Listener, ReactorView, nobody
from mmids_trio.stream_request import StreamRequest
from mmids_trio.workflow.plan import PlannedReactor
from mmids_trio.workflow.status import of_set


class Reactors:
    """The reactors of a checked configuration: their names from the beginning, they themselves once they run.

    Steps know them, and they start workflows, whose steps are known before; so the workflows come with `run`.
    """

    def __init__(
        self, definitions: Sequence[ReactorDefinition], executors: ExecutorRegistry, listener: Listener = nobody
    ) -> None:
        self.definitions = tuple(definitions)
        """What is in force. Reactors that are being added, and may be taken back, are not among them."""
        self._executors = executors
        self._listener = listener
        self._workflows: LeasableWorkflows | None = None
        self._nursery: trio.Nursery | None = None
        self._reactors: dict[str, Reactor] = {}

    async def run(
        self,
        workflows: LeasableWorkflows,
        definitions: Sequence[ReactorDefinition] | None = None,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Run all reactors until cancelled: those of `definitions`, where they differ from the configuration.

        Raises `ConfigurationError` for one that is not checked.
        """
        if definitions is not None:
            self.definitions = tuple(definitions)
        self._workflows = workflows
        self._reactors = {definition.name: self._make(definition, workflows) for definition in self.definitions}
        async with trio.open_nursery() as self._nursery:
            for reactor in self._reactors.values():
                await self._nursery.start(reactor.run)
            task_status.started()
            await trio.sleep_forever()

    def _make(self, definition: ReactorDefinition, workflows: LeasableWorkflows) -> Reactor:
        choice = self._executors.choose(definition)
        return Reactor(
            definition,
            choice.open(),
            workflows,
            common=choice.common,
            listener=self._listener,
        )

    def names(self) -> Sequence[str]:
        """Names of all reactors, in the order of the configuration."""
        return [definition.name for definition in self.definitions]

    def hold(self, reactor: str, request: StreamRequest, on_change: Callable[[], None], asker: Asker) -> Hold:
        """See `Reactor.hold`; raises `KeyError` for a reactor that there is not."""
        return self._reactors[reactor].hold(request, on_change, asker)

    def get(self, name: str) -> Reactor | None:
        """The one of that name, also where it is only being added; `None` where there is none."""
        return self._reactors.get(name)

    @property
    def leased(self) -> Sequence[str]:
        """`reactor stream` of every lease that has not ended, those included that nobody holds any more."""
        return [f"{reactor.name} {stream}" for reactor in self._reactors.values() for stream in reactor.leased]

    def leases(self) -> Mapping[str, int]:
        """How many streams each has a lease for."""
        return {name: reactor.lease_count for name, reactor in self._in_force()}

    def questions(self) -> Mapping[str, int]:
        """How many questions each asks its service, or has waiting."""
        return {name: reactor.questions for name, reactor in self._in_force()}

    def views(self) -> Sequence[ReactorView]:
        """What the outside may know of all of them."""
        return [self._view(definition) for definition in self.definitions if definition.name in self._reactors]

    def view(self, name: str) -> ReactorView | None:
        """What the outside may know of one; `None` where there is none."""
        return next((view for view in self.views() if view.name == name), None)

    def _view(self, definition: ReactorDefinition) -> ReactorView:
        return evolve(self._reactors[definition.name].view(), set=of_set(definition.set).other_set)

    def _in_force(self) -> Iterator[tuple[str, Reactor]]:
        """Those that run and are not only being added."""
        return ((name, self._reactors[name]) for name in self.names() if name in self._reactors)

    # For replacements.

    def replacement(self, definitions: Sequence[ReactorDefinition]) -> "ReplacedReactors":
        """What puts `definitions` in place of those that there are. Raises `ConfigurationError`."""
        if self._workflows is None:
            raise MmidsError("the reactors do not run yet")
        return ReplacedReactors.of(self, definitions)

    def works(self, definition: ReactorDefinition) -> Iterable[Work]:
        """What is done in a thread before a definition, checked or not, is looked at where clients are served."""
        return self._executors.works(definition)

    def check(self, definitions: Sequence[ReactorDefinition]) -> None:
        """Raise `ConfigurationError` with everything that is wrong with `definitions`."""
        problems = [problem for definition in definitions for problem in self._executors.problems(definition)]
        if problems:
            raise ConfigurationError(problems)

    async def add(self, definition: ReactorDefinition) -> None:
        """Run one more. Raises what its executor does, or `ExecutorFailure` where the reactors do not run."""
        if self._nursery is None or self._workflows is None:
            raise ExecutorFailure("the reactors do not run")
        reactor = self._reactors[definition.name] = self._make(definition, self._workflows)
        try:
            await self._nursery.start(reactor.run)
        except BaseException:
            self.remove(definition.name)
            raise

    def remove(self, name: str) -> None:
        """Stop one, if it is there; its end is not awaited."""
        reactor = self._reactors.pop(name, None)
        if reactor is not None:
            reactor.stop()

    async def open(self, definition: ReactorDefinition) -> ExecutorSession:
        """Open the executor that a reactor is to have next. Raises what that does."""
        return await self._reactors[definition.name].open(self._executors.choose(definition).open())

    def renew(self, definition: ReactorDefinition, session: ExecutorSession) -> None:
        """Give a reactor another definition, with its executor."""
        self._reactors[definition.name].renew(definition, session, self._executors.choose(definition).common)


@define(eq=False)
class ReplacedReactors:
    """Other definitions in place of those of a server's reactors; see `workflow.change.Replacement`.

    In two steps: what is new begins, then all else changes. In between it can be taken back, without anybody having
    noticed.
    """

    plan: tuple[PlannedReactor, ...]
    _reactors: Reactors
    _definitions: Sequence[ReactorDefinition]
    _added: list[str] = field(factory=list, init=False)
    _sessions: dict[str, ExecutorSession] = field(factory=dict, init=False)
    """Executors of reactors that change."""

    @classmethod
    def of(cls, reactors: Reactors, definitions: Sequence[ReactorDefinition]) -> Self:
        """Compare `definitions` with what there is. Raises `ConfigurationError` with every problem."""
        reactors.check(definitions)
        return cls(
            plan_reactors({known.name: known for known in reactors.definitions}, definitions), reactors, definitions
        )

    @property
    def removed(self) -> Sequence[str]:
        """See `workflow.change.Replacement`."""
        return self._named("stop")

    def _named(self, action: str) -> Sequence[str]:
        return [reactor.name for reactor in self.plan if reactor.action == action]

    async def begin(self) -> None:
        """See `workflow.change.Replacement`."""
        wanted = {definition.name: definition for definition in self._definitions}
        try:
            for name in self._named("start"):
                self._added.append(name)
                await self._reactors.add(wanted[name])
            for name in self._named("change"):
                self._sessions[name] = await self._reactors.open(wanted[name])
        except MmidsError:
            raise
        except Exception as error:  # an executor's own, perhaps with something secret in its text
            raise ExecutorFailure(f"reactor '{name}' cannot be started: {type(error).__name__}") from error

    def commit(self) -> None:
        """See `workflow.change.Replacement`."""
        for definition in self._definitions:
            if definition.name in self._sessions:
                self._reactors.renew(definition, self._sessions[definition.name])
        for name in self.removed:
            self._reactors.remove(name)
        self._reactors.definitions = tuple(self._definitions)

    def take_back(self) -> None:
        """See `workflow.change.Replacement`."""
        for name in self._added:
            self._reactors.remove(name)
        for session in self._sessions.values():
            session.close()


def plan_reactors(
    known: Mapping[str, ReactorDefinition], wanted: Sequence[ReactorDefinition]
) -> tuple[PlannedReactor, ...]:
    """What happens to each reactor: the wanted ones in their order, then those that go."""
    names = {definition.name for definition in wanted}
    return (
        *(_planned(known.get(definition.name), definition) for definition in wanted),
        *(PlannedReactor(name, "stop") for name in known if name not in names),
    )


def _planned(known: ReactorDefinition | None, wanted: ReactorDefinition) -> PlannedReactor:
    if known is None:
        return PlannedReactor(wanted.name, "start")
    return PlannedReactor(wanted.name, "keep" if evolve(known, set=wanted.set) == wanted else "change")
