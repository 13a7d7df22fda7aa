"""Generated streams and a checker of what became of them: tests of media need no files and no encoder.

A stream is H.264 and AAC in form, and every payload is unique, so a checker knows each packet by its bytes
wherever it turns up.
"""

from collections.abc import Iterable, Sequence
from random import Random

from attrs import Factory, define, frozen

from mmids_trio.media.events import MediaKind, MediaPacket, StreamId

SAMPLE_RATE = 44_100
SAMPLES_PER_FRAME = 1024
"""Audio is AAC-LC: one frame is 1,024 samples long."""

VIDEO_HEADER = bytes.fromhex("1700000000 0142c01f ffe1 0008 6742c01fda014016 01 0004 68ce3c80".replace(" ", ""))
"""An AVC sequence header: a decoder configuration record with one SPS and one PPS."""

AUDIO_HEADER = bytes.fromhex("af00 1210".replace(" ", ""))
"""An AAC sequence header: AAC-LC, 44.1 kHz, stereo."""

_IDR_SLICE, _SLICE = 0x65, 0x41
_CYCLE_OF_OFFSETS = (2, 4, 1)
"""Composition offsets of inter frames in frame durations, as P and B frames alternate."""


def generate_stream(
    stream_id: str = "stream",
    *,
    seconds: float,
    fps: int = 25,
    gop: int = 25,
    audio: bool = True,
    video: bool = True,
    start_timestamp: int = 0,
    seed: int = 0,
    key_frame_bytes: int = 2_000,
    frame_bytes: int = 400,
    audio_bytes: int = 100,
) -> list[MediaPacket]:
    """Sequence headers, then `seconds` of frames in the order of their timestamps (video first among equals).

    `gop` is the number of video frames from one key frame to the next; `start_timestamp` in milliseconds
    (timestamps wrap at 2**32); sizes are those of the packets.  The same arguments give the same stream;
    another `seed` gives other payloads throughout.
    """
    identity = StreamId(stream_id)
    random = Random(f"{stream_id} {seed}")
    headers, frames = [], []
    if video:
        headers.append(_packet(identity, MediaKind.VIDEO, 0, VIDEO_HEADER, is_sequence_header=True))
        for number in range(round(seconds * fps)):
            size = frame_bytes if number % gop else key_frame_bytes
            frames.append(_video_frame(identity, number, fps, gop, random.randbytes(size)))
    if audio:
        headers.append(_packet(identity, MediaKind.AUDIO, 0, AUDIO_HEADER, is_sequence_header=True))
        for number in range(round(seconds * SAMPLE_RATE / SAMPLES_PER_FRAME)):
            timestamp = number * SAMPLES_PER_FRAME * 1000 // SAMPLE_RATE
            data = b"\xaf\x01" + random.randbytes(audio_bytes - 2)
            frames.append(_packet(identity, MediaKind.AUDIO, timestamp, data))
    frames.sort(key=lambda packet: packet.timestamp)
    return [_starting_at(start_timestamp, packet) for packet in (*headers, *frames)]


def _video_frame(stream_id: StreamId, number: int, fps: int, gop: int, noise: bytes) -> MediaPacket:
    is_key_frame = number % gop == 0
    offset = 0 if is_key_frame else _CYCLE_OF_OFFSETS[number % 3] * 1000 // fps
    slice_data = bytes((_IDR_SLICE if is_key_frame else _SLICE,)) + noise[10:]
    head = bytes((0x17 if is_key_frame else 0x27, 1)) + offset.to_bytes(3, "big")
    data = head + len(slice_data).to_bytes(4, "big") + slice_data
    return MediaPacket(
        stream_id,
        MediaKind.VIDEO,
        number * 1000 // fps,
        data,
        "avc1",
        is_key_frame=is_key_frame,
        composition_offset=offset,
    )


def _packet(
    stream_id: StreamId, kind: MediaKind, timestamp: int, data: bytes, *, is_sequence_header: bool = False
) -> MediaPacket:
    codec = "avc1" if kind is MediaKind.VIDEO else "mp4a"
    return MediaPacket(stream_id, kind, timestamp, data, codec, is_sequence_header=is_sequence_header)


def _starting_at(start: int, packet: MediaPacket) -> MediaPacket:
    return MediaPacket(
        packet.stream_id,
        packet.kind,
        (packet.timestamp + start) % 2**32,
        packet.data,
        packet.codec,
        packet.is_key_frame,
        packet.is_sequence_header,
        packet.composition_offset,
    )


@frozen
class Report:
    """What became of a stream on its way to one receiver; all are positions in the stream that was sent.

    Sequence headers may be repeated, and may be missed by who can decode without them.
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

    @property
    def is_flawless_from_join(self) -> bool:
        """Whether everything from the first frame on came once, in order, and can be decoded."""
        flaws = (self.gaps, self.repeated, self.out_of_order, self.undecodable, self.backwards, self.unknown)
        return not any(flaws)


@define
class StreamChecker:
    """Compares what one receiver got with what was `sent`."""

    sent: Sequence[MediaPacket]
    _received: list[tuple[MediaKind, int, bytes]] = Factory(list)

    def receive(self, kind: MediaKind, timestamp: int, data: bytes) -> None:
        """One packet as the receiver got it; `data` is the FLV tag body."""
        self._received.append((kind, timestamp, data))

    def receive_packets(self, packets: Iterable[MediaPacket]) -> None:
        """Packets as they come out of a workflow."""
        for packet in packets:
            self.receive(packet.kind, packet.timestamp, packet.data)

    def report(self) -> Report:
        """Everything that is wrong."""
        return _Comparison(self.sent).compare(self._received)


@define
class _Comparison:
    sent: Sequence[MediaPacket]
    seen: set[int] = Factory(set)
    repeated: list[int] = Factory(list)
    out_of_order: list[int] = Factory(list)
    undecodable: list[int] = Factory(list)
    backwards: list[int] = Factory(list)
    unknown: int = 0
    newest: int = -1
    headers: dict[MediaKind, bytes] = Factory(dict)
    timestamps: dict[MediaKind, int] = Factory(dict)
    decodable: set[int] = Factory(set)

    def compare(self, received: Iterable[tuple[MediaKind, int, bytes]]) -> Report:
        places = {(packet.kind, packet.data): place for place, packet in enumerate(self.sent)}
        needs = _what_frames_need(self.sent)
        for kind, timestamp, data in received:
            place = places.get((kind, data))
            if place is None:
                self.unknown += 1
            elif self.sent[place].is_sequence_header:
                self.headers[kind] = data
            else:
                self._frame(place, timestamp, needs[place])
        frames = [place for place, packet in enumerate(self.sent) if not packet.is_sequence_header]
        missed = tuple(place for place in frames if place not in self.seen)
        first = min(self.seen, default=len(self.sent))
        return Report(
            missed,
            tuple(place for place in missed if first < place < self.newest),
            tuple(self.repeated),
            tuple(self.out_of_order),
            tuple(self.undecodable),
            tuple(self.backwards),
            self.unknown,
        )

    def _frame(self, place: int, timestamp: int, needs: "_Needs") -> None:
        if place in self.seen:
            self.repeated.append(place)
        elif place < self.newest:
            self.out_of_order.append(place)
        self.seen.add(place)
        self.newest = max(self.newest, place)
        kind = self.sent[place].kind
        last = self.timestamps.get(kind, timestamp)
        if 0 < (last - timestamp) % 2**32 < 2**31:
            self.backwards.append(place)
        self.timestamps[kind] = timestamp
        if self.headers.get(kind) == needs.header and (needs.frame is None or needs.frame in self.decodable):
            self.decodable.add(place)
        else:
            self.undecodable.append(place)


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
