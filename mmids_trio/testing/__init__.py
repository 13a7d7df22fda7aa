"""The test kit: what the author of a test imports, all of it from here. The modules below are internal.

A whole server in memory, clients, fakes of what lies outside, checkers, schedules and replays. A name is imported with
its module when it is first asked for: the pytest plugin is loaded by every pytest of an environment, and imports none.
"""

from typing import TYPE_CHECKING

from mmids_trio.faces import lazily

if TYPE_CHECKING:
    from mmids_trio.capture.tape import Tape
    from mmids_trio.errors import ConfigurationError
    from mmids_trio.ffmpeg.process import Spawner
    from mmids_trio.net.transport import Transport
    from mmids_trio.testing.cancellation import cancel_everywhere, cancel_only_at
    from mmids_trio.testing.checker import Report, StreamChecker
    from mmids_trio.testing.checking import check_step
    from mmids_trio.testing.clients import ClientRefused, Disconnected, RtmpClient
    from mmids_trio.testing.event_sequences import Move, events_of, events_of_odd
    from mmids_trio.testing.events import EventLog
    from mmids_trio.testing.exploring import explore
    from mmids_trio.testing.fake_peer import FakePeer, PeerConnection, PeerDoes
    from mmids_trio.testing.fault_words import Faults, WrongFault, faults
    from mmids_trio.testing.ffmpeg import FakeFfmpeg, Script, fed_packets
    from mmids_trio.testing.fixtures import HarnessOptions, StartHarness
    from mmids_trio.testing.harness import RTMP_PORT, Dialling, Harness, inline
    from mmids_trio.testing.http import HttpAnswer, HttpClient, HttpFailed, HttpStream, RequestOptions
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
    from mmids_trio.testing.odd_streams import Arrival, OddStream, zoo
    from mmids_trio.testing.processes import Behaviour, FakeInput, FakeOutput, FakeProcess, FakeSpawner
    from mmids_trio.testing.reactors import Call, FakeReactorService, Flapping, Reply, fails, hangs, invalid, valid
    from mmids_trio.testing.recorder import Recorder
    from mmids_trio.testing.replaying import Replayed, replay, run_replay
    from mmids_trio.testing.schedules import Priorities, Schedule, Switch, schedule
    from mmids_trio.testing.step_ends import ChannelInbox, FakeStepContext, Outlet
    from mmids_trio.testing.step_rules import StepFault, StepRule
    from mmids_trio.testing.strategies import any_events, any_odd_stream, any_schedule
    from mmids_trio.testing.stuck import BlockingCall, Deadlock, Livelock, Stuck, TookTooLong
    from mmids_trio.testing.watchdog import Limits, Watchdog
    from mmids_trio.workflow.status import Outcome, OutcomeKind, PlanView, WorkflowStatus

__all__ = [
    "AUDIO_HEADER",
    "RTMP_PORT",
    "VIDEO_HEADER",
    "Arrival",
    "AudioCodec",
    "Behaviour",
    "BlockingCall",
    "Call",
    "ChannelInbox",
    "ClientRefused",
    "ConfigurationError",
    "Deadlock",
    "Dialling",
    "Direction",
    "Disconnected",
    "EventLog",
    "FakeFfmpeg",
    "FakeInput",
    "FakeOutput",
    "FakePeer",
    "FakeProcess",
    "FakeReactorService",
    "FakeSpawner",
    "FakeStepContext",
    "Faults",
    "Flapping",
    "Harness",
    "HarnessOptions",
    "HttpAnswer",
    "HttpClient",
    "HttpFailed",
    "HttpStream",
    "Limits",
    "Link",
    "Livelock",
    "MemoryListener",
    "MemoryNetwork",
    "MemoryTransport",
    "Move",
    "OddStream",
    "Outcome",
    "OutcomeKind",
    "Outlet",
    "PeerConnection",
    "PeerDoes",
    "PlanView",
    "Priorities",
    "Recorder",
    "Replayed",
    "Reply",
    "Report",
    "RequestOptions",
    "RtmpClient",
    "Schedule",
    "Script",
    "Spawner",
    "StartHarness",
    "StepFault",
    "StepRule",
    "StreamChecker",
    "Stuck",
    "Switch",
    "Tape",
    "TookTooLong",
    "Transport",
    "VideoCodec",
    "Watchdog",
    "WorkflowStatus",
    "WrongFault",
    "any_events",
    "any_odd_stream",
    "any_schedule",
    "cancel_everywhere",
    "cancel_only_at",
    "check_step",
    "events_of",
    "events_of_odd",
    "explore",
    "fails",
    "faults",
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
    "zoo",
]

_MODULES = (
    "capture.tape",
    "errors",
    "ffmpeg.process",
    "net.transport",
    "workflow.status",
    *(
        f"testing.{module}"
        for module in (
            "cancellation",
            "checker",
            "clients",
            "event_sequences",
            "events",
            "exploring",
            "fake_peer",
            "fault_words",
            "ffmpeg",
            "fixtures",
            "harness",
            "http",
            "links",
            "media",
            "network",
            "odd_streams",
            "processes",
            "reactors",
            "recorder",
            "replaying",
            "schedules",
            "step_ends",
            "stuck",
            "watchdog",
            "step_rules",
            "checking",
            "strategies",  # the last: Hypothesis may not be installed
        )
    ),
)
"""Where the names are."""

if not TYPE_CHECKING:  # a checker of types would take every name for one of these
    __getattr__ = lazily(__name__, __all__, _MODULES)


def __dir__() -> list[str]:
    return __all__
