"""What runs, given a configuration file and the changes that the API has made: the rules of start-up and reload.

One rule: a change made over the API counts as long as the file says of that workflow what it said when the change was
made.  Whoever edits the file afterwards has the last word.
"""

from collections.abc import Sequence

from attrs import frozen

from mmids_trio.config.suggestions import shown
from mmids_trio.definitions import ReactorDefinition, WorkflowDefinition
from mmids_trio.state.record import Entry, State, digest, digest_reactors


@frozen
class Dropped:
    """A change of the API's that counts no more, and why; of the reactors where `workflow` is `None`."""

    workflow: str | None
    reason: str

    def __str__(self) -> str:
        return f"{'the reactors' if self.workflow is None else f'workflow {shown(self.workflow)}'} {self.reason}"


@frozen
class Merged:
    """What runs: the workflows of the file in its order, then those that the API has made.

    `state` has the changes that still count; `dropped` are those that do not, and are not what the file says now.
    """

    workflows: tuple[WorkflowDefinition, ...]
    made_by_api: frozenset[str]
    state: State
    dropped: tuple[Dropped, ...]
    reactors: tuple[ReactorDefinition, ...] = ()


def merge(file: Sequence[WorkflowDefinition], state: State, reactors: Sequence[ReactorDefinition] = ()) -> Merged:
    """Apply the rule to the workflows and `reactors` of a file; all definitions are in canonical spellings."""
    running = merge_reactors(reactors, state)
    of_api = state.reactors is not None and digest_reactors(reactors) == state.reactors.base
    digests = {workflow.name: digest(workflow) for workflow in file}
    kept = {entry.name: entry for entry in state if entry.base == digests.get(entry.name)}
    dropped = [_drop(entry, digests.get(entry.name)) for entry in state if entry.name not in kept]
    of_file = [_wanted(workflow, kept.get(workflow.name)) for workflow in file]
    only_api = [entry.definition for entry in kept.values() if entry.name not in digests]
    return Merged(
        tuple(workflow for workflow in (*of_file, *only_api) if workflow is not None),
        frozenset(name for name in kept if name not in digests),
        State(kept, state.reactors if of_api else None),
        tuple(drop for drop in (*dropped, _drop_reactors(running, state)) if drop is not None),
        running,
    )


def merge_reactors(file: Sequence[ReactorDefinition], state: State) -> tuple[ReactorDefinition, ...]:
    """The reactors that run: as a whole either those of the API or those of the file."""
    if state.reactors is not None and state.reactors.base == digest_reactors(file):
        return state.reactors.definitions
    return tuple(file)


def _drop_reactors(running: Sequence[ReactorDefinition], state: State) -> Dropped | None:
    if state.reactors is None or digest_reactors(running) == digest_reactors(state.reactors.definitions):
        return None
    return Dropped(None, "were changed over the API, but have changed in the configuration file since, which counts")


def _wanted(in_file: WorkflowDefinition, entry: Entry | None) -> WorkflowDefinition | None:
    return in_file if entry is None else entry.definition


def _drop(entry: Entry, now: str | None) -> Dropped | None:
    """Nothing is lost where the file says by now what the API has made of a workflow."""
    if now == (None if entry.definition is None else digest(entry.definition)):
        return None
    verb = "deleted" if entry.definition is None else "made" if entry.base is None else "changed"
    happened = "has been removed from" if now is None else "is now in" if entry.base is None else "has changed in"
    return Dropped(entry.name, f"was {verb} over the API, but {happened} the configuration file since, which counts")
