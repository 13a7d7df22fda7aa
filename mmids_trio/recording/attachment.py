"""Where a recorder listens in on a server; apart because nothing else of a recording knows a whole server."""

from collections.abc import Sequence
from functools import partial

from mmids_trio.app import Server
from mmids_trio.definitions import WorkflowDefinition
from mmids_trio.recording.api import RecordedApi
from mmids_trio.recording.connections import RecordedGate
from mmids_trio.recording.reactors import RecordedExecutors
from mmids_trio.recording.recorder import Recorder
from mmids_trio.recording.records import Loaded
from mmids_trio.recording.running import running_text
from mmids_trio.reload.configuration_file import Configuration
from mmids_trio.reload.reloader import Load


def attach(recorder: Recorder, server: Server) -> None:
    """Have `recorder` note what comes into `server`, which must not run yet."""
    server.rtmp.gate = RecordedGate(server.rtmp.gate, recorder)
    server.executors = RecordedExecutors(server.executors, recorder)
    server.api_layer = partial(RecordedApi, recorder=recorder)
    if server.reloader is not None:
        server.reloader.load = _recorded(server.reloader.load, recorder)


def _recorded(load: Load, recorder: Recorder) -> Load:
    async def load_and_note() -> Configuration:
        configuration = await load()
        recorder.note(Loaded(recorder.now(), configuration.text.encode()))
        return configuration

    return load_and_note


def note_kept_state(
    recorder: Recorder, server: Server, file: Configuration, running: Sequence[WorkflowDefinition]
) -> None:
    """Note what a server has started with, where the API had changed something of the file's in an earlier life."""
    assert server.reactors is not None, "the server does not run yet"
    reactors = tuple(server.reactors.definitions)
    if tuple(running) != file.document.workflows or reactors != file.document.reactors:
        recorder.note(Loaded(recorder.now(), running_text(file.settings, reactors, running).encode()))
