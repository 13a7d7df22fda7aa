"""What a late joiner is told before the media: metadata, made up where there is none, and sequence headers."""

from collections.abc import Callable

import pytest
from attrs import evolve

from mmids_trio.fanout.stream_headers import StreamHeaders, minimal_metadata
from mmids_trio.media.events import MediaKind, MediaPacket, StreamId
from mmids_trio.media.timeline import ChannelTimeline
from mmids_trio.media.tracks import MAX_HEADER_BYTES, MAX_TRACKS
from mmids_trio.rtmp.protocol.chunks import ChunkReader
from mmids_trio.rtmp.protocol.message import Message
from mmids_trio.rtmp.protocol.outgoing import OUTGOING_CHUNK_SIZE
from mmids_trio.rtmp.rendering import RtmpRendering

AUDIO, VIDEO = MediaKind.AUDIO, MediaKind.VIDEO


def packet(kind: MediaKind, data: bytes, codec: str | None = None) -> MediaPacket:
    return MediaPacket(StreamId("s"), kind, 0, data, codec, is_sequence_header=True)


def read(data: bytes) -> list[Message]:
    reader = ChunkReader()
    reader.chunk_size = OUTGOING_CHUNK_SIZE
    return reader.read_messages(data)


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


def stream_headers(*packets: MediaPacket) -> StreamHeaders:
    headers = StreamHeaders(RtmpRendering(), ChannelTimeline())
    for header in packets:
        headers.set_header(header)
    return headers


def payloads(headers: StreamHeaders) -> list[bytes]:
    return [read(entry.data)[0].payload for entry in headers.stamped().entries()[1:]]


def test_a_new_sequence_header_takes_the_place_of_the_last() -> None:
    old, new = packet(VIDEO, b"\x17\0\0\0\0old"), packet(VIDEO, b"\x17\0\0\0\0new")
    headers = stream_headers(packet(AUDIO, b"\xaf\0\x12\x10"), old)
    assert headers.set_header(new)
    assert not headers.set_header(new)
    assert payloads(headers) == [new.data, b"\xaf\0\x12\x10"]


def test_every_track_of_a_multitrack_stream_has_a_sequence_header_of_its_own() -> None:
    main = packet(VIDEO, b"\x90hvc1main")
    second, third = packet(VIDEO, b"\x96\x00hvc1\x01second"), packet(VIDEO, b"\x96\x00hvc1\x02third")
    audio = packet(AUDIO, b"\x95\x00mp4a\x01audio")
    assert payloads(stream_headers(audio, main, second, third)) == [main.data, second.data, third.data, audio.data]


def test_made_up_tracks_do_not_fill_the_memory() -> None:
    headers = stream_headers(*(packet(VIDEO, b"\x96\x00hvc1" + bytes([track])) for track in range(256)))
    assert len(headers.stamped().entries()) == MAX_TRACKS + 1
    assert headers.refused_headers == 256 - MAX_TRACKS


def test_a_header_that_is_too_large_is_refused_and_its_tracks_last_one_forgotten() -> None:
    headers = stream_headers(packet(VIDEO, b"\x17\0\0\0\0old"))
    too_large = packet(VIDEO, b"\x17\0\0\0\0" + bytes(MAX_HEADER_BYTES))
    assert headers.set_header(too_large)
    assert not headers.set_header(too_large)
    assert payloads(headers) == []
    assert headers.refused_headers == 2


def test_a_set_of_headers_is_one_object_until_something_changes() -> None:
    header = packet(VIDEO, b"\x17\0\0\0\0old")
    headers = stream_headers(header)
    changes: list[Callable[[], bool]] = [
        lambda: headers.note_track(header),
        lambda: headers.note_track(packet(AUDIO, b"\xaf\0")),
        lambda: headers.set_header(packet(VIDEO, b"\x17\0\0\0\0new")),
        lambda: headers.set_metadata({"width": 640.0}),
        lambda: headers.set_metadata({"width": 1280.0}),
    ]
    for change in changes:
        before = headers.stamped().shared
        assert headers.stamped().shared is before
        assert change()
        assert headers.stamped().shared is not before
        before = headers.stamped().shared
        assert not change()
        assert headers.stamped().shared is before


def test_a_header_of_a_codec_that_is_not_used_any_more_is_not_for_late_joiners() -> None:
    """R2: sound that goes on as MP3, which has no headers, must not be decoded as AAC."""
    headers = StreamHeaders(RtmpRendering(), ChannelTimeline())
    aac, mp3 = (
        packet(AUDIO, b"\xaf\0\x12\x10", "mp4a"),
        evolve(packet(AUDIO, b"\x2f\xff", ".mp3"), is_sequence_header=False),
    )
    for header in (packet(VIDEO, b"\x17\0\0\0\0", "avc1"), aac):
        headers.set_header(header)
        headers.note_track(header)
    assert headers.note_track(mp3)
    assert [header.codec for header in headers.stamped().shared.headers] == ["avc1"]
    assert not headers.note_track(mp3)
    assert not headers.note_track(evolve(mp3, codec=None))


def test_a_track_beside_the_main_one_may_have_another_codec() -> None:
    headers = StreamHeaders(RtmpRendering(), ChannelTimeline())
    main, beside = packet(AUDIO, b"\xaf\0\x12\x10", "mp4a"), packet(AUDIO, b"\x95\x00Opus\x01OpusHead", "Opus")
    for header in (main, beside):
        headers.set_header(header)
        headers.note_track(header)
    assert not headers.note_track(evolve(beside, data=b"\x95\x01Opus\x01x", is_sequence_header=False))
    assert {header.codec for header in headers.stamped().shared.headers} == {"mp4a", "Opus"}
