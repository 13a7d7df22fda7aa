"""The append-only log of a channel: rendered messages under ever-growing indices, the oldest forgotten.

Pure: no tasks, sockets or clock; time is that of the packets.  Watchers are positions in it.  It is apart
from the channel because what to keep and where to join are rules of their own.
"""

from bisect import bisect_left
from itertools import islice

from attrs import define, field, frozen

from mmids_trio.media.events import MediaKind
from mmids_trio.media.timeline import is_after

MAX_LOG_MS = 10_000
"""Oldest media kept, whatever the key frames say: a watcher further behind is no longer watching live."""

MAX_LOG_BYTES = 16 * 1024 * 1024
"""Memory of one log: 10 s at 13 Mbit/s, and the largest possible message."""

ENTRY_OVERHEAD = 256
"""Bytes that an entry costs besides its data, so that a flood of tiny packets counts for what it is."""


@frozen(eq=False)
class Entry:
    """One message (several chunks), rendered. `kind` is `None` for control messages.

    A key frame carries its `prologue`: the metadata and sequence headers that a newcomer needs before it,
    and `headers_since`: the index at which they last changed.
    """

    data: bytes
    kind: MediaKind | None
    timestamp: int
    is_key_frame: bool = False
    prologue: "tuple[Entry, ...]" = ()
    headers_since: int = 0


@define(eq=False)
class StreamLog:
    """Entries `first_index` to `end_index` (exclusive). All indices are absolute and never used twice."""

    max_ms: int = MAX_LOG_MS
    max_bytes: int = MAX_LOG_BYTES
    first_index: int = field(default=0, init=False)
    end_index: int = field(default=0, init=False)
    size: int = field(default=0, init=False)
    """Bytes held, overhead included."""
    has_video: bool = field(default=False, init=False)
    """Whether the current stream has shown a video frame, also one that was not worth appending."""
    _entries: list[Entry] = field(factory=list, init=False)
    _key_frames: list[int] = field(factory=list, init=False)
    _stream_start: int = field(default=0, init=False)
    _live: bool = field(default=False, init=False)

    def begin_stream(self) -> None:
        """What is appended from now on belongs to a new stream."""
        self._stream_start = self.end_index
        self._live = True
        self.has_video = False

    def append(self, entry: Entry) -> None:
        """Add at the end, and forget what exceeds the limits."""
        if entry.is_key_frame:
            self._key_frames.append(self.end_index)
        self._entries.append(entry)
        self.end_index += 1
        self.size += len(entry.data) + ENTRY_OVERHEAD
        self._enforce_limits()

    def release(self, oldest_needed: int) -> None:
        """Forget what neither a newcomer nor a watcher at `oldest_needed` will ask for."""
        if oldest_needed > self.first_index:
            self._forget_before(min(oldest_needed, self.newcomers_need))

    def end_stream(self) -> None:
        """Nobody joins what is there any more; `release` may forget all of it."""
        self._stream_start = self.end_index
        self._live = False

    @property
    def newcomers_need(self) -> int:
        """Index of the oldest entry that `join_position` may name from now on."""
        if not self._live:
            return self.end_index
        position = self.latest_key_frame
        return max(self.end_index - 1, self.first_index) if position is None else position

    @property
    def latest_key_frame(self) -> int | None:
        """Index of the latest key frame of the current stream that is still there."""
        if self._key_frames and self._key_frames[-1] >= self._stream_start:
            return self._key_frames[-1]
        return None

    def join_position(self) -> int | None:
        """Where a newcomer begins: at the latest key frame, or with the newest entry of a stream without video.

        `None` means that it has to wait for a key frame: there is video, but none of it can be decoded.
        """
        position = self.latest_key_frame
        if position is None and not self.has_video:
            return max(self.end_index - 1, self.first_index)
        return position

    def next_key_frame_at_or_after(self, index: int) -> int | None:
        """Index of the first key frame from `index` on, of whichever stream."""
        place = bisect_left(self._key_frames, index)
        return self._key_frames[place] if place < len(self._key_frames) else None

    def entry(self, index: int) -> Entry:
        """The entry at `index`, which must lie within `first_index` and `end_index`."""
        return self._entries[index - self.first_index]

    def gather(self, start: int, limit: int) -> tuple[bytes, int]:
        """The bytes from `start` on, up to about `limit` (at least one entry), and the index after them."""
        entries, place = self._entries, start - self.first_index
        first = entries[place].data
        parts, size = [first], len(first)
        for following in range(place + 1, len(entries)):
            data = entries[following].data
            size += len(data)
            if size > limit:
                break
            parts.append(data)
        return first if len(parts) == 1 else b"".join(parts), start + len(parts)

    def _enforce_limits(self) -> None:
        if self.size > self.max_bytes:
            self._forget_before(self._index_within_bytes())
        self._enforce_age()

    def _enforce_age(self) -> None:
        """By the clock of the current stream alone: between two streams, timestamps may jump by hours."""
        limit = self._entries[-1].timestamp - self.max_ms
        place = max(self._stream_start - self.first_index, 0)
        if is_after(limit, self._entries[place].timestamp):
            while is_after(limit, self._entries[place].timestamp):
                place += 1
            self._forget_before(self.first_index + place)

    def _index_within_bytes(self) -> int:
        """First index from which on the entries fit; the newest always stays."""
        size, index = self.size, self.first_index
        for entry in islice(self._entries, len(self._entries) - 1):
            if size <= self.max_bytes:
                break
            size -= len(entry.data) + ENTRY_OVERHEAD
            index += 1
        return index

    def _forget_before(self, index: int) -> None:
        count = index - self.first_index
        if count <= 0:
            return
        self.size -= sum(len(entry.data) + ENTRY_OVERHEAD for entry in islice(self._entries, count))
        del self._entries[:count]
        self.first_index = index
        del self._key_frames[: bisect_left(self._key_frames, index)]
