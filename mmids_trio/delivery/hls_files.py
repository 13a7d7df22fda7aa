"""Names and parameters of HLS requests, and what the listener asks of the step that serves them."""

import re
from collections.abc import Callable, Sequence
from enum import Enum
from functools import lru_cache
from typing import Protocol

from attrs import frozen

from mmids_trio.delivery.hls_channel import HlsChannel, Variant
from mmids_trio.delivery.hls_viewers import HlsViewer, HlsViewers
from mmids_trio.delivery.places import MOST_KNOWN
from mmids_trio.media.events import StreamId
from mmids_trio.rtmp.protocol.requests import Query
from mmids_trio.rtmp.server.endpoints import Client

_NAME = re.compile(
    r"(?:([0-9A-Za-z_]+)-)?(?:(media)\.m3u8|init-([0-9]+)\.mp4|segment-([0-9]+)\.m4s|part-([0-9]+)\.([0-9]+)\.m4s)"
)
_NUMBER = re.compile(r"(?:^|&)_HLS_msn=([0-9]{1,15})(?=&|$)")
_PART = re.compile(r"(?:^|&)_HLS_part=([0-9]{1,6})(?=&|$)")
_SKIP = re.compile(r"(?:^|&)_HLS_skip=(?:YES|v2)(?=&|$)")


class FileKind(Enum):
    """What one of our files is."""

    PLAYLIST = "media playlist"
    INIT = "init segment"
    MEDIA = "segment or part"


@frozen
class HlsFile:
    """A file beside the first playlist. `label`: of the rendition, `""` for the stream itself."""

    kind: FileKind
    label: str = ""
    number: int = 0
    part: int | None = None


@lru_cache(MOST_KNOWN)
def read_file(name: str) -> HlsFile | None:
    """What a name stands for; `None` where it is none of ours."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    label = match[1] or ""
    if match[2]:
        return HlsFile(FileKind.PLAYLIST, label)
    if match[3]:
        return HlsFile(FileKind.INIT, label, int(match[3]))
    if match[4]:
        return HlsFile(FileKind.MEDIA, label, int(match[4]))
    return HlsFile(FileKind.MEDIA, label, int(match[5]), int(match[6]))


def directives(query: str) -> tuple[int | None, int | None, bool]:
    """`_HLS_msn`, `_HLS_part` and whether `_HLS_skip` stands there (RFC 8216bis §6.2.5)."""
    begin = query.find("_HLS_")
    return _NO_DIRECTIVES if begin < 0 else _directives(query[max(begin - 1, 0) :])


_NO_DIRECTIVES = None, None, False


@lru_cache(MOST_KNOWN)
def _directives(query: str) -> tuple[int | None, int | None, bool]:
    """Of what is behind the session, which is the same for a crowd."""
    number, part = _NUMBER.search(query), _PART.search(query)
    return (
        None if number is None else int(number[1]),
        None if part is None else int(part[1]),
        _SKIP.search(query) is not None,
    )


class HlsHandler(Protocol):
    """A step that serves HLS."""

    @property
    def viewers(self) -> HlsViewers:
        """Those who are here."""

    @property
    def token(self) -> str | None:
        """What kind of token lets viewers in, if one does."""

    async def let_in(self, key: str, client: Client, query: Query) -> Callable[[], None]:
        """Wait until a viewer is approved, and return what lets go of that; raises `RequestRefused`."""

    def begin(self, viewer: HlsViewer) -> None:
        """It watches from now on."""

    @property
    def formats(self) -> Sequence[str]:
        """What is served: `hls`, `flv` or both, what a page shall try first in front."""

    async def variants(self, key: str, client: Client) -> Sequence[Variant]:
        """What there is of a key, the stream itself first; waits for a stream that begins. None: nothing is on air.

        Raises `RequestRefused` where too much is waited for.
        """

    def channel(self, key: str, label: str) -> HlsChannel | None:
        """The channel of a key, or of its rendition with that label."""

    def stream_id(self, key: str) -> StreamId | None:
        """Of the stream that is on the key."""
