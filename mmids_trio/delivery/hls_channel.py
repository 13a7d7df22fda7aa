"""HLS of one key: makes fragments of its streams, keeps their playlist, and answers who waits for what comes next.

A request that can be answered is answered at once; one that asks for what comes next is *parked*.  When a part is
closed, `send_pass` goes over all that are parked, once, synchronously, and hands each the same bytes (but for the query
of its viewer in a playlist).  Nothing here has a task or a socket; `look_at_clock` is called each second.

    nothing --first part--> live --the stream ends--> over --3 target durations--> ended (ENDLIST) --window--> nothing
    over, ended --another stream--> live, with another init segment
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Protocol

import trio
from attrs import define, field, frozen

from mmids_trio.delivery.answers import FOR_EVER, NO_STORE, Answer, Headers, text_answer
from mmids_trio.delivery.hls_viewers import HlsViewer
from mmids_trio.delivery.playlist import LABEL, QUERY, MediaPlaylist, Standing
from mmids_trio.fanout.channel import Pace
from mmids_trio.media.configuration import VideoConfiguration
from mmids_trio.media.events import MediaPacket, StreamId
from mmids_trio.media.fmp4.fragmenter import Fragmenter, MediaPart
from mmids_trio.media_memory import MediaHolding, MediaMemory, MediaOwner

PATIENCE_TARGETS = 3
"""Target durations that a request may wait (RFC 8216bis §6.2.5.2), and after which a stream that is over has ended."""

LEAST_PATIENCE = 6.0
"""Seconds that a request may wait at least: a first segment takes its time."""

KEPT_SECONDS = 30.0
"""How long what has ended can be fetched, beyond the window."""

MOST_SHARED = 4
"""Parts and segments of which a copy is held with a head in front, from one part to the next."""

MOST_PLAYLISTS = 8
"""Playlists that are held with a head in front: they differ by what was asked, and by the length of the query."""

PLAYLIST_TYPE, MEDIA_TYPE = "application/vnd.apple.mpegurl", "video/mp4"


class Asker(Protocol):
    """A connection with a request that waits."""

    def answer(self, answer: Answer, query: bytes = b"", now: float | None = None) -> None:
        """Answer it; nothing where it has gone. `query`: where the body has a mark for it; `now`: trio's time."""

    def make_way(self) -> None:
        """More answers follow: what is asked meanwhile has time until then."""


@define(eq=False)
class Asked:
    """A request for something of a key: `number` and `part` as of `_HLS_msn` and `_HLS_part`."""

    asker: Asker
    viewer: HlsViewer
    number: int | None = None
    part: int | None = None
    skips: bool = False
    is_playlist: bool = True
    label: str = ""
    """Of the rendition that it is about, where it is one beside others."""
    since: float = field(factory=trio.current_time)


@frozen
class Variant:
    """What a multivariant playlist says of one rendition; rates in bits a second."""

    name: str
    """Of its media playlist."""
    peak: int
    average: int
    codecs: str
    size: tuple[int, int] | None
    frame_rate: float | None


@define(eq=False)
class News:
    """Shared by all channels of a step, whose playlists tell of each other."""

    count: int = 0
    """Of changes: what was made of any of them holds as long as it is the same."""


@define(eq=False)
class HlsChannel:
    """See the module. `now`: Unix time in seconds.

    `family`: the other channels with the same pictures, by label, asked for rendition reports.
    """

    segment_ms: float
    part_ms: float
    window_ms: float
    now: Callable[[], float]
    family: Callable[[], "Sequence[tuple[str, HlsChannel]]"] = field(default=lambda: ())
    pace: Pace = field(factory=Pace)
    news: News = field(factory=News)
    playlist: MediaPlaylist = field(init=False)
    stream_id: StreamId | None = field(default=None, init=False)
    is_live: bool = field(default=False, init=False)
    """Whether a stream is on it."""
    viewers: int = 0
    """How many watch the key."""
    _fragmenter: Fragmenter = field(init=False)
    _holding: MediaHolding | None = field(default=None, init=False)
    _parked: list[Asked] = field(factory=list, init=False)
    _ready: trio.Event = field(factory=trio.Event, init=False)
    _has_news: bool = field(default=False, init=False)
    _over_since: float | None = field(default=None, init=False)
    _texts: dict[bool, bytes] = field(factory=dict, init=False)
    """The playlist as it is, without and with segments skipped."""
    _bodies: dict[tuple[bool, str], tuple[int, bytes]] = field(factory=dict, init=False)
    """The same as it goes out under a label, but for the query, and the count of news that it has."""
    _playlists: dict[tuple[bool, str, bool, int], tuple[int, Answer]] = field(factory=dict, init=False)
    """Answers with those, `MOST_PLAYLISTS` at most, by what they are, whether nothing was waited for, and the length of
    the query; with the count of news again."""
    _newest: dict[tuple[int, int | None], Answer] = field(factory=dict, init=False)
    """Answers with parts and segments, `MOST_SHARED` at most, as long as nothing follows them."""
    _frame_rate: float | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._fragmenter = Fragmenter(self.segment_ms, self.part_ms)
        self.playlist = MediaPlaylist(self.segment_ms, self.window_ms, self._first_number)

    def follow(self, leader: "HlsChannel | None") -> None:
        """The next stream is a rendition of what is on `leader`, or of nothing: clock, cuts and numbers are its."""
        self._fragmenter.clock = None if leader is None else leader.place_of
        self.playlist.number_at = self._first_number if leader is None else leader.number_near

    def charge_to(self, memory: MediaMemory) -> None:
        """What is held is charged there, to the owner of the stream that it is of."""
        self._holding = MediaHolding(memory, MediaOwner(), self.let_go, lambda: self.is_watched)

    def _first_number(self, _start_ms: float) -> int:
        """Names of files never come again, also not after a restart of the server: caches keep them."""
        return int(self.now())

    def place_of(self, timestamp: int) -> float | None:
        """See `Fragmenter.place_of`."""
        return self._fragmenter.place_of(timestamp)

    def number_near(self, start_ms: float) -> int:
        """The number of the segment that begins about there."""
        best = min(self.playlist.segments, key=lambda one: abs(one.start_ms - start_ms), default=None)
        return self._first_number(start_ms) if best is None else best.number

    # What feeds it; see `StageOutput`.

    @property
    def is_watched(self) -> bool:
        """Whether anybody is here."""
        return bool(self.viewers or self._parked)

    def begin_stream(self, owner: MediaOwner | None = None, stream_id: StreamId | None = None) -> None:
        """Another stream begins, of `owner`."""
        if self.is_live:
            self.end_stream()
        self.is_live, self.stream_id, self._over_since = True, stream_id, None
        self.news.count += 1
        if self._holding is not None:
            self._holding.pass_to(owner or MediaOwner())

    def metadata(self, values: Mapping[str, object]) -> None:
        """The stream's metadata, in place of what was known."""
        width, height, rate = (values.get(name) for name in ("width", "height", "framerate"))
        if isinstance(width, int | float) and isinstance(height, int | float) and 0 < width < 1 << 16 > height > 0:
            self._fragmenter.metadata(int(width), int(height))
        self._frame_rate = float(rate) if isinstance(rate, int | float) and 0 < rate <= 1000 else None  # noqa: PLR2004

    def packet(self, packet: MediaPacket) -> None:
        """A frame or a sequence header."""
        if self.is_live:
            for output in self._fragmenter.packet(packet):
                self._add(output)

    def end_stream(self) -> None:
        """The stream is over; another may follow."""
        if not self.is_live:
            return
        for output in self._fragmenter.end():
            self._add(output)
        self.is_live, self.stream_id = False, None
        self.news.count += 1
        self._over_since = trio.current_time()

    def let_go(self) -> None:
        """Hold nothing any more, but for the segment that grows."""
        self.playlist.let_go()
        self._forget_answers()
        if self._holding is not None:
            self._holding.resize(0)

    def _add(self, output: object) -> None:
        self.playlist.add(output, self.now())  # type: ignore[arg-type]
        if isinstance(output, MediaPart) and self._fragmenter.part_target_ms is not None:
            self.playlist.part_target_ms = max(self.playlist.part_target_ms, self._fragmenter.part_target_ms)
        self._has_news = True
        self._forget_answers()
        if self.is_ready:
            self._ready.set()
        if self._holding is not None:
            self._holding.resize(self.playlist.size)

    def _forget_answers(self) -> None:
        """The playlist is another one now."""
        self._texts.clear()
        self._bodies.clear()
        self._playlists.clear()
        self._newest.clear()
        self.news.count += 1

    # What is asked.

    @property
    def is_ready(self) -> bool:
        """Whether there is anything to play, also for who knows nothing of parts."""
        return self.playlist.has_segment

    async def wait_ready(self) -> bool:
        """Whether there is anything to play, or will be soon."""
        if self.is_live and not self.is_ready:
            with trio.move_on_after(self.patience):
                await self._ready.wait()
        return self.is_ready and not self.playlist.is_ended

    @property
    def patience(self) -> float:
        """Seconds that a request may wait."""
        return max(PATIENCE_TARGETS * self.playlist.target_s, LEAST_PATIENCE)

    def ask(self, asked: Asked) -> None:
        """Answer at once, or when it is there."""
        answer = self._answer(asked)
        if answer is None:
            self._parked.append(asked)
        else:
            self._give(asked, answer, asked.since)

    async def send_pass(self) -> None:
        """Answer all who wait for what has come."""
        if not self._has_news:
            return
        self._has_news = False
        parked, self._parked = self._parked, []
        now = trio.current_time()
        for asked in parked:
            answer = self._answer(asked)
            if answer is None:
                self._parked.append(asked)
            else:
                self._give(asked, answer, now)
                if self.pace.spend(1):
                    asked.asker.make_way()  # else the last wait for what the first ask for next
                    await trio.lowlevel.checkpoint()
                    now = trio.current_time()

    @property
    def needs_clock(self) -> bool:
        """Whether anything of it depends on time."""
        return self.is_live or bool(self._parked) or self._over_since is not None

    def look_at_clock(self) -> None:
        """A second has passed, or so."""
        self._playlists.clear()  # they say when they were made, which caches reckon with
        now = trio.current_time()
        if self._parked:
            self._refuse_the_patient(now)
        if self._over_since is None:
            return
        gone = now - self._over_since
        if not self.playlist.is_ended and gone >= PATIENCE_TARGETS * self.playlist.target_s:
            self.playlist.end()
            self._forget_answers()
            self._has_news = True
        if gone >= KEPT_SECONDS + self.window_ms / 1000:
            self.let_go()
            self._over_since = None

    def close(self) -> None:
        """The step that serves it ends: nobody waits any more for what will not come, and nothing is held."""
        parked, self._parked = self._parked, []
        for asked in parked:
            asked.asker.answer(text_answer(403, asked.viewer.end_reason or "the session is over"))
        self.is_live = False
        self._ready.set()
        self.let_go()

    def _refuse_the_patient(self, now: float) -> None:
        since = now - self.patience
        late = [asked for asked in self._parked if asked.since <= since]
        if late:
            self._parked = [asked for asked in self._parked if asked.since > since]
            for asked in late:
                asked.asker.answer(text_answer(503, "nothing has come for a while", ("Retry-After", "1")))

    def _give(self, asked: Asked, answer: Answer, now: float) -> None:
        viewer = asked.viewer
        if viewer.end_reason is not None:
            asked.asker.answer(text_answer(403, viewer.end_reason))
            return
        size = answer.size
        viewer.bytes_sent += size
        viewer.viewers.bytes_sent += size
        asked.asker.answer(answer, viewer.query, now)

    def _answer(self, asked: Asked) -> Answer | None:
        """`None` where it has to wait."""
        if asked.is_playlist:
            return self._playlist(asked)
        assert asked.number is not None
        answer = self._newest.get((asked.number, asked.part))
        if answer is None:
            answer = self._media(asked.number, asked.part)
        return answer

    def init(self, number: int) -> Answer:
        """An init segment."""
        found = self.playlist.init(number)
        return _not_there() if found is None else _media_answer((found,))

    def _media(self, number: int, part: int | None) -> Answer | None:
        pieces: Sequence[bytes]
        if part is None:
            standing, pieces = self.playlist.segment(number)
        else:
            standing, data = self.playlist.part(number, part)
            pieces = (data,)
        match standing:
            case Standing.THERE:
                answer = _media_answer(pieces)
                if len(self._newest) < MOST_SHARED:
                    answer.is_shared = True
                    self._newest[number, part] = answer
                return answer
            case Standing.TO_COME:
                return None
            case _:
                return _not_there()

    def _playlist(self, asked: Asked) -> Answer | None:
        match self.playlist.standing(asked.number, asked.part):
            case Standing.TO_COME:
                return None
            case Standing.WRONG:
                return text_answer(400, "_HLS_msn is too far ahead, or _HLS_part stands without it")
            case _:
                return self._playlist_answer(asked.skips, asked.label, asked.number is None, len(asked.viewer.query))

    def _playlist_answer(self, skips: bool, label: str, is_plain: bool, query_size: int) -> Answer:
        """The playlist for all whose query is so long; `is_plain`: for who waits for nothing in it."""
        wanted = skips, label, is_plain, query_size
        count, answer = self._playlists.get(wanted, _NONE_YET)
        if count != self.news.count:
            body = self._body(skips, label)
            target = self.playlist.target_s
            seconds = max(target // 2, 1) if is_plain else PATIENCE_TARGETS * 2 * target
            size = len(body) + body.count(QUERY) * (query_size - len(QUERY))
            answer = Answer(200, _playlist_headers(seconds), (body,), mark=QUERY, size=size)
            if wanted in self._playlists or len(self._playlists) < MOST_PLAYLISTS:
                answer.is_shared = True
                self._playlists[wanted] = self.news.count, answer
        return answer

    def _body(self, skips: bool, label: str) -> bytes:
        count, body = self._bodies.get((skips, label), (-1, b""))
        if count != self.news.count:
            prefix = b"%b-" % label.encode() if label else b""
            body = (self._text(skips) + self._reports(label)).replace(LABEL, prefix)
            self._bodies[skips, label] = self.news.count, body
        return body

    def _text(self, skips: bool) -> bytes:
        text = self._texts.get(skips)
        if text is None:
            text = self._texts[skips] = self.playlist.text(skip=skips)
        return text

    def _reports(self, label: str) -> bytes:
        """What players have to know of the other renditions, should they turn to them (RFC 8216bis §4.4.5.4)."""
        if self.playlist.is_ended:
            return b""
        family = self.family()
        if (label, self) not in family:  # it is watched by a name of its own
            return b""
        return "".join(one.report(name) for name, one in family if one is not self and one.is_ready).encode()

    def report(self, label: str) -> str:
        """What the playlists of other renditions say of this one."""
        number, part = self.playlist.last
        return f'#EXT-X-RENDITION-REPORT:URI="{playlist_name(label)}\0",LAST-MSN={number},LAST-PART={part}\n'

    def variant(self, label: str = "") -> Variant:
        """Itself in a multivariant playlist; `is_ready` must hold."""
        segments = [segment for segment in self.playlist.segments if segment.is_whole] or list(self.playlist.segments)
        rates = [segment.size * 8000 / max(segment.duration_ms, 1) for segment in segments]
        total = sum(segment.size for segment in segments) * 8000 / max(sum(one.duration_ms for one in segments), 1)
        tracks = self.playlist.chapters[max(self.playlist.chapters)].tracks
        video = next((track for track in tracks if isinstance(track.configuration, VideoConfiguration)), None)
        size = None if video is None or not all(video.size) else video.size
        return Variant(
            playlist_name(label),
            round(max(rates)),
            round(total),
            ",".join(track.configuration.rfc6381 for track in tracks),
            size,
            None if video is None else self._fragmenter.frame_rate or self._frame_rate,
        )


def playlist_name(label: str) -> str:
    """The file name of a media playlist."""
    return f"{label}-media.m3u8" if label else "media.m3u8"


def multivariant(variants: Sequence[Variant], query: bytes) -> Answer:
    """The playlist that a viewer begins with (RFC 8216bis §4.4.6)."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:9", "#EXT-X-INDEPENDENT-SEGMENTS"]
    for one in variants:
        attributes = [f"BANDWIDTH={one.peak}", f"AVERAGE-BANDWIDTH={one.average}", f'CODECS="{one.codecs}"']
        if one.size is not None:
            attributes.append(f"RESOLUTION={one.size[0]}x{one.size[1]}")
        if one.frame_rate is not None:
            attributes.append(f"FRAME-RATE={one.frame_rate:.3f}")
        lines += [f"#EXT-X-STREAM-INF:{','.join(attributes)}", f"{one.name}{query.decode('latin-1')}"]
    body = ("\n".join(lines) + "\n").encode("latin-1")
    return Answer(200, (("Content-Type", PLAYLIST_TYPE), ("Cache-Control", NO_STORE)), (body,))


@lru_cache(8)
def _playlist_headers(seconds: int) -> Headers:
    return (("Content-Type", PLAYLIST_TYPE), ("Cache-Control", f"public, max-age={seconds}"))


_MEDIA_HEADERS = (("Content-Type", MEDIA_TYPE), ("Cache-Control", FOR_EVER), ("Accept-Ranges", "bytes"))


def _media_answer(pieces: Sequence[bytes]) -> Answer:
    return Answer(200, _MEDIA_HEADERS, pieces, has_parts=True)


_NONE_YET = -1, Answer(500)


def _not_there() -> Answer:
    return text_answer(404, "that is not there (any more)")
