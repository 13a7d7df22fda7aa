"""Other definitions in place of those of a server's reactors, in two steps: what is new begins, then all else changes.

In between it can be taken back, without anybody having noticed.
"""

from collections.abc import Mapping, Sequence
from typing import Self

from attrs import define, field

from mmids_trio.definitions import ReactorDefinition
from mmids_trio.errors import MmidsError
from mmids_trio.reactors.executor import ExecutorFailure
from mmids_trio.reactors.registry import Reactors
from mmids_trio.reactors.session import Session
from mmids_trio.workflow.plan import PlannedReactor


@define(eq=False)
class ReplacedReactors:
    """See `workflow.change.Replacement`."""

    plan: tuple[PlannedReactor, ...]
    _reactors: Reactors
    _definitions: Sequence[ReactorDefinition]
    _added: list[str] = field(factory=list, init=False)
    _sessions: dict[str, Session] = field(factory=dict, init=False)
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
    return PlannedReactor(wanted.name, "keep" if known == wanted else "change")
