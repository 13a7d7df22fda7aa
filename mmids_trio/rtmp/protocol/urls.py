"""RTMP URLs as clients write them: where to connect, and what to say there. Pure."""

import re
from urllib.parse import unquote, urlsplit

from attrs import field, frozen

RTMP_PORT, RTMPS_PORT = 1935, 443
_CONTROL = re.compile(r"[\x00-\x20\x7f]")


@frozen
class RtmpUrl:
    """`rtmp[s]://[user:password@]host[:port]/app/key[?query]`, taken apart.

    The last part of the path is the key, the rest the application, as OBS and most servers' instructions have it.
    `key` has its query and may be empty; `query` is what Adobe's authentication adds to the application.
    """

    host: str
    port: int
    tls: bool
    app: str
    key: str = field(repr=False)
    user: str = ""
    password: str = field(default="", repr=False)

    @property
    def tc_url(self) -> str:
        """`tcUrl` of `connect` (RTMP 1.0 §7.2.1.1): without user, password and key."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.port == (RTMPS_PORT if self.tls else RTMP_PORT)
        return f"{'rtmps' if self.tls else 'rtmp'}://{host}{'' if usual else f':{self.port}'}/{self.app}"

    def __str__(self) -> str:
        """For people: without anything that grants access."""
        return f"{self.tc_url}/***" if self.key else self.tc_url


def parse_rtmp_url(url: str) -> RtmpUrl:
    """Take a URL apart. Raises `ValueError` with what was expected; the message never repeats the URL."""
    if _CONTROL.search(url):
        raise ValueError("expected a URL without spaces and control characters")
    scheme, separator, _ = url.partition("://")
    if not separator or scheme.lower() not in ("rtmp", "rtmps"):
        raise ValueError("expected a URL of rtmp or rtmps")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("expected a host and a port from 1 to 65535") from None
    if not host or port == 0:
        raise ValueError("expected a host and a port from 1 to 65535")
    app, slash, name = parts.path.removeprefix("/").rpartition("/")
    if not app.strip("/"):
        raise ValueError("expected <scheme>://<host>/<application>/<stream key>")
    tls = scheme.lower() == "rtmps"
    key = f"{name}{'?' if parts.query else ''}{parts.query}" if slash else ""
    return RtmpUrl(
        host=host,
        port=port or (RTMPS_PORT if tls else RTMP_PORT),
        tls=tls,
        app=app.strip("/"),
        key=key,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )
