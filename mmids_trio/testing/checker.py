"""A checker of what became of a stream on its way to one receiver, packet by packet, with the reasons in plain words.

A packet is known by its bytes, so every payload of the stream that was sent has to be unique; those of
`media.generate_stream` are.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import eq

from attrs import Factory, define, field, frozen

from mmids_trio.media.codecs import parse_audio, parse_other, parse_video
from mmids_trio.media.events import MediaKind, MediaPacket, StreamId

MOST_DESCRIBED = 5
"""Packets of one kind of flaw that a text describes; the others are counted."""

_PARSERS = {MediaKind.VIDEO: parse_video, MediaKind.AUDIO: parse_audio, MediaKind.OTHER: parse_other}


@frozen
class Report:
    """What became of a stream on its way to one receiver; all are positions in the stream that was sent.

    Sequence headers may be repeated, and may be missed by who can decode without them.  `str()` says it in words.
    """

    missed: tuple[int, ...] = ()
    """Frames that never came, those before the first that came included."""
    gaps: tuple[int, ...] = ()
    """Frames that never came although an earlier and a later one did."""
    repeated: tuple[int, ...] = ()
    """Frames that came again."""
    out_of_order: tuple[int, ...] = ()
    """Frames that came after a later one."""
    undecodable: tuple[int, ...] = ()
    """Frames that came without their sequence header, or without all frames back to their key frame."""
    backwards: tuple[int, ...] = ()
    """Frames whose timestamp is below that of the frame of the same kind before it."""
    unknown: int = 0
    """Packets that were never sent."""
    altered: tuple[int, ...] = ()
    """Packets that came with other bytes: most were as sent, and so were kind and time."""
    shifted: tuple[int, ...] = ()
    """Frames before which the difference between the timestamps sent and received changed; in itself no flaw."""
    reasons: Mapping[int, str] = field(factory=dict, eq=False, repr=False)
    """Why each of the undecodable is."""
    sent: Sequence[MediaPacket] = field(default=(), eq=False, repr=False)

    @property
    def is_flawless_from_join(self) -> bool:
        """Whether everything from the first frame on came once, unchanged, in order, and can be decoded."""
        flaws = (self.gaps, self.repeated, self.out_of_order, self.undecodable, self.backwards, self.altered)
        return not any(flaws) and not self.unknown

    @property
    def is_flawless(self) -> bool:
        """The same, and nothing was missed before the first frame or behind the last."""
        return self.is_flawless_from_join and not self.missed

    def require_flawless(self, *, from_join: bool = False) -> None:
        """Raise `AssertionError` with everything that is wrong (`from_join`: from the first frame that came on)."""
        assert self.is_flawless_from_join if from_join else self.is_flawless, f"the stream has flaws:\n{self}"

    def __str__(self) -> str:
        lines = list(self._lines())
        return "\n".join(lines) if lines else "everything came, once and in order"

    def _lines(self) -> Iterator[str]:
        before = tuple(place for place in self.missed if place not in self.gaps)
        flaws = {
            "missing": self.gaps,
            "missing before the first frame or behind the last": before,
            "repeated": self.repeated,
            "out of order": self.out_of_order,
            "altered": self.altered,
            "going back in time": self.backwards,
            "with another shift of the timestamps than before": self.shifted,
        }
        for flaw, places in flaws.items():
            if places:
                yield f"{_packets(len(places))} {flaw}: {self._list(places)}"
        if self.undecodable:
            yield f"{_packets(len(self.undecodable))} undecodable: {self._list(self.undecodable, self.reasons)}"
        if self.unknown:
            yield f"{_packets(self.unknown)} that {'was' if self.unknown == 1 else 'were'} never sent"

    def _list(self, places: Sequence[int], reasons: Mapping[int, str] | None = None) -> str:
        shown = [self._describe(place, (reasons or {}).get(place)) for place in places[:MOST_DESCRIBED]]
        more = len(places) - len(shown)
        return "; ".join([*shown, f"and {more} more"] if more else shown)

    def _describe(self, place: int, reason: str | None) -> str:
        name = describe_packet(place, self.sent[place]) if place < len(self.sent) else str(place)
        return f"{name} ({reason})" if reason else name


def _packets(count: int) -> str:
    return "1 packet" if count == 1 else f"{count} packets"


def describe_packet(place: int, packet: MediaPacket) -> str:
    """For example `#12 inter frame at 480 ms`."""
    what = "frame" if packet.kind is MediaKind.VIDEO else "packet"
    if packet.is_sequence_header:
        name = f"{packet.kind.value} sequence header"
    elif packet.kind is MediaKind.VIDEO:
        name = "key frame" if packet.is_key_frame else "inter frame"
    else:
        name = f"{packet.kind.value} {what}"
    return f"#{place} {name} at {packet.timestamp} ms"


@define
class StreamChecker:
    """Compares what one receiver got with what was `sent`."""

    sent: Sequence[MediaPacket]
    _received: list[MediaPacket] = Factory(list)

    def receive(self, kind: MediaKind, timestamp: int, data: bytes) -> None:
        """One packet as the receiver got it; `data` is the FLV tag body."""
        self._received.append(_PARSERS[kind](StreamId(""), timestamp, data))

    def receive_packets(self, packets: Iterable[MediaPacket]) -> None:
        """Packets as they come out of a workflow."""
        for packet in packets:
            self.receive(packet.kind, packet.timestamp, packet.data)

    def report(self) -> Report:
        """Everything that is wrong."""
        comparison = _Comparison(self.sent)
        for packet in self._received:
            comparison.take(packet)
        return comparison.report()


@define
class _Comparison:
    """Takes what was received, packet by packet."""

    sent: Sequence[MediaPacket]
    places: dict[tuple[MediaKind, bytes], int] = field(init=False)
    moments: dict[tuple[MediaKind, int, bool], list[int]] = field(init=False)
    needs: dict[int, "_Needs"] = field(init=False)
    seen: set[int] = Factory(set)
    repeated: list[int] = Factory(list)
    out_of_order: list[int] = Factory(list)
    backwards: list[int] = Factory(list)
    altered: list[int] = Factory(list)
    shifted: list[int] = Factory(list)
    reasons: dict[int, str] = Factory(dict)
    unknown: int = 0
    newest: int = -1
    headers: dict[MediaKind, bytes] = Factory(dict)
    timestamps: dict[MediaKind, int] = Factory(dict)
    shift: int | None = None
    decodable: set[int] = Factory(set)

    def __attrs_post_init__(self) -> None:
        self.places = {(packet.kind, packet.data): place for place, packet in enumerate(self.sent)}
        self.needs = _what_frames_need(self.sent)
        self.moments = {}
        for place, packet in enumerate(self.sent):
            moment = (packet.kind, packet.timestamp, packet.is_sequence_header)
            self.moments.setdefault(moment, []).append(place)

    def take(self, packet: MediaPacket) -> None:
        place = self.places.get((packet.kind, packet.data))
        if place is None:
            self._take_unknown(packet)
        elif self.sent[place].is_sequence_header:
            self.headers[packet.kind] = packet.data
        elif place in self.seen:
            self.repeated.append(place)
        else:
            self._take_frame(place, packet.timestamp, self._why_undecodable(place))

    def _take_unknown(self, packet: MediaPacket) -> None:
        """Bytes that were never sent: in place of a packet that has not come, or of none."""
        moment = (packet.kind, packet.timestamp, packet.is_sequence_header)
        places = (place for place in self.moments.get(moment, ()) if place not in self.seen)
        place = next((place for place in places if _resemble(packet.data, self.sent[place].data)), None)
        if place is None:
            self.unknown += 1
            return
        self.altered.append(place)
        if packet.is_sequence_header:
            self.headers[packet.kind] = packet.data
            self.seen.add(place)
        else:
            self._take_frame(place, packet.timestamp, "it was altered")

    def _take_frame(self, place: int, timestamp: int, fault: str | None) -> None:
        if place < self.newest:
            self.out_of_order.append(place)
        self.seen.add(place)
        self.newest = max(self.newest, place)
        self._check_time(place, timestamp)
        if fault is None:
            self.decodable.add(place)
        elif place not in self.altered:
            self.reasons[place] = fault

    def _check_time(self, place: int, timestamp: int) -> None:
        packet = self.sent[place]
        last = self.timestamps.get(packet.kind, timestamp)
        if 0 < (last - timestamp) % 2**32 < 2**31:
            self.backwards.append(place)
        self.timestamps[packet.kind] = timestamp
        shift = (timestamp - packet.timestamp) % 2**32
        if self.shift not in (None, shift):
            self.shifted.append(place)
        self.shift = shift

    def _why_undecodable(self, place: int) -> str | None:
        needs, kind = self.needs[place], self.sent[place].kind
        if needs.header is not None and kind not in self.headers:
            return "its sequence header has not come"
        if self.headers.get(kind) != needs.header:
            return "the last sequence header is another one"
        if needs.frame is None or needs.frame in self.decodable:
            return None
        if needs.frame in self.altered:
            return f"it needs #{needs.frame}, which was altered"
        if needs.frame in self.seen:
            return f"it needs #{needs.frame}, which cannot be decoded"
        return f"it needs #{needs.frame}, which has not come"

    def report(self) -> Report:
        frames = [place for place, packet in enumerate(self.sent) if not packet.is_sequence_header]
        missed = tuple(place for place in frames if place not in self.seen)
        first = min((place for place in self.seen if place in self.needs), default=len(self.sent))
        return Report(
            missed,
            tuple(place for place in missed if first < place < self.newest),
            tuple(self.repeated),
            tuple(self.out_of_order),
            tuple(self.reasons),
            tuple(self.backwards),
            self.unknown,
            tuple(self.altered),
            tuple(self.shifted),
            self.reasons,
            self.sent,
        )


def _resemble(one: bytes, other: bytes) -> bool:
    """Whether one is the other, altered: at least half of the bytes are the same, in the same place."""
    same: int = sum(map(eq, one, other))
    return 2 * same >= max(len(one), len(other))


@frozen
class _Needs:
    """What must have come before a frame: a sequence header, and the frame that it refers to."""

    header: bytes | None
    frame: int | None


def _what_frames_need(sent: Sequence[MediaPacket]) -> dict[int, _Needs]:
    needs: dict[int, _Needs] = {}
    headers: dict[MediaKind, bytes] = {}
    last_video: int | None = None
    for place, packet in enumerate(sent):
        if packet.is_sequence_header:
            headers[packet.kind] = packet.data
            continue
        is_inter_frame = packet.kind is MediaKind.VIDEO and not packet.is_key_frame
        needs[place] = _Needs(headers.get(packet.kind), last_video if is_inter_frame else None)
        if packet.kind is MediaKind.VIDEO:
            last_video = place
    return needs
