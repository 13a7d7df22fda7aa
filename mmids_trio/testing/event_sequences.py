"""Legal sequences of media events, made from a list of small moves: what reaches a step, without a publisher.

Whatever the moves are, each stream of the sequence starts, has metadata and packets, and ends.  So moves can be drawn
at random and be left out at will, and every shorter list is a smaller case of the same kind.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from enum import Enum
from random import Random

from attrs import define, field

from mmids_trio.media.codecs import parse_audio, parse_video
from mmids_trio.media.events import (
    MediaEvent,
    MediaKind,
    MediaPacket,
    StreamEnded,
    StreamId,
    StreamMetadata,
    StreamStarted,
)
from mmids_trio.testing.media import AUDIO_HEADER, VIDEO_HEADER, generate_metadata
from mmids_trio.testing.odd_streams import OddStream

BETWEEN_MS = 20
"""From one move to the next."""


class Move(Enum):
    """What becomes of a stream next. All but `END` begin a stream that is not there."""

    START = "start"
    VIDEO = "video"
    KEY_FRAME = "key frame"
    AUDIO = "audio"
    HEADER = "header"
    METADATA = "metadata"
    END = "end"


Moves = Sequence[tuple[int, Move]]
"""Each of one stream: 0 is `s0`, with the name `name0`; when it comes again it is `s0.2`, as no id comes twice."""

USUAL = (Move.VIDEO, Move.VIDEO, Move.VIDEO, Move.KEY_FRAME, Move.AUDIO, Move.AUDIO, Move.HEADER, Move.METADATA)
"""Of what a random sequence is made, apart from ends."""

END_SHARE = 0.06
"""Of the moves of a random sequence."""


@define
class _Maker:
    """Turns moves into events."""

    events: list[MediaEvent] = field(factory=list)
    live: dict[int, StreamId] = field(factory=dict)
    lives: Counter[int] = field(factory=Counter)
    """How often each stream has begun."""
    number: int = 0

    def move(self, stream: int, move: Move) -> None:
        self.number += 1
        if move is Move.END:
            self.end(stream)
            return
        if stream not in self.live:
            self.lives[stream] += 1
            again = f".{self.lives[stream]}" if self.lives[stream] > 1 else ""
            stream_id = self.live[stream] = StreamId(f"s{stream}{again}")
            self.events.append(StreamStarted(stream_id, f"name{stream}"))
            self.events += self._headers(stream_id)
        self.events += self._made(self.live[stream], move)

    def end(self, stream: int) -> None:
        if stream in self.live:
            self.events.append(StreamEnded(self.live.pop(stream)))

    def _made(self, stream_id: StreamId, move: Move) -> list[MediaEvent]:
        time, noise = self.number * BETWEEN_MS, self.number.to_bytes(8, "big")
        match move:
            case Move.VIDEO:
                return [parse_video(stream_id, time, b"\x27\1\0\0\0" + noise)]
            case Move.KEY_FRAME:
                return [parse_video(stream_id, time, b"\x17\1\0\0\0" + noise)]
            case Move.AUDIO:
                return [parse_audio(stream_id, time, b"\xaf\1" + noise)]
            case Move.HEADER:
                return [parse_video(stream_id, time, VIDEO_HEADER + b"\1" + noise)]
            case Move.METADATA:
                return [StreamMetadata(stream_id, {**generate_metadata(), "number": float(self.number)})]
        return []

    def _headers(self, stream_id: StreamId) -> list[MediaEvent]:
        time, noise = self.number * BETWEEN_MS, self.number.to_bytes(8, "big")
        return [parse_video(stream_id, time, VIDEO_HEADER + noise), parse_audio(stream_id, time, AUDIO_HEADER)]


def events_of(moves: Iterable[tuple[int, Move]], *, all_end: bool = True) -> list[MediaEvent]:
    """What the moves make; streams that are there at the end end then (`all_end`). No two events are equal."""
    maker = _Maker()
    for stream, move in moves:
        maker.move(stream, move)
    if all_end:
        for stream in sorted(maker.live):
            maker.end(stream)
    return maker.events


def random_moves(random: Random, *, count: int, streams: int = 3) -> Moves:
    """So many moves, most of them frames."""
    return [
        (random.randrange(streams), Move.END if random.random() < END_SHARE else random.choice(USUAL))
        for _ in range(count)
    ]


def events_of_odd(odd: OddStream, name: str = "odd") -> list[MediaEvent]:
    """A stream of the zoo as a step sees it; its metadata, which nobody has read here, are others."""
    stream_id = odd.packets[0].stream_id if odd.arrivals else StreamId(name)
    return [
        StreamStarted(stream_id, name),
        *(_as_it_arrives(number, packet) for number, packet in enumerate(odd.packets)),
        StreamEnded(stream_id),
    ]


def _as_it_arrives(number: int, packet: MediaPacket) -> MediaEvent:
    if packet.kind is MediaKind.OTHER:
        return StreamMetadata(packet.stream_id, {**generate_metadata(), "number": float(number)})
    return packet
