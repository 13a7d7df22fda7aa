"""The bytes that all watchers share."""

from collections.abc import Callable

import pytest

from mmids_trio.fanout.stream_headers import Prologue
from mmids_trio.media.events import MediaKind, MediaPacket, StreamId
from mmids_trio.media.timeline import ChannelTimeline
from mmids_trio.media.tracks import MAX_HEADER_BYTES, MAX_TRACKS
from mmids_trio.rtmp.protocol import amf
from mmids_trio.rtmp.protocol.chunks import ChunkReader
from mmids_trio.rtmp.protocol.message import Message
from mmids_trio.rtmp.protocol.outgoing import OUTGOING_CHUNK_SIZE
from mmids_trio.rtmp.rendering import (
    RtmpRendering,
    control_for_message_stream,
    media_for_message_stream,
    minimal_metadata,
)

AUDIO, VIDEO, OTHER = MediaKind.AUDIO, MediaKind.VIDEO, MediaKind.OTHER


def packet(kind: MediaKind, data: bytes, codec: str | None = None) -> MediaPacket:
    return MediaPacket(StreamId("s"), kind, 0, data, codec, is_sequence_header=True)


def read(data: bytes) -> list[Message]:
    reader = ChunkReader()
    reader.chunk_size = OUTGOING_CHUNK_SIZE
    return reader.receive(data)


@pytest.mark.parametrize(("kind", "message_type", "chunk_stream"), [(AUDIO, 8, 4), (VIDEO, 9, 6), (OTHER, 18, 5)])
@pytest.mark.parametrize("timestamp", [0, 0xFFFFFE, 0xFFFFFF, 0x1000000, 2**32 - 1])
@pytest.mark.parametrize("size", [1, 65_536, 65_537, 200_000])
def test_a_packet_is_one_message_that_depends_on_nothing_before(
    kind: MediaKind, message_type: int, chunk_stream: int, timestamp: int, size: int
) -> None:
    payload = bytes(range(256)) * (size // 256 + 1)
    data = RtmpRendering().packet(packet(kind, payload[:size]), timestamp)
    assert data[0] == chunk_stream  # type 0
    assert read(data) == [Message(message_type, 1, timestamp, payload[:size], chunk_stream)]
    renamed = media_for_message_stream(data, 0x01020304)
    assert read(renamed) == [Message(message_type, 0x01020304, timestamp, payload[:size], chunk_stream)]


def test_extended_timestamps_are_repeated_in_every_chunk() -> None:
    data = RtmpRendering().packet(packet(VIDEO, b"\0" * 150_000), 0x12345678)
    assert data.count(bytes.fromhex("12345678")) == 3
    assert data.count(bytes.fromhex("c612345678")) == 2


def test_timestamps_are_taken_modulo_32_bits() -> None:
    rendering = RtmpRendering()
    assert rendering.packet(packet(VIDEO, b"x"), 2**32 + 5) == rendering.packet(packet(VIDEO, b"x"), 5)


def test_begin_and_end_name_their_message_stream() -> None:
    rendering = RtmpRendering()
    for event, data in ((0, rendering.stream_begin()), (1, rendering.stream_end())):
        assert read(data) == [Message(4, 0, 0, bytes([0, event, 0, 0, 0, 1]), 2)]
        renamed = control_for_message_stream(data, 0x01020304)
        assert read(renamed) == [Message(4, 0, 0, bytes([0, event, 1, 2, 3, 4]), 2)]


def test_metadata_is_an_ecma_array() -> None:
    (message,) = read(RtmpRendering().metadata({"width": 640.0}, 77))
    name, values = amf.decode_all(message.payload)
    assert (message.type_id, message.stream_id, message.timestamp) == (18, 1, 77)
    assert name == "onMetaData"
    assert isinstance(values, amf.EcmaArray)
    assert values == {"width": 640.0}


@pytest.mark.parametrize(
    ("first_packet", "expected"),
    [
        (packet(VIDEO, b"\x17\0\0\0\0", "avc1"), {"videocodecid": 7}),
        (packet(VIDEO, b"\x1c\0\0\0\0", "hvc1"), {"videocodecid": 12}),
        (packet(VIDEO, b"\x90hvc1", "hvc1"), {"videocodecid": 0x68766331}),
        (packet(VIDEO, b"\x90av01", None), {"videocodecid": 0x61763031}),
        (packet(VIDEO, b"\x96\x00av01\0", "av01"), {"videocodecid": 0x61763031}),
        (packet(AUDIO, b"\xaf\0\x12\x10", "mp4a"), {"audiocodecid": 10}),
        (packet(AUDIO, b"\x2f\xff", ".mp3"), {"audiocodecid": 2}),
        (packet(AUDIO, b"\x90Opus", "Opus"), {"audiocodecid": 0x4F707573}),
    ],
)
def test_minimal_metadata_names_the_codec_as_players_expect(
    first_packet: MediaPacket, expected: dict[str, object]
) -> None:
    assert minimal_metadata({first_packet.kind: first_packet}) == expected


def a_prologue(*headers: MediaPacket) -> Prologue:
    prologue = Prologue(RtmpRendering(), ChannelTimeline())
    for header in headers:
        prologue.set_header(header)
    return prologue


def payloads(prologue: Prologue) -> list[bytes]:
    return [read(entry.data)[0].payload for entry in prologue.preface().entries()[1:]]


def test_a_new_sequence_header_takes_the_place_of_the_last() -> None:
    old, new = packet(VIDEO, b"\x17\0\0\0\0old"), packet(VIDEO, b"\x17\0\0\0\0new")
    prologue = a_prologue(packet(AUDIO, b"\xaf\0\x12\x10"), old)
    assert prologue.set_header(new)
    assert not prologue.set_header(new)
    assert payloads(prologue) == [new.data, b"\xaf\0\x12\x10"]


def test_every_track_of_a_multitrack_stream_has_a_sequence_header_of_its_own() -> None:
    main = packet(VIDEO, b"\x90hvc1main")
    second, third = packet(VIDEO, b"\x96\x00hvc1\x01second"), packet(VIDEO, b"\x96\x00hvc1\x02third")
    audio = packet(AUDIO, b"\x95\x00mp4a\x01audio")
    assert payloads(a_prologue(audio, main, second, third)) == [main.data, second.data, third.data, audio.data]


def test_made_up_tracks_do_not_fill_the_memory() -> None:
    headers = [packet(VIDEO, b"\x96\x00hvc1" + bytes([track])) for track in range(256)]
    prologue = a_prologue(*headers)
    assert len(prologue.preface().entries()) == MAX_TRACKS + 1
    assert prologue.refused_headers == 256 - MAX_TRACKS


def test_a_header_that_is_too_large_is_refused_and_its_tracks_last_one_forgotten() -> None:
    prologue = a_prologue(packet(VIDEO, b"\x17\0\0\0\0old"))
    too_large = packet(VIDEO, b"\x17\0\0\0\0" + bytes(MAX_HEADER_BYTES))
    assert prologue.set_header(too_large)
    assert not prologue.set_header(too_large)
    assert payloads(prologue) == []
    assert prologue.refused_headers == 2


def test_a_preface_is_one_object_until_something_changes() -> None:
    header = packet(VIDEO, b"\x17\0\0\0\0old")
    prologue = a_prologue(header)
    changes: list[Callable[[], bool]] = [
        lambda: prologue.note_track(header),
        lambda: prologue.note_track(packet(AUDIO, b"\xaf\0")),
        lambda: prologue.set_header(packet(VIDEO, b"\x17\0\0\0\0new")),
        lambda: prologue.set_metadata({"width": 640.0}),
        lambda: prologue.set_metadata({"width": 1280.0}),
    ]
    for change in changes:
        before = prologue.preface().shared
        assert prologue.preface().shared is before
        assert change()
        assert prologue.preface().shared is not before
        before = prologue.preface().shared
        assert not change()
        assert prologue.preface().shared is before
