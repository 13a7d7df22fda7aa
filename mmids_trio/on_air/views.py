"""Streams and clients as they are shown to the outside. No view holds what grants access: no tokens, no queries."""

from collections.abc import Sequence
from typing import Literal

from attrs import frozen

STALLED_SECONDS = 5.0
"""Without media, after which a stream counts as stalled whose step does not say otherwise."""

StreamState = Literal["live", "interrupted", "stalled", "slate", "backup"]
ClientState = Literal["publishing", "watching", "waiting", "paused"]
ClientRole = Literal["publisher", "watcher"]


@frozen
class TrackView:
    """One kind of media of a stream: what its main track says of itself, and the rates of all tracks of the kind.

    Null is what the codec does not say, or what is not known yet. `profile` and `level` in the codec's own numbers,
    `codec_string` as RFC 6381 has it, rates in bits per second, frames per second and Hz. `jitter_ms`: by how much
    batches come unevenly, compared with their timestamps, on average. `jumps`: how often a timestamp followed the one
    before it by more than two seconds, or went back.
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
    jitter_ms: int
    jumps: int
    configuration_changes: int


@frozen
class StreamWarning:
    """What is wrong with a stream: a word for programs, a sentence, and what can be done about it."""

    code: str
    text: str
    remedy: str


@frozen
class SourceView:
    """Where a stream comes from, or did last.

    `client` is the id of the client that publishes it, to find it by; null once it has left, and where it is none.
    `location`: what a step reads (a URL or a file, without what grants access; the name of a stream), else null.
    `token`: the name of what it was let in by, never the token itself.
    """

    client: str | None
    protocol: str
    address: str
    port: int
    agent: str
    location: str | None = None
    token: str | None = None


@frozen
class StreamView:
    """A stream, from its first publisher to its end. `seconds_left`: until it ends, where it is interrupted.

    `since` as RFC 3339 has it, in UTC. `bytes` are those of its media. `source` is null until a publisher is let in.
    `made_from`: the id of the stream that a step makes this one from; if under the same name, the watchers of both
    count for that one. `clocks_set`: how often the source's clock was found to be another one, and mended.
    `sound_offset_ms`: how far the newest sound is ahead of the newest picture; null where one of them is not known.
    """

    id: str
    name: str
    workflow: str
    step_id: str
    state: StreamState
    seconds_left: float | None
    since: str
    bytes: int
    watchers: int
    made_from: str | None
    clocks_set: int
    sound_offset_ms: int | None
    source: SourceView | None
    tracks: Sequence[TrackView]
    warnings: Sequence[StreamWarning]


@frozen
class ClientView:
    """One client of a stream. A connection with several streams is a client in each.

    `name` is the key that it asked for, `stream` the id of the stream that it sends or gets, null where there is none
    (yet). `token`: the name of what it was let in by, never the token itself.
    `lag_ms` and `lag_bytes`: what it has not been sent yet of what is there. `skips`: how often it fell so far
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
    token: str | None = None


@frozen
class StreamNow:
    """How a stream is at the moment. `stalls_after`: seconds without media after which it counts as stalled."""

    state: StreamState
    seconds_left: float | None = None
    stalls_after: float = STALLED_SECONDS


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
    """What a client has asked for, none of which has a query, and the name of the token that let it in."""

    role: ClientRole
    app: str
    key: str
    token: str | None = None
