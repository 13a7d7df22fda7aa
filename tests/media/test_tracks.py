"""One sequence header a track: plain packets have the main track of their kind, multitrack packets name theirs."""

import pytest

from mmids_trio.media.events import MediaKind, MediaPacket, StreamId
from mmids_trio.media.tracks import (
    MAX_HEADER_BYTES,
    MAX_HEADERS_BYTES,
    MAX_TRACKS,
    TrackKey,
    is_of_main_track,
    remember_header,
    track_of,
)

VIDEO, AUDIO = MediaKind.VIDEO, MediaKind.AUDIO


def header(kind: MediaKind, data: bytes) -> MediaPacket:
    return MediaPacket(StreamId("x"), kind, 0, data, is_sequence_header=True)


@pytest.mark.parametrize(
    ("packet", "track"),
    [
        (header(VIDEO, b"\x17\x00\x00\x00\x00"), TrackKey(VIDEO, b"\0")),
        (header(AUDIO, b"\xaf\x00"), TrackKey(AUDIO, b"\0")),
        (header(VIDEO, b""), TrackKey(VIDEO, b"\0")),
        (header(MediaKind.OTHER, b"\x96"), TrackKey(MediaKind.OTHER, b"\0")),
        (header(VIDEO, b"\x96\x00avc1\x02rest"), TrackKey(VIDEO, b"\2")),
        (header(AUDIO, b"\x95\x00mp4a\x03rest"), TrackKey(AUDIO, b"\3")),
        (header(VIDEO, b"\xd4hvc1\x02rest"), TrackKey(VIDEO, b"\0", True)),
        (header(AUDIO, b"\x94Opus\x01rest"), TrackKey(AUDIO, b"\0", True)),
        (header(AUDIO, b"\x95\x04Opus\x03rest"), TrackKey(AUDIO, b"\3", True)),
    ],
)
def test_a_track_is_a_kind_and_what_a_multitrack_packet_says(packet: MediaPacket, track: TrackKey) -> None:
    assert track_of(packet) == track


def test_a_header_takes_the_place_of_its_tracks_last_one_only() -> None:
    headers: dict[TrackKey, MediaPacket] = {}
    first, second = header(VIDEO, b"\x96\x00avc1\x00a"), header(VIDEO, b"\x96\x00avc1\x01b")
    assert remember_header(headers, first)
    assert remember_header(headers, second)
    changed = header(VIDEO, b"\x96\x00avc1\x00c")
    assert remember_header(headers, changed)
    assert list(headers.values()) == [changed, second]


def test_colours_and_channels_stand_beside_the_sequence_header_until_that_changes() -> None:
    headers: dict[TrackKey, MediaPacket] = {}
    first, channels = header(AUDIO, b"\x90Opushead"), header(AUDIO, b"\x94Opus\x01\x06")
    for packet in (first, channels, first):
        assert remember_header(headers, packet)
    assert list(headers.values()) == [first, channels]
    changed = header(AUDIO, b"\x90Opusother")
    assert remember_header(headers, changed)
    assert list(headers.values()) == [changed]


@pytest.mark.parametrize(
    ("packet", "is_main"),
    [
        (header(VIDEO, b"\x17\x00"), True),
        (header(VIDEO, b"\x90hvc1\x05"), True),
        (header(VIDEO, b"\x96\x00avc1\x00rest"), True),
        (header(VIDEO, b"\xa6\x01avc1\x01rest"), False),
        (header(AUDIO, b"\x95\x01mp4a\x01rest"), False),
        (header(AUDIO, b"\x95\x01mp4"), False),
        (header(AUDIO, b"\x95"), False),
        (header(AUDIO, b""), True),
    ],
)
def test_the_main_track_is_the_one_without_a_number_or_number_0(packet: MediaPacket, is_main: bool) -> None:
    assert is_of_main_track(packet) is is_main


def test_more_tracks_than_any_encoder_has_are_not_remembered() -> None:
    headers: dict[TrackKey, MediaPacket] = {}
    for number in range(MAX_TRACKS + 5):
        kept = remember_header(headers, header(VIDEO, b"\x96\x00avc1" + bytes([number])))
        assert kept is (number < MAX_TRACKS)
    assert len(headers) == MAX_TRACKS


def test_a_header_that_is_too_large_is_not_remembered_and_neither_is_the_one_before_it() -> None:
    headers: dict[TrackKey, MediaPacket] = {}
    assert remember_header(headers, header(VIDEO, bytes(MAX_HEADER_BYTES)))
    assert not remember_header(headers, header(VIDEO, bytes(MAX_HEADER_BYTES + 1)))
    assert headers == {}


def test_the_headers_of_all_tracks_together_are_limited() -> None:
    headers: dict[TrackKey, MediaPacket] = {}
    for number in range(MAX_TRACKS):
        name = b"\x96\x00avc1" + bytes([number])
        remember_header(headers, header(VIDEO, name + bytes(MAX_HEADER_BYTES - len(name))))
    assert len(headers) == MAX_HEADERS_BYTES // MAX_HEADER_BYTES
    assert not remember_header(headers, header(AUDIO, b"\xaf\x00"))
    assert remember_header(headers, header(VIDEO, b"\x96\x00avc1\x00smaller"))
    assert remember_header(headers, header(AUDIO, b"\xaf\x00"))
