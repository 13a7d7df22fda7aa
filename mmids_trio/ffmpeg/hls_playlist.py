"""The media playlist of one stream that successive ffmpeg children write segments for (RFC 8216); pure.

A child writes a playlist of its own, to its output, each time that a segment is whole.  ffmpeg can neither say two init
segments in one playlist nor leave it open for another child, so the server makes the playlist: what children say of
new segments goes in, the whole text comes out, and which files nobody needs any more.
"""

import re
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain

from attrs import define, evolve, field, frozen

from mmids_trio.ffmpeg.file_names import segment_number

LINGERING = 1
"""Segments that stay when they have left the playlist, for players that are just reading them; as ffmpeg has it."""

MAX_LINE = 4096
"""Bytes of one line of a child; those that matter are as long as a file name."""

_DURATION = re.compile(r"#EXTINF:(\d+(?:\.\d+)?)")
_OLD_NUMBER = re.compile(r"-(\d+)\.(?:ts|m4s)")
"""Behind the stem, as 0.1 named segments."""
_MAP = re.compile(r'#EXT-X-MAP:URI="([^"/]+)"')
_HEAD = re.compile(r"#EXT-X-(TARGETDURATION|MEDIA-SEQUENCE|DISCONTINUITY-SEQUENCE):(\d{1,18})")


@frozen
class HlsSegment:
    """One segment: file names, seconds, and whether it does not go on where the one before it ends."""

    number: int
    name: str
    duration: float
    init: str | None
    is_discontinuity: bool = False


def read_segments(lines: Sequence[str], stem: str, init: str | None = None) -> Iterator[HlsSegment]:
    """The segments that a playlist names, as far as they can be `stem`'s."""
    duration, is_discontinuity = 0.0, False
    for line in lines:
        if found := _DURATION.match(line):
            duration = float(found[1])
        elif found := _MAP.match(line):
            init = found[1]
        elif line == "#EXT-X-DISCONTINUITY":
            is_discontinuity = True
        elif line and not line.startswith("#"):
            number = _number(line, stem)
            if number is not None:
                yield HlsSegment(number, line, duration, init, is_discontinuity)
            is_discontinuity = False


def _number(name: str, stem: str) -> int | None:
    number = segment_number(name, stem)
    if number is None and name.startswith(stem) and (old := _OLD_NUMBER.fullmatch(name.removeprefix(stem))):
        number = int(old[1])
    return number


@define
class ChildPlaylist:
    """What one child says of its segments, in pieces of any size: each segment once."""

    stem: str
    init: str | None
    first: int
    """The number of its first segment."""
    _rest: bytes = b""
    _duration: str = ""

    def receive(self, data: bytes) -> list[HlsSegment]:
        """The segments that are new in `data`."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[:MAX_LINE]
        found = []
        for line in lines:
            text = line.decode("utf-8", "replace")
            if text.startswith("#EXTINF:"):
                self._duration = text
                continue
            for segment in read_segments([self._duration, text], self.stem, self.init):
                if segment.number >= self.first:
                    found.append(segment)
                    self.first = segment.number + 1
        return found


@define
class HlsPlaylist:
    """The segments that are listed, at most `count` of them (0: all), and what has to be known of earlier ones.

    Where all are listed there are 43,200 after a day of two seconds each; so another one costs no look at the others.
    """

    count: int
    segments: deque[HlsSegment] = field(factory=deque)
    is_ended: bool = False
    next_number: int = 0
    """Of the next segment."""
    _lingering: deque[HlsSegment] = field(factory=deque, init=False)
    _target_s: int = 1
    _discontinuities_gone: int = 0
    _body: str | None = field(default=None, init=False)
    """Of the text, what is about the segments; `None`: to be made anew."""
    _init: str | None = field(default=None, init=False)
    """The init segment that it names last."""

    def add(self, segment: HlsSegment, *, is_discontinuity: bool) -> list[str]:
        """Another segment; returns the names of files that nobody needs any more."""
        self.is_ended = False
        # The first one of all goes on from nothing.
        added = evolve(segment, is_discontinuity=is_discontinuity and self.next_number > 0)
        self.segments.append(added)
        if self._body is not None:
            self._body += self._lines_of(added)
        self.next_number = segment.number + 1
        self._target_s = max(self._target_s, round(segment.duration))  # RFC 8216 §4.3.3.1
        unneeded: list[HlsSegment] = []
        while self.count and len(self.segments) > self.count:
            gone = self.segments.popleft()
            self._discontinuities_gone += gone.is_discontinuity
            self._lingering.append(gone)
            self._body = None
        while len(self._lingering) > LINGERING:
            unneeded.append(self._lingering.popleft())
        if not unneeded:
            return []
        inits = {gone.init for gone in unneeded} - {kept.init for kept in chain(self._lingering, self.segments)}
        return [gone.name for gone in unneeded] + [init for init in inits if init is not None]

    def forget(self) -> None:
        """The files of all segments are gone. Numbers go on."""
        self._discontinuities_gone += sum(gone.is_discontinuity for gone in self.segments)
        self.segments.clear()
        self._lingering.clear()
        self._body = None

    def text(self) -> str:
        """The playlist."""
        if self._body is None:
            self._init = None
            self._body = "".join(map(self._lines_of, self.segments))
        first = self.segments[0].number if self.segments else self.next_number
        head = [
            "#EXTM3U",
            f"#EXT-X-VERSION:{6 if self._init is None else 7}",
            f"#EXT-X-TARGETDURATION:{self._target_s}",
            f"#EXT-X-MEDIA-SEQUENCE:{first}",
        ]
        if self._discontinuities_gone:
            head.append(f"#EXT-X-DISCONTINUITY-SEQUENCE:{self._discontinuities_gone}")
        head.append("#EXT-X-INDEPENDENT-SEGMENTS\n")
        return "\n".join(head) + self._body + ("#EXT-X-ENDLIST\n" if self.is_ended else "")

    def _lines_of(self, segment: HlsSegment) -> str:
        """What the text says of a segment, behind those before it."""
        lines = ["#EXT-X-DISCONTINUITY"] if segment.is_discontinuity else []
        if segment.init is not None and segment.init != self._init:
            lines.append(f'#EXT-X-MAP:URI="{segment.init}"')
            self._init = segment.init
        return "\n".join([*lines, f"#EXTINF:{segment.duration:.6f},", segment.name, ""])


def read_playlist(text: str, stem: str, count: int) -> HlsPlaylist:
    """The playlist that was written to a file, by an earlier run of the server perhaps; it goes on as `count` says."""
    lines = text.splitlines()
    head = {found[1]: int(found[2]) for line in lines if (found := _HEAD.match(line))}
    segments = deque(read_segments(lines, stem))
    return HlsPlaylist(
        count,
        segments,
        is_ended="#EXT-X-ENDLIST" in lines,
        next_number=max((segment.number + 1 for segment in segments), default=head.get("MEDIA-SEQUENCE", 0)),
        target_s=max(1, head.get("TARGETDURATION", 1)),
        discontinuities_gone=head.get("DISCONTINUITY-SEQUENCE", 0),
    )
