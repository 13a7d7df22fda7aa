"""Switching a step to another of its sources, as an operator asks for it: synchronous, with every refusal's reason.

Apart from the workflow because neither its changes nor its steps' lives matter to it.
"""

from collections.abc import Iterable

from mmids_trio.errors import CannotSwitch, NoSuchStep
from mmids_trio.workflow.cell import Cell
from mmids_trio.workflow.status import Switched


def switch(workflow: str, cells: Iterable[Cell], step_id: str, to: str) -> Switched:
    """Have the step of that id send its source `to`. Raises `NoSuchStep` and `CannotSwitch`."""
    cell = next((cell for cell in cells if cell.step_id == step_id), None)
    if cell is None:
        raise NoSuchStep(f"workflow '{workflow}' has no step with the id '{step_id}' at work")
    step_type = cell.definition.step_type
    if cell.ended.is_set():
        raise CannotSwitch(f"the {step_type} step does not run")
    if cell.switch_to is None:
        raise CannotSwitch(f"a {step_type} step has no sources to switch between")
    return cell.switch_to(to)
