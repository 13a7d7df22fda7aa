"""The state of a server from start to end: the file is ours, what it holds may run, the last change is saved."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import structlog

from mmids_trio.definitions import ReactorDefinition, WorkflowDefinition
from mmids_trio.state.file import StateError, StateFile
from mmids_trio.state.record import State, StepValidator, checked_state, merge_reactors
from mmids_trio.state.secrets import StateSecrets
from mmids_trio.state.store import StateStore
from mmids_trio.state.text import parsed_state

log = structlog.get_logger()


@contextmanager
def keep_state(
    file: StateFile | None,
    steps_beside: Callable[[Sequence[str]], StepValidator],
    workflows: Sequence[WorkflowDefinition],
    reactors: Sequence[ReactorDefinition],
    secrets: StateSecrets | None = None,
) -> Iterator[State]:
    """What `file` holds, which is ours as long as the block runs; without a file nothing.

    `secrets` has the values of its variables.

    `workflows` and `reactors` are those of the configuration, `steps_beside` the kinds of steps beside reactors of
    these names. Raises `StateError`, and `ConfigurationError` for a file that cannot be used.
    """
    if file is None:
        yield State()
        return
    file.lock()
    try:
        secrets = secrets or StateSecrets.beside(file.path)
        state = parsed_state(file.read(), file.path, secrets.load)
        names = [reactor.name for reactor in merge_reactors(reactors, state)]
        yield checked_state(state, steps_beside(names), workflows)
    finally:
        file.unlock()


async def save_the_last(store: StateStore | None) -> None:
    """Wait until all is on the disk, at the end of the server."""
    if store is not None:
        try:
            await store.durable()
        except StateError as error:
            log.error("the last changes are not saved", reason=str(error))
