"""What a `ServerConnection` tells its owner, as plain data.

Media comes in runs: everything between two other events is one `MediaReceived`, because one read of a
socket holds many messages and a small object for each would cost more than parsing it.
"""

from collections.abc import Mapping

from attrs import frozen

from mmids_trio.rtmp.protocol.message import Message
from mmids_trio.rtmp.protocol.requests import ConnectRequest, PlayRequest, PublishRequest


@frozen
class Connected:
    """The client named its application, and was accepted."""

    request: ConnectRequest


@frozen
class ConnectRefused:
    """The client's `connect` was refused: send what is to be sent, then close."""

    request: ConnectRequest
    description: str


@frozen
class PublishRequested:
    """Answer with `accept_publish(request)` or `refuse_publish(request, ...)`, now or later."""

    request: PublishRequest


@frozen
class PlayRequested:
    """Answer with `accept_play(request)` or `refuse_play(request, ...)`, now or later."""

    request: PlayRequest


@frozen
class PublishEnded:
    """The client stopped publishing on message stream `stream`, or withdrew its unanswered request."""

    stream: int


@frozen
class PlayEnded:
    """The client stopped playing on message stream `stream`, or withdrew its unanswered request."""

    stream: int


@frozen
class PlayPaused:
    """A watcher paused (`paused`) or goes on. It was told so already; to go on it needs a key frame first."""

    stream: int
    paused: bool


@frozen
class AudioWanted:
    """A watcher wants audio, or no longer (`receiveAudio`, RTMP 1.0 §7.2.2.4)."""

    stream: int
    wanted: bool


@frozen
class VideoWanted:
    """A watcher wants video, or no longer (`receiveVideo`, RTMP 1.0 §7.2.2.5)."""

    stream: int
    wanted: bool


@frozen
class MediaReceived:
    """A run of audio (type 8) and video (type 9) messages of one publisher, in order, none of them empty.

    `stream` is the message stream of the publish request, whatever the messages say. Aggregates are split.
    """

    stream: int
    messages: list[Message]


@frozen
class MetadataReceived:
    """`onMetaData`, with or without `@setDataFrame` before it. `timestamp` is in milliseconds."""

    stream: int
    timestamp: int
    values: Mapping[str, object]


@frozen
class DataReceived:
    """Any other data message (`onTextData`, `onCuePoint`, ...), as AMF0 bytes without `@setDataFrame`."""

    stream: int
    timestamp: int
    payload: bytes


@frozen
class PongReceived:
    """The answer to a ping of ours with the same `timestamp` (RTMP 1.0 §7.1.7)."""

    timestamp: int


Event = (
    Connected
    | ConnectRefused
    | PublishRequested
    | PlayRequested
    | PublishEnded
    | PlayEnded
    | PlayPaused
    | AudioWanted
    | VideoWanted
    | MediaReceived
    | MetadataReceived
    | DataReceived
    | PongReceived
)
