"""What the path of a request names: an application, a stream key, and what of the stream is wanted. Pure.

    /live/KEY                   the page with the player
    /live/KEY.flv               HTTP-FLV
    /live/KEY.jpg               the thumbnail
    /live/KEY/index.m3u8        HLS: the multivariant playlist; beside it the files that it leads to
    /-/NAME                     a file of the page, of no stream

The last part is the key, percent-encoded (also a `/` in it), what stands before it the application, which may have
several parts.  A key that ends in `.flv`, `.jpg` or `.m3u8` cannot be asked for here.
"""

import re
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

from attrs import frozen

PAGE, FLV, THUMBNAIL, INDEX = "page", "flv", "thumbnail", "index.m3u8"
"""What of a stream may be wanted, besides the files of HLS, which go by their own names."""

MOST_KNOWN = 512
"""Paths that are read once: a crowd asks for the same ones at the same time."""

ASSETS = "-"
"""The first part of the path of what belongs to no stream; no application has this name here."""

_ENDINGS = {".flv": FLV, ".jpg": THUMBNAIL}
_HLS_FILE = re.compile(
    r"index\.m3u8|(?:[0-9A-Za-z_]{1,32}-)?"
    r"(?:media\.m3u8|init-[0-9]{1,9}\.mp4|segment-[0-9]{1,15}\.m4s|part-[0-9]{1,15}\.[0-9]{1,5}\.m4s)"
)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\0-\x1f\x7f]")


@frozen
class Place:
    """What is wanted of `app` and `key`, names decoded. `what`: one of the words above, or the name of an HLS file."""

    app: str
    key: str
    what: str


@frozen
class Asset:
    """A file that belongs to no stream."""

    name: str


@lru_cache(MOST_KNOWN)
def read_path(path: str) -> Place | Asset | None:
    """What a path names; `None` where it is nothing that there could be."""
    parts = path.split("/")
    if parts[0] or len(parts) < 3 or _BAD_ESCAPE.search(path):  # noqa: PLR2004  (the root, an application, a key)
        return None
    if parts[1] == ASSETS:
        return Asset("/".join(parts[2:]))
    what = PAGE
    if len(parts) > 3 and _HLS_FILE.fullmatch(parts[-1]):  # noqa: PLR2004  (the same and a file)
        what = parts.pop()
    else:
        for ending, meaning in _ENDINGS.items():
            if parts[-1].endswith(ending):
                parts[-1], what = parts[-1].removesuffix(ending), meaning
    *app, key = map(_decoded, parts[1:])
    if not all(app) or not key or key.endswith((".flv", ".jpg", ".m3u8")) or any(map(_CONTROL.search, [*app, key])):
        return None
    return Place("/".join(app), key, what)


def path_of(app: str, key: str) -> str:
    """The path of a key's page; the rest follows by what is put behind it."""
    return f"/{quote(app, errors='surrogateescape')}/{quoted(key)}"


def quoted(key: str) -> str:
    """A key as one part of a path."""
    return quote(key, safe="", errors="surrogateescape")


def _decoded(part: str) -> str:
    """RTMP's names need not be UTF-8; what is not comes as lone surrogates, there and here."""
    return unquote_to_bytes(part).decode("utf-8", "surrogateescape")
