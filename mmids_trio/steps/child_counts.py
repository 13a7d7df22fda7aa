"""What is shown of ffmpeg children, of whichever step."""

from collections.abc import Iterable

from mmids_trio.ffmpeg.state import ChildPhase, ChildState
from mmids_trio.metrics.catalog import STEP_CHILD_DROPPED, STEP_CHILD_RESTARTS, STEP_CHILDREN
from mmids_trio.metrics.counts import Counts


def child_counts(states: Iterable[ChildState]) -> Counts:
    """Of all children that are supervised."""
    running = restarts = dropped = 0
    for state in states:
        running += state.phase is ChildPhase.RUNNING
        restarts += state.restarts
        dropped += state.dropped_groups
    return {
        (STEP_CHILDREN, ()): running,
        (STEP_CHILD_RESTARTS, ()): restarts,
        (STEP_CHILD_DROPPED, ()): dropped,
    }
