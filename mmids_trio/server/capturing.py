"""Where a recorder listens in on a server: at every way in, as hooks that the server is built with."""

from collections.abc import Sequence
from functools import partial

from mmids_trio.cli.configuration_file import Configuration
from mmids_trio.definitions import WorkflowDefinition
from mmids_trio.recording.api import RecordedApi
from mmids_trio.recording.connections import RecordedDoorman
from mmids_trio.recording.reactors import RecordedExecutors
from mmids_trio.recording.recorder import Recorder
from mmids_trio.recording.records import Loaded
from mmids_trio.recording.running import running_text
from mmids_trio.reload.reloader import Load
from mmids_trio.server.app import Server
from mmids_trio.server.building import Hooks


def hooks_of(recorder: Recorder) -> Hooks:
    """What has `recorder` note all that comes into a server."""
    return Hooks(
        doorman=partial(RecordedDoorman, recorder=recorder),
        executors=partial(RecordedExecutors, recorder=recorder),
        api=partial(RecordedApi, recorder=recorder),
        load=partial(_noted, recorder),
    )


def _noted(recorder: Recorder, load: Load) -> Load:
    async def load_and_note() -> Configuration:
        configuration = await load()
        recorder.note(Loaded(recorder.now(), configuration.text.encode()))
        return configuration

    return load_and_note


def note_kept_state(
    recorder: Recorder, server: Server, file: Configuration, running: Sequence[WorkflowDefinition]
) -> None:
    """Note what a server has started with, where the API had changed something of the file's in an earlier life."""
    reactors = tuple(server.reactors.definitions)
    if tuple(running) != file.document.workflows or reactors != file.document.reactors:
        recorder.note(Loaded(recorder.now(), running_text(file.settings, reactors, running).encode()))
