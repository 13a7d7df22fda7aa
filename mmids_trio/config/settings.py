"""Every setting of the `settings` node: its type, its default and how its value is read.

A new setting is one line of `Settings`, declared as the parameters of steps are.
"""

from collections.abc import Mapping
from ipaddress import ip_address
from math import inf

from attrs import frozen

from mmids_trio.addresses import IpNetwork
from mmids_trio.config.converters import (
    anything,
    bearer_token,
    certificate_files,
    filled,
    host_names,
    module_names,
    networks,
    one_of,
    path_or_none,
    port_number,
    proxy_address,
    shared_secret,
    switch,
    web_address,
    web_origins,
    whole_number,
)
from mmids_trio.config.parameters import Parameter, declared, parameter, secret_names

LONGEST_TIMEOUT = 86_400
"""Seconds in a day; a publisher that may be silent for longer is as good as never timed out."""

LONGEST_SEND_INTERVAL = 1_000
"""Milliseconds; a player that gets media once a second stutters unless it buffers more than players do."""

LONGEST_WATCHER_LAG = 60
"""Seconds; who is further behind does not watch live any more, and memory is kept for it all the same."""

MOST_CONNECTIONS = 1_000_000
"""More than one process can have files open on any usual system (Linux: fs.nr_open, 1,048,576)."""

MOST_STREAMS = 1_000_000
"""As for connections, which mostly have one."""

MOST_STREAMS_OF_CONNECTION = 16
"""Message streams that a connection may have (`rtmp.protocol.message_streams`)."""

MOST_DISCONNECTS = 999_999
"""Largest number of clients that a change may be allowed to disconnect; there are fewer ports."""

LEAST_LOG_BYTES, MOST_LOG_BYTES = 1024**2, 1024**5
"""A log below a MiB could not hold what a start and a failure write; a PiB is no bound any more."""

MOST_REPEATS = 100_000
"""More lines than a process can write in a second."""

MOST_CHILDREN = 10_000
"""More processes than one machine encodes or copies live media in."""

HIGHEST_ENCODE_RATE = 10**12
"""Pixels a second; two thousand times 4K at 60 pictures a second."""

LEAST_MEDIA_BYTES, MOST_MEDIA_BYTES = 128 * 1024 * 1024, 1024**4
"""With less, the quarter of an address would not hold what one connection may; more is no limit on usual machines."""

LONGEST_KEEP = 31_536_000
"""Seconds in a year."""

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
    "reload_refused",
    "hls_paused",
    "hls_resumed",
    "workflow_taken_over",
    "step_changed",
    "workflow_changed",
    "client_joined",
    "client_left",
    "stream_changed",
    "registry_away",
    "registry_back",
    "key_lost",
    "key_moved",
    "fleet_failed",
    "drain_began",
    "drain_ended",
)
"""Events that the outside may hear of; a test compares them with those that there are."""


def event_names(value: str) -> str:
    """Reads names of events, separated by commas."""
    if not set(value.split(",")) <= set(EVENT_NAMES):
        raise ValueError(f"expected names of events, separated by commas, out of {', '.join(EVENT_NAMES)}")
    return value


@frozen
class Settings:
    """The settings of a server, as written: relative paths are the caller's to resolve.

    `tls_more_certs`: a file with a certificate each, and the one with its key where that is another.
    `load`: modules with kinds of steps and executors, for who starts a server; one that is built takes those kinds.
    `state_path` of `None`: changes over the API end with the server. `log_path` of `None`: no log on the disk.
    Ports: 0 means any free one. `http_api_port` of `None`: no HTTP API. `publisher_timeout`: seconds, 0
    for none.
    `max_connections` of `None`: as many as there are files; `max_connections_per_ip` of `None`: no such limit.
    """

    load: tuple[str, ...] = parameter(module_names, default=())
    ffmpeg_path: str | None = parameter(filled, default=None)
    ffmpeg_proxy: str | None = parameter(proxy_address, default=None, secret=True)
    http_api_port: int | None = parameter(port_number, default=None, aliases=("http_port",))
    rtmp_host: str | None = parameter(filled, default=None)
    http_media_port: int = parameter(port_number, default=8080)
    http_media_host: str | None = parameter(filled, default=None)
    http_media_origins: tuple[str, ...] | None = parameter(web_origins, default=None)
    http_media_proxies: tuple[IpNetwork, ...] | None = parameter(networks, default=None)
    http_api_host: str = parameter(filled, default="127.0.0.1")
    http_api_hosts: tuple[str, ...] | None = parameter(host_names, default=None)
    http_api_token: str | None = parameter(bearer_token, default=None, secret=True)
    http_api_tokens_path: str | None = parameter(filled, default=None)
    http_api_tls: bool = parameter(switch, default=False)
    tls_cert_path: str | None = parameter(filled, default=None)
    tls_cert_password: str | None = parameter(anything, default=None, secret=True)
    tls_key_path: str | None = parameter(filled, default=None)
    tls_more_certs: tuple[tuple[str, str | None], ...] = parameter(certificate_files, default=())
    allow_expired_certificate: bool = parameter(switch, default=False)
    log_console: str = parameter(one_of("text", "json", "none"), default="text")
    log_path: str | None = parameter(path_or_none, default="logs")
    log_max_bytes: int = parameter(whole_number(LEAST_LOG_BYTES, MOST_LOG_BYTES, " of bytes"), default=1024**3)
    log_repeats_per_second: int = parameter(whole_number(1, MOST_REPEATS), default=5)
    rtmp_send_interval: int = parameter(whole_number(0, LONGEST_SEND_INTERVAL, " of milliseconds"), default=0)
    gop_cache: bool = parameter(switch, default=True)
    max_watcher_lag: int = parameter(whole_number(1, LONGEST_WATCHER_LAG, " of seconds"), default=10)
    rtmp_merge_reads: bool = parameter(switch, default=True)
    publisher_timeout: int = parameter(whole_number(0, LONGEST_TIMEOUT, " of seconds"), default=30)
    max_connections: int | None = parameter(whole_number(1, MOST_CONNECTIONS), default=None)
    max_connections_per_ip: int | None = parameter(whole_number(1, MOST_CONNECTIONS), default=None)
    max_streams: int = parameter(whole_number(1, MOST_STREAMS), default=1_000)
    max_streams_per_connection: int = parameter(whole_number(1, MOST_STREAMS_OF_CONNECTION), default=8)
    max_media_bytes: int = parameter(whole_number(LEAST_MEDIA_BYTES, MOST_MEDIA_BYTES, " of bytes"), default=1024**3)
    grace_after: int = parameter(whole_number(0, LONGEST_TIMEOUT, " of seconds"), default=5)
    max_interrupted: int = parameter(whole_number(0, MOST_STREAMS), default=100)
    api_max_connections: int = parameter(whole_number(1, MOST_CONNECTIONS), default=256)
    max_children: int = parameter(whole_number(1, MOST_CHILDREN), default=32)
    max_encode_rate: int = parameter(whole_number(1, HIGHEST_ENCODE_RATE, " of pixels a second"), default=497_664_000)
    stream_metrics: int = parameter(whole_number(0, MOST_STREAMS), default=200)
    ended_files_keep: int = parameter(whole_number(0, LONGEST_KEEP, " of seconds"), default=3600)
    hls_min_free: int = parameter(whole_number(0, MOST_LOG_BYTES, " of bytes"), default=1024**3)
    rtmp_proxy_protocol_from: tuple[IpNetwork, ...] | None = parameter(networks, default=None)
    state_path: str | None = parameter(filled, default=None)
    watch_config: bool = parameter(switch, default=False)
    changes_in_place: bool = parameter(switch, default=False)
    reload_max_disconnects: int = parameter(whole_number(0, MOST_DISCONNECTS), default=0)
    ui: bool = parameter(switch, default=True)
    strict_settings: bool = parameter(switch, default=False)
    start_errors: str = parameter(one_of("continue", "exit"), default="continue")
    auth_url: str | None = parameter(web_address, default=None, secret=True)
    auth_on_failure: str = parameter(one_of("deny", "allow"), default="deny")
    auth_jwks_url: str | None = parameter(web_address, default=None, secret=True)
    auth_jwt_key: str | None = parameter(shared_secret, default=None, secret=True)
    webhook_url: str | None = parameter(web_address, default=None, secret=True)
    webhook_secret: str | None = parameter(filled, default=None, secret=True)
    webhook_events: str | None = parameter(event_names, default=None)

    @property
    def publisher_patience(self) -> float:
        """Seconds after which a silent publisher is disconnected; infinite where none is."""
        return self.publisher_timeout or inf


def _known_settings() -> Mapping[str, Parameter]:
    return {spelling: setting for setting in declared(Settings) for spelling in (setting.name, *setting.aliases)}


KNOWN_SETTINGS = _known_settings()
"""Every accepted spelling."""

SECRET_SETTINGS = secret_names(declared(Settings))
"""The spellings of those whose values are shown to nobody."""


def host_from_here(host: str) -> str:
    """What this machine calls a port that is bound to `host`: that stands for all addresses, or is one of them."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def is_loopback(host: str) -> bool:
    """Whether `host` is `localhost` or an address in 127.0.0.0/8 or ::1, which no other machine reaches."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
