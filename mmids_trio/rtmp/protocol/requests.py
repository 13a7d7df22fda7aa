"""What a client asks for, as plain data: connect, publish and play, with names already normalised.

It is apart from the machine that answers, because registrations, logs and hooks look at requests long
after the bytes are gone, and because every client spells these names in its own way.
"""

from collections.abc import Mapping
from urllib.parse import unquote

from attrs import field, frozen

from mmids_trio.rtmp.protocol.commands import Command, as_mapping, as_number, as_string

DEFAULT_INSTANCE = "/_definst_"
"""What Flash-era tools append to an application for its default instance."""

LIVE_OR_RECORDED = -2.0
"""Start of a `play` that does not say: live if there is, else recorded (RTMP 1.0 §7.2.2.1)."""


@frozen
class Query:
    """What stood behind the `?` of a name: as sent (`raw`), and decoded (the last of equal names wins).

    Decoding is lenient, since few tools encode: `+` stays `+`, and a stray `%` stays itself.
    """

    raw: str = ""
    parameters: Mapping[str, str] = field(factory=dict)

    def followed_by(self, raw: str) -> "Query":
        """This query with the parameters of `raw` added."""
        return parse_query("&".join(part for part in (self.raw, raw) if part))


def parse_query(raw: str) -> Query:
    """Read `name=value&name=value`; a name without `=` has the value `""`."""
    pairs = (part.partition("=") for part in raw.split("&") if part)
    return Query(raw, {unquote(name): unquote(value) for name, _, value in pairs})


@frozen
class EnhancedCapabilities:
    """What was announced (Enhanced RTMP v2, "Enhancing NetConnection connect Command"); `None`: nothing."""

    four_cc_list: tuple[str, ...] | None = None
    video_four_cc_info: Mapping[str, int] | None = None
    audio_four_cc_info: Mapping[str, int] | None = None
    caps_ex: int | None = None

    def __bool__(self) -> bool:
        """Whether it announced anything at all."""
        announced = (self.four_cc_list, self.video_four_cc_info, self.audio_four_cc_info, self.caps_ex)
        return any(value is not None for value in announced)


@frozen
class ConnectRequest:
    """`connect` (RTMP 1.0 §7.2.1.1). `app` is bare: no slashes around it, no `/_definst_`, no query.

    It may be empty and may contain `/`: FFmpeg takes up to two parts of a path, OBS all but the last.
    """

    app: str
    query: Query = field(factory=Query)
    tc_url: str = ""
    flash_version: str = ""
    page_url: str = ""
    object_encoding: int = 0
    capabilities: EnhancedCapabilities = field(factory=EnhancedCapabilities)


@frozen
class PublishRequest:
    """`publish` on message stream `stream`. `key` has no query; `query` has the parameters of app and key.

    The key is otherwise as sent: FFmpeg makes `mp4:key.mp4` of `key.mp4` and `key` of `key.flv`, for
    publishing and for playing alike, so the two meet.  `publish_type` is `live`, `record` or `append`.
    """

    connect: ConnectRequest = field(repr=False)
    stream: int
    key: str
    query: Query = field(factory=Query)
    publish_type: str = "live"

    @property
    def app(self) -> str:
        """The application that the client connected to."""
        return self.connect.app


@frozen
class PlayRequest:
    """`play` on message stream `stream` (RTMP 1.0 §7.2.2.1). `key` and `query` are as in `PublishRequest`.

    `start` and `duration` are as sent: Flash means seconds, FFmpeg milliseconds; live needs neither.
    """

    connect: ConnectRequest = field(repr=False)
    stream: int
    key: str
    query: Query = field(factory=Query)
    start: float = LIVE_OR_RECORDED
    duration: float = -1.0
    reset: bool = True

    @property
    def app(self) -> str:
        """The application that the client connected to."""
        return self.connect.app


def split_name(name: str) -> tuple[str, str]:
    """Cut `name?query` in two; without a `?` the query is empty."""
    bare, _, query = name.partition("?")
    return bare, query


def normalise_app(app: str) -> tuple[str, str]:
    """The bare application and the raw query of what a client sent as `app`; either may be empty."""
    bare, query = split_name(app)
    bare = bare.strip("/").removesuffix(DEFAULT_INSTANCE).rstrip("/")
    return bare, query


def connect_request(command: Command) -> ConnectRequest:
    """Read a `connect` command; whatever is missing or of another type than expected counts as not said."""
    properties = {name.lower(): value for name, value in as_mapping(command.argument(0)).items()}
    app, query = normalise_app(as_string(properties.get("app")))
    return ConnectRequest(
        app=app,
        query=parse_query(query),
        tc_url=as_string(properties.get("tcurl")).strip("\"'"),
        flash_version=as_string(properties.get("flashver")),
        page_url=as_string(properties.get("pageurl")),
        object_encoding=as_number(properties.get("objectencoding"), int),
        capabilities=_capabilities(properties),
    )


def _capabilities(properties: Mapping[str, object]) -> EnhancedCapabilities:
    four_ccs = properties.get("fourcclist")
    caps_ex = properties.get("capsex")
    return EnhancedCapabilities(
        four_cc_list=tuple(as_string(item) for item in four_ccs) if isinstance(four_ccs, list) else None,
        video_four_cc_info=_info_map(properties.get("videofourccinfomap")),
        audio_four_cc_info=_info_map(properties.get("audiofourccinfomap")),
        caps_ex=as_number(caps_ex, int) if caps_ex is not None else None,
    )


def _info_map(value: object) -> Mapping[str, int] | None:
    if not isinstance(value, Mapping):
        return None
    return {str(four_cc): as_number(mask, int) for four_cc, mask in value.items()}


def publish_request(connect: ConnectRequest, stream: int, command: Command) -> PublishRequest:
    """Read a `publish` command that came on message stream `stream`."""
    key, query = split_name(as_string(command.argument(1)))
    publish_type = as_string(command.argument(2)) or "live"
    return PublishRequest(connect, stream, key, connect.query.followed_by(query), publish_type)


def play_request(connect: ConnectRequest, stream: int, command: Command) -> PlayRequest:
    """Read a `play` command that came on message stream `stream`."""
    key, query = split_name(as_string(command.argument(1)))
    start = command.argument(2)
    duration = command.argument(3)
    return PlayRequest(
        connect=connect,
        stream=stream,
        key=key,
        query=connect.query.followed_by(query),
        start=as_number(start, float) if start is not None else LIVE_OR_RECORDED,
        duration=as_number(duration, float) if duration is not None else -1.0,
        reset=command.argument(4) not in (False, 0.0),
    )


def play2_request(connect: ConnectRequest, stream: int, command: Command) -> PlayRequest:
    """Read a `play2` command (RTMP 1.0 §7.2.2.2): a switch to another key, said in one object."""
    key, query = split_name(as_string(as_mapping(command.argument(1)).get("streamName")))
    return PlayRequest(connect, stream, key, connect.query.followed_by(query), reset=False)
