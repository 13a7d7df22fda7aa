"""What a tape holds, as plain data: everything that came into a server from outside, and when.

Apart from the tape's bytes and from who notes these things, as capture and replay have nothing else in common.
`time` is in microseconds since the capture began.
"""

from attrs import field, frozen

ENDED, RESET, BY_SERVER = "end", "reset", "server"
"""How a connection ended: the peer's last byte was read, it broke, or the server closed it."""

VALID, INVALID, FAILED, CANCELLED = "valid", "invalid", "failed", "cancelled"
"""What came of a question to a reactor; the last: nobody waited for the answer any more."""


@frozen
class Start:
    """The first record: what was captured, how, and the configuration (UTF-8) that was in effect."""

    time: int
    program: str
    """Version of the program that captured."""
    media: str
    """`full` or `headers`, see `masking.Masking`."""
    secrets: str
    """`keep` or `mask`."""
    clock: int
    """The calendar's time, in seconds since 1970 UTC."""
    configuration: bytes = field(repr=False)


@frozen
class Opened:
    """A connection to the RTMP port that a step's `port` calls `port`, from `host` and `peer_port`."""

    time: int
    connection: int
    port: int
    host: str
    peer_port: int


@frozen
class Received:
    """One read from a connection."""

    time: int
    connection: int
    data: bytes = field(repr=False)


@frozen
class Closed:
    """The end of a connection; `how` is `ENDED`, `RESET` or `BY_SERVER`."""

    time: int
    connection: int
    how: str


@frozen
class Lost:
    """The disk did not keep up: what follows of a connection is missing; or (`None`) by now, in all, so many `records`
    of other kinds are."""

    time: int
    connection: int | None
    records: int


@frozen
class Requested:
    """A request to the API, once its body was read. `headers` has one `name: value` a line."""

    time: int
    request: int
    method: str
    target: str
    """Path and query as sent."""
    headers: str
    body: bytes = field(repr=False)


@frozen
class Responded:
    """The beginning of the API's answer; a `status` of `None`: there was none."""

    time: int
    request: int
    status: int | None


@frozen
class HungUp:
    """The client of a request went away before it had the whole answer."""

    time: int
    request: int


@frozen
class Loaded:
    """The configuration that was read for a reload (or, at the start, that the API had made before); UTF-8."""

    time: int
    configuration: bytes = field(repr=False)


@frozen
class Belongs:
    """At the start: whose the API had made a `workflow` or a `reactor` (`node`) before, by the name of a set."""

    time: int
    node: str
    name: str
    set: str


@frozen
class Asked:
    """A reactor's executor was asked about a stream."""

    time: int
    question: int
    reactor: str
    stream: str


@frozen
class Told:
    """What came of a question: `outcome` is `VALID` (`text`: workflows), `INVALID`, `FAILED` (`text`: why) or
    `CANCELLED`."""

    time: int
    question: int
    outcome: str
    text: bytes = field(repr=False)


@frozen
class End:
    """The last record: why nothing more was captured."""

    time: int
    reason: str


Record = (
    Start | Opened | Received | Closed | Lost | Requested | Responded | HungUp | Loaded | Belongs | Asked | Told | End
)

KINDS: dict[str, type[Record]] = {
    "start": Start,
    "open": Opened,
    "data": Received,
    "close": Closed,
    "lost": Lost,
    "request": Requested,
    "response": Responded,
    "hangup": HungUp,
    "load": Loaded,
    "belongs": Belongs,
    "ask": Asked,
    "answer": Told,
    "end": End,
}
"""What each kind is called on a tape."""
