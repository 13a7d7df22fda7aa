"""Steps as a plan shows them: kind and parameters in a line, without what grants access, by the ids that a plan has."""

import re
from collections.abc import Iterable, Mapping

from mmids_trio.config.writer import write_workflow
from mmids_trio.definitions import ParameterValue, StepDefinition, WorkflowDefinition, step_ids
from mmids_trio.errors import printable
from mmids_trio.ffmpeg.masking import MASK, mask

_SECRET_NAME = re.compile(r"passw|secret|token|(api|play)_?key", re.IGNORECASE)


def step_text(step_type: str, parameters: Mapping[str, ParameterValue]) -> str:
    """One line, in the configuration language but for what is masked."""
    shown = {name: _shown(name, value) for name, value in parameters.items()}
    definition = WorkflowDefinition("shown", (StepDefinition(step_type, shown),))
    try:
        line = write_workflow(definition).split("\n")[1].strip()
    except ValueError:
        line = f"{step_type} {shown}"
    return printable(line)


def texts_of(workflow: WorkflowDefinition) -> tuple[str, ...]:
    """The steps of a workflow, in order; parameters by name, so that two versions of a step can be compared."""
    return tuple(step_text(step.step_type, dict(sorted(step.parameters.items()))) for step in workflow.steps)


def texts_by_id(workflows: Iterable[WorkflowDefinition]) -> dict[tuple[str, str], str]:
    """The steps of workflows in canonical spellings, by name of the workflow and id of the step."""
    return {
        (workflow.name, step_id): text
        for workflow in workflows
        for step_id, text in zip(step_ids(workflow.steps), texts_of(workflow), strict=True)
    }


def _shown(name: str, value: ParameterValue) -> ParameterValue:
    if value is None:
        return None
    return MASK if _SECRET_NAME.search(name) else mask(value)
