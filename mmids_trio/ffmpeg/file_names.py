"""Names of streams as names of files: no name can leave its directory, and different names stay different.

It stands apart since it is all that keeps what publishers choose away from the file system.
"""

from hashlib import blake2b
from typing import Final

MAX_NAME = 160
"""Characters of a file name without what is added (`-<number>.m4s.tmp`); file systems allow 255 bytes in all."""

_PLAIN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
_NEVER_FIRST: Final = frozenset(b".-")  # hidden files and parents; options
_HASH_BYTES = 16


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


def playlist_name(stream_name: str) -> str:
    """The file name of a stream's HLS playlist."""
    return f"{file_stem(stream_name)}.m3u8"


def _escaped(byte: int, *, is_first: bool) -> str:
    is_plain = byte in _PLAIN and not (is_first and byte in _NEVER_FIRST)
    return chr(byte) if is_plain else f"={byte:02X}"
