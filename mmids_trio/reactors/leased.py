"""The workflows of one lease: made to be what an answer calls for, and stopped at its end.

Apart from the lease, which knows when to ask and whom to tell, and nothing of how workflows are compared,
conflict and change.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

import structlog
import trio
from attrs import define, field

from mmids_trio.definitions import WorkflowDefinition
from mmids_trio.errors import MmidsError
from mmids_trio.workflow.status import WorkflowOwner, WorkflowStatus

log = structlog.get_logger()

WORKFLOWS_PER_TURN = 10
"""Workflows of an answer that are checked, started or stopped between two turns of others: 5 ms."""


class NameConflict(MmidsError):
    """An answer calls for a workflow that is not the lease's; the message names both owners."""


class LeasableWorkflows(Protocol):
    """What reactors need of the workflow manager."""

    def owner(self, name: str) -> WorkflowOwner | None:
        """Whose the workflow of that name is; `None` where none runs."""

    def status(self, name: str) -> WorkflowStatus | None:
        """What is known of it; `None` where none runs."""

    def definition(self, name: str) -> WorkflowDefinition | None:
        """What was accepted last for it; `None` where there is none."""

    async def prepare(self, definitions: Iterable[WorkflowDefinition]) -> None:
        """Have what these need imported in a thread, before the loop looks at them."""

    def validate(self, definition: WorkflowDefinition) -> WorkflowDefinition:
        """The definition in canonical spellings; raises `ConfigurationError`."""

    def apply(self, definition: WorkflowDefinition, *, owner: WorkflowOwner) -> object:
        """Start or change a workflow with a validated definition; returns at once."""

    async def stop(self, name: str) -> None:
        """Stop a workflow and wait for its end, also of one that is ending already.

        The stopping begins before the first await, and cancelling the wait does not stop it.
        """


@define(eq=False)
class WorkflowBook:
    """Which workflows the leases of one reactor want, and how each wants them: a publisher, those who watch it and a
    forwarder may have leases of their own with the same workflows. Nobody waits in here."""

    _wishes: dict[str, dict["LeasedWorkflows", WorkflowDefinition]] = field(factory=dict, init=False)

    def wants(self, lease: "LeasedWorkflows", name: str) -> bool:
        """Whether the lease wants a workflow of that name."""
        return lease in self._wishes.get(name, ())

    def note(self, lease: "LeasedWorkflows", definition: WorkflowDefinition) -> None:
        """The lease wants this workflow from now on."""
        self._wishes.setdefault(definition.name, {})[lease] = definition

    def strike(self, lease: "LeasedWorkflows", name: str) -> None:
        """It does not any more."""
        wishes = self._wishes.get(name, {})
        wishes.pop(lease, None)
        if not wishes:
            self._wishes.pop(name, None)

    def wish(self, name: str) -> WorkflowDefinition | None:
        """What all want that want it; `None` where nobody does, or they do not agree."""
        first, *others = self._wishes.get(name, {}).values() or (None,)
        return first if all(other == first for other in others) else None

    def is_wanted(self, name: str) -> bool:
        """Whether any lease does."""
        return name in self._wishes

    def is_of_one_stream(self, lease: "LeasedWorkflows", name: str) -> bool:
        """Whether all that want it are about the same stream as this lease."""
        return all(other.owner == lease.owner for other in self._wishes.get(name, ()))


@define(eq=False)
class LeasedWorkflows:
    """What one lease runs. `follow` and `stop_all` are never called at the same time.

    A workflow that other leases of the reactor want too is started by the first, and stopped by the last of them.
    """

    _workflows: LeasableWorkflows
    owner: WorkflowOwner
    _book: WorkflowBook = field(factory=WorkflowBook)
    _wanted: tuple[WorkflowDefinition, ...] = field(default=(), init=False)
    """What the last good answer calls for, canonical."""
    _names: dict[str, None] = field(factory=dict, init=False)
    """Workflows that were started and whose end has not been awaited yet."""

    @property
    def names(self) -> tuple[str, ...]:
        """What the last good answer calls for, in its order."""
        return tuple(definition.name for definition in self._wanted)

    async def follow(self, definitions: Sequence[WorkflowDefinition]) -> None:
        """Make an answer's workflows run, and no others of the lease.

        Those that are not wanted any more end first, as a new one may want a port or a stream key of theirs.
        Raises `ConfigurationError` or `NameConflict`; what the last good answer calls for runs then as before.
        """
        wanted = await self._checked(definitions)
        await self._stop_all_but({definition.name for definition in wanted})
        try:
            self._check_owners(wanted)  # others may have come meanwhile
        except NameConflict:
            await self._apply([definition for definition in self._wanted if self._is_free(definition)])
            raise
        self._wanted = wanted
        await self._apply(wanted)

    def want_nothing(self) -> None:
        """The last good answer calls for nothing any more."""
        self._wanted = ()

    async def stop_all(self) -> None:
        """Stop whatever the lease runs and wait for its end."""
        self.want_nothing()
        await self._stop_all_but(())

    async def _checked(self, definitions: Sequence[WorkflowDefinition]) -> tuple[WorkflowDefinition, ...]:
        await self._workflows.prepare(definitions)
        wanted: list[WorkflowDefinition] = []
        for place, definition in enumerate(definitions):
            await _turn_of_others(place)
            wanted.append(self._workflows.validate(definition))
        for name, count in Counter(definition.name for definition in wanted).items():
            if count > 1:
                raise NameConflict(f"the answer holds workflow '{name}' twice")
        self._check_owners(wanted)
        return tuple(wanted)

    def _is_free(self, definition: WorkflowDefinition) -> bool:
        """Whether nobody else has the name, or only leases of this reactor that are about the same stream, or want the
        very same workflow.

        Of one stream, leases may want a workflow differently: the service has changed its mind between two questions.
        It changes when all want that.
        """
        name, book = definition.name, self._book
        if not self._is_ours(name):
            return False
        return book.wants(self, name) or book.wish(name) == definition or book.is_of_one_stream(self, name)

    def _is_ours(self, name: str) -> bool:
        """Whether nobody but the leases of this reactor has the name."""
        owner = self._workflows.owner(name)
        if owner is None or owner == self.owner:
            return True
        return (owner.kind, owner.name) == (self.owner.kind, self.owner.name) and self._book.is_wanted(name)

    def _check_owners(self, wanted: Sequence[WorkflowDefinition]) -> None:
        for definition in wanted:
            if not self._is_free(definition):
                owner = self._workflows.owner(definition.name)
                log.warning("workflow name conflict", wanted=definition.name, owner=str(owner), by=str(self.owner))
                raise NameConflict(
                    f"workflow '{definition.name}' belongs to the {owner}; the {self.owner} cannot have it"
                )

    async def _apply(self, wanted: Sequence[WorkflowDefinition]) -> None:
        """Others have their turns meanwhile, and may take a name: raises `NameConflict`."""
        for place, definition in enumerate(wanted):
            await _turn_of_others(place)
            self._check_owners([definition])
            self._names[definition.name] = None
            self._book.note(self, definition)
            self._settle(definition.name)

    def _settle(self, name: str) -> None:
        """Have a workflow run as all leases want it that do; where they do not agree it stays as it is."""
        wish = self._book.wish(name)
        if wish is None:
            log.info("workflow waits for the other leases that want it", wanted=name, by=str(self.owner))
        elif not self._runs(wish):
            self._workflows.apply(wish, owner=self._workflows.owner(name) or self.owner)

    def _runs(self, definition: WorkflowDefinition) -> bool:
        """Whether the workflow is at work (or on its way to be) just as defined; one in error is not."""
        status = self._workflows.status(definition.name)
        if status is None or not (status.pending_steps or status.status == "Running"):
            return False
        steps = status.pending_steps or status.active_steps
        accepted = self._workflows.definition(definition.name)
        is_routed_alike = accepted is not None and accepted.routed_by_reactor == definition.routed_by_reactor
        return is_routed_alike and tuple(step.step_id for step in steps) == definition.step_ids

    async def _stop_all_but(self, kept: Collection[str]) -> None:
        async with trio.open_nursery() as nursery:
            for place, name in enumerate([name for name in self._names if name not in kept]):
                await _turn_of_others(place)
                nursery.start_soon(self._stop, name)

    async def _stop(self, name: str) -> None:
        """Let go of one. It stops unless others want it, or it was deleted and its name is somebody else's now."""
        is_ours = self._is_ours(name)
        self._book.strike(self, name)
        if is_ours and self._book.is_wanted(name):
            self._settle(name)
        elif is_ours:
            await self._workflows.stop(name)
        del self._names[name]


async def _turn_of_others(place: int) -> None:
    """After every `WORKFLOWS_PER_TURN` of what is done one after the other."""
    if place and place % WORKFLOWS_PER_TURN == 0:
        await trio.lowlevel.checkpoint()
