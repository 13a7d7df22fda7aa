"""What a stream looks like: pictures of streams on the air, made when somebody asks, and only then.

A picture that was asked for is made of the next key frame, by one maker at a time, at most every `FRESH_SECONDS` for
each stream, whoever asks and however often.  What there is meanwhile is the last one.  Nothing is kept of a stream
that nobody asks about, and little of those that somebody does: a picture, and its key frame as long as that waits.
"""

from collections import Counter, deque
from collections.abc import Awaitable, Callable
from enum import Enum
from hashlib import sha256
from math import inf

import structlog
import trio
from attrs import define, field, frozen

from mmids_trio.errors import MmidsError
from mmids_trio.media.events import MediaPacket, StreamId
from mmids_trio.media.fmp4.still import still
from mmids_trio.on_air.directory import OnAir, StreamEntry

log = structlog.get_logger()

FRESH_SECONDS = 10.0
"""How old a picture gets before another one is made."""

STALE_SECONDS = 60.0
"""A picture that is older says nothing of the stream any more: who asks waits for another one."""

WAIT_SECONDS = 12.0
"""How long who asks waits for a picture at most: for the longest usual group of pictures, and for the child."""

MAX_KEPT = 256
"""Pictures that are kept, of some 40 KiB each: those that were asked for last."""

MAX_WAITING = 16
"""Key frames that wait for their turn."""

MAX_STILL_BYTES = 4 * 1024 * 1024
"""Of a key frame; larger ones are no picture of anything that is live."""


class ThumbnailResult(Enum):
    """What came of a key frame that somebody wants to see."""

    MADE = "made"
    FAILED = "failed"
    """ffmpeg made nothing of it."""
    REFUSED = "refused"
    """It is too large, of a codec that MP4 does not carry, or too many others wait."""


@frozen
class Thumbnail:
    """One picture, and its strong entity tag."""

    jpeg: bytes
    tag: str


@define(eq=False)
class _Kept:
    """One stream that somebody has asked about."""

    entry: StreamEntry
    tried_at: float = -inf
    made_at: float = -inf
    thumbnail: Thumbnail | None = None
    changed: trio.Event = field(factory=trio.Event)
    """Set when the try that runs has ended."""
    still: bytes | None = None


@define(eq=False)
class Thumbnails:
    """See the module. `make` turns what `still` makes of a key frame into a JPEG, or raises `MmidsError`."""

    on_air: OnAir
    make: Callable[[bytes], Awaitable[bytes]]
    counts: Counter[ThumbnailResult] = field(factory=lambda: Counter(dict.fromkeys(ThumbnailResult, 0)), init=False)
    """Pictures that were wanted of a key frame, by what came of it; ever."""
    _kept: dict[str, _Kept] = field(factory=dict, init=False)
    """By the ids of their entries; who was asked about last comes last."""
    _waiting: deque[_Kept] = field(factory=deque, init=False)
    _wakeup: trio.Event = field(factory=trio.Event, init=False)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Make one picture after another."""
        task_status.started()
        while True:
            while not self._waiting:
                self._wakeup = trio.Event()
                await self._wakeup.wait()
            await self._make(self._waiting.popleft())

    def latest(self, entry: StreamEntry) -> Thumbnail | None:
        """What there is now, without waiting; another one is made where that is due."""
        kept = self._ask(entry)
        return kept.thumbnail if trio.current_time() - kept.made_at < STALE_SECONDS else None

    async def get(self, entry: StreamEntry) -> Thumbnail | None:
        """The same, but waits where there is none; `None`: there is none in time."""
        thumbnail = self.latest(entry)
        if thumbnail is None:
            with trio.move_on_after(WAIT_SECONDS):
                await self._kept[entry.id].changed.wait()
            kept = self._kept.get(entry.id)
            return None if kept is None else kept.thumbnail
        await trio.lowlevel.checkpoint()
        return thumbnail

    async def of_stream(self, stream_id: StreamId) -> Thumbnail | None:
        """The same for whoever knows the id of media; `None` also for a stream that is not in the directory."""
        entry = self.on_air.stream_of(stream_id)
        if entry is None:
            await trio.lowlevel.checkpoint()
            return None
        return await self.get(entry)

    def _ask(self, entry: StreamEntry) -> _Kept:
        kept = self._kept.pop(entry.id, None)
        if kept is None:
            self._forget()
            kept = _Kept(entry)
        self._kept[entry.id] = kept
        now = trio.current_time()
        if now - kept.tried_at >= FRESH_SECONDS:
            kept.tried_at, kept.changed = now, trio.Event()
            entry.meter.show_next(lambda header, key_frame: self._take(kept, header, key_frame))
        return kept

    def _forget(self) -> None:
        """Make room for one more; streams that have ended are the first to go."""
        for name, kept in list(self._kept.items()):
            if self.on_air.stream(name) is not kept.entry:
                del self._kept[name]
        while len(self._kept) >= MAX_KEPT:
            del self._kept[next(iter(self._kept))]

    def _take(self, kept: _Kept, header: MediaPacket | None, key_frame: MediaPacket) -> None:
        """The key frame that was waited for; called by whoever meters the stream."""
        if len(self._waiting) < MAX_WAITING and len(key_frame.data) <= MAX_STILL_BYTES:
            kept.still = still(header, key_frame)
        if kept.still is None:
            self.counts[ThumbnailResult.REFUSED] += 1
            kept.changed.set()
            return
        self._waiting.append(kept)
        self._wakeup.set()

    async def _make(self, kept: _Kept) -> None:
        picture, kept.still = kept.still, None
        assert picture is not None
        try:
            jpeg = await self.make(picture)
        except MmidsError as error:
            self.counts[ThumbnailResult.FAILED] += 1
            log.warning("no thumbnail", stream=kept.entry.name, reason=str(error))
        else:
            self.counts[ThumbnailResult.MADE] += 1
            kept.thumbnail = Thumbnail(jpeg, f'"{sha256(jpeg).hexdigest()[:32]}"')
            kept.made_at = trio.current_time()
        kept.changed.set()
