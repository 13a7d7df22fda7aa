"""What is read from the legacy headers of FLV tag bodies, and that nothing is too broken to be a packet."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmids_trio.media.codecs import parse_audio, parse_other, parse_video
from mmids_trio.media.events import MediaKind, MediaPacket, StreamId
from tests.support.effort import some_of

STREAM = StreamId("s")


def video(data: str) -> MediaPacket:
    return parse_video(STREAM, 40, bytes.fromhex(data))


def audio(data: str) -> MediaPacket:
    return parse_audio(STREAM, 40, bytes.fromhex(data))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("17 00 000000 0164", (False, True, 0)),
        ("27 00 000000 0164", (False, True, 0)),
        ("17 01 000028 6588", (True, False, 40)),
        ("27 01 000000 4188", (False, False, 0)),
        ("27 01 ffffd8 4188", (False, False, -40)),
        ("27 01 800000 4188", (False, False, -0x800000)),
        ("37 01 7fffff 4188", (False, False, 0x7FFFFF)),
        ("17 02 000000", (False, False, 0)),
        ("27 02 000000", (False, False, 0)),
        ("57 00", (False, False, 0)),
        ("57 01 000028", (False, False, 0)),
        ("17 03 000028", (False, False, 0)),
        ("17 01 0000", (True, False, 0)),
        ("17 01", (True, False, 0)),
        ("17", (False, False, 0)),
    ],
)
@pytest.mark.parametrize(("codec_id", "codec"), [(7, "avc1"), (12, "hvc1")])
def test_avc_and_legacy_hevc_say_key_frame_header_and_offset(
    codec_id: int, codec: str, data: str, expected: tuple[bool, bool, int]
) -> None:
    body = bytes.fromhex(data)
    body = bytes([body[0] & 0xF0 | codec_id]) + body[1:]
    assert parse_video(STREAM, 40, body) == MediaPacket(STREAM, MediaKind.VIDEO, 40, body, codec, *expected)


@pytest.mark.parametrize(("codec_id", "codec"), [(2, "flv1"), (3, "fsv1"), (4, "vp6f"), (5, "vp6a"), (6, "fsv2")])
def test_older_video_has_frame_types_and_nothing_else(codec_id: int, codec: str) -> None:
    key, inter = video(f"1{codec_id} 00 000028"), video(f"2{codec_id} 00 000028")
    assert (key.codec, key.is_key_frame, key.is_sequence_header) == (codec, True, False)
    assert (inter.codec, inter.is_key_frame, inter.composition_offset) == (codec, False, 0)


def test_video_of_an_unknown_codec_still_says_what_is_a_key_frame() -> None:
    packet = video("1f 00")
    assert (packet.codec, packet.is_key_frame, packet.is_sequence_header) == (None, True, False)


@pytest.mark.parametrize(
    ("data", "codec", "header"),
    [
        ("af 00 1210", "mp4a", True),
        ("af 01 21", "mp4a", False),
        ("af", "mp4a", False),
        ("2f 00 ff", ".mp3", False),
        ("ef 00", ".mp3", False),
        ("b2 00", "spex", False),
        ("0e 00", "lpcm", False),
        ("3e 00", "lpcm", False),
        ("1e 00", "swfa", False),
        ("4e 00", "nmos", False),
        ("5e 00", "nmos", False),
        ("6e 00", "nmos", False),
        ("7e 00", "alaw", False),
        ("8e 00", "ulaw", False),
        ("cf 00", None, False),
        ("ff 00", None, False),
    ],
)
def test_audio_says_its_codec_and_aac_its_header(data: str, codec: str | None, header: bool) -> None:
    body = bytes.fromhex(data)
    assert audio(data) == MediaPacket(STREAM, MediaKind.AUDIO, 40, body, codec, False, header)


def test_empty_bodies_are_packets_about_which_nothing_is_known() -> None:
    assert video("") == MediaPacket(STREAM, MediaKind.VIDEO, 40, b"")
    assert audio("") == MediaPacket(STREAM, MediaKind.AUDIO, 40, b"")


def test_anything_else_is_passed_on_unread() -> None:
    assert parse_other(STREAM, 40, b"\x17\x01") == MediaPacket(STREAM, MediaKind.OTHER, 40, b"\x17\x01")


@given(first=st.integers(0, 255), rest=st.binary(max_size=30))
@settings(max_examples=some_of(1000), deadline=None)
def test_any_bytes_are_a_packet_that_holds_the_very_same_bytes(first: int, rest: bytes) -> None:
    body = bytes([first]) + rest
    for packet in (parse_video(STREAM, 7, body), parse_audio(STREAM, 7, body)):
        assert packet.data is body
        assert packet.timestamp == 7
        assert not (packet.is_key_frame and packet.is_sequence_header)
        assert -0x800000 <= packet.composition_offset <= 0x7FFFFF
        assert packet.codec is None or len(packet.codec) == 4
