"""The state of a server from start to end: the file is ours, what it holds may run, the last change is saved."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import structlog

from mmids_trio.definitions import ReactorDefinition, WorkflowDefinition
from mmids_trio.offload import Offload
from mmids_trio.reactors.directory import ReactorDirectory
from mmids_trio.state.file import StateError, StateFile
from mmids_trio.state.record import State, Steps, checked_state, merge_reactors
from mmids_trio.state.store import StateStore
from mmids_trio.state.text import parsed_state

log = structlog.get_logger()


@contextmanager
def keep_state(
    path: str | None,
    steps: Steps,
    directory: ReactorDirectory,
    file: tuple[Sequence[WorkflowDefinition], Sequence[ReactorDefinition]],
    offload: Offload,
) -> Iterator[tuple[State, StateStore | None]]:
    """What the file at `path` holds, and what keeps it from now on; without a file neither.

    `file` has the workflows and reactors of the configuration.
    Raises `StateError`, and `ConfigurationError` for a file that cannot be used.
    """
    if path is None:
        yield State(), None
        return
    kept = StateFile(Path(path))
    kept.lock()
    workflows, reactors = file
    try:
        state = parsed_state(kept.read(), kept.path)
        with directory.as_if([reactor.name for reactor in merge_reactors(reactors, state)]):
            state = checked_state(state, steps, workflows)
        yield state, StateStore(kept, offload)
    finally:
        kept.unlock()


async def save_the_last(store: StateStore | None) -> None:
    """Wait until all is on the disk, at the end of the server."""
    if store is not None:
        try:
            await store.durable()
        except StateError as error:
            log.error("the last changes are not saved", reason=str(error))
