"""`workflow_forwarder`: its parameters. This version checks them but cannot run the step yet."""

from collections.abc import Iterable

from mmids_trio.steps.parameters import Parameter, Values, text
from mmids_trio.steps.registry import StepType, not_available


def target_conflicts(values: Values) -> Iterable[str]:
    """A forwarder has one target, or a reactor that names them."""
    if (values["target_workflow"] is None) == (values["reactor"] is None):
        yield "expected exactly one of 'target_workflow' and 'reactor'"


def workflow_forwarder() -> StepType:
    """The kind of step."""
    return StepType(
        "workflow_forwarder",
        (Parameter("target_workflow", text), Parameter("reactor", text)),
        not_available("workflow_forwarder"),
        aliases=("forward_to_workflow",),
        conflicts=target_conflicts,
    )
