"""The test kit: what the author of a test imports, all of it from here. The modules below are internal.

A whole server in memory, clients, fakes of what lies outside, checkers, schedules and replays. A name is imported with
its module when it is first asked for: the pytest plugin is loaded by every pytest of an environment, and imports none.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmids_trio.testing.cancellation import cancel_everywhere, cancel_only_at
    from mmids_trio.testing.checker import Report, StreamChecker
    from mmids_trio.testing.clients import ClientRefused, Disconnected, RtmpClient
    from mmids_trio.testing.events import EventLog
    from mmids_trio.testing.ffmpeg import FakeFfmpeg, Script, fed_packets
    from mmids_trio.testing.harness import RTMP_PORT, Dialling, Harness, inline
    from mmids_trio.testing.http import HttpAnswer, HttpClient, HttpFailed, HttpStream
    from mmids_trio.testing.links import Direction, Link
    from mmids_trio.testing.media import (
        AUDIO_HEADER,
        VIDEO_HEADER,
        AudioCodec,
        VideoCodec,
        generate_metadata,
        generate_stream,
    )
    from mmids_trio.testing.network import MemoryListener, MemoryNetwork, MemoryTransport, memory_connection
    from mmids_trio.testing.processes import Behaviour, FakeProcess, FakeSpawner
    from mmids_trio.testing.reactors import FakeReactorService, Flapping, Reply, fails, hangs, invalid, valid
    from mmids_trio.testing.recorder import Recorder
    from mmids_trio.testing.replaying import Replayed, replay, run_replay
    from mmids_trio.testing.schedules import schedule

__all__ = [
    "AUDIO_HEADER",
    "RTMP_PORT",
    "VIDEO_HEADER",
    "AudioCodec",
    "Behaviour",
    "ClientRefused",
    "Dialling",
    "Direction",
    "Disconnected",
    "EventLog",
    "FakeFfmpeg",
    "FakeProcess",
    "FakeReactorService",
    "FakeSpawner",
    "Flapping",
    "Harness",
    "HttpAnswer",
    "HttpClient",
    "HttpFailed",
    "HttpStream",
    "Link",
    "MemoryListener",
    "MemoryNetwork",
    "MemoryTransport",
    "Recorder",
    "Replayed",
    "Reply",
    "Report",
    "RtmpClient",
    "Script",
    "StreamChecker",
    "VideoCodec",
    "cancel_everywhere",
    "cancel_only_at",
    "fails",
    "fed_packets",
    "generate_metadata",
    "generate_stream",
    "hangs",
    "inline",
    "invalid",
    "memory_connection",
    "replay",
    "run_replay",
    "schedule",
    "valid",
]

_NAMES = {
    "cancellation": (
        "cancel_everywhere",
        "cancel_only_at",
    ),
    "checker": (
        "Report",
        "StreamChecker",
    ),
    "clients": (
        "ClientRefused",
        "Disconnected",
        "RtmpClient",
    ),
    "events": ("EventLog",),
    "ffmpeg": (
        "FakeFfmpeg",
        "Script",
        "fed_packets",
    ),
    "harness": (
        "RTMP_PORT",
        "Dialling",
        "Harness",
        "inline",
    ),
    "http": (
        "HttpAnswer",
        "HttpClient",
        "HttpFailed",
        "HttpStream",
    ),
    "links": (
        "Direction",
        "Link",
    ),
    "media": (
        "AUDIO_HEADER",
        "VIDEO_HEADER",
        "AudioCodec",
        "VideoCodec",
        "generate_metadata",
        "generate_stream",
    ),
    "network": (
        "MemoryListener",
        "MemoryNetwork",
        "MemoryTransport",
        "memory_connection",
    ),
    "processes": (
        "Behaviour",
        "FakeProcess",
        "FakeSpawner",
    ),
    "reactors": (
        "FakeReactorService",
        "Flapping",
        "Reply",
        "fails",
        "hangs",
        "invalid",
        "valid",
    ),
    "recorder": ("Recorder",),
    "replaying": (
        "Replayed",
        "replay",
        "run_replay",
    ),
    "schedules": ("schedule",),
}
"""By module."""

_MODULES = {name: module for module, names in _NAMES.items() for name in names}


if not TYPE_CHECKING:  # a checker of types would take every name for one of these

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
