"""What a watcher with wishes of its own gets from the log that all share.

Another message stream id, no audio or no video are rare, so the common pass knows nothing of them: such a
watcher gathers its own bytes through its selection.
"""

import sys

from attrs import define

from mmids_trio.fanout.stream_log import Entry, StreamLog
from mmids_trio.media.events import MediaKind
from mmids_trio.rtmp.rendering import (
    MESSAGE_STREAM,
    control_for_message_stream,
    media_for_message_stream,
)

_NOT_YET = sys.maxsize


@define(eq=False)
class Selection:
    """Which entries pass, and under which message stream id (RTMP 1.0 §7.2.2.3 to §7.2.2.5)."""

    message_stream_id: int = MESSAGE_STREAM
    audio: bool = True
    video: bool = True
    _video_from: int = 0
    """Index of the key frame that video resumed with; earlier video does not pass."""

    @property
    def is_everything(self) -> bool:
        """Whether the shared bytes do as they are."""
        return self.audio and self.video and self.message_stream_id == MESSAGE_STREAM and self._video_from == 0

    def resume_video(self) -> None:
        """Let video through again, from the next key frame on."""
        if not self.video:
            self.video = True
            self._video_from = _NOT_YET

    def enter(self, message_stream_id: int) -> None:
        """Begin with another log, whose indices are others."""
        self.message_stream_id = message_stream_id
        self._video_from = 0

    def gather(self, log: StreamLog, start: int, limit: int) -> tuple[bytes, int]:
        """Like `StreamLog.gather`; the bytes may be empty."""
        parts: list[bytes] = []
        size, index = 0, start
        while index < log.end_index:
            part = self.part(log.entry(index), index)
            size += len(part)
            if size > limit and parts:
                break
            parts.append(part)
            index += 1
        return b"".join(parts), index

    def part(self, entry: Entry, index: int) -> bytes:
        """What passes of the log's entry at `index`; the same each time it is asked."""
        if entry.kind is not MediaKind.VIDEO or not self.video:
            return self.of(entry)
        if entry.is_key_frame and self._video_from == _NOT_YET:
            self._video_from = index
        if index < self._video_from:
            return b""
        if index > self._video_from or not self._video_from:
            return self.of(entry)
        preface = entry.preface.entries() if entry.preface is not None else ()
        headers = [self.of(header) for header in preface if header.kind is MediaKind.VIDEO]
        return b"".join([*headers, self.of(entry)])

    def of(self, entry: Entry) -> bytes:
        """What passes of an entry, wherever it stands."""
        if entry.kind is MediaKind.AUDIO and not self.audio:
            return b""
        if entry.kind is MediaKind.VIDEO and not self.video:
            return b""
        if self.message_stream_id == MESSAGE_STREAM or not entry.data:
            return entry.data
        if entry.kind is None:
            return control_for_message_stream(entry.data, self.message_stream_id)
        return media_for_message_stream(entry.data, self.message_stream_id)
