"""What the planted steps share: how one becomes a kind of step without parameters."""

from collections.abc import Callable

from mmids_trio.config.parameters import NoParameters
from mmids_trio.steps.registry import StepType
from mmids_trio.workflow.step import Step


def planted(make: Callable[[], Step]) -> StepType:
    """A kind of step that `make` builds."""
    return StepType("planted", NoParameters, lambda _parameters, _context: make())
