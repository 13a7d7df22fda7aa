"""Where a capture listens in on a server: at every way in, as hooks that the server is built with."""

from collections.abc import Sequence
from functools import partial

from mmids_trio.capture.records import Belongs, Loaded
from mmids_trio.capture.running import running_text
from mmids_trio.capture.taps import CapturedApi, CapturedExecutors, CapturedGate
from mmids_trio.capture.writer import CaptureWriter
from mmids_trio.definitions import WorkflowDefinition
from mmids_trio.reload.configuration_file import Configuration
from mmids_trio.reload.reloader import Load
from mmids_trio.server.app import Server
from mmids_trio.server.building import Hooks


def hooks_of(writer: CaptureWriter) -> Hooks:
    """What has `writer` note all that comes into a server."""
    return Hooks(
        gate=partial(CapturedGate, writer=writer),
        executors=partial(CapturedExecutors, writer=writer),
        api=partial(CapturedApi, writer=writer),
        load=partial(_noted, writer),
    )


def _noted(writer: CaptureWriter, load: Load) -> Load:
    async def load_and_note() -> Configuration:
        configuration = await load()
        writer.note(Loaded(writer.now(), configuration.text.encode()))
        return configuration

    return load_and_note


def note_kept_state(
    writer: CaptureWriter, server: Server, file: Configuration, running: Sequence[WorkflowDefinition]
) -> None:
    """Note what a server has started with, where the API had changed something of the file's in an earlier life.

    And whose that is: what others have may be changed in ways in which one's own may not.
    """
    reactors = tuple(server.reactors.definitions)
    if tuple(running) != file.document.workflows or reactors != file.document.reactors:
        writer.note(Loaded(writer.now(), running_text(file.settings, reactors, running).encode()))
    for definition in running:
        owner = server.workflows.owner(definition.name)
        if owner is not None and owner.set is not None:
            writer.note(Belongs(writer.now(), "workflow", definition.name, owner.set))
    for reactor in reactors:
        if reactor.set is not None:
            writer.note(Belongs(writer.now(), "reactor", reactor.name, reactor.set))
