"""How a step treats the streams that reach it; what the rewiring of a workflow is computed from."""

from enum import Enum


class Flow(Enum):
    """What a step does with the streams that reach it."""

    PRODUCES = "produces"
    """Emits streams of its own. Nothing is delivered to its inbox."""

    PASSES_ON = "passes on"
    """Emits the very events that it receives, in their order, and none before it received one."""

    REPLACES = "replaces"
    """Emits, for each stream that it receives, a stream of the same id and name with media of its own."""
