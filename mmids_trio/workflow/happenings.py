"""What steps tell the event hub about their streams, as plain data; apart so that steps need not know the hub."""

from attrs import frozen

from mmids_trio.media.events import StreamId


@frozen
class StreamInterrupted:
    """The source of a stream has vanished; the stream ends in `seconds` unless it comes back."""

    workflow: str
    step_id: str
    stream_id: StreamId
    name: str
    seconds: float


@frozen
class StreamResumed:
    """A stream goes on from another connection; `gap_ms` milliseconds lie between the last frame and that."""

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

    workflow: str
    step_id: str
    stream_id: StreamId
    name: str
    seconds: float


@frozen
class StreamSwitched:
    """A step sends another of its sources; `source_before` is `None` for the first."""

    workflow: str
    step_id: str
    name: str
    source_before: str | None
    source: str
    reason: str


@frozen
class TargetUp:
    """A stream is being pushed to `target`, which is shown without its key."""

    workflow: str
    step_id: str
    name: str
    target: str


@frozen
class TargetDown:
    """A stream is not pushed to `target` any more, or could not be."""

    workflow: str
    step_id: str
    name: str
    target: str
    reason: str
