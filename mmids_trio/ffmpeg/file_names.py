"""Names of streams as names of files: no name can leave its directory, and different names stay different.

It stands apart since it is all that keeps what publishers choose away from the file system.
"""

import re
from hashlib import blake2b
from typing import Final

MAX_NAME = 160
"""Characters of a file name without what is added (`<number>.m4s.tmp`); file systems allow 255 bytes in all."""

_PLAIN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
_NEVER_FIRST: Final = frozenset(b".-")  # hidden files and parents; options
_HASH_BYTES = 16
_DIGITS: Final = frozenset("0123456789")
_SEGMENT = re.compile(r"(.*[^0-9])[0-9]+\.(?:ts|m4s|mp4)")
_NUMBER = re.compile(r"([0-9]+)\.(?:ts|m4s)")


def file_stem(stream_name: str) -> str:
    """A file name, without an extension, for a stream of any name.

    Letters, digits, `.`, `_` and `-` stay; every other byte (in UTF-8), and a `.` or `-` that comes first, becomes
    `=` and two hexadecimal digits.  Not `%`, which ffmpeg takes for a number to fill in, and players for an
    escape in the URL of a segment.  A name that gets longer than `MAX_NAME` ends with a hash instead.
    """
    data = stream_name.encode("utf-8", "surrogatepass")
    escaped = "".join(_escaped(byte, is_first=place == 0) for place, byte in enumerate(data))
    if len(escaped) <= MAX_NAME:
        return escaped or "="  # which stands for nothing else
    digest = f"=x{blake2b(data, digest_size=_HASH_BYTES).hexdigest()}"  # `=x` stands for nothing else, too
    return escaped[: MAX_NAME - len(digest)] + digest


def segment_prefix(stem: str) -> str:
    """What the names of a stream's segments begin with; their number follows, as ffmpeg has it (`key3.ts`).

    Behind a digit stands a `=`, else segment 2 of the stream `a1` would be segment 12 of `a`.
    """
    return f"{stem}=" if stem[-1] in _DIGITS else stem


def stem_of_segment(name: str) -> str | None:
    """Which stem a segment or init segment belongs to, if it is one."""
    found = _SEGMENT.fullmatch(name)
    if found is None:
        return None
    stem = found[1].removesuffix("=")
    return stem if stem and segment_prefix(stem) == found[1] else found[1]


def segment_number(name: str, stem: str) -> int | None:
    """The number of a segment of this stem, if it is one; `None`: it is none."""
    found = _NUMBER.fullmatch(name.removeprefix(segment_prefix(stem))) if stem_of_segment(name) == stem else None
    return int(found[1]) if found else None


def playlist_name(stream_name: str) -> str:
    """The file name of a stream's HLS playlist."""
    return f"{file_stem(stream_name)}.m3u8"


def _escaped(byte: int, *, is_first: bool) -> str:
    is_plain = byte in _PLAIN and not (is_first and byte in _NEVER_FIRST)
    return chr(byte) if is_plain else f"={byte:02X}"
