"""What comes to a step that browsers watch and that they cannot play: noticed batch by batch, and said of the stream.

The media decide that come to the step, not those that came from the publisher: what stands in between may mend them.
"""

from collections.abc import Container, Iterable, Sequence
from typing import Final

import trio
from attrs import define, field

from mmids_trio.ffmpeg.arguments import ONLY_IN_FLV
from mmids_trio.media.events import MediaEvent, MediaKind, MediaPacket, StreamEnded, StreamId
from mmids_trio.on_air.views import StreamWarning

PLAYED: Final = frozenset((None, "avc1", "av01", "vp09", "mp4a", "Opus", "fLaC"))
"""Codecs that current browsers play from fragmented MP4; `None` says nothing of what it is."""

PLAYED_IN_FLV: Final = PLAYED | {".mp3"}
"""The same from FLV, of which players in browsers make what the browser takes."""

_NAMES: Final = {"hvc1": "HEVC", "vvc1": "VVC", "vp08": "VP8", ".mp3": "MP3", "ac-3": "AC-3", "ec-3": "E-AC-3"}

REMEMBERED_SECONDS: Final = 10.0
"""How long it is said of a stream after such a packet came last: something else may have been put in front."""


@define(eq=False)
class BrowserCodecs:
    """Of the streams of one step. `played`: codecs that need no word."""

    played: Container[str | None] = PLAYED
    _found: dict[tuple[StreamId, MediaKind], tuple[str | None, float]] = field(factory=dict, init=False)
    """The codec that came last of each kind that is not played, and when."""

    def note(self, events: Sequence[MediaEvent]) -> None:
        """A batch comes by; no call for a packet that is well."""
        played = self.played
        for event in events:
            if type(event) is MediaPacket:
                if event.codec not in played:
                    self._found[event.stream_id, event.kind] = (event.codec, trio.current_time())
            elif type(event) is StreamEnded:
                self._forget(event.stream_id)

    def troubles(self, stream_id: StreamId) -> Iterable[StreamWarning]:
        """See `StepContext.show_troubles`."""
        after = trio.current_time() - REMEMBERED_SECONDS
        lacking = {
            kind: codec
            for kind in (MediaKind.VIDEO, MediaKind.AUDIO)
            for codec, seen_at in (self._found.get((stream_id, kind), (None, after)),)
            if codec is not None and seen_at > after
        }
        if lacking:
            names = " and ".join(ONLY_IN_FLV.get(codec) or _NAMES.get(codec, codec) for codec in lacking.values())
            codecs = (
                f"vcodec={'h264' if MediaKind.VIDEO in lacking else 'copy'}"
                f" acodec={'aac' if MediaKind.AUDIO in lacking else 'copy'}"
            )
            yield StreamWarning(
                "browsers_lack_codec",
                f"not every browser plays {names}",
                f"put ffmpeg_transcode {codecs} in front of http_watch",
            )

    def _forget(self, stream_id: StreamId) -> None:
        for kind in MediaKind:
            self._found.pop((stream_id, kind), None)
