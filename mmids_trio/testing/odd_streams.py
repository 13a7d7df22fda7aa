"""The zoo: streams as real encoders send them and no specification wants them, made from numbers.

`zoo.wrapping_clock(at=2**24, audio_lag_ms=60)` is one such stream; `+` puts one behind another.  Each knows when its
packets arrive, beside what their timestamps claim, so that a test can send it as it came and judge what became of it.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Literal

import trio
from attrs import evolve, field, frozen

from mmids_trio.media.codecs import parse_audio, parse_video
from mmids_trio.media.events import MediaKind, MediaPacket, StreamId
from mmids_trio.media.timeline import MODULUS, shifted
from mmids_trio.rtmp.protocol.amf import EcmaArray, encode_all
from mmids_trio.rtmp.protocol.message import AUDIO, DATA_AMF0, VIDEO
from mmids_trio.testing.clients import RtmpClient
from mmids_trio.testing.media import AudioCodec, VideoCodec, generate_metadata, generate_stream

Size = tuple[int, int]
"""Width and height in pixels."""

BETWEEN_MS = 40
"""From the last packet of a stream to the first of the one behind it."""

_MESSAGES = {MediaKind.AUDIO: AUDIO, MediaKind.VIDEO: VIDEO, MediaKind.OTHER: DATA_AMF0}


@frozen
class Arrival:
    """One packet, and when it is sent, in milliseconds from the start of the stream."""

    at_ms: int
    packet: MediaPacket


def _as_tuple(arrivals: Iterable[Arrival]) -> tuple[Arrival, ...]:
    return tuple(arrivals)


@frozen
class OddStream:
    """One stream of the zoo. Packets of kind OTHER are metadata, as the body of a data message."""

    arrivals: tuple[Arrival, ...] = field(converter=_as_tuple)

    @property
    def packets(self) -> list[MediaPacket]:
        """In the order in which they are sent."""
        return [arrival.packet for arrival in self.arrivals]

    @property
    def frames(self) -> list[MediaPacket]:
        """Audio and video that is no sequence header."""
        return [packet for packet in self.packets if _is_frame(packet)]

    @property
    def milliseconds(self) -> int:
        """From the first packet to the last, as time goes by."""
        return max((arrival.at_ms for arrival in self.arrivals), default=0)

    @property
    def longest_gap_ms(self) -> int:
        """The longest time without a frame of any kind, as time goes by."""
        times = [arrival.at_ms for arrival in self.arrivals if _is_frame(arrival.packet)]
        return max((later - earlier for earlier, later in pairwise(times)), default=0)

    def __add__(self, other: "OddStream") -> "OddStream":
        """The other one behind this, by the same encoder: its clock goes on, in its own odd way."""
        begins = self.milliseconds + BETWEEN_MS
        offset = shifted(self.arrivals[-1].packet.timestamp, BETWEEN_MS) if self.arrivals else 0
        behind = [
            Arrival(begins + at_ms, evolve(packet, timestamp=shifted(packet.timestamp, offset)))
            for at_ms, packet in ((arrival.at_ms, arrival.packet) for arrival in other.arrivals)
        ]
        return OddStream((*self.arrivals, *behind))

    async def send(self, client: RtmpClient) -> None:
        """Send all of it, each packet in its time. Raises `Disconnected`."""
        began = trio.current_time()
        for arrival in self.arrivals:
            await trio.sleep_until(began + arrival.at_ms / 1000)
            packet = arrival.packet
            client.connection.send_media(_MESSAGES[packet.kind], packet.timestamp, packet.data)
            await client.flush()


def _is_frame(packet: MediaPacket) -> bool:
    return packet.kind is not MediaKind.OTHER and not packet.is_sequence_header


def _as_it_comes(packets: Iterable[MediaPacket], *, audio_lag_ms: int = 0) -> list[Arrival]:
    """Packets with good timestamps, each in its time, but sound later by its lag."""
    arrivals = [
        Arrival(packet.timestamp + audio_lag_ms * (packet.kind is MediaKind.AUDIO and _is_frame(packet)), packet)
        for packet in packets
    ]
    return sorted(arrivals, key=lambda arrival: arrival.at_ms)


def _with_clock(arrivals: Iterable[Arrival], clock: Callable[[int], int]) -> OddStream:
    """What the encoder's clock says, by the time of each packet that it ought to say."""
    return OddStream(
        Arrival(arrival.at_ms, evolve(arrival.packet, timestamp=clock(arrival.packet.timestamp) % MODULUS))
        for arrival in arrivals
    )


def _parts(parts: Sequence[list[MediaPacket]], part_ms: int) -> OddStream:
    """One after another on one good clock: the headers of each stand right before its frames."""
    moved = [
        evolve(packet, timestamp=packet.timestamp + number * part_ms)
        for number, part in enumerate(parts)
        for packet in part
    ]
    return OddStream(_as_it_comes(moved))


# What has to be written bit by bit.


class _Bits:
    """Bits, most significant first."""

    def __init__(self) -> None:
        self.text = ""

    def number(self, value: int, width: int) -> None:
        self.text += f"{value:0{width}b}"

    def golomb(self, *values: int) -> None:
        """Unsigned Exp-Golomb codes (ITU-T H.264 §9.1)."""
        for value in values:
            digits = f"{value + 1:b}"
            self.text += "0" * (len(digits) - 1) + digits

    def as_bytes(self) -> bytes:
        """With the stop bit, and filled up."""
        text = self.text + "1"
        text += "0" * (-len(text) % 8)
        return int(text, 2).to_bytes(len(text) // 8, "big")


_BASELINE, _HIGH, _LEVEL = 66, 100, 31
_BLOCK = 16
"""Pixels of a macroblock."""


def avc_header(size: Size, profile: int = _BASELINE) -> bytes:
    """The body of an H.264 sequence header (ISO/IEC 14496-15 §5.3.3.1) for pictures of an even size."""
    width, height = size
    bits = _Bits()
    bits.golomb(0)  # which parameter set
    if profile == _HIGH:
        bits.golomb(1, 0, 0)  # 4:2:0, eight bits
        bits.number(0, 2)
    columns, rows = -(-width // _BLOCK), -(-height // _BLOCK)
    bits.golomb(0, 2, 1)
    bits.number(0, 1)
    bits.golomb(columns - 1, rows - 1)
    bits.number(0b11, 2)  # whole frames
    bits.number(1, 1)
    bits.golomb(0, (columns * _BLOCK - width) // 2, 0, (rows * _BLOCK - height) // 2)
    bits.number(0, 1)
    unit = b"\x67" + bytes((profile, 0, _LEVEL)) + bits.as_bytes().replace(b"\0\0", b"\0\0\3")
    picture = b"\x68\xce\x3c\x80"
    record = bytes((1, profile, 0, _LEVEL, 0xFF, 0xE1)) + _sized(unit) + b"\1" + _sized(picture)
    if profile == _HIGH:
        record += bytes((0xFD, 0xF8, 0xF8, 0))
    return b"\x17\0\0\0\0" + record


def _sized(unit: bytes) -> bytes:
    return len(unit).to_bytes(2, "big") + unit


_AAC_RATES = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350)


def aac_header(rate: int, channels: int) -> bytes:
    """The body of an AAC sequence header (ISO/IEC 14496-3 §1.6.2.1, AAC-LC)."""
    return b"\xaf\0" + (2 << 11 | _AAC_RATES.index(rate) << 7 | channels << 3).to_bytes(2, "big")


def _with_headers(packets: Iterable[MediaPacket], kind: MediaKind, body: bytes) -> list[MediaPacket]:
    """With another sequence header of that kind."""
    return [evolve(one, data=body) if one.kind is kind and one.is_sequence_header else one for one in packets]


def metadata(values: dict[str, object], *, at_ms: int = 0, tail: bytes = b"", cut: int | None = None) -> MediaPacket:
    """`onMetaData` as an encoder sends it; `tail` follows behind its end, `cut` is where it breaks off."""
    body = encode_all(["@setDataFrame", "onMetaData", EcmaArray(values)])  # type: ignore[arg-type]  # values of AMF0
    return MediaPacket(StreamId("stream"), MediaKind.OTHER, at_ms, (body + tail)[:cut])


_NAMES = b"\x02\0\x0d@setDataFrame\x02\0\x0aonMetaData"
DIRTY_METADATA = {
    "trailing zeros": metadata({"width": 640.0}, tail=bytes(20)).data,
    "trailing garbage": metadata({"width": 640.0}, tail=b"\x55\xaa\xff").data,
    "truncated": metadata({"width": 640.0, "encoder": "x" * 40}, cut=-20).data,
    "without its end": metadata({"width": 640.0}, cut=-3).data,
    "ended by a bare 09": metadata({"width": 640.0}, cut=-3).data + b"\x09",
    "unknown marker": _NAMES + b"\x03\0\x05width\x0e\1\2\0\0\x09",
    "record set": _NAMES + b"\x0e",
    "short strict array": _NAMES + b"\x0a\0\0\0\x09\0" + bytes(8),
    "reference to itself": _NAMES + b"\x03\0\1a\x07\0\0\0\0\x09",
    "date without zone": _NAMES + b"\x03\0\1d\x0b" + bytes(8),
    "nothing": b"",
    "no name": b"\x05",
}
"""Bodies of `onMetaData` that are no clean AMF0, by what is wrong with them."""


# Enhanced RTMP's wrappings.

Tracks = Literal["one", "many", "many codecs"]
_TRACKS: dict[Tracks, int] = {"one": 0, "many": 1, "many codecs": 2}
_MOD_EX, _AUDIO_MULTITRACK, _VIDEO_MULTITRACK = 7, 5, 6
_TIMESTAMP_OFFSET_NANO = 0


def _wrapped(packet: MediaPacket, mod_ex: int, tracks: Tracks | None) -> MediaPacket:
    """The same packet of Enhanced RTMP inside a chain of ModEx and a multitrack header (v2, ExVideoTagHeader)."""
    first, four_cc, payload = packet.data[0], packet.data[1:5], packet.data[5:]
    packet_type, behind = first & 0x0F, four_cc + payload
    if tracks is not None:
        inner = packet_type
        packet_type = _AUDIO_MULTITRACK if packet.kind is MediaKind.AUDIO else _VIDEO_MULTITRACK
        sized = b"" if tracks == "one" else len(payload).to_bytes(3, "big")
        behind = bytes((_TRACKS[tracks] << 4 | inner,)) + four_cc + b"\0" + sized + payload
        if tracks != "one":
            second = payload[:16]
            named = four_cc if tracks == "many codecs" else b""
            behind += named + b"\1" + len(second).to_bytes(3, "big") + second
    for number in range(mod_ex):
        nanoseconds = (number * 1_000).to_bytes(3, "big")
        behind = b"\2" + nanoseconds + bytes((_TIMESTAMP_OFFSET_NANO << 4 | packet_type,)) + behind
        packet_type = _MOD_EX
    parse = parse_audio if packet.kind is MediaKind.AUDIO else parse_video
    return parse(packet.stream_id, packet.timestamp, bytes((first & 0xF0 | packet_type,)) + behind)


_FLV_SOUND = {"lpcm": 0x36, "swfa": 0x16, "nmos": 0x62, "alaw": 0x72, "ulaw": 0x82, "spex": 0xB2}


class Zoo:
    """The generators. All take numbers and give an `OddStream`; the same numbers give the same stream."""

    def wrapping_clock(self, *, at: int = 2**24, audio_lag_ms: int = 60, seconds: float = 4) -> OddStream:
        """The clock wraps at `at` milliseconds in the middle, while sound that is late still has the old one."""
        start = at - round(seconds * 500)
        arrivals = _as_it_comes(generate_stream(seconds=seconds), audio_lag_ms=audio_lag_ms)
        return _with_clock(arrivals, lambda time: (start + time) % at)

    def restarting_clock(self, *, after_s: float = 2, audio_lag_ms: int = 60, seconds: float = 4) -> OddStream:
        """The clock begins at 0 again, while sound that is late still has the old one."""
        restart = round(after_s * 1000)
        arrivals = _as_it_comes(generate_stream(seconds=seconds), audio_lag_ms=audio_lag_ms)
        return _with_clock(arrivals, lambda time: time if time < restart else time - restart)

    def jump_forward(self, *, by_ms: int = 3_600_000, after_s: float = 2, seconds: float = 4) -> OddStream:
        """The clock leaps while time goes by as ever."""
        leap = round(after_s * 1000)
        arrivals = _as_it_comes(generate_stream(seconds=seconds))
        return _with_clock(arrivals, lambda time: time if time < leap else time + by_ms)

    def uptime_second_packet(self, *, uptime_ms: int = 5_000_000, seconds: float = 4) -> OddStream:
        """The first frame of a kind has the timestamp 0, and all others count from the start of the encoder."""
        return _with_clock(_as_it_comes(generate_stream(seconds=seconds)), lambda time: time + uptime_ms if time else 0)

    def long_gop(self, *, gop_s: float = 50, fps: int = 5, seconds: float = 60) -> OddStream:
        """Key frames are far apart."""
        return OddStream(_as_it_comes(generate_stream(seconds=seconds, fps=fps, gop=round(gop_s * fps), b_frames=0)))

    def changing_size(self, *, sizes: Sequence[Size] = ((640, 360), (320, 180)), every_s: float = 2) -> OddStream:
        """The encoder changes the size of its pictures on air."""
        return self._changing_video([avc_header(size) for size in sizes], every_s)

    def changing_profile(self, *, profiles: Sequence[int] = (66, 77, 100), every_s: float = 2) -> OddStream:
        """The encoder changes its H.264 profile on air; sizes stay."""
        return self._changing_video([avc_header((640, 360), profile) for profile in profiles], every_s)

    def changing_rate(self, *, rates: Sequence[int] = (44_100, 48_000), every_s: float = 2) -> OddStream:
        """The encoder changes the sample rate of its AAC on air."""
        return self._changing_audio([aac_header(rate, 2) for rate in rates], every_s)

    def changing_channels(self, *, channels: Sequence[int] = (2, 1), every_s: float = 2) -> OddStream:
        """The encoder changes the number of channels on air."""
        return self._changing_audio([aac_header(44_100, count) for count in channels], every_s)

    def changing_codec(
        self, *, codecs: Sequence[VideoCodec] = ("avc1", "hvc1"), sound: AudioCodec = "mp4a", every_s: float = 2
    ) -> OddStream:
        """The encoder changes its video codec on air."""
        return _parts(
            [
                generate_stream(seconds=every_s, video_codec=codec, audio_codec=sound, seed=number)
                for number, codec in enumerate(codecs)
            ],
            round(every_s * 1000),
        )

    def track_that_never_comes(self, *, kind: MediaKind = MediaKind.AUDIO, seconds: float = 4) -> OddStream:
        """`onMetaData` announces sound (or pictures) that nobody sends."""
        has_sound = kind is not MediaKind.AUDIO
        frames = generate_stream(seconds=seconds, audio=has_sound, video=not has_sound)
        return OddStream([Arrival(0, metadata(generate_metadata())), *_as_it_comes(frames)])

    def late_headers(self, *, by_s: float = 3, seconds: float = 6) -> OddStream:
        """Frames come first, and the sequence headers that they need seconds later."""
        late = round(by_s * 1000)
        packets = generate_stream(seconds=seconds)
        return OddStream(
            _as_it_comes(evolve(one, timestamp=late) if one.is_sequence_header else one for one in packets)
        )

    def wrapped(
        self, *, mod_ex: int = 1, tracks: Tracks | None = None, codec: VideoCodec = "hvc1", seconds: float = 4
    ) -> OddStream:
        """Every packet of Enhanced RTMP in a chain of `mod_ex` extensions, and with a second track beside it."""
        packets = generate_stream(seconds=seconds, video_codec=codec, audio_codec="Opus", b_frames=0)
        return OddStream(_as_it_comes(_wrapped(packet, mod_ex, tracks) for packet in packets))

    def dirty_metadata(self, *, form: str = "truncated", seconds: float = 2) -> OddStream:
        """`onMetaData` that is no clean AMF0, in one of the forms of `DIRTY_METADATA`, at the start and later.

        Raises `ValueError` with the forms that there are for any other.
        """
        if form not in DIRTY_METADATA:
            raise ValueError(f"unknown form {form!r}; there are {', '.join(DIRTY_METADATA)}")
        dirty = MediaPacket(StreamId("stream"), MediaKind.OTHER, 0, DIRTY_METADATA[form])
        middle = round(seconds * 500)
        arrivals = [*_as_it_comes(generate_stream(seconds=seconds)), Arrival(middle, evolve(dirty, timestamp=middle))]
        return OddStream([Arrival(0, dirty), *sorted(arrivals, key=lambda arrival: arrival.at_ms)])

    def sound_of_flv(self, *, codec: str = "ulaw", seconds: float = 4) -> OddStream:
        """Sound that FLV alone can carry: `lpcm`, `swfa`, `nmos`, `alaw`, `ulaw` or `spex`."""
        head = bytes((_FLV_SOUND[codec],))
        packets = [
            parse_audio(packet.stream_id, packet.timestamp, head + packet.data[2:])
            if packet.kind is MediaKind.AUDIO
            else packet
            for packet in generate_stream(seconds=seconds)
            if packet.kind is MediaKind.VIDEO or not packet.is_sequence_header
        ]
        return OddStream(_as_it_comes(packets))

    def short_first_chunk(self, packet: MediaPacket, *, chunk_stream: int = 40) -> bytes:
        """A message in one chunk that begins its chunk stream with a type 1 header (RTMP 1.0 §5.3.1.2.2).

        For `client.transport.send_all`; the client's chunk size is 60,000.
        """
        size = len(packet.data).to_bytes(3, "big")
        time = min(packet.timestamp, 0xFFFFFE).to_bytes(3, "big")
        return bytes((1 << 6 | chunk_stream,)) + time + size + bytes((_MESSAGES[packet.kind],)) + packet.data

    def _changing_video(self, headers: Sequence[bytes], every_s: float) -> OddStream:
        return self._changing(MediaKind.VIDEO, headers, every_s)

    def _changing_audio(self, headers: Sequence[bytes], every_s: float) -> OddStream:
        return self._changing(MediaKind.AUDIO, headers, every_s)

    def _changing(self, kind: MediaKind, headers: Sequence[bytes], every_s: float) -> OddStream:
        parts = [
            _with_headers(generate_stream(seconds=every_s, seed=number), kind, header)
            for number, header in enumerate(headers)
        ]
        return _parts(parts, round(every_s * 1000))


zoo = Zoo()
