"""Streams and clients as they are shown to the outside. No view holds what grants access: no tokens, no queries."""

from collections.abc import Sequence
from typing import Literal

from attrs import frozen

StreamState = Literal["live", "interrupted", "stalled"]
ClientState = Literal["publishing", "watching", "waiting", "paused"]
ClientRole = Literal["publisher", "watcher"]


@frozen
class TrackView:
    """One kind of media of a stream: what its main track says of itself, and the rates of all tracks of the kind.

    Null is what the codec does not say, or what is not known yet. `profile` and `level` in the codec's own numbers,
    `codec_string` as RFC 6381 has it, rates in bits per second, frames per second and Hz.
    """

    kind: Literal["video", "audio"]
    codec: str | None
    codec_string: str | None
    profile: int | None
    level: int | None
    width: int | None
    height: int | None
    frame_rate: float | None
    sample_rate: int | None
    channels: int | None
    bitrate_1s: int | None
    bitrate_10s: int | None
    key_frame_interval_ms: int | None
    last_frame_ms: int | None
    configuration_changes: int


@frozen
class SourceView:
    """Who publishes a stream, or did last. `client` is the id to find it by; null once it has left."""

    client: str | None
    protocol: str
    address: str
    port: int
    agent: str


@frozen
class StreamView:
    """A stream, from its first publisher to its end. `seconds_left`: until it ends, where it is interrupted.

    `since` as RFC 3339 has it, in UTC. `bytes` are those of its media. `source` is null until a publisher is let in.
    """

    id: str
    name: str
    workflow: str
    step_id: str
    state: StreamState
    seconds_left: float | None
    since: str
    bytes: int
    source: SourceView | None
    tracks: Sequence[TrackView]


@frozen
class ClientView:
    """One client of a stream. A connection with several streams is a client in each.

    `name` is the key that it asked for, `stream` the id of the stream that it sends or gets, null where there is none
    (yet). `lag_ms` and `lag_bytes`: what it has not been sent yet of what is there. `skips`: how often it fell so far
    behind that media was left out.
    """

    id: str
    role: ClientRole
    protocol: str
    address: str
    port: int
    agent: str
    workflow: str
    step_id: str
    app: str
    name: str
    stream: str | None
    state: ClientState
    since: str
    bytes: int
    lag_ms: int
    lag_bytes: int
    skips: int


@frozen
class StreamNow:
    """How a stream is at the moment."""

    state: StreamState
    seconds_left: float | None = None


@frozen
class ClientNow:
    """How a client is at the moment; see `ClientView`."""

    state: ClientState
    bytes: int
    lag_ms: int = 0
    lag_bytes: int = 0
    skips: int = 0


@frozen
class Peer:
    """Where a client comes from, and what it says that it is."""

    protocol: str
    address: str
    port: int
    agent: str


@frozen
class Asked:
    """What a client has asked for; none of it has a query."""

    role: ClientRole
    app: str
    key: str
