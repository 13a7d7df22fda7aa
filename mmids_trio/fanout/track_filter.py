"""What a subscriber with wishes of its own gets from the log that all share.

Another address, no audio or no video are rare, so the common pass knows nothing of them: such a subscriber gathers
its own bytes through its filter.
"""

import sys

from attrs import define

from mmids_trio.fanout.rendering import Readdress
from mmids_trio.fanout.stream_log import LogEntry, StreamLog
from mmids_trio.media.events import MediaKind

_NOT_YET = sys.maxsize


@define(eq=False)
class TrackFilter:
    """Which entries pass, and under which address; without `readdress`, as all have them."""

    readdress: Readdress | None = None
    audio: bool = True
    video: bool = True
    _video_from: int = 0
    """Index of the key frame that video begins with; earlier video does not pass."""

    @property
    def is_everything(self) -> bool:
        """Whether the shared bytes do as they are."""
        return self.audio and self.video and self.readdress is None and self._video_from == 0

    def resume_video(self) -> None:
        """Let video through again, from the next key frame on."""
        if not self.video:
            self.video = True
            self._video_from = _NOT_YET

    def await_video(self) -> None:
        """Let video through from the next key frame on, and sound at once."""
        self._video_from = _NOT_YET

    def settle(self, position: int) -> bool:
        """All before `position` has been sent: forget a key frame in it. Whether there was one to forget."""
        if not 0 < self._video_from < position:
            return False
        self._video_from = 0
        return True

    def enter(self, readdress: Readdress | None) -> None:
        """Begin with another log, whose indices are others."""
        self.readdress = readdress
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

    def part(self, entry: LogEntry, index: int) -> bytes:
        """What passes of the log's entry at `index`; the same each time it is asked."""
        if entry.kind is not MediaKind.VIDEO or not self.video:
            return self.of(entry)
        if entry.is_key_frame and self._video_from == _NOT_YET:
            self._video_from = index
        if index < self._video_from:
            return b""
        if index > self._video_from or not self._video_from:
            return self.of(entry)
        headers = entry.headers.entries() if entry.headers is not None else ()
        before = [self.of(header) for header in headers if header.kind is MediaKind.VIDEO]
        return b"".join([*before, self.of(entry)])

    def of(self, entry: LogEntry) -> bytes:
        """What passes of an entry, wherever it stands."""
        if entry.kind is MediaKind.AUDIO and not self.audio:
            return b""
        if entry.kind is MediaKind.VIDEO and not self.video:
            return b""
        if self.readdress is None or not entry.data:
            return entry.data
        return self.readdress(entry)
