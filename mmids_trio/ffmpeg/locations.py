"""Where ffmpeg may read from and write to, by the scheme of the URL; everything else is refused.

It stands apart as the one place where it is decided which protocols an input may open: a playlist from the network
names URLs of its own, and must not get at the server's files through them.
"""

import re
from typing import Final

from attrs import frozen

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://[^/]")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")

STALL_MICROSECONDS = 10_000_000
"""A connection on which nothing moves for so long is dead; else ffmpeg would wait for ever, and nobody restart it."""

LARGEST_PICTURE = 35_651_584
"""Pixels of the largest picture that is decoded, or made: what H.264 and HEVC allow at their highest level, 6.2, which
is 8K. Memory for pictures is what a few bytes of a header can ask for most of."""

PICTURE_LIMIT = ("-max_pixels", str(LARGEST_PICTURE))
"""Before each input."""

_STALL = ("-rw_timeout", str(STALL_MICROSECONDS))
_RTSP_STALL = ("-timeout", str(STALL_MICROSECONDS))  # the RTSP demuxer's own word for it

_AT_ITS_SPEED = ("-re",)
"""Read in real time. A file or a recording on a web server would otherwise be over in seconds."""

_OVER_AND_OVER = ("-stream_loop", "-1")

_RECONNECT = ("-reconnect", "1", "-reconnect_streamed", "1", "-reconnect_delay_max", "5")
"""A hiccup of an HTTP connection is then no end of the stream. Seconds; longer ones are the supervisor's."""

_FILE_PROTOCOLS = ("file", "crypto", "data")
_HTTP_PROTOCOLS = ("http", "https", "httpproxy", "tcp", "tls", "crypto", "data")
_RTMP_SCHEMES = ("rtmp", "rtmps", "rtmpt", "rtmpts", "rtmpe", "rtmpte")
_RTMP_PROTOCOLS = (*_RTMP_SCHEMES, "ffrtmphttp", "ffrtmpcrypt", "http", "https", "tcp", "tls")
_RTSP_PROTOCOLS = ("rtsp", "rtsps", "rtp", "srtp", "udp", "tcp", "tls", "http", "https")


@frozen
class MediaSource:
    """How to read from URLs of one scheme: the protocols that may be opened on the way, and further options."""

    protocols: tuple[str, ...]
    options: tuple[str, ...] = ()

    def arguments(self, url: str) -> list[str]:
        """The input, with everything that has to stand before it."""
        return ["-protocol_whitelist", ",".join(self.protocols), *PICTURE_LIMIT, *self.options, "-i", url]


@frozen
class MediaTarget:
    """How to write to URLs of one scheme: the format, and further options."""

    container: str
    options: tuple[str, ...] = ()

    def arguments(self, url: str) -> list[str]:
        """The output, with everything that has to stand before it."""
        return [*self.options, "-f", self.container, url]


FLV_OPTIONS = ("-flvflags", "no_duration_filesize")
"""Nobody can go back and write a length into a stream."""

_FILE = MediaSource(_FILE_PROTOCOLS, _AT_ITS_SPEED)

_SOURCES: Final = {
    **dict.fromkeys(("http", "https"), MediaSource(_HTTP_PROTOCOLS, (*_AT_ITS_SPEED, *_STALL, *_RECONNECT))),
    **dict.fromkeys(_RTMP_SCHEMES, MediaSource(_RTMP_PROTOCOLS, _STALL)),
    **dict.fromkeys(("rtsp", "rtsps"), MediaSource(_RTSP_PROTOCOLS, _RTSP_STALL)),
    "srt": MediaSource(("srt",)),
    "udp": MediaSource(("udp",)),
    "rtp": MediaSource(("rtp", "srtp", "udp")),
    "tcp": MediaSource(("tcp",), _STALL),
}

_TARGETS: Final = {
    **dict.fromkeys(_RTMP_SCHEMES, MediaTarget("flv", (*_STALL, *FLV_OPTIONS))),
    **dict.fromkeys(("rtsp", "rtsps"), MediaTarget("rtsp")),
    **dict.fromkeys(("http", "https", "tcp"), MediaTarget("mpegts", _STALL)),
    **dict.fromkeys(("srt", "udp"), MediaTarget("mpegts")),
    "rtp": MediaTarget("rtp_mpegts"),
}


def source_location(value: str) -> str:
    """A file's path or a URL that a pull can read; raises `ValueError` with what was expected."""
    _source(value)
    return value


def push_target(value: str) -> str:
    """A URL that a push can write to; raises `ValueError` with what was expected."""
    _target(value)
    return value


def is_pushed_as_ts(url: str) -> bool:
    """Whether what is pushed there is MPEG-TS; raises `ValueError` like `push_target`."""
    return _target(url).container.endswith("mpegts")


def stream_key_of(url: str) -> tuple[str, ...]:
    """What of a target's URL is secret: the last part of an RTMP URL's path, which is the stream key."""
    scheme, separator, rest = url.partition("://")
    path = rest.partition("?")[0]
    key = path.rpartition("/")[2] if "/" in path else ""
    return (key,) if separator and key and scheme.lower().startswith("rtmp") else ()


def output_directory(value: str) -> str:
    """A directory for HLS; raises `ValueError` with what was expected."""
    if not value or "\0" in value:
        raise ValueError("expected the path of a directory")
    if "%" in value:  # which would be part of the pattern for segments, and cannot be escaped there
        raise ValueError("expected the path of a directory without '%'")
    return value


def is_file(location: str) -> bool:
    """Whether it is the path of a file, not a URL; raises `ValueError` like `source_location`."""
    return _source(location)[0] is _FILE


def source_arguments(location: str, *, repeats: bool = False) -> list[str]:
    """The input for a file, over and over if it `repeats`, or a URL; raises `ValueError` like `source_location`."""
    source, url = _source(location)
    loop = _OVER_AND_OVER if repeats and source is _FILE else ()
    return [*loop, *source.arguments(url)]


def target_arguments(url: str) -> list[str]:
    """The output for a URL; raises `ValueError` like `push_target`."""
    return _target(url).arguments(url)


def takes_configurations(url: str) -> bool:
    """Whether what goes to a URL can change its decoder configuration on the way: FLV has sequence headers for that."""
    return _target(url).container == "flv"


def plain_path(path: str) -> str:
    """The same path, so written that it is neither taken for an option nor for a URL."""
    return path if path.startswith("/") else f"./{path}"


def _source(location: str) -> tuple[MediaSource, str]:
    scheme = _SCHEME.match(location)
    if scheme is None or scheme[1].lower() == "file":
        path = location if scheme is None else location[scheme.end() :]
        if not path or "\0" in path:
            raise ValueError("expected the path of a file or a URL")
        return _FILE, f"file:{path}"  # behind which everything is a path
    source = _SOURCES.get(scheme[1].lower())
    if source is None:
        raise ValueError(
            f"expected the path of a file (file:... if there is a colon in it) or a URL of {', '.join(_SOURCES)}"
        )
    _check_url(location)
    return source, location


def _target(url: str) -> MediaTarget:
    scheme = _SCHEME.match(url)
    target = _TARGETS.get(scheme[1].lower()) if scheme else None
    if target is None:
        raise ValueError(f"expected a URL of {', '.join(_TARGETS)}")
    _check_url(url)
    return target


def _check_url(url: str) -> None:
    if _CONTROL.search(url) or not _URL.match(url):
        raise ValueError("expected <scheme>://<host>... without control characters")
