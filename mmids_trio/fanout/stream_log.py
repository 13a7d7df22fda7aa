"""The append-only log of a channel: rendered messages under ever-growing indices, the oldest forgotten.

Pure: no tasks, sockets or clock; time is the log's own, which follows that of the packets but never leaps.
Subscribers are positions in it.  It is apart from the channel because what to keep and where to join are rules of
their own.
"""

from bisect import bisect_left
from collections.abc import Callable
from itertools import islice

from attrs import define, field, frozen

from mmids_trio.media.events import MediaKind, MediaPacket
from mmids_trio.media.timeline import HALF, MODULUS
from mmids_trio.media_memory import MediaHolding

MAX_LOG_MS = 10_000
"""Oldest media kept for those who are behind: who is further behind is no longer watching live."""

MAX_GROUP_MS = 60_000
"""Of the current group of pictures, which late joiners begin with: a key frame every 250 at 5 frames a second is one
every 50 s, which cameras and encoders without a setting send."""

MAX_GROUP_BYTES = 8 * 1024 * 1024
"""Of the same, beyond what the first limit keeps: 60 s at 1 Mbit/s. Beyond it, late joiners begin with sound alone."""

LEAPS = 4
"""A leap of the timestamps counts for this part of the first limit at most, so that what one read brought behind it
does not push out what was not sent yet."""

MAX_LOG_BYTES = 16 * 1024 * 1024
"""Memory of one log, headers included: 10 s at 13 Mbit/s, and the largest possible message."""

ENTRY_OVERHEAD = 256
"""Bytes that an entry costs besides its data, so that a flood of tiny packets counts for what it is.

A key frame costs them again for the timestamps of its headers.
"""


Render = Callable[[MediaPacket, int], bytes]
"""Makes a packet into bytes, at a timestamp in place of its own."""


@define(eq=False)
class LogEntry:
    """One message (several chunks). `kind` is `None` for control messages.

    What is not `data` yet is a `packet`, which `render` makes into bytes when the first subscriber gets to it: most
    streams that are received are watched by nobody, and a late joiner begins with the last group of pictures.

    A key frame carries its `headers`: the metadata and sequence headers that a late joiner needs before it,
    and `headers_since`: the index of the last entry that told of a change to them.
    """

    _data: bytes | None
    kind: MediaKind | None
    timestamp: int
    is_key_frame: bool = False
    headers: "StampedHeaders | None" = None
    headers_since: int = 0
    packet: MediaPacket | None = None
    """What is to be rendered; nothing once it is, since its bytes need not be held twice."""
    _render: Render | None = None

    @property
    def data(self) -> bytes:
        """Rendered."""
        if self._data is None:
            assert self.packet is not None
            assert self._render is not None
            self._data = self._render(self.packet, self.timestamp)
            self.packet = self._render = None
        return self._data


@frozen(eq=False)
class HeaderSet:
    """Metadata and sequence headers between two changes of them: one object for all key frames in between."""

    metadata: bytes
    """Rendered."""
    headers: tuple[MediaPacket, ...]
    render: Render

    @property
    def size(self) -> int:
        """Bytes held."""
        return len(self.metadata) + sum(len(header.data) for header in self.headers)


@frozen(eq=False)
class StampedHeaders:
    """These as of one moment. Rendered when somebody needs it, since most key frames are joined by nobody."""

    shared: HeaderSet
    newest: int
    """The latest timestamp of the stream then."""
    timestamps: tuple[int, ...]
    """One for each header."""

    def entries(self) -> tuple[LogEntry, ...]:
        """The metadata, then the headers; equal ones each time."""
        shared = self.shared
        headers = zip(shared.headers, self.timestamps, strict=True)
        return (
            LogEntry(shared.metadata, MediaKind.OTHER, self.newest),
            *(LogEntry(shared.render(header, timestamp), header.kind, timestamp) for header, timestamp in headers),
        )


CHARGED_IN = 16 * 1024
"""Bytes by which a log changes before that is charged: charging each packet took a tenth of what receiving it takes."""


@define(eq=False)
class StreamLog:
    """Entries `first_index` to `end_index` (exclusive). All indices are absolute and never used twice."""

    max_ms: int = MAX_LOG_MS
    max_bytes: int = MAX_LOG_BYTES
    max_group_ms: int = MAX_GROUP_MS
    """0 where nobody begins with the current group of pictures."""
    max_group_bytes: int = MAX_GROUP_BYTES
    first_index: int = field(default=0, init=False)
    end_index: int = field(default=0, init=False)
    size: int = field(default=0, init=False)
    """Bytes held, overhead and the headers of key frames included; one that several share counts once."""
    holding: MediaHolding | None = field(default=None, init=False)
    """Where `size` is charged, if anywhere, in steps of `CHARGED_IN`."""
    has_video: bool = field(default=False, init=False)
    """Whether the current stream has shown a video frame, also one that was not worth appending."""
    is_group_unwanted: bool = field(default=False, init=False)
    """Whether the current group of pictures was let go of because nobody was to begin with it."""
    _entries: list[LogEntry] = field(factory=list, init=False)
    _times: list[int] = field(factory=list, init=False)
    """When each entry came, in milliseconds on the log's own clock."""
    _appended_before: list[int] = field(factory=list, init=False)
    """How many bytes had been appended before each: how far a position is behind is a difference, and no sum."""
    _now: int = field(default=0, init=False)
    _newest: int | None = field(default=None, init=False)
    """The timestamp at which its clock stands."""
    _appended_bytes: int = field(default=0, init=False)
    """Of all entries ever."""
    _appended_before_group: int = field(default=0, init=False)
    _key_frames: list[int] = field(factory=list, init=False)
    _header_sets: dict[HeaderSet, int] = field(factory=dict, init=False)
    """How many entries share each."""
    _stream_start: int = field(default=0, init=False)
    _live: bool = field(default=False, init=False)

    def begin_stream(self) -> None:
        """What is appended from now on belongs to a new stream."""
        self._stream_start = self.end_index
        self._newest = None
        self._live = True
        self.has_video = self.is_group_unwanted = False

    def append(self, entry: LogEntry) -> None:
        """Add at the end, and forget what exceeds the limits. One call for a packet, not five."""
        newest, timestamp = self._newest, entry.timestamp
        if newest is None:
            self._newest = timestamp
        elif (step := (timestamp - newest) % MODULUS) <= HALF:  # not disorder between frames
            leap = self.max_ms // LEAPS
            self._now += step if step < leap else leap
            self._newest = timestamp
        if entry.is_key_frame:
            self.is_group_unwanted = False
            self._key_frames.append(self.end_index)
            self._appended_before_group = self._appended_bytes
            if entry.headers is not None:
                self._count_headers(entry.headers.shared)
        self._entries.append(entry)
        self._times.append(self._now)
        self._appended_before.append(self._appended_bytes)
        self.end_index += 1
        packet = entry.packet
        size = len(entry.data if packet is None else packet.data) + ENTRY_OVERHEAD
        self.size += size
        self._appended_bytes += size
        if self.size > self.max_bytes:
            self._enforce_size()
        start = self._stream_start
        if self._times[start - self.first_index if start > self.first_index else 0] < self._now - self.max_ms:
            self._enforce_age()
        holding = self.holding
        if holding is not None and self.size - holding.size >= CHARGED_IN:  # not a call for each packet
            holding.resize(self.size)

    def trim(self) -> None:
        """Forget everything, needed or not. Who comes late waits for the next key frame, as after a gap."""
        self._forget_before(self.end_index)
        if self.holding is not None:
            self.holding.resize(self.size)

    def release(self, oldest_needed: int) -> None:
        """Forget what neither a late joiner nor a subscriber at `oldest_needed` will ask for."""
        if oldest_needed > self.first_index:
            had_group = bool(self._key_frames)
            self._forget_before(min(oldest_needed, self.late_joiners_need))
            self.is_group_unwanted |= had_group and not self._key_frames
            holding = self.holding
            if holding is not None and holding.size - self.size >= CHARGED_IN:
                holding.resize(self.size)

    def end_stream(self) -> None:
        """Nobody joins what is there any more; `release` may forget all of it."""
        self._stream_start = self.end_index
        self._live = False

    @property
    def late_joiners_need(self) -> int:
        """Index of the oldest entry that `join_position` may name from now on."""
        if not self._live or (self.has_video and not self.max_group_ms):
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
        """Where a late joiner begins: at the latest key frame, or with the newest entry of a stream without video.

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

    def entry(self, index: int) -> LogEntry:
        """The entry at `index`, which must lie within `first_index` and `end_index`."""
        return self._entries[index - self.first_index]

    def behind(self, index: int) -> tuple[int, int]:
        """Milliseconds and bytes from the entry at `index` to the end; what is no longer here does not count."""
        place = max(index - self.first_index, 0)
        if place >= len(self._entries):
            return 0, 0
        held = self._appended_bytes - self._appended_before[place]
        return self._now - self._times[place], held - ENTRY_OVERHEAD * (len(self._entries) - place)

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

    def _enforce_size(self) -> None:
        """The newest entry always stays."""
        enough = self._appended_before[0] + self.size - self.max_bytes
        count = bisect_left(self._appended_before, enough)
        self._forget_before(self.first_index + min(count, len(self._entries) - 1))

    def _enforce_age(self) -> None:
        """The current stream's first entries are too old. What came before it goes when they do."""
        limit = self._now - self.max_ms
        place = max(self._stream_start - self.first_index, 0)
        group = self.latest_key_frame
        if group is None or not self._keeps_group(group):
            self._forget_before(self.first_index + bisect_left(self._times, limit, place))
        elif group > self.first_index:
            self._forget_before(min(self.first_index + bisect_left(self._times, limit, place), group))

    def _keeps_group(self, index: int) -> bool:
        """Whether the current group of pictures, which begins at `index`, is kept whole."""
        return (
            self._now - self._times[index - self.first_index] <= self.max_group_ms
            and self._appended_bytes - self._appended_before_group <= self.max_group_bytes
        )

    def _forget_before(self, index: int) -> None:
        count = index - self.first_index
        if count <= 0:
            return
        key_frames = bisect_left(self._key_frames, index)
        for key_frame in islice(self._key_frames, key_frames):
            self._discount_headers(self._entries[key_frame - self.first_index])
        self.size -= self._appended_to(count) - self._appended_before[0]
        del self._entries[:count]
        del self._times[:count]
        del self._appended_before[:count]
        del self._key_frames[:key_frames]
        self.first_index = index

    def _appended_to(self, place: int) -> int:
        """How many bytes had been appended before the entry at `place`, which may be the one to come."""
        return self._appended_before[place] if place < len(self._entries) else self._appended_bytes

    def _count_headers(self, shared: HeaderSet) -> None:
        shares = self._header_sets.get(shared, 0)
        self._header_sets[shared] = shares + 1
        self.size += ENTRY_OVERHEAD if shares else ENTRY_OVERHEAD + shared.size

    def _discount_headers(self, entry: LogEntry) -> None:
        if entry.headers is None:
            return
        shared = entry.headers.shared
        self._header_sets[shared] -= 1
        self.size -= ENTRY_OVERHEAD
        if not self._header_sets[shared]:
            del self._header_sets[shared]
            self.size -= shared.size
