"""Every setting of the `settings` node: its type, its default and how its value is read.

A new setting is one line of `Settings`; the parser works through the table that is made from it.
"""

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from attrs import field, fields, frozen

from mmids_trio.net.addresses import IpNetwork, parse_networks

Reader = Callable[[str], object]
"""Turns a value as written into the setting's; raises `ValueError` with what was expected.

It never repeats the value, which may be secret and is shown with the line where it is not."""

LARGEST_PORT = 65_535
LONGEST_TIMEOUT = 86_400
"""Seconds in a day; a publisher that may be silent for longer is as good as never timed out."""

LONGEST_SEND_INTERVAL = 1_000
"""Milliseconds; a player that gets media once a second stutters unless it buffers more than players do."""

LONGEST_WATCHER_LAG = 60
"""Seconds; who is further behind does not watch live any more, and memory is kept for it all the same."""
MOST_CONNECTIONS = 1_000_000
"""More than one process can have files open on any usual system (Linux: fs.nr_open, 1,048,576)."""

LONGEST_NUMBER = 15
"""Digits of a whole number: far more than any bound asks for, few enough to convert at once."""


def whole_number(lowest: int, highest: int, unit: str = "") -> Callable[[str], int]:
    """Reads a decimal number between the two, both included."""

    def read(value: str) -> int:
        is_number = value.isascii() and value.isdigit() and len(value) <= LONGEST_NUMBER
        if not is_number or not lowest <= int(value) <= highest:
            raise ValueError(f"expected a whole number{unit} from {lowest} to {highest}")
        return int(value)

    return read


def anything(value: str) -> str:
    """Reads any text, even an empty one."""
    return value


def filled(value: str) -> str:
    """Reads a text that is not empty."""
    if not value:
        raise ValueError("expected a value that is not empty, or none at all")
    return value


def bearer_token(value: str) -> str:
    """Reads what can stand in an `Authorization` header (RFC 9110 §5.5, §11.4: visible ASCII, no spaces)."""
    if not value or not all("!" <= character <= "~" for character in value):
        raise ValueError("expected a token of visible ASCII characters without spaces")
    return value


def networks(value: str) -> tuple[IpNetwork, ...]:
    """Reads IPv4 and IPv6 networks, separated by commas."""
    try:
        return parse_networks(value)
    except ValueError:
        raise ValueError("expected IPv4 or IPv6 addresses or CIDR networks, separated by commas") from None


def switch(value: str) -> bool:
    """Reads `true` or `false`."""
    if value not in ("true", "false"):
        raise ValueError("expected true or false")
    return value == "true"


def web_address(value: str) -> str:
    """Reads an http or https URL."""
    try:
        parts = urlsplit(value)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or not value.isprintable() or " " in value:
        raise ValueError("expected an http or https URL")
    return value


EVENT_NAMES = (
    "workflow_started",
    "workflow_failed",
    "workflow_ended",
    "stream_began",
    "stream_over",
    "stream_interrupted",
    "stream_resumed",
    "stream_stalled",
    "stream_switched",
    "target_up",
    "target_down",
    "reactor_answered",
)
"""Events that the outside may hear of; a test compares them with those that there are."""


def event_names(value: str) -> str:
    """Reads names of events, separated by commas."""
    if not set(value.split(",")) <= set(EVENT_NAMES):
        raise ValueError(f"expected names of events, separated by commas, out of {', '.join(EVENT_NAMES)}")
    return value


def _as(read: Reader, *other_spellings: str) -> dict[str, object]:
    return {"read": read, "other_spellings": other_spellings}


_port = whole_number(0, LARGEST_PORT)


@frozen
class Settings:
    """The settings of a server, as written: relative paths are the caller's to resolve.

    `state_path` of `None`: changes over the API end with the server.
    Ports: 0 means any free one. `http_api_port` of `None`: no HTTP API. `publisher_timeout`: seconds.
    `max_connections` of `None`: as many as there are files; `max_connections_per_ip` of `None`: no such limit.
    """

    ffmpeg_path: str | None = field(default=None, metadata=_as(filled))
    http_api_port: int | None = field(default=None, metadata=_as(_port, "http_port"))
    rtmp_host: str | None = field(default=None, metadata=_as(filled))
    http_api_host: str = field(default="127.0.0.1", metadata=_as(filled))
    http_api_token: str | None = field(default=None, repr=False, metadata=_as(bearer_token))
    tls_cert_path: str | None = field(default=None, metadata=_as(filled))
    tls_cert_password: str | None = field(default=None, repr=False, metadata=_as(anything))
    tls_key_path: str | None = field(default=None, metadata=_as(filled))
    log_path: str = field(default="logs", metadata=_as(filled))
    rtmp_send_interval: int = field(default=0, metadata=_as(whole_number(0, LONGEST_SEND_INTERVAL, " of milliseconds")))
    gop_cache: bool = field(default=True, metadata=_as(switch))
    max_watcher_lag: int = field(default=10, metadata=_as(whole_number(1, LONGEST_WATCHER_LAG, " of seconds")))
    rtmp_merge_reads: bool = field(default=True, metadata=_as(switch))
    publisher_timeout: int = field(default=30, metadata=_as(whole_number(1, LONGEST_TIMEOUT, " of seconds")))
    max_connections: int | None = field(default=None, metadata=_as(whole_number(1, MOST_CONNECTIONS)))
    max_connections_per_ip: int | None = field(default=None, metadata=_as(whole_number(1, MOST_CONNECTIONS)))
    api_max_connections: int = field(default=256, metadata=_as(whole_number(1, MOST_CONNECTIONS)))
    rtmp_proxy_protocol_from: tuple[IpNetwork, ...] | None = field(default=None, metadata=_as(networks))
    state_path: str | None = field(default=None, metadata=_as(filled))
    watch_config: bool = field(default=False, metadata=_as(switch))
    webhook_url: str | None = field(default=None, repr=False, metadata=_as(web_address))
    webhook_secret: str | None = field(default=None, repr=False, metadata=_as(filled))
    webhook_events: str | None = field(default=None, metadata=_as(event_names))


@frozen
class Setting:
    """One spelling of a setting: the field of `Settings` that it fills, and how."""

    field: str
    read: Reader


def _known_settings() -> Mapping[str, Setting]:
    return {
        spelling: Setting(attribute.name, attribute.metadata["read"])
        for attribute in fields(Settings)
        for spelling in (attribute.name, *attribute.metadata["other_spellings"])
    }


KNOWN_SETTINGS = _known_settings()
"""Every accepted spelling."""


def is_loopback(host: str) -> bool:
    """Whether `host` is `localhost` or an address in 127.0.0.0/8 or ::1, which no other machine reaches."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
