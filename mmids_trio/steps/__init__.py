"""The public face for authors of steps and executors: what they import, all of it from here.

The modules behind it are internal, those of this folder too, which are the kinds of steps that come with mmids_trio.
A name is imported with its module when it is first asked for, so that nothing else of the folder is loaded.
"""

from typing import TYPE_CHECKING

from mmids_trio.faces import lazily

if TYPE_CHECKING:
    from mmids_trio.config.converters import (
        byte_count,
        choice,
        duration,
        networks,
        one_of,
        port_number,
        seconds,
        switch,
        text,
        web_address,
        whole_number,
    )
    from mmids_trio.config.parameters import NoParameters, Secret, flag, parameter, secret_parameter
    from mmids_trio.definitions import ReactorDefinition, StepDefinition, WorkflowDefinition
    from mmids_trio.errors import CannotSwitch, Place, Problem, StepError
    from mmids_trio.media.codecs import parse_audio, parse_other, parse_video
    from mmids_trio.media.events import (
        MediaEvent,
        MediaKind,
        MediaPacket,
        Rendition,
        StreamEnded,
        StreamId,
        StreamMetadata,
        StreamStarted,
    )
    from mmids_trio.media.flow import Flow
    from mmids_trio.metrics.catalog import PLACE
    from mmids_trio.metrics.counts import Counts, Distribution, Kind, Metric
    from mmids_trio.on_air.views import SourceView, StreamNow, StreamWarning
    from mmids_trio.reactors.executor import Answer, Executor, ExecutorFailure, ExecutorKind
    from mmids_trio.reservation import Reservation
    from mmids_trio.steps.registry import StepType
    from mmids_trio.stream_request import StreamOrigin, StreamRequest
    from mmids_trio.workflow.events import (
        ClientJoined,
        ClientLeft,
        DrainBegan,
        DrainEnded,
        FleetFailed,
        HlsPaused,
        HlsResumed,
        HubEvent,
        KeyLost,
        KeyMoved,
        ReactorAnswered,
        RegistryCameBack,
        RegistryWentAway,
        ReloadRefused,
        StepChanged,
        StreamChanged,
        StreamInterrupted,
        StreamResumed,
        StreamStalled,
        StreamSwitched,
        StreamWentLive,
        StreamWentOff,
        TargetDown,
        TargetUp,
        WorkflowChanged,
        WorkflowEnded,
        WorkflowFailed,
        WorkflowStarted,
        WorkflowTakenOver,
    )
    from mmids_trio.workflow.status import Clients, StreamStatus, Switched, WorkflowOwner
    from mmids_trio.workflow.step import ChangeInPlace, Inbox, Outbox, Step, StepContext, StepFactory

__all__ = [
    "PLACE",
    "Answer",
    "CannotSwitch",
    "ChangeInPlace",
    "ClientJoined",
    "ClientLeft",
    "Clients",
    "Counts",
    "Distribution",
    "DrainBegan",
    "DrainEnded",
    "Executor",
    "ExecutorFailure",
    "ExecutorKind",
    "FleetFailed",
    "Flow",
    "HlsPaused",
    "HlsResumed",
    "HubEvent",
    "Inbox",
    "KeyLost",
    "KeyMoved",
    "Kind",
    "MediaEvent",
    "MediaKind",
    "MediaPacket",
    "Metric",
    "NoParameters",
    "Outbox",
    "Place",
    "Problem",
    "ReactorAnswered",
    "ReactorDefinition",
    "RegistryCameBack",
    "RegistryWentAway",
    "ReloadRefused",
    "Rendition",
    "Reservation",
    "Secret",
    "SourceView",
    "Step",
    "StepChanged",
    "StepContext",
    "StepDefinition",
    "StepError",
    "StepFactory",
    "StepType",
    "StreamChanged",
    "StreamEnded",
    "StreamId",
    "StreamInterrupted",
    "StreamMetadata",
    "StreamNow",
    "StreamOrigin",
    "StreamRequest",
    "StreamResumed",
    "StreamStalled",
    "StreamStarted",
    "StreamStatus",
    "StreamSwitched",
    "StreamWarning",
    "StreamWentLive",
    "StreamWentOff",
    "Switched",
    "TargetDown",
    "TargetUp",
    "WorkflowChanged",
    "WorkflowDefinition",
    "WorkflowEnded",
    "WorkflowFailed",
    "WorkflowOwner",
    "WorkflowStarted",
    "WorkflowTakenOver",
    "byte_count",
    "choice",
    "duration",
    "flag",
    "networks",
    "one_of",
    "parameter",
    "parse_audio",
    "parse_other",
    "parse_video",
    "port_number",
    "seconds",
    "secret_parameter",
    "switch",
    "text",
    "web_address",
    "whole_number",
]

_MODULES = (
    "config.converters",
    "config.parameters",
    "definitions",
    "errors",
    "media.codecs",
    "media.events",
    "media.flow",
    "metrics.catalog",
    "metrics.counts",
    "on_air.views",
    "reactors.executor",
    "reservation",
    "steps.registry",
    "stream_request",
    "workflow.events",
    "workflow.status",
    "workflow.step",
)
"""Where the names are, in the order in which they are looked for."""

if not TYPE_CHECKING:  # a checker of types would take every name for one of these
    __getattr__ = lazily(__name__, __all__, _MODULES)


def __dir__() -> list[str]:
    return __all__
