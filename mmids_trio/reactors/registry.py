"""All reactors of a server, by name: the one place that runs them."""

from collections.abc import Callable, Sequence

import trio

from mmids_trio.definitions import ReactorDefinition
from mmids_trio.reactors.executor import ExecutorRegistry
from mmids_trio.reactors.lease import Hold
from mmids_trio.reactors.leased import Workflows
from mmids_trio.reactors.reactor import Reactor
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
        self._reactors: dict[str, Reactor] = {}
        for definition in definitions:
            choice = executors.choose(definition)
            self._reactors[definition.name] = Reactor(
                definition,
                choice.open(),
                workflows,
                allow_on_failure=choice.allow_on_failure,
                listener=listener,
            )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run all reactors until cancelled."""
        async with trio.open_nursery() as nursery:
            for reactor in self._reactors.values():
                await nursery.start(reactor.run)
            task_status.started()
            await trio.sleep_forever()

    def names(self) -> Sequence[str]:
        """Names of all reactors, in the order of the configuration."""
        return list(self._reactors)

    def hold(self, reactor: str, stream_name: str, on_change: Callable[[], None]) -> Hold:
        """See `Reactor.hold`; raises `KeyError` for a reactor that there is not."""
        return self._reactors[reactor].hold(stream_name, on_change)

    def get(self, name: str) -> Reactor | None:
        """The one of that name; `None` where there is none."""
        return self._reactors.get(name)

    @property
    def leased(self) -> Sequence[str]:
        """`reactor stream` of every lease that has not ended, those included that nobody holds any more."""
        return [f"{reactor.name} {stream}" for reactor in self._reactors.values() for stream in reactor.leased]

    def views(self) -> Sequence[ReactorView]:
        """What the outside may know of all of them."""
        return [reactor.view() for reactor in self._reactors.values()]

    def view(self, name: str) -> ReactorView | None:
        """What the outside may know of one; `None` where there is none."""
        reactor = self._reactors.get(name)
        return None if reactor is None else reactor.view()
