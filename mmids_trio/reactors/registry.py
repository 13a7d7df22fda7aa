"""All reactors of a server, by name: the one place that runs them."""

from collections.abc import Callable, Mapping, Sequence

import trio

from mmids_trio.definitions import ReactorDefinition
from mmids_trio.errors import ConfigurationError
from mmids_trio.reactors.executor import ExecutorFailure, ExecutorRegistry
from mmids_trio.reactors.lease import Hold
from mmids_trio.reactors.leased import Workflows
from mmids_trio.reactors.reactor import Reactor
from mmids_trio.reactors.session import Session
from mmids_trio.reactors.views import Listener, ReactorView, nobody


class Reactors:
    """The reactors of a checked configuration. Raises `ConfigurationError` for one that is not."""

    def __init__(
        self,
        definitions: Sequence[ReactorDefinition],
        executors: ExecutorRegistry,
        workflows: Workflows,
        listener: Listener = nobody,
    ) -> None:
        self.definitions = tuple(definitions)
        """What is in force. Reactors that are being added, and may be taken back, are not among them."""
        self._executors = executors
        self._workflows = workflows
        self._listener = listener
        self._nursery: trio.Nursery | None = None
        self._reactors = {definition.name: self._make(definition) for definition in definitions}

    def _make(self, definition: ReactorDefinition) -> Reactor:
        choice = self._executors.choose(definition)
        return Reactor(
            definition,
            choice.open(),
            self._workflows,
            allow_on_failure=choice.allow_on_failure,
            listener=self._listener,
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run all reactors until cancelled."""
        async with trio.open_nursery() as self._nursery:
            for reactor in self._reactors.values():
                await self._nursery.start(reactor.run)
            task_status.started()
            await trio.sleep_forever()

    def names(self) -> Sequence[str]:
        """Names of all reactors, in the order of the configuration."""
        return [definition.name for definition in self.definitions]

    def hold(self, reactor: str, stream_name: str, on_change: Callable[[], None]) -> Hold:
        """See `Reactor.hold`; raises `KeyError` for a reactor that there is not."""
        return self._reactors[reactor].hold(stream_name, on_change)

    def get(self, name: str) -> Reactor | None:
        """The one of that name, also where it is only being added; `None` where there is none."""
        return self._reactors.get(name)

    @property
    def leased(self) -> Sequence[str]:
        """`reactor stream` of every lease that has not ended, those included that nobody holds any more."""
        return [f"{reactor.name} {stream}" for reactor in self._reactors.values() for stream in reactor.leased]

    def leases(self) -> Mapping[str, int]:
        """How many streams each has a lease for."""
        return {name: self._reactors[name].lease_count for name in self.names()}

    def views(self) -> Sequence[ReactorView]:
        """What the outside may know of all of them."""
        return [self._reactors[name].view() for name in self.names()]

    def view(self, name: str) -> ReactorView | None:
        """What the outside may know of one; `None` where there is none."""
        return self._reactors[name].view() if name in self.names() else None

    # For replacements.

    def check(self, definitions: Sequence[ReactorDefinition]) -> None:
        """Raise `ConfigurationError` with everything that is wrong with `definitions`."""
        problems = [problem for definition in definitions for problem in self._executors.problems(definition)]
        if problems:
            raise ConfigurationError(problems)

    async def add(self, definition: ReactorDefinition) -> None:
        """Run one more. Raises what its executor does, or `ExecutorFailure` where the reactors do not run."""
        if self._nursery is None:
            raise ExecutorFailure("the reactors do not run")
        reactor = self._reactors[definition.name] = self._make(definition)
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

    async def open(self, definition: ReactorDefinition) -> Session:
        """Open the executor that a reactor is to have next. Raises what that does."""
        return await self._reactors[definition.name].open(self._executors.choose(definition).open())

    def renew(self, definition: ReactorDefinition, session: Session) -> None:
        """Give a reactor another definition, with its executor."""
        allowed = self._executors.choose(definition).allow_on_failure
        self._reactors[definition.name].renew(definition, session, allow_on_failure=allowed)
