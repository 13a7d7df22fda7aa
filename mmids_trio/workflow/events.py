"""What the event hub carries, as plain data: what happens to workflows, streams, targets, reactors, the cluster.

Apart from the hub, so that steps can import what they publish. To the outside an event is its `wire_name` and its
fields as JSON: webhooks and clients of the API depend on both, so a class may get another name and its wire name may
not.
"""

from collections.abc import Callable
from typing import Any, ClassVar, cast

from attrs import evolve, fields, frozen

from mmids_trio.media.events import StreamId
from mmids_trio.workflow import status


@frozen
class WorkflowStarted:
    """A workflow carries media for the first time, or again after a failure."""

    wire_name: ClassVar[str] = "workflow_started"
    workflow: str


@frozen
class WorkflowFailed:
    """A workflow went into error."""

    wire_name: ClassVar[str] = "workflow_failed"
    workflow: str
    reason: str


@frozen
class WorkflowEnded:
    """Nothing of a workflow is left."""

    wire_name: ClassVar[str] = "workflow_ended"
    workflow: str


@frozen
class StepChanged:
    """A running step has taken other parameters, and has another id with that."""

    wire_name: ClassVar[str] = "step_changed"
    workflow: str
    step_id: str
    step_id_before: str
    step_type: str


@frozen
class StreamWentLive:
    """A step has brought a stream into a workflow."""

    wire_name: ClassVar[str] = "stream_began"
    workflow: str
    step_id: str
    stream_id: StreamId
    name: str


@frozen
class StreamWentOff:
    """A stream that a step had brought in has ended."""

    wire_name: ClassVar[str] = "stream_over"
    workflow: str
    step_id: str
    stream_id: StreamId
    name: str


@frozen
class StreamInterrupted:
    """The source of a stream has vanished; the stream ends in `seconds` unless it comes back."""

    wire_name: ClassVar[str] = "stream_interrupted"
    workflow: str
    step_id: str
    stream_id: StreamId
    name: str
    seconds: float


@frozen
class StreamResumed:
    """A stream goes on from another connection; `gap_ms` milliseconds lie between the last frame and that."""

    wire_name: ClassVar[str] = "stream_resumed"
    workflow: str
    step_id: str
    stream_id: StreamId
    name: str
    gap_ms: int
    took_over: bool
    """Whether the old publisher was still connected."""


@frozen
class StreamStalled:
    """A live stream has sent nothing for `seconds`."""

    wire_name: ClassVar[str] = "stream_stalled"
    workflow: str
    step_id: str
    stream_id: StreamId
    name: str
    seconds: float


@frozen
class StreamSwitched:
    """A step sends another of its sources; `source_before` is `None` for the first."""

    wire_name: ClassVar[str] = "stream_switched"
    workflow: str
    step_id: str
    name: str
    source_before: str | None
    source: str
    reason: str


@frozen
class TargetUp:
    """A stream is being pushed to `target`, which is shown without its key."""

    wire_name: ClassVar[str] = "target_up"
    workflow: str
    step_id: str
    name: str
    target: str


@frozen
class TargetDown:
    """A stream is not pushed to `target` any more, or could not be."""

    wire_name: ClassVar[str] = "target_down"
    workflow: str
    step_id: str
    name: str
    target: str
    reason: str


@frozen
class ReactorAnswered:
    """A reactor has an answer about a stream, or (`error`) a request failed after all tries."""

    wire_name: ClassVar[str] = "reactor_answered"
    reactor: str
    stream: str
    valid: bool | None
    workflows: tuple[str, ...]
    error: str | None = None


@frozen
class ReloadRefused:
    """The configuration was not read again: more would have been cut than may be, or all workflows stopped.

    `by`: who asked (`signal`, `watch` or `api`); `publishers` and `watchers` would have been disconnected.
    """

    wire_name: ClassVar[str] = "reload_refused"
    by: str
    reason: str
    publishers: int
    watchers: int


@frozen
class HlsPaused:
    """A step writes no HLS any more: only `free_bytes` are free where it writes, and `least_bytes` are to stay."""

    wire_name: ClassVar[str] = "hls_paused"
    workflow: str
    step_id: str
    path: str
    free_bytes: int
    least_bytes: int


@frozen
class HlsResumed:
    """A step writes HLS again: there is room where it writes."""

    wire_name: ClassVar[str] = "hls_resumed"
    workflow: str
    step_id: str
    path: str
    free_bytes: int


@frozen
class WorkflowTakenOver:
    """A workflow belongs to somebody else from now on: to a set of the API, or to the configuration file."""

    wire_name: ClassVar[str] = "workflow_taken_over"
    workflow: str
    owner_before: status.WorkflowOwner
    owner: status.WorkflowOwner


@frozen
class WorkflowChanged:
    """A change of a workflow, which somebody asked for, is in place: so many steps are new, others, or gone.

    `by`: name of the API's token, or `signal` and `watch`. `action`: `start`, `change` or `stop`. `change`: its id in
    the list of changes.
    """

    wire_name: ClassVar[str] = "workflow_changed"
    workflow: str
    by: str
    action: str
    started: int
    changed: int
    stopped: int
    change: str


@frozen
class ClientJoined:
    """A client was let in. `client`: its id; `name`: the stream key; `token`: the name of what it was let in by."""

    wire_name: ClassVar[str] = "client_joined"
    workflow: str
    step_id: str
    client: str
    role: str
    protocol: str
    address: str
    name: str
    token: str | None


@frozen
class ClientLeft:
    """A client is gone, after `seconds`; `bytes` of media it has sent or was sent."""

    wire_name: ClassVar[str] = "client_left"
    workflow: str
    step_id: str
    client: str
    role: str
    protocol: str
    address: str
    name: str
    seconds: float
    bytes: int
    reason: str


@frozen
class StreamChanged:
    """One kind of media of a stream (`kind`) is another one now. Null is what is not known, or does not apply."""

    wire_name: ClassVar[str] = "stream_changed"
    workflow: str
    step_id: str
    stream: str
    name: str
    kind: str
    codec: str | None
    width: int | None
    height: int | None
    sample_rate: int | None
    channels: int | None


@frozen
class RegistryWentAway:
    """The registry of the cluster does not answer `node`. What is on the air goes on."""

    wire_name: ClassVar[str] = "registry_away"
    node: str


@frozen
class RegistryCameBack:
    """The registry of the cluster answers `node` again."""

    wire_name: ClassVar[str] = "registry_back"
    node: str


@frozen
class KeyLost:
    """A key that was `node`'s is another node's (`node_now`), so its publisher at `node` is disconnected.

    `why`: `expired` (nobody renewed it: the node was stopped or cut off, or the registry away), `outage` (both took it
    without the registry), `raced` (its publisher came back to both at one moment).
    """

    wire_name: ClassVar[str] = "key_lost"
    node: str
    app: str
    name: str
    node_now: str
    why: str


@frozen
class KeyMoved:
    """A key of `node` that waited for its publisher is another node's (`node_now`), to which one has come."""

    wire_name: ClassVar[str] = "key_moved"
    node: str
    app: str
    name: str
    node_now: str


@frozen
class FleetFailed:
    """What the fleet has decided cannot be put in place at `node`, which is being emptied for that and tries again."""

    wire_name: ClassVar[str] = "fleet_failed"
    node: str
    revision: int
    reason: str


@frozen
class DrainBegan:
    """A server is being emptied: it takes no publishers. `node`: what it is called in its cluster, if it is in one.

    `why`: `asked`, or `fleet` where it cannot put in place what is decided. `asked_to_move`: so many clients.
    """

    wire_name: ClassVar[str] = "drain_began"
    node: str | None
    why: str
    asked_to_move: int


@frozen
class DrainEnded:
    """A server that was being emptied takes publishers again."""

    wire_name: ClassVar[str] = "drain_ended"
    node: str | None


HubEvent = (
    WorkflowStarted
    | WorkflowFailed
    | WorkflowEnded
    | StreamWentLive
    | StreamWentOff
    | StreamInterrupted
    | StreamResumed
    | StreamStalled
    | StreamSwitched
    | TargetUp
    | TargetDown
    | ReactorAnswered
    | ReloadRefused
    | HlsPaused
    | HlsResumed
    | WorkflowTakenOver
    | StepChanged
    | WorkflowChanged
    | ClientJoined
    | ClientLeft
    | StreamChanged
    | RegistryWentAway
    | RegistryCameBack
    | KeyLost
    | KeyMoved
    | FleetFailed
    | DrainBegan
    | DrainEnded
)
"""Everything that may be published. The order is that of the names in the document of the API."""

FREE_TEXT = frozenset({"error", "name", "path", "reason", "source", "source_before", "stream", "target"})
"""Fields that may repeat what stands in a parameter; names of workflows and reactors are never such a thing."""


def hidden(event: HubEvent, hide: Callable[[str], str]) -> HubEvent:
    """The event without the texts that `hide` takes away."""
    changed: dict[str, Any] = {}
    for attribute in fields(type(event)):
        value = getattr(event, attribute.name)
        if attribute.name in FREE_TEXT and isinstance(value, str) and (shown := hide(value)) != value:
            changed[attribute.name] = shown
    if not changed:
        return event
    told: HubEvent = evolve(cast(Any, event), **changed)
    return told
