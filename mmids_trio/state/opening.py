"""From a file on the disk to a state that may run: understood, and checked against the kinds of steps."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from attrs import evolve

from mmids_trio.config.report import Findings
from mmids_trio.definitions import WorkflowDefinition
from mmids_trio.errors import ConfigurationError
from mmids_trio.state.merge import merge
from mmids_trio.state.record import State
from mmids_trio.state.text import read


class Steps(Protocol):
    """What is asked about kinds of steps."""

    def check(self, definition: WorkflowDefinition, findings: Findings) -> None:
        """Find everything that is wrong with the steps."""

    def validate(self, definition: WorkflowDefinition) -> WorkflowDefinition:
        """The definition in canonical spellings."""


def parsed_state(data: bytes | None, path: Path) -> State:
    """The state in `data`; `None`: there is no file yet. Raises `ConfigurationError`."""
    return State() if data is None else read(data, str(path))


def checked_state(state: State, steps: Steps, file: Sequence[WorkflowDefinition] = ()) -> State:
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
