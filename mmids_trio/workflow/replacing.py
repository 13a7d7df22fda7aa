"""Reactors as sets of workflows change them, in the same transaction; what has reactors fits these Protocols."""

from collections.abc import Collection, Sequence
from typing import Protocol

from mmids_trio.definitions import ReactorDefinition
from mmids_trio.workflow.sets import PlannedReactor, SetConflict


class Replacement(Protocol):
    """Other reactors in place of those that there are. Making one touches nothing."""

    @property
    def plan(self) -> Sequence[PlannedReactor]:
        """What happens to each."""

    @property
    def removed(self) -> Collection[str]:
        """Names of those that go."""

    async def begin(self) -> None:
        """Have those that are new run. Raises `MmidsError` where one cannot."""

    def commit(self) -> None:
        """Change and remove the others; part of the swap. Synchronous; never fails."""

    def take_back(self) -> None:
        """Stop what `begin` has started. Synchronous."""


class NoReplacement:
    """All reactors stay as they are; see `Replacement`."""

    plan: Sequence[PlannedReactor] = ()
    removed: Collection[str] = ()

    async def begin(self) -> None:
        """Nothing begins."""

    def commit(self) -> None:
        """Nothing changes."""

    def take_back(self) -> None:
        """There is nothing to take back."""


class Reactors(Protocol):
    """What the manager needs of the reactors, which are changed together with workflows."""

    @property
    def definitions(self) -> Sequence[ReactorDefinition]:
        """What all that are in force were made from."""

    def replacement(self, definitions: Sequence[ReactorDefinition]) -> Replacement:
        """What puts `definitions` in place of the reactors that there are; nothing has happened yet.

        Raises `ConfigurationError` with every problem.
        """


class NoReactors:
    """Where there are no reactors, and cannot be any."""

    definitions: Sequence[ReactorDefinition] = ()

    def replacement(self, definitions: Sequence[ReactorDefinition]) -> Replacement:
        """See `Reactors`."""
        if definitions:
            raise SetConflict(["there are no reactors on this server"])
        return NoReplacement()
