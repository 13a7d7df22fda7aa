"""What is remembered of changes over the API: one entry for each workflow that differs from the configuration file.

With the rules of start-up and reload, which say what runs, given both.  One rule: a change made over the API counts as
long as the file says of that workflow what it said when the change was made.  Whoever edits the file afterwards has the
last word.  Pure, and apart from the text and the file that hold it.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Protocol

from attrs import evolve, field, frozen

from mmids_trio.config.report import Findings
from mmids_trio.config.suggestions import shown
from mmids_trio.config.writer import write_workflow
from mmids_trio.definitions import DEFAULT_SET, ReactorDefinition, WorkflowDefinition, digest_of
from mmids_trio.errors import ConfigurationError


@frozen
class StateEntry:
    """What the API made of one workflow: `definition`, or `None` where it was deleted.

    `base` is the digest of what the configuration file said then, `None` where it said nothing. A deletion has one.
    `set` is given where it does not follow: a workflow that the file knows is the file's, any other the default set's.
    """

    name: str
    definition: WorkflowDefinition | None
    base: str | None = None
    set: str | None = None

    @property
    def owner_set(self) -> str | None:
        """The set of the API's that the workflow belongs to; `None`: the file, or nobody."""
        if self.definition is None:
            return None
        return self.set or (DEFAULT_SET if self.base is None else None)

    @cached_property
    def text(self) -> str:
        """The workflow in the configuration language, `""` for a deletion. Made once: states share their entries."""
        return "" if self.definition is None else write_workflow(self.definition)


def digest_reactors(definitions: Sequence[ReactorDefinition]) -> str:
    """What all of them together say, whatever the order of their parameters."""
    reactors = [
        (reactor.name, reactor.executor, reactor.update_interval, sorted(reactor.parameters.items()))
        for reactor in definitions
    ]
    return digest_of(reactors)


@frozen
class ReactorsEntry:
    """What the API made of the reactors, which change as a whole; `base` is the digest of those of the file then.

    As of workflows, the set of a reactor is given where it does not follow.
    """

    definitions: tuple[ReactorDefinition, ...]
    base: str


@frozen
class State:
    """Every entry by name, in the order in which they came; `reactors` of `None` are those of the file."""

    entries: Mapping[str, StateEntry] = field(factory=dict)
    reactors: ReactorsEntry | None = None

    def __iter__(self) -> Iterator[StateEntry]:
        return iter(self.entries.values())

    def get(self, name: str) -> StateEntry | None:
        """The entry of that name."""
        return self.entries.get(name)

    def put(self, name: str, entry: StateEntry | None) -> "State":
        """The state with this entry in place of what it has of that name; with `None`, without any."""
        if self.entries.get(name) == entry:
            return self
        entries = dict(self.entries)
        if entry is None:
            entries.pop(name, None)
        else:
            entries[name] = entry
        return evolve(self, entries=entries)


def difference(
    name: str, wanted: WorkflowDefinition | None, in_file: WorkflowDefinition | None, of_set: str | None = None
) -> StateEntry | None:
    """The entry that turns what the file says of a workflow into what is wanted; `None` where it says just that.

    `of_set`: the set that it belongs to; `None`: the file, where that knows it.
    """
    base = None if in_file is None else in_file.digest
    if wanted is None or (base is None and of_set == DEFAULT_SET):
        of_set = None
    if of_set is None and (None if wanted is None else wanted.digest) == base:
        return None
    return StateEntry(name, wanted, base, of_set)


# What runs.


@frozen
class Dropped:
    """A change of the API's that counts no more, and why; of the reactors where `workflow` is `None`."""

    workflow: str | None
    reason: str

    def __str__(self) -> str:
        return f"{'the reactors' if self.workflow is None else f'workflow {shown(self.workflow)}'} {self.reason}"


@frozen
class MergedState:
    """What runs: the workflows of the file in its order, then those that the API has made.

    `state` has the changes that still count; `dropped` are those that do not, and are not what the file says now.
    `sets` has the workflows that belong to one of the API's, by name; all others are the file's.
    """

    workflows: tuple[WorkflowDefinition, ...]
    sets: Mapping[str, str]
    state: State
    dropped: tuple[Dropped, ...]
    reactors: tuple[ReactorDefinition, ...] = ()

    @property
    def kept_away(self) -> tuple[str, ...]:
        """The workflows of the file that do not run, as the API has deleted them."""
        return tuple(entry.name for entry in self.state if entry.definition is None)


def merge(file: Sequence[WorkflowDefinition], state: State, reactors: Sequence[ReactorDefinition] = ()) -> MergedState:
    """Apply the rule to the workflows and `reactors` of a file; all definitions are in canonical spellings."""
    running = merge_reactors(reactors, state)
    digests = {workflow.name: workflow.digest for workflow in file}
    entries = [_left_by_file(entry) if entry.name not in digests else entry for entry in state]
    kept = {entry.name: entry for entry in entries if entry.base == digests.get(entry.name)}
    dropped = [_drop(entry, digests.get(entry.name)) for entry in state if entry.name not in kept]
    of_file = [_wanted(workflow, kept.get(workflow.name)) for workflow in file]
    only_api = [entry.definition for entry in kept.values() if entry.name not in digests]
    return MergedState(
        tuple(workflow for workflow in (*of_file, *only_api) if workflow is not None),
        {name: entry.owner_set for name, entry in kept.items() if entry.owner_set is not None},
        State(kept, _reactors_entry(reactors, state)),
        tuple(drop for drop in (*dropped, _drop_reactors(running, state)) if drop is not None),
        running,
    )


def _left_by_file(entry: StateEntry) -> StateEntry:
    """What a set has taken over stays when the file says no more of it."""
    if entry.set is None:
        return entry
    return evolve(entry, base=None, set=None if entry.set == DEFAULT_SET else entry.set)


def merge_reactors(file: Sequence[ReactorDefinition], state: State) -> tuple[ReactorDefinition, ...]:
    """The reactors that run: those of the API, or those of the file and beside them what named sets have."""
    if state.reactors is not None and state.reactors.base == digest_reactors(file):
        in_file = {reactor.name for reactor in file}
        return tuple(
            reactor if reactor.set or reactor.name in in_file else evolve(reactor, set=DEFAULT_SET)
            for reactor in state.reactors.definitions
        )
    return (*file, *_of_sets(file, state))


def _of_sets(file: Sequence[ReactorDefinition], state: State) -> tuple[ReactorDefinition, ...]:
    """The reactors that are known to belong to sets, and that the file says nothing of: it takes nothing from them."""
    in_file = {reactor.name for reactor in file}
    definitions = () if state.reactors is None else state.reactors.definitions
    return tuple(reactor for reactor in definitions if reactor.set is not None and reactor.name not in in_file)


def _reactors_entry(file: Sequence[ReactorDefinition], state: State) -> ReactorsEntry | None:
    base = digest_reactors(file)
    if state.reactors is not None and state.reactors.base == base:
        return state.reactors
    of_sets = _of_sets(file, state)
    return ReactorsEntry((*file, *of_sets), base) if of_sets else None


def _drop_reactors(running: Sequence[ReactorDefinition], state: State) -> Dropped | None:
    """Nothing is lost where the file has changed what the API had left as it was."""
    if state.reactors is None or digest_reactors(running) == digest_reactors(state.reactors.definitions):
        return None
    kept = {reactor.name for reactor in running if reactor.set is not None}
    if digest_reactors([one for one in state.reactors.definitions if one.name not in kept]) == state.reactors.base:
        return None
    return Dropped(None, "were changed over the API, but have changed in the configuration file since, which counts")


def _wanted(in_file: WorkflowDefinition, entry: StateEntry | None) -> WorkflowDefinition | None:
    return in_file if entry is None else entry.definition


def _drop(entry: StateEntry, now: str | None) -> Dropped | None:
    """Nothing is lost where the file says by now what the API has made of a workflow."""
    if now == (None if entry.definition is None else entry.definition.digest):
        return None
    verb = "deleted" if entry.definition is None else "made" if entry.base is None else "changed"
    happened = "has been removed from" if now is None else "is now in" if entry.base is None else "has changed in"
    return Dropped(entry.name, f"was {verb} over the API, but {happened} the configuration file since, which counts")


class StepValidator(Protocol):
    """What is asked about kinds of steps."""

    def check(self, definition: WorkflowDefinition, findings: Findings) -> None:
        """Find everything that is wrong with the steps."""

    def validate(self, definition: WorkflowDefinition) -> WorkflowDefinition:
        """The definition in canonical spellings."""


def checked_state(state: State, steps: StepValidator, file: Sequence[WorkflowDefinition] = ()) -> State:
    """The state in canonical spellings, but for changes that the workflows of `file` overrule: `merge` drops them.

    Raises `ConfigurationError` with every problem and its place: nothing is lost in silence.
    """
    findings = Findings()
    counting = merge(file, state).state.entries
    for entry in counting.values():
        if entry.definition is not None:
            steps.check(entry.definition, findings)
    if findings.problems:
        raise ConfigurationError(findings.problems)
    entries = {
        entry.name: evolve(entry, definition=steps.validate(entry.definition))
        if entry.definition is not None and entry.name in counting
        else entry
        for entry in state
    }
    return evolve(state, entries=entries)
