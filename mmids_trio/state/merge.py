"""What runs, given a configuration file and the changes that the API has made: the rules of start-up and reload.

One rule: a change made over the API counts as long as the file says of that workflow what it said when the change was
made.  Whoever edits the file afterwards has the last word.
"""

from collections.abc import Sequence

from attrs import frozen

from mmids_trio.definitions import WorkflowDefinition
from mmids_trio.state.record import Entry, State, digest


@frozen
class Dropped:
    """A change of the API's that counts no more, and why."""

    workflow: str
    reason: str


@frozen
class Merged:
    """What runs: the workflows of the file in its order, then those that the API has made.

    `state` has the changes that still count; `dropped` are those that do not, and are not what the file says now.
    """

    workflows: tuple[WorkflowDefinition, ...]
    made_by_api: frozenset[str]
    state: State
    dropped: tuple[Dropped, ...]


def merge(file: Sequence[WorkflowDefinition], state: State) -> Merged:
    """Apply the rule; the definitions of both are in canonical spellings."""
    digests = {workflow.name: digest(workflow) for workflow in file}
    kept = {entry.name: entry for entry in state if entry.base == digests.get(entry.name)}
    dropped = [_drop(entry, digests.get(entry.name)) for entry in state if entry.name not in kept]
    of_file = [_wanted(workflow, kept.get(workflow.name)) for workflow in file]
    of_api = [entry.definition for entry in kept.values() if entry.name not in digests]
    return Merged(
        tuple(workflow for workflow in (*of_file, *of_api) if workflow is not None),
        frozenset(name for name in kept if name not in digests),
        State(kept),
        tuple(drop for drop in dropped if drop is not None),
    )


def _wanted(in_file: WorkflowDefinition, entry: Entry | None) -> WorkflowDefinition | None:
    return in_file if entry is None else entry.definition


def _drop(entry: Entry, now: str | None) -> Dropped | None:
    """Nothing is lost where the file says by now what the API has made of a workflow."""
    if now == (None if entry.definition is None else digest(entry.definition)):
        return None
    verb = "deleted" if entry.definition is None else "made" if entry.base is None else "changed"
    happened = "has been removed from" if now is None else "is now in" if entry.base is None else "has changed in"
    return Dropped(entry.name, f"was {verb} over the API, but {happened} the configuration file since, which counts")
