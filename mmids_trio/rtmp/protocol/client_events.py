"""What a `ClientConnection` tells its owner, as plain data.

Media, metadata and pongs are the server's events of the same names.
"""

from collections.abc import Mapping

from attrs import field, frozen

from mmids_trio.rtmp.protocol.events import DataReceived, MediaReceived, MetadataReceived, PongReceived


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
class Refused:
    """The server refused `connect`, `createStream`, `publish` or `play`, or ended them with an error."""

    code: str
    description: str


@frozen
class StreamBegan:
    """StreamBegin: there is media (again), RTMP 1.0 §7.1.7."""

    stream: int


@frozen
class StreamEnded:
    """StreamEOF: there is no media for now, RTMP 1.0 §7.1.7."""

    stream: int


ClientEvent = (
    ClientConnected
    | PublishStarted
    | PlayStarted
    | StatusReceived
    | Refused
    | StreamBegan
    | StreamEnded
    | MediaReceived
    | MetadataReceived
    | DataReceived
    | PongReceived
)
