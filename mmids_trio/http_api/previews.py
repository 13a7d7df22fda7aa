"""The dashboard's moving pictures: any stream that is on the air, without its sound, as FLV for who is signed in.

A preview takes the pictures where they are metered, so it needs no step that serves watchers, no port of another
listener and no `play_key`, and is no watcher. What is made of them is what children and viewers of HTTP-FLV get: from
the next key frame on, with whole groups of pictures left out where the browser is too slow. It begins with a request
and ends with it, with the token that the request bore, or with the sign-in; nothing is kept of a stream that nobody
looks at.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType

import trio
from attrs import define, field
from quart.wrappers.response import ResponseBody

from mmids_trio.ffmpeg.feed import FeedFilter
from mmids_trio.media.events import MediaEvent, MediaKind, MediaPacket
from mmids_trio.on_air.directory import OnAir, StreamEntry
from mmids_trio.rejections import RejectCounters, RejectReason

MAX_PREVIEWS = 16
"""At once, of one server: a page shows one at a time, and more people than that seldom look at one show."""

MAX_QUEUED_BYTES = 4 * 1024 * 1024
"""Of one preview, that its browser has not taken yet: a second of pictures at 32 Mbit/s."""

MAX_SECONDS = 600.0
"""How long one lasts; a page that still looks asks again. So one of a stream that sends nothing, whose browser no
buffer betrays, is gone one day, too."""

TICK_SECONDS = 1.0
"""How often a preview looks whether its stream and the server are still there, and whether its token still holds."""

SEND_BYTES = 64 * 1024
"""Joined for one piece of the answer."""


@define(eq=False)
class Previews:
    """Those that are open. `is_over`: whether the server is being stopped, which ends all of them."""

    on_air: OnAir
    rejections: RejectCounters
    is_over: Callable[[], bool] = field(default=lambda: False)
    open: "set[Preview]" = field(factory=set, init=False)

    def has_room(self) -> bool:
        """Whether there may be another one; that there may not is counted."""
        found = len(self.open) < MAX_PREVIEWS and not self.is_over()
        if not found:
            self.rejections.count(RejectReason.API_PREVIEWS)
        return found

    def sign_out(self, session: bytes) -> None:
        """End all that were opened with this sign-in; another browser that has signed in with it asks again."""
        for preview in self.open:
            if preview.session == session:
                preview.end()


@define(eq=False)
class Preview(ResponseBody):
    """One, as the body of an answer: it begins when somebody reads it.

    `may_look`: whether the token that it was opened with is still good for it. `session`: the token, where it came in
    the cookie of a sign-in.
    """

    _previews: Previews
    _entry: StreamEntry
    _may_look: Callable[[], Awaitable[bool]]
    session: bytes | None = field(default=None, repr=False)
    _filter: FeedFilter = field(factory=FeedFilter, init=False)
    _pieces: deque[bytes] = field(factory=deque, init=False)
    _queued: int = field(default=0, init=False)
    _news: trio.Event = field(factory=trio.Event, init=False)
    _deadline: float = field(factory=lambda: trio.current_time() + MAX_SECONDS, init=False)
    _look_again_at: float = field(factory=lambda: trio.current_time() + TICK_SECONDS, init=False)
    _untap: Callable[[], None] | None = field(default=None, init=False)

    async def __aenter__(self) -> "Preview":
        if len(self._previews.open) < MAX_PREVIEWS:  # others may have come since there was room
            self._previews.open.add(self)
            self._untap = self._entry.meter.tap(self._take)
            if (header := self._entry.meter.header) is not None:
                self._filter.render(header)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.end()
        self._previews.open.discard(self)

    def end(self) -> None:
        """Show nothing more, not even what the browser has not taken yet."""
        untap, self._untap = self._untap, None
        if untap is not None:
            untap()
        self._pieces.clear()
        self._news.set()

    def __aiter__(self) -> "Preview":
        return self

    async def __anext__(self) -> bytes:
        """The next tags, whole."""
        while self._is_wanted():
            if trio.current_time() >= self._look_again_at:
                self._look_again_at = trio.current_time() + TICK_SECONDS
                if not await self._may_look():
                    self.end()
            elif self._pieces:
                await trio.lowlevel.checkpoint()
                return self._next_pieces()
            else:
                self._news = trio.Event()
                with trio.move_on_after(TICK_SECONDS):
                    await self._news.wait()
        raise StopAsyncIteration

    def _is_wanted(self) -> bool:
        """What only another decoder could take ends it, too: the page asks again."""
        is_here = self._previews.on_air.stream(self._entry.id) is self._entry
        has_more = is_here and not self._filter.is_outdated and trio.current_time() < self._deadline
        return self._untap is not None and not self._previews.is_over() and (has_more or bool(self._pieces))

    def _take(self, events: Sequence[MediaEvent]) -> None:
        for event in events:
            if (
                isinstance(event, MediaPacket)
                and event.kind is MediaKind.VIDEO
                and (data := self._filter.render(event))
            ):
                if self._queued + len(data) > MAX_QUEUED_BYTES:
                    self._filter.skip_to_key_frame()
                else:
                    self._pieces.append(data)
                    self._queued += len(data)
        self._news.set()

    def _next_pieces(self) -> bytes:
        pieces, size = [], 0
        while self._pieces and size < SEND_BYTES:
            pieces.append(self._pieces.popleft())
            size += len(pieces[-1])
        self._queued -= size
        return b"".join(pieces)
