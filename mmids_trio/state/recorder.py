"""Which changes over the API are remembered: recorded when they are accepted, taken back where they come to nothing.

The recorder decides synchronously and hands every new state on.  Workflows of reactors are none of its business: they
come and go with their streams.  `RecordedChanges` is how the API changes workflows; reactors and the configuration file
use the manager itself.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from math import inf
from typing import Protocol

import trio
from attrs import define, evolve, field, frozen

from mmids_trio.definitions import DEFAULT_SET, ReactorDefinition, WorkflowDefinition
from mmids_trio.state.history import ChangeHistory
from mmids_trio.state.record import MergedState, ReactorsEntry, State, StateEntry, difference, digest_reactors
from mmids_trio.workflow.change import Change
from mmids_trio.workflow.manager import WorkflowManager
from mmids_trio.workflow.plan import SetPlan, WorkflowSet
from mmids_trio.workflow.status import BY_API, Outcome, OutcomeKind, PlanView, WorkflowOwner


class Running(Protocol):
    """The workflows, to be looked at."""

    def owner(self, name: str) -> WorkflowOwner | None:
        """Whose the workflow is, `None` if there is none of that name."""

    def definition(self, name: str) -> WorkflowDefinition | None:
        """What is wanted of the workflow now, `None` if there is none."""

    @property
    def reactor_definitions(self) -> Sequence[ReactorDefinition]:
        """What the reactors that are in force were made from."""


def unsaved(_state: State) -> None:
    """Where there is no file to keep the state in."""


@frozen
class Basis:
    """What the recorder went by before: see `ChangeRecorder.rebase`."""

    file: Mapping[str, WorkflowDefinition]
    dropped: Mapping[str, StateEntry]
    file_reactors: str
    file_reactor_names: frozenset[str]
    reactors_asked: int


@define(eq=False)
class ChangeRecorder:
    """The changes over the API since the configuration file was read; `save` gets every new state."""

    _running: Running
    save: Callable[[State], None] = unsaved
    state: State = field(factory=State, init=False)
    _file: Mapping[str, WorkflowDefinition] = field(factory=dict, init=False)
    _file_reactors: str = field(default=digest_reactors(()), init=False)
    _file_reactor_names: frozenset[str] = field(default=frozenset(), init=False)
    _reactors_asked: int = field(default=0, init=False)
    """How often somebody has asked for other reactors."""
    _reactors_wanted: tuple[ReactorDefinition, ...] = field(default=(), init=False)
    """What was asked for last over the API."""

    @property
    def file_names(self) -> frozenset[str]:
        """The workflows of the configuration file as it was read last."""
        return frozenset(self._file)

    def begin(
        self, file: Sequence[WorkflowDefinition], merged: MergedState, reactors: Sequence[ReactorDefinition] = ()
    ) -> None:
        """Go by what `merge` has made of the configuration file and of the state that was kept."""
        self._file = {definition.name: definition for definition in file}
        self._go_by_reactors(reactors)
        self.state = merged.state
        self.save(merged.state)

    def _go_by_reactors(self, reactors: Sequence[ReactorDefinition]) -> None:
        self._file_reactors = digest_reactors(reactors)
        self._file_reactor_names = frozenset(reactor.name for reactor in reactors)

    def accept(self, name: str, definition: WorkflowDefinition | None, of_set: str | None = None) -> None:
        """Somebody has asked for this over the API (`None`: that it ends), and for whose it shall be, where given."""
        owner = self._running.owner(name)
        if owner is None or owner.kind != "reactor" or of_set is not None:
            self._put(name, definition, of_set or (None if owner is None else owner.set))

    def accept_reactors(self, definitions: Sequence[ReactorDefinition]) -> int:
        """Somebody has asked for these reactors over the API; returns what `settle_reactors` takes."""
        self._reactors_asked += 1
        self._remember_reactors(definitions)
        return self._reactors_asked

    def settle_reactors(self, asked: int) -> None:
        """What was asked for has come to nothing: go by what is in force, unless something was asked for since."""
        if asked == self._reactors_asked:
            self._remember_reactors(self._running.reactor_definitions)

    def _remember_reactors(self, definitions: Sequence[ReactorDefinition]) -> None:
        self._reactors_wanted = tuple(definitions)
        named = tuple(self._without_what_follows(definition) for definition in definitions)
        is_as_in_file = digest_reactors(named) == self._file_reactors and not any(one.set for one in named)
        self._put_reactors(None if is_as_in_file else ReactorsEntry(named, self._file_reactors))

    def _without_what_follows(self, definition: ReactorDefinition) -> ReactorDefinition:
        follows = definition.set == DEFAULT_SET and definition.name not in self._file_reactor_names
        return evolve(definition, set=None) if follows else definition

    def _put_reactors(self, entry: ReactorsEntry | None) -> None:
        if entry != self.state.reactors:
            self._become(evolve(self.state, reactors=entry))

    def settle(self, name: str) -> None:
        """A change of this workflow has come to nothing: go by what is left of it, and whose that is."""
        owner = self._running.owner(name)
        if owner is not None and owner.kind == "reactor":
            self._put(name, None)  # it was not taken over
        else:
            self.accept(name, self._running.definition(name))

    def _put(self, name: str, definition: WorkflowDefinition | None, of_set: str | None = None) -> None:
        self._become(self.state.put(name, difference(name, definition, self._file.get(name), of_set)))

    def _become(self, state: State) -> None:
        if state is not self.state:
            self.state = state
            self.save(state)

    def rebase(
        self, file: Sequence[WorkflowDefinition], merged: MergedState, reactors: Sequence[ReactorDefinition] = ()
    ) -> Basis:
        """Go by another content of the configuration file, and by what `merge` has made of it and of `state`.

        Returns what takes it back.
        """
        dropped = {entry.name: entry for entry in self.state if entry.name not in merged.state.entries}
        self._reactors_asked += 1
        before = Basis(self._file, dropped, self._file_reactors, self._file_reactor_names, self._reactors_asked)
        self._go_by_reactors(reactors)
        self._file = {definition.name: definition for definition in file}
        if merged.state != self.state:
            self._become(merged.state)
        return before

    def restore(self, before: Basis) -> None:
        """Take a `rebase` back; what was changed over the API since keeps its difference from the file of before."""
        since = [entry for entry in self.state if entry.base != _base(entry.name, before.file)]
        self._file = before.file
        self._file_reactors, self._file_reactor_names = before.file_reactors, before.file_reactor_names
        self._remember_reactors(self._reactors_wanted)
        self.settle_reactors(before.reactors_asked)
        for entry in before.dropped.values():
            if self.state.get(entry.name) is None:
                self._become(self.state.put(entry.name, entry))
        for entry in since:
            self._put(entry.name, entry.definition, entry.owner_set)


@frozen(eq=False)
class RecordedChanges:
    """The manager's ways to change workflows, for the API: what is changed through here is remembered.

    Whoever has seen the outcome of a change finds it in the record already.
    """

    _manager: WorkflowManager
    _recorder: ChangeRecorder
    _history: ChangeHistory = field(factory=ChangeHistory)
    _who: str = "api"

    def by(self, who: str) -> "RecordedChanges":
        """The same for changes that the bearer of the token of this name makes."""
        return evolve(self, who=who)

    def apply(
        self,
        definition: WorkflowDefinition,
        *,
        rollback: bool = False,
        owner: WorkflowOwner = BY_API,
        in_place: bool | None = None,
    ) -> Change[PlanView]:
        """See `WorkflowManager.apply`."""
        before = {definition.name: self._manager.definition(definition.name)}
        change = self._manager.apply(definition, rollback=rollback, owner=owner, in_place=in_place)
        plan = SetPlan((change.plan,), cuts=self._manager.cuts(definition.name, definition, change.plan))
        change.when_over(self._history.note(plan, before, {definition.name: definition}, by=self._who))
        self._recorder.accept(definition.name, definition)
        change.when_over(partial(self._settle, (definition.name,), None))
        return change

    def apply_all(self, wanted: WorkflowSet) -> Change[SetPlan]:
        """See `WorkflowManager.apply_all`. Reactors are remembered as a whole."""
        after = {definition.name: definition for definition in wanted.definitions}
        before = {name: self._manager.definition(name) for name in (*after, *wanted.delete)}
        change = self._manager.apply_all(wanted)
        change.when_over(self._history.note(change.plan, before, after, by=self._who))
        for name in wanted.delete:
            self._recorder.accept(name, None)
        for definition in wanted.definitions:
            self._recorder.accept(definition.name, definition, wanted.owner.set)
        asked = None if wanted.reactors is None else self._recorder.accept_reactors(wanted.reactors)
        names = (*wanted.delete, *(definition.name for definition in wanted.definitions))
        change.when_over(partial(self._settle, names, asked))
        return change

    async def stop(self, name: str) -> None:
        """See `WorkflowManager.stop`. It is remembered before anything is awaited: the caller may hang up."""
        self._recorder.accept(name, None)
        definition, owner = self._manager.definition(name), self._manager.owner(name)
        if definition is None or owner is None:
            await self._manager.stop(name)
            return
        plan = SetPlan(deleted=(name,), cuts=self._manager.cuts(name, None, None), owner=owner)
        over = self._history.note(plan, {name: definition}, {}, by=self._who)
        over(Outcome(OutcomeKind.APPLIED, f"workflow {name!r} is being stopped"))  # whoever waits, it ends
        await self._manager.stop(name)

    def _settle(self, names: Collection[str], reactors_asked: int | None, outcome: Outcome) -> None:
        """Something else than what was asked for may run, also of a set of which something newer took one part.

        Not at the end of the server, though, be it an orderly one or not: the next start goes by what was asked for.
        """
        is_at_the_end = self._manager.is_stopping or trio.current_effective_deadline() == -inf
        if outcome.kind is OutcomeKind.APPLIED or is_at_the_end:
            return
        for name in names:
            self._recorder.settle(name)
        if reactors_asked is not None:
            self._recorder.settle_reactors(reactors_asked)


def _base(name: str, file: Mapping[str, WorkflowDefinition]) -> str | None:
    entry = difference(name, None, file.get(name))
    return None if entry is None else entry.base
