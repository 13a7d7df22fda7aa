"""The media playlist of one stream for Low-Latency HLS (RFC 8216bis): its segments and parts, and its text.

Pure: fragments go in with the wall clock's time, and what to answer comes out.  A playlist numbers its segments
without a gap, over discontinuities and for as long as it lives; how far back it reaches is a window in milliseconds,
and nothing older is kept.

What a player asks for is *there*, *to come* (it may wait), *gone* or *wrong*:

    request                              there when
    playlist                             a segment is whole
    playlist, _HLS_msn=M                 segment M is whole
    playlist, _HLS_msn=M&_HLS_part=P     part P of segment M is there; behind the last part: part 0 of M + 1
    part M.P, segment M, init            it is there; the next part (the preload hint) may be waited for
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from enum import Enum
from math import ceil

from attrs import Factory, define, field, frozen

from mmids_trio.media.fmp4.fragmenter import Chapter, MediaPart, Output, SegmentEnd

PARTS_LISTED = 3
"""Target durations from the end within which parts are listed (RFC 8216bis §4.4.4.9)."""

SKIP_DURATIONS, HOLD_BACK_DURATIONS, HOLD_BACK_PARTS = 6, 3, 3
"""CAN-SKIP-UNTIL, HOLD-BACK and PART-HOLD-BACK, in target durations and part targets (§4.4.3.8)."""

FARTHEST_AHEAD = 2
"""A request for a segment further ahead than this is a mistake (§6.2.5.2)."""

MAX_DRIFT_SECONDS = 0.5
"""How far the dates of segments may be from the wall clock before they follow it again."""

QUERY = b"\0"
"""Stands in the text for the query that every URI of one viewer has."""

LABEL = b"\1"
"""Stands in front of every name of a file, for what tells renditions of one stream from each other."""


class Standing(Enum):
    """How what a player asks for stands."""

    THERE = "there"
    TO_COME = "to come"
    GONE = "gone"
    WRONG = "wrong"


@frozen
class ListedPart:
    """One part."""

    data: bytes
    duration_ms: float
    is_independent: bool


@define(eq=False)
class MediaSegment:
    """One segment, whole or growing. `began_at` in seconds since 1970."""

    number: int
    chapter: int
    began_at: float
    start_ms: float
    is_discontinuity: bool
    parts: list[ListedPart] = Factory(list)
    is_whole: bool = False
    duration_ms: float = 0.0
    size: int = 0
    """In bytes."""

    def add(self, part: MediaPart) -> None:
        """The next part."""
        self.parts.append(ListedPart(part.data, part.duration_ms, part.is_independent))
        self.duration_ms += part.duration_ms
        self.size += len(part.data)

    @property
    def data(self) -> Sequence[bytes]:
        """The bytes, part by part."""
        return [part.data for part in self.parts]


@define(eq=False)
class MediaPlaylist:
    """`target_ms` is what segments are aimed at; `window_ms` how far back whole segments are kept.

    `number_at` gives the first segment its number, by where it starts.
    """

    target_ms: float
    window_ms: float
    number_at: Callable[[float], int] = lambda _start_ms: 0
    segments: deque[MediaSegment] = field(factory=deque, init=False)
    chapters: dict[int, Chapter] = field(factory=dict, init=False)
    part_target_ms: float = field(default=0, init=False)
    is_ended: bool = field(default=False, init=False)
    size: int = field(default=0, init=False)
    """Bytes held."""
    length_ms: float = field(default=0.0, init=False)
    """Of all segments that are held."""
    _epoch: float | None = field(default=None, init=False)
    """The wall clock's time at 0 of the output clock."""
    target_s: int = field(init=False)
    """EXT-X-TARGETDURATION."""
    _next_number: int | None = field(default=None, init=False)
    _discontinuities_gone: int = field(default=0, init=False)
    """Of segments that are not listed any more."""
    _chapter: int = field(default=-1, init=False)
    _is_discontinuity: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.target_s = max(1, ceil(self.target_ms / 1000))

    # What comes in.

    def add(self, output: Output, now: float) -> None:
        """What the fragmenter has put out; `now` in seconds since 1970."""
        self.is_ended = False
        match output:
            case Chapter():
                self._forget_unused_chapter()
                self._chapter += 1
                self.chapters[self._chapter] = output
                self.size += len(output.init)
                self._is_discontinuity = self._next_number is not None
            case MediaPart():
                self._add_part(output, now)
            case SegmentEnd():
                self._end_segment()

    def end(self) -> None:
        """Nothing more comes: players may stop asking."""
        self.is_ended = True

    def _add_part(self, part: MediaPart, now: float) -> None:
        if part.opens_segment:
            self._open_segment(part, now)
        self.segments[-1].add(part)
        self.size += len(part.data)
        self.length_ms += part.duration_ms
        self.part_target_ms = max(self.part_target_ms, part.duration_ms)

    def _forget_unused_chapter(self) -> None:
        if self._chapter in self.chapters and not (self.segments and self.segments[-1].chapter == self._chapter):
            self.size -= len(self.chapters.pop(self._chapter).init)

    def _open_segment(self, part: MediaPart, now: float) -> None:
        number = self.number_at(part.start_ms) if self._next_number is None else self._next_number
        epoch = now - (part.start_ms + part.duration_ms) / 1000
        if self._epoch is None or abs(epoch - self._epoch) > MAX_DRIFT_SECONDS:
            self._epoch = epoch
        began = self._epoch + part.start_ms / 1000
        if self.segments:  # dates never go back, nor lie on what is shown already
            began = max(began, self.segments[-1].began_at + self.segments[-1].duration_ms / 1000)
        self.segments.append(MediaSegment(number, self._chapter, began, part.start_ms, self._is_discontinuity))
        self._next_number = number + 1
        self._is_discontinuity = False

    def _end_segment(self) -> None:
        segment = self.segments[-1]
        segment.is_whole = True
        # A group of pictures longer than was aimed at: the target must not be shorter than any segment (§4.4.3.1).
        self.target_s = max(self.target_s, round(segment.duration_ms / 1000))
        self._forget()

    def _forget(self) -> None:
        """Keep the window, and what live players may still fetch (§6.2.2: three target durations and more)."""
        kept_ms = max(self.window_ms, SKIP_DURATIONS * 1000 * self.target_s)
        while len(self.segments) > 1 and self.length_ms - self.segments[0].duration_ms >= kept_ms:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        gone = self.segments.popleft()
        self.length_ms -= gone.duration_ms
        self.size -= gone.size
        self._discontinuities_gone += gone.is_discontinuity
        if (not self.segments or gone.chapter != self.segments[0].chapter) and gone.chapter != self._chapter:
            self.size -= len(self.chapters.pop(gone.chapter).init)

    def let_go(self) -> None:
        """Forget all whole segments; what is numbered goes on where it stands."""
        while self.segments and self.segments[0].is_whole:
            self._drop_oldest()

    # What is asked for.

    @property
    def last(self) -> tuple[int, int]:
        """Number of the newest segment, and of the newest part in it; -1 where there is none."""
        segment = self.segments[-1] if self.segments else None
        return (segment.number, len(segment.parts) - 1) if segment else (-1, -1)

    @property
    def has_segment(self) -> bool:
        """Whether a whole segment is there: players that know nothing of parts give up at a playlist without one."""
        return bool(self.segments) and self.segments[0].is_whole

    def standing(self, number: int | None = None, part: int | None = None) -> Standing:
        """Whether a playlist request can be answered (§6.2.5.2)."""
        if number is None:
            if part is not None:
                return Standing.WRONG
            return Standing.THERE if self.has_segment else Standing.TO_COME
        if number > self._newest + FARTHEST_AHEAD:
            return Standing.WRONG
        if self.is_ended:
            return Standing.THERE
        return Standing.THERE if self._has(number, part) else Standing.TO_COME

    def _has(self, number: int, part: int | None) -> bool:
        last = self.segments[-1] if self.segments else None
        if last is None or number > last.number:
            return False
        if number < last.number:
            return True  # a part behind its last one is the first of the next segment, which is there
        if part is None:
            return last.is_whole
        return part < len(last.parts)

    def segment(self, number: int) -> tuple[Standing, Sequence[bytes]]:
        """A segment's bytes, where it is whole."""
        segment = self._segment(number)
        if segment is not None:
            return (Standing.THERE, segment.data) if segment.is_whole else (Standing.TO_COME, ())
        return (Standing.GONE, ()) if number <= self._newest else (Standing.WRONG, ())

    def part(self, number: int, index: int) -> tuple[Standing, bytes]:
        """A part's bytes; the next one may be waited for."""
        segment = self._segment(number)
        if segment is not None and index < len(segment.parts):
            return Standing.THERE, segment.parts[index].data
        is_hinted = (number, index) == self._hint
        if is_hinted and not self.is_ended:
            return Standing.TO_COME, b""
        return (Standing.GONE, b"") if number <= self._newest else (Standing.WRONG, b"")

    def init(self, chapter: int) -> bytes | None:
        """An init segment."""
        found = self.chapters.get(chapter)
        return None if found is None else found.init

    @property
    def _newest(self) -> int:
        """Number of the newest segment that there ever was."""
        return -1 if self._next_number is None else self._next_number - 1

    def _segment(self, number: int) -> MediaSegment | None:
        index = number - self.segments[0].number if self.segments else -1
        return self.segments[index] if 0 <= index < len(self.segments) else None

    @property
    def _hint(self) -> tuple[int, int]:
        """The part that comes next."""
        last = self.segments[-1] if self.segments else None
        if last is None or last.is_whole:
            return self._newest + 1, 0
        return last.number, len(last.parts)

    # The text.

    def text(self, *, skip: bool = False) -> bytes:
        """The playlist, with `LABEL` before and `QUERY` behind every URI; `skip` asks for a delta update (§6.2.5.1)."""
        segments = list(self.segments)
        skipped = self._skippable(segments) if skip else 0
        lines = [*self._head(), *([f"#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}"] if skipped else [])]
        with_parts_from = self._first_with_parts(segments)
        chapter = segments[skipped - 1].chapter if skipped else None
        for segment in segments[skipped:]:
            lines += self._segment_lines(segment, segment.number >= with_parts_from, segment.chapter != chapter)
            chapter = segment.chapter
        if self.is_ended:
            lines.append("#EXT-X-ENDLIST")
        else:
            lines.append(f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="\1{part_name(*self._hint)}\0"')
        return ("\n".join(lines) + "\n").encode()

    def _head(self) -> Iterator[str]:
        target, part = self.target_s, self.part_target_ms / 1000
        first = self.segments[0].number if self.segments else self._newest + 1
        yield from ("#EXTM3U", "#EXT-X-VERSION:9", f"#EXT-X-TARGETDURATION:{target}")
        yield (
            f"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL={SKIP_DURATIONS * target:.1f},"
            f"HOLD-BACK={HOLD_BACK_DURATIONS * target:.1f},PART-HOLD-BACK={HOLD_BACK_PARTS * part:.3f}"
        )
        yield f"#EXT-X-PART-INF:PART-TARGET={part:.3f}"
        yield f"#EXT-X-MEDIA-SEQUENCE:{first}"
        if self._discontinuities_gone:
            yield f"#EXT-X-DISCONTINUITY-SEQUENCE:{self._discontinuities_gone}"

    def _segment_lines(self, segment: MediaSegment, with_parts: bool, with_map: bool) -> Iterator[str]:
        if segment.is_discontinuity:
            yield "#EXT-X-DISCONTINUITY"
        if with_map:
            yield f'#EXT-X-MAP:URI="\1{init_name(segment.chapter)}\0"'
        yield f"#EXT-X-PROGRAM-DATE-TIME:{_date(segment.began_at)}"
        if with_parts:
            for index, part in enumerate(segment.parts):
                independent = ",INDEPENDENT=YES" if part.is_independent else ""
                name = part_name(segment.number, index)
                yield f'#EXT-X-PART:DURATION={part.duration_ms / 1000:.5f},URI="\1{name}\0"{independent}'
        if segment.is_whole:
            yield f"#EXTINF:{segment.duration_ms / 1000:.5f},"
            yield f"\1{segment_name(segment.number)}\0"

    def _skippable(self, segments: Sequence[MediaSegment]) -> int:
        """How many whole segments at the beginning are older than CAN-SKIP-UNTIL."""
        boundary, kept, count = SKIP_DURATIONS * 1000 * self.target_s, 0.0, len(segments)
        while count and kept < boundary:
            count -= 1
            kept += segments[count].duration_ms
        return count

    def _first_with_parts(self, segments: Sequence[MediaSegment]) -> int:
        reach = 0.0
        for segment in reversed(segments):
            reach += segment.duration_ms
            if reach >= PARTS_LISTED * 1000 * self.target_s:
                return segment.number
        return segments[0].number if segments else 0


def part_name(number: int, index: int) -> str:
    """The file name of a part."""
    return f"part-{number}.{index}.m4s"


def segment_name(number: int) -> str:
    """The file name of a segment."""
    return f"segment-{number}.m4s"


def init_name(chapter: int) -> str:
    """The file name of an init segment."""
    return f"init-{chapter}.mp4"


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
