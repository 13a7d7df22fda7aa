"""What a `ServerConnection`, or a `ClientConnection`, tells its owner, as plain data.

Media comes in runs: everything between two other events is one `MediaReceived`, because one read of a
socket holds many messages and a small object for each would cost more than parsing it.
"""

from collections.abc import Mapping

from attrs import field, frozen

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


@frozen
class ClientConnected:
    """The server accepted `connect`: time to `publish` or `play`. Both objects are as they came."""

    properties: Mapping[str, object] = field(factory=dict)
    information: Mapping[str, object] = field(factory=dict)


@frozen
class PublishStarted:
    """The server wants our media, on message stream `stream`."""

    stream: int


@frozen
class PlayStarted:
    """The server will send media, on message stream `stream`."""

    stream: int


@frozen
class StatusReceived:
    """Any `onStatus` that is neither a start nor a refusal."""

    stream: int
    level: str
    code: str
    description: str


@frozen
class RefusalReceived:
    """The server refused `connect`, `createStream`, `publish` or `play`, or ended them with an error."""

    code: str
    description: str


@frozen
class StreamBeginReceived:
    """StreamBegin: there is media (again), RTMP 1.0 §7.1.7."""

    stream: int


@frozen
class StreamEofReceived:
    """StreamEOF: there is no media for now, RTMP 1.0 §7.1.7."""

    stream: int


ClientEvent = (
    ClientConnected
    | PublishStarted
    | PlayStarted
    | StatusReceived
    | RefusalReceived
    | StreamBeginReceived
    | StreamEofReceived
    | MediaReceived
    | MetadataReceived
    | DataReceived
    | PongReceived
)
