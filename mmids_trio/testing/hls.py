"""A checker for Low-Latency HLS: plays from any server as a player does, and says what is not as RFC 8216bis has it.

    checker = HlsChecker(fetch, clock)
    report = await checker.play("/live/key/index.m3u8", segments=4)
    assert report.problems == []

It follows each media playlist by blocking reloads, fetches every part that was hinted, every segment and every init
segment, and compares.  What it asserts of the server stands in `RULES`.  Pure but for the fetching, which the caller
brings: over sockets, in memory, to a server of whomever.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from struct import unpack_from
from typing import Protocol
from urllib.parse import urljoin

import trio
from attrs import define, field, frozen

RULES = {
    "head": "a playlist has version 9 or more, TARGETDURATION, SERVER-CONTROL with CAN-BLOCK-RELOAD, PART-INF",
    "hold back": "PART-HOLD-BACK is 2 part targets at least (3 are asked for), HOLD-BACK 3 target durations (§4.4.3.8)",
    "skip until": "CAN-SKIP-UNTIL is 6 target durations at least",
    "segment length": "no segment, rounded, is longer than TARGETDURATION (§4.4.3.1)",
    "part length": "a part is no longer than PART-TARGET, and 85 % of it at least but for the last of a segment",
    "part sum": "the parts of a segment last as long as it",
    "bytes": "the parts of a segment, put together, are the segment byte for byte",
    "decode time": "each fragment begins where the one before it of the track ended, within a chapter",
    "map": "a segment has a map, and another one only behind a DISCONTINUITY",
    "hint": "what a preload hint named becomes a part, and its bytes are those that were hinted",
    "too early": "a blocking answer has what was asked for",
    "order": "the playlist only grows: what was listed stays as it was, media and discontinuity sequence go up alone",
    "date": "each segment has PROGRAM-DATE-TIME, which goes on by its length but over discontinuities",
    "delta": "a delta update, put on what was known, is the whole playlist",
    "variant": "a variant has BANDWIDTH no less than any of its segments, CODECS, RESOLUTION where there are pictures",
    "errors": "_HLS_part without _HLS_msn, and _HLS_msn far ahead, are 400; what is not there is 404",
}
"""By the name that a problem begins with."""

LEAST_OF_TARGET = 0.85
"""Part of PART-TARGET that a part has at least."""

TOLERANCE = 0.002
"""Seconds: dates have milliseconds, durations five places."""

DATE_TOLERANCE = 0.6
"""Seconds that the dates may be moved where they follow the wall clock again."""


class Got(Protocol):
    """An answer of the server."""

    @property
    def status(self) -> int: ...

    @property
    def body(self) -> bytes: ...


Fetch = Callable[[str], Awaitable[Got]]
"""Gets a path with its query; several may be under way at once."""


@frozen
class Part:
    """One EXT-X-PART."""

    uri: str
    duration: float
    is_independent: bool


@frozen
class Segment:
    """One segment of a playlist; `duration` and `uri` of `None`: it grows."""

    number: int
    map_uri: str | None
    date: str | None
    is_discontinuity: bool
    parts: tuple[Part, ...]
    duration: float | None = None
    uri: str | None = None


@frozen
class Playlist:
    """A media playlist as read."""

    text: str
    tags: Mapping[str, str]
    """Of the whole playlist, by name."""
    segments: tuple[Segment, ...]
    hint: str | None
    skipped: int
    is_ended: bool

    @property
    def control(self) -> Mapping[str, str]:
        """Of EXT-X-SERVER-CONTROL."""
        return attributes(self.tags.get("EXT-X-SERVER-CONTROL", ""))

    @property
    def target(self) -> float:
        """EXT-X-TARGETDURATION."""
        return float(self.tags["EXT-X-TARGETDURATION"])

    @property
    def part_target(self) -> float:
        """PART-TARGET."""
        return float(attributes(self.tags["EXT-X-PART-INF"])["PART-TARGET"])

    @property
    def next(self) -> tuple[int, int]:
        """The part that comes next: segment and part."""
        last = self.segments[-1]
        return (last.number + 1, 0) if last.uri is not None else (last.number, len(last.parts))


def attributes(text: str) -> dict[str, str]:
    """An attribute list (§4.2), quotes taken off."""
    return {name: value.strip('"') for name, value in re.findall(r'([A-Z0-9-]+)=("[^"]*"|[^,]*)', text)}


_OF_PLAYLIST = (
    *("EXT-X-VERSION", "EXT-X-TARGETDURATION", "EXT-X-SERVER-CONTROL", "EXT-X-PART-INF"),
    *("EXT-X-MEDIA-SEQUENCE", "EXT-X-DISCONTINUITY-SEQUENCE"),
)


def read_playlist(text: str) -> Playlist:
    """Read a media playlist. Raises `ValueError` or `KeyError` for what is none."""
    tags, segments, hint, skipped, is_ended = dict[str, str](), list[Segment](), None, 0, False
    number, map_uri, date, is_discontinuity, parts, duration = 0, None, None, False, list[Part](), None
    begun = False

    def close(uri: str | None) -> None:
        nonlocal number, date, is_discontinuity, parts, duration, begun
        length = None if uri is None else duration
        segments.append(Segment(number, map_uri, date, is_discontinuity, tuple(parts), length, uri))
        number, date, is_discontinuity, parts, duration, begun = number + 1, None, False, [], None, False

    for line in text.splitlines():
        name, _, value = line.removeprefix("#").partition(":")
        if name in _OF_PLAYLIST:
            tags[name] = value
            number = int(value) if name == "EXT-X-MEDIA-SEQUENCE" else number
        elif name == "EXT-X-SKIP":
            skipped = int(attributes(value)["SKIPPED-SEGMENTS"])
            number += skipped
        elif name == "EXT-X-MAP":
            map_uri = attributes(value)["URI"]
        elif name == "EXT-X-DISCONTINUITY":
            is_discontinuity = begun = True
        elif name == "EXT-X-PROGRAM-DATE-TIME":
            date, begun = value, True
        elif name == "EXT-X-PART":
            found = attributes(value)
            parts.append(Part(found["URI"], float(found["DURATION"]), found.get("INDEPENDENT") == "YES"))
            begun = True
        elif name == "EXTINF":
            duration = float(value.partition(",")[0])
        elif name == "EXT-X-PRELOAD-HINT":
            hint = attributes(value)["URI"]
        elif name == "EXT-X-ENDLIST":
            is_ended = True
        elif line and not line.startswith("#"):
            close(line)
    if begun and parts:
        close(None)
    return Playlist(text, tags, tuple(segments), hint, skipped, is_ended)


@frozen
class Fragment:
    """What the boxes of a part say: per track its decode time, and where that ends, in ticks."""

    tracks: Mapping[int, tuple[int, int]]


def boxes(data: bytes, start: int = 0, stop: int | None = None) -> list[tuple[bytes, int, int]]:
    """Kind, beginning of the content and end of each box."""
    found, stop = [], len(data) if stop is None else stop
    while start + 8 <= stop:
        size, kind = unpack_from(">I4s", data, start)
        if size < 8 or start + size > stop:  # noqa: PLR2004  (a box's own header)
            raise ValueError(f"a box of {size} bytes at {start} of {stop}")
        found.append((kind, start + 8, start + size))
        start += size
    if start != stop:
        raise ValueError(f"{stop - start} bytes behind the last box")
    return found


def read_fragments(data: bytes) -> list[Fragment]:
    """All fragments of a part or a segment (ISO/IEC 14496-12 §8.8). Raises `ValueError`."""
    fragments = []
    for kind, start, stop in boxes(data):
        if kind == b"moof":
            tracks = dict(
                _track(data, begin, end) for inner, begin, end in boxes(data, start, stop) if inner == b"traf"
            )
            fragments.append(Fragment(tracks))
    return fragments


def _track(data: bytes, start: int, stop: int) -> tuple[int, tuple[int, int]]:
    track = time = length = 0
    for kind, begin, _ in boxes(data, start, stop):
        if kind == b"tfhd":
            (track,) = unpack_from(">I", data, begin + 4)
        elif kind == b"tfdt":
            (time,) = unpack_from(">Q" if data[begin] else ">I", data, begin + 4)
        elif kind == b"trun":
            flags, count = unpack_from(">II", data, begin)
            place = begin + 8 + 4 * bool(flags & 1) + 4 * bool(flags & 4)
            width = 4 * sum(bool(flags & bit) for bit in (0x100, 0x200, 0x400, 0x800))
            if flags & 0x100:
                length += sum(unpack_from(">I", data, place + width * index)[0] for index in range(count))
    return track, (time, time + length)


@define
class HlsReport:
    """What was seen of one media playlist."""

    problems: list[str] = field(factory=list)
    segments: dict[int, bytes] = field(factory=dict)
    """Whole segments that were fetched, by number."""
    inits: dict[str, bytes] = field(factory=dict)
    """Init segments, by URI."""
    maps: dict[int, str] = field(factory=dict)
    """Which of them each segment needs."""
    parts: int = 0
    """That were fetched."""
    deltas: int = 0
    """Delta updates that skipped something."""
    variants: list[Mapping[str, str]] = field(factory=list)

    def note(self, rule: str, detail: str) -> None:
        """Something is not as `RULES` have it."""
        assert rule in RULES
        self.problems.append(f"{rule}: {detail}")


@define(eq=False)
class HlsChecker:
    """See the module. `patience`: seconds that one answer may take."""

    fetch: Fetch
    patience: float = 30.0

    async def play(self, url: str, *, segments: int, variant: int = 0) -> HlsReport:
        """Follow a variant of the multivariant playlist at `url` until so many segments were seen to be closed."""
        report = HlsReport()
        master = await self._text(url)
        lines = master.splitlines()
        uris = [line for line in lines if line and not line.startswith("#")]
        report.variants = [attributes(line.partition(":")[2]) for line in lines if line.startswith("#EXT-X-STREAM-INF")]
        media = urljoin(url, uris[variant])
        await self._follow(media, segments, report)
        self._check_variant(report, variant)
        await self._check_errors(media, report)
        return report

    async def _follow(self, url: str, count: int, report: HlsReport) -> None:
        known = read_playlist(await self._text(url))
        self._check_head(known, report)
        first, hinted = known.segments[-1].number, dict[str, bytes]()
        listed = {part.uri for segment in known.segments for part in segment.parts}
        while known.segments[-1].number < first + count and not known.is_ended:
            fresh, whole = await self._next(url, known, hinted, report)
            self._check_answer(known, fresh, known.next, report)
            self._check_delta(known, whole, fresh, report)
            for segment in fresh.segments:
                for one in segment.parts:
                    if one.uri not in listed and one.uri not in hinted:
                        hinted[one.uri] = (await self._get(urljoin(url, one.uri), report)) or b""
                    listed.add(one.uri)
            known = fresh
        await self._check_media(url, known, hinted, report)

    async def _next(
        self, url: str, known: Playlist, hinted: dict[str, bytes], report: HlsReport
    ) -> tuple[Playlist, str]:
        """Ask for what comes next in all three ways at once: whole, as a delta, and the hinted part itself."""
        texts = dict[str, str]()
        number, part = known.next
        directives = f"_HLS_msn={number}&_HLS_part={part}"
        separator = "&" if "?" in url else "?"

        async def ask(name: str, more: str) -> None:
            texts[name] = await self._text(f"{url}{separator}{directives}{more}")

        async def ask_part(uri: str) -> None:
            data = await self._get(urljoin(url, uri), report)
            if data is not None:
                hinted[uri] = data
                report.parts += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, "whole", "")
            nursery.start_soon(ask, "delta", "&_HLS_skip=YES")
            if known.hint is not None:
                nursery.start_soon(ask_part, known.hint)
        fresh = read_playlist(texts["whole"])
        if known.hint is not None and known.hint not in {one.uri for s in fresh.segments for one in s.parts}:
            report.note("hint", f"{known.hint} is no part of what came next")
        return fresh, texts["delta"]

    # Rules.

    def _check_head(self, found: Playlist, report: HlsReport) -> None:
        control = found.control
        if int(found.tags.get("EXT-X-VERSION", 0)) < 9 or control.get("CAN-BLOCK-RELOAD") != "YES":  # noqa: PLR2004
            report.note("head", found.text[:200])
        if float(control.get("PART-HOLD-BACK", 0)) < 3 * found.part_target - TOLERANCE:
            report.note("hold back", f"PART-HOLD-BACK {control.get('PART-HOLD-BACK')} of {found.part_target}")
        if "HOLD-BACK" in control and float(control["HOLD-BACK"]) < 3 * found.target:
            report.note("hold back", f"HOLD-BACK {control['HOLD-BACK']} of {found.target}")
        if "CAN-SKIP-UNTIL" in control and float(control["CAN-SKIP-UNTIL"]) < 6 * found.target:
            report.note("skip until", f"{control['CAN-SKIP-UNTIL']} of {found.target}")

    def _check_answer(self, known: Playlist, fresh: Playlist, asked: tuple[int, int], report: HlsReport) -> None:
        if fresh.next <= asked and not fresh.is_ended:
            report.note("too early", f"asked for {asked}, the next is {fresh.next}")
        before = {segment.number: segment for segment in known.segments}
        for segment in fresh.segments:
            old = before.get(segment.number)
            if old is None:
                continue
            overlap = min(len(old.parts), len(segment.parts))
            if segment.parts and old.parts[:overlap] != segment.parts[:overlap]:
                report.note("order", f"parts of segment {segment.number} have changed")
            if (old.map_uri, old.date, old.is_discontinuity) != (
                segment.map_uri,
                segment.date,
                segment.is_discontinuity,
            ):
                report.note("order", f"segment {segment.number} has changed")
            if old.uri is not None and (old.uri, old.duration) != (segment.uri, segment.duration):
                report.note("order", f"segment {segment.number} was closed and has changed")
        for name in ("EXT-X-MEDIA-SEQUENCE", "EXT-X-DISCONTINUITY-SEQUENCE"):
            if int(fresh.tags.get(name, 0)) < int(known.tags.get(name, 0)):
                report.note("order", f"{name} went down")

    def _check_delta(self, known: Playlist, delta_text: str, fresh: Playlist, report: HlsReport) -> None:
        delta = read_playlist(delta_text)
        if not delta.skipped:
            if delta.text != fresh.text and delta.next == fresh.next:
                report.note("delta", "it skips nothing, and is not the whole playlist")
            return
        report.deltas += 1
        if delta.next != fresh.next:
            return  # another part came in between
        tail = fresh.segments[delta.skipped :]
        mine = [_without_map(one) for one in delta.segments]
        if mine != [_without_map(one) for one in tail]:
            report.note("delta", f"behind {delta.skipped} skipped segments it is not the whole playlist")

    async def _check_media(self, url: str, known: Playlist, parts: Mapping[str, bytes], report: HlsReport) -> None:
        ends: dict[int, int] = {}
        previous: Segment | None = None
        for segment in known.segments:
            if segment.map_uri is None:
                report.note("map", f"segment {segment.number} has none")
            elif segment.map_uri not in report.inits:
                report.inits[segment.map_uri] = (await self._get(urljoin(url, segment.map_uri), report)) or b""
            if previous is not None and previous.map_uri != segment.map_uri and not segment.is_discontinuity:
                report.note("map", f"segment {segment.number} has another one without a discontinuity")
            if segment.is_discontinuity or previous is None:
                ends = {}
            self._check_dates(previous, segment, report)
            self._check_lengths(known, segment, report)
            if segment.uri is not None:
                await self._check_bytes(url, segment, parts, ends, report)
            previous = segment

    async def _check_bytes(
        self, url: str, segment: Segment, parts: Mapping[str, bytes], ends: dict[int, int], report: HlsReport
    ) -> None:
        assert segment.uri is not None
        data = await self._get(urljoin(url, segment.uri), report)
        if data is None:
            return
        report.segments[segment.number] = data
        report.maps[segment.number] = segment.map_uri or ""
        is_known = bool(segment.parts) and all(part.uri in parts for part in segment.parts)
        if is_known and b"".join(parts[part.uri] for part in segment.parts) != data:
            report.note("bytes", f"segment {segment.number} is not its parts")
        try:
            fragments = read_fragments(data)
        except ValueError as error:
            report.note("bytes", f"segment {segment.number}: {error}")
            return
        for fragment in fragments:
            for track, (begin, end) in fragment.tracks.items():
                if track in ends and begin != ends[track]:
                    report.note("decode time", f"segment {segment.number}, track {track}: {begin}, not {ends[track]}")
                ends[track] = end

    def _check_lengths(self, known: Playlist, segment: Segment, report: HlsReport) -> None:
        if segment.duration is not None and round(segment.duration) > known.target:
            report.note("segment length", f"segment {segment.number} has {segment.duration} of {known.target}")
        for index, part in enumerate(segment.parts):
            is_last = index == len(segment.parts) - 1
            is_long = part.duration > known.part_target + TOLERANCE
            if is_long or (part.duration < LEAST_OF_TARGET * known.part_target - TOLERANCE and not is_last):
                report.note("part length", f"{part.uri}: {part.duration} of {known.part_target}")
        if segment.duration is not None and segment.parts:
            total = sum(part.duration for part in segment.parts)
            if abs(total - segment.duration) > TOLERANCE:
                report.note("part sum", f"segment {segment.number}: {total} of {segment.duration}")

    def _check_dates(self, previous: Segment | None, segment: Segment, report: HlsReport) -> None:
        if segment.date is None:
            report.note("date", f"segment {segment.number} has none")
        elif previous is not None and previous.date is not None and previous.duration is not None:
            passed = _seconds(segment.date) - _seconds(previous.date)
            allowed = DATE_TOLERANCE if not segment.is_discontinuity else float("inf")
            if passed <= 0 or abs(passed - previous.duration) > allowed:
                report.note("date", f"segment {segment.number} is {passed:.3f} s behind one of {previous.duration} s")

    def _check_variant(self, report: HlsReport, variant: int) -> None:
        found = report.variants[variant]
        if "BANDWIDTH" not in found or "CODECS" not in found:
            report.note("variant", str(dict(found)))

    async def _check_errors(self, url: str, report: HlsReport) -> None:
        separator = "&" if "?" in url else "?"
        wrong = {
            f"{url}{separator}_HLS_part=1": 400,
            f"{url}{separator}_HLS_msn=999999999999": 400,
            urljoin(url, re.sub(r"[^/?]*(\?|$)", r"segment-1.m4s\1", url.rpartition("/")[2], count=1)): 404,
        }
        for target, status in wrong.items():
            with trio.fail_after(self.patience):
                answer = await self.fetch(target)
            if answer.status != status:
                report.note("errors", f"{target.partition('?')[0]}: {answer.status}, not {status}")

    # Fetching.

    async def _text(self, url: str) -> str:
        with trio.fail_after(self.patience):
            answer = await self.fetch(url)
        if answer.status != 200:  # noqa: PLR2004
            raise ValueError(f"{url.partition('?')[0]} is {answer.status}: {answer.body[:200]!r}")
        return answer.body.decode()

    async def _get(self, url: str, report: HlsReport) -> bytes | None:
        with trio.fail_after(self.patience):
            answer = await self.fetch(url)
        if answer.status != 200:  # noqa: PLR2004
            report.note("errors", f"{url.partition('?')[0]} was listed and is {answer.status}")
            return None
        return answer.body


def _without_map(segment: Segment) -> tuple[object, ...]:
    """What a delta update says of a segment: the map may stand before what was skipped."""
    return segment.number, segment.date, segment.is_discontinuity, segment.parts, segment.duration, segment.uri


def _seconds(date: str) -> float:
    return datetime.fromisoformat(date.replace("Z", "+00:00")).timestamp()


def media_of(segments: Sequence[bytes]) -> bytes:
    """The coded frames of segments, one after another: the content of their `mdat` boxes."""
    return b"".join(data[start:stop] for data in segments for kind, start, stop in boxes(data) if kind == b"mdat")
