"""The media playlist of one stream for Low-Latency HLS (RFC 8216bis): its segments and parts, and its text.

Pure: fragments go in with the wall clock's time, and what to answer comes out.  A playlist numbers its segments
without a gap, over discontinuities and for as long as it lives; how far back it reaches is a window in milliseconds,
and nothing older is kept.

What a player asks for is *there*, *to come* (it may wait), *gone* or *wrong*:

    request                              there when
    playlist                             there is a part
    playlist, _HLS_msn=M                 segment M is whole
    playlist, _HLS_msn=M&_HLS_part=P     part P of segment M is there; behind the last part: part 0 of M + 1
    part M.P, segment M, init            it is there; the next part (the preload hint) may be waited for
"""

from collections import deque
from collections.abc import Iterator, Sequence
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

QUERY = b"\0"
"""Stands in the text for the query that every URI of one viewer has."""


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
    is_discontinuity: bool
    parts: list[ListedPart] = Factory(list)
    is_whole: bool = False

    @property
    def duration_ms(self) -> float:
        """Of its parts."""
        return sum(part.duration_ms for part in self.parts)

    @property
    def data(self) -> Sequence[bytes]:
        """The bytes, part by part."""
        return [part.data for part in self.parts]

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(len(part.data) for part in self.parts)


@define(eq=False)
class MediaPlaylist:
    """`target_ms` is what segments are aimed at; `window_ms` how far back whole segments are kept."""

    target_ms: float
    window_ms: float
    segments: deque[MediaSegment] = field(factory=deque, init=False)
    chapters: dict[int, Chapter] = field(factory=dict, init=False)
    part_target_ms: float = field(default=0, init=False)
    is_ended: bool = field(default=False, init=False)
    _target_s: int = field(init=False)
    _next_number: int = field(default=0, init=False)
    _discontinuities_gone: int = field(default=0, init=False)
    """Of segments that are not listed any more."""
    _chapter: int = field(default=-1, init=False)
    _is_discontinuity: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._target_s = max(1, ceil(self.target_ms / 1000))

    # What comes in.

    def add(self, output: Output, now: float) -> None:
        """What the fragmenter has put out; `now` in seconds since 1970."""
        self.is_ended = False
        match output:
            case Chapter():
                self._chapter += 1
                self.chapters[self._chapter] = output
                self._is_discontinuity = self._next_number > 0
            case MediaPart():
                self._add_part(output, now)
            case SegmentEnd():
                self._end_segment()

    def end(self) -> None:
        """Nothing more comes: players may stop asking."""
        self.is_ended = True

    def _add_part(self, part: MediaPart, now: float) -> None:
        if part.opens_segment:
            began = now - part.duration_ms / 1000
            self.segments.append(MediaSegment(self._next_number, self._chapter, began, self._is_discontinuity))
            self._next_number += 1
            self._is_discontinuity = False
        self.segments[-1].parts.append(ListedPart(part.data, part.duration_ms, part.is_independent))
        self.part_target_ms = max(self.part_target_ms, part.duration_ms)

    def _end_segment(self) -> None:
        segment = self.segments[-1]
        segment.is_whole = True
        # A group of pictures longer than was aimed at: the target must not be shorter than any segment (§4.4.3.1).
        self._target_s = max(self._target_s, round(segment.duration_ms / 1000))
        self._forget()

    def _forget(self) -> None:
        """Keep the window, and what live players may still fetch (§6.2.2: three target durations and more)."""
        kept_ms = max(self.window_ms, SKIP_DURATIONS * 1000 * self._target_s)
        total = sum(segment.duration_ms for segment in self.segments)
        while len(self.segments) > 1 and total - self.segments[0].duration_ms >= kept_ms:
            gone = self.segments.popleft()
            total -= gone.duration_ms
            self._discontinuities_gone += gone.is_discontinuity
            if gone.chapter != self.segments[0].chapter:
                self.chapters.pop(gone.chapter, None)

    # What is asked for.

    @property
    def size(self) -> int:
        """Bytes held."""
        inits = sum(len(chapter.init) for chapter in self.chapters.values())
        return inits + sum(segment.size for segment in self.segments)

    @property
    def last(self) -> tuple[int, int]:
        """Number of the newest segment, and of the newest part in it; -1 where there is none."""
        segment = self.segments[-1] if self.segments else None
        return (segment.number, len(segment.parts) - 1) if segment else (-1, -1)

    def standing(self, number: int | None = None, part: int | None = None) -> Standing:
        """Whether a playlist request can be answered (§6.2.5.2)."""
        if number is None:
            if part is not None:
                return Standing.WRONG
            return Standing.THERE if self.segments else Standing.TO_COME
        if number > self.last[0] + FARTHEST_AHEAD:
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
        return (Standing.GONE, ()) if number < self._next_number else (Standing.WRONG, ())

    def part(self, number: int, index: int) -> tuple[Standing, bytes]:
        """A part's bytes; the next one may be waited for."""
        segment = self._segment(number)
        if segment is not None and index < len(segment.parts):
            return Standing.THERE, segment.parts[index].data
        is_hinted = (number, index) == self._hint
        if is_hinted and not self.is_ended:
            return Standing.TO_COME, b""
        return (Standing.GONE, b"") if number < self._next_number else (Standing.WRONG, b"")

    def init(self, chapter: int) -> bytes | None:
        """An init segment."""
        found = self.chapters.get(chapter)
        return None if found is None else found.init

    def _segment(self, number: int) -> MediaSegment | None:
        index = number - self.segments[0].number if self.segments else -1
        return self.segments[index] if 0 <= index < len(self.segments) else None

    @property
    def _hint(self) -> tuple[int, int]:
        """The part that comes next."""
        last = self.segments[-1] if self.segments else None
        if last is None or last.is_whole:
            return self._next_number, 0
        return last.number, len(last.parts)

    # The text.

    def text(self, *, skip: bool = False) -> bytes:
        """The playlist, with `QUERY` behind every URI; `skip` asks for a delta update (§6.2.5.1)."""
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
            lines.append(f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{part_name(*self._hint)}\0"')
        return ("\n".join(lines) + "\n").encode()

    def _head(self) -> Iterator[str]:
        target, part = self._target_s, self.part_target_ms / 1000
        first = self.segments[0].number if self.segments else self._next_number
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
            yield f'#EXT-X-MAP:URI="{init_name(segment.chapter)}\0"'
        yield f"#EXT-X-PROGRAM-DATE-TIME:{_date(segment.began_at)}"
        if with_parts:
            for index, part in enumerate(segment.parts):
                independent = ",INDEPENDENT=YES" if part.is_independent else ""
                name = part_name(segment.number, index)
                yield f'#EXT-X-PART:DURATION={part.duration_ms / 1000:.5f},URI="{name}\0"{independent}'
        if segment.is_whole:
            yield f"#EXTINF:{segment.duration_ms / 1000:.5f},"
            yield f"{segment_name(segment.number)}\0"

    def _skippable(self, segments: Sequence[MediaSegment]) -> int:
        """How many whole segments at the beginning are older than CAN-SKIP-UNTIL."""
        boundary, kept, count = SKIP_DURATIONS * 1000 * self._target_s, 0.0, len(segments)
        while count and kept < boundary:
            count -= 1
            kept += segments[count].duration_ms
        return count

    def _first_with_parts(self, segments: Sequence[MediaSegment]) -> int:
        reach = 0.0
        for segment in reversed(segments):
            reach += segment.duration_ms
            if reach >= PARTS_LISTED * 1000 * self._target_s:
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
