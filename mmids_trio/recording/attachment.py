"""Where a recorder listens in on a server; apart because nothing else of a recording knows a whole server."""

from functools import partial

from mmids_trio.app import Server
from mmids_trio.recording.api import RecordedApi
from mmids_trio.recording.connections import RecordedDoorman
from mmids_trio.recording.reactors import RecordedExecutors
from mmids_trio.recording.recorder import Recorder


def attach(recorder: Recorder, server: Server) -> None:
    """Have `recorder` note what comes into `server`, which must not run yet."""
    server.rtmp.doorman = RecordedDoorman(server.rtmp.doorman, recorder)
    server.executors = RecordedExecutors(server.executors, recorder)
    server.api_layer = partial(RecordedApi, recorder=recorder)
