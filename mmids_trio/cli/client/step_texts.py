"""Steps as people read them: kind and parameters in a line, without what grants access."""

from collections.abc import Mapping

from mmids_trio.config.writer import write_workflow
from mmids_trio.definitions import ParameterValue, StepDefinition, WorkflowDefinition
from mmids_trio.errors import printable
from mmids_trio.masking import HIDDEN, mask, names_a_secret


def step_text(step_type: str, parameters: Mapping[str, ParameterValue]) -> str:
    """One line, in the configuration language but for what is masked."""
    shown = {name: _shown(name, value) for name, value in parameters.items()}
    definition = WorkflowDefinition("shown", (StepDefinition(step_type, shown),))
    try:
        line = write_workflow(definition).split("\n")[1].strip()
    except ValueError:
        line = f"{step_type} {shown}"
    return printable(line)


def _shown(name: str, value: ParameterValue) -> ParameterValue:
    """The server hides what is declared as secret; here goes what only looks like it, too."""
    if value is None:
        return None
    return HIDDEN if names_a_secret(name) else mask(value)
