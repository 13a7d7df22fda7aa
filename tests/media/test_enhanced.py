"""What is read from the headers of Enhanced RTMP, through the same two functions as from legacy ones."""

import pytest

from mmids_trio.media.codecs import parse_audio, parse_video
from mmids_trio.media.events import MediaPacket, StreamId

STREAM = StreamId("s")
HEVC, AV1, OPUS, AAC = (name.encode().hex() for name in ("hvc1", "av01", "Opus", "mp4a"))


def video(data: str) -> MediaPacket:
    return parse_video(STREAM, 0, bytes.fromhex(data))


def audio(data: str) -> MediaPacket:
    return parse_audio(STREAM, 0, bytes.fromhex(data))


def said(packet: MediaPacket) -> tuple[str | None, bool, bool, int]:
    return packet.codec, packet.is_key_frame, packet.is_sequence_header, packet.composition_offset


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (f"90 {HEVC} 01", ("hvc1", False, True, 0)),
        (f"91 {HEVC} 000028 01", ("hvc1", True, False, 40)),
        (f"a1 {HEVC} ffffd8 01", ("hvc1", False, False, -40)),
        (f"a1 {HEVC} 0000", ("hvc1", False, False, 0)),
        (f"93 {HEVC} 000028", ("hvc1", True, False, 0)),
        (f"92 {HEVC}", ("hvc1", False, False, 0)),
        (f"94 {HEVC} 02", ("hvc1", False, True, 0)),  # colours
        (f"d4 {HEVC} 02", ("hvc1", False, True, 0)),  # as FFmpeg sends them
        (f"95 {AV1} 02", ("av01", False, True, 0)),
        (f"91 {AV1} 000028 01", ("av01", True, False, 0)),
        (f"98 {AV1} 000028 01", ("av01", False, False, 0)),
        (f"d0 {AV1} 00", ("av01", False, False, 0)),
        (f"d1 {AV1} 00", ("av01", False, False, 0)),
        (f"90 {b'new9'.hex()}", ("new9", False, True, 0)),
        ("90 00010203", (None, False, False, 0)),
        ("91 ffffffff", (None, False, False, 0)),
        ("91 687663", (None, False, False, 0)),
        ("91", (None, False, False, 0)),
    ],
)
def test_video_headers(data: str, expected: tuple[str | None, bool, bool, int]) -> None:
    assert said(video(data)) == expected


@pytest.mark.parametrize("name", ["avc1", "hvc1", "vvc1", "vp08", "vp09", "av01"])
def test_only_codecs_that_reorder_have_a_composition_offset(name: str) -> None:
    offset = video(f"91 {name.encode().hex()} 000028").composition_offset
    assert (name, offset) == (name, 40 if name in ("avc1", "hvc1", "vvc1") else 0)


@pytest.mark.parametrize("name", ["ac-3", "ec-3", "Opus", ".mp3", "fLaC", "mp4a"])
def test_audio_headers(name: str) -> None:
    four_cc = name.encode().hex()
    for packet_type in (0, 4):  # 4: which channels there are
        assert said(audio(f"9{packet_type:x} {four_cc} 00")) == (name, False, True, 0)
    for packet_type in (1, 2, 6, 15):
        assert said(audio(f"9{packet_type:x} {four_cc} 00")) == (name, False, False, 0)


@pytest.mark.parametrize(
    ("extensions", "expected"),
    [
        ("02 000001 0{}", ("hvc1", True, False, 40)),
        ("ff 0100 " + "00" * 257 + " 0{}", ("hvc1", True, False, 40)),
        ("02 000001 07 00 aa f{}", ("hvc1", True, False, 40)),
        ("02 000001 07 " * 15 + "00 aa 0{}", ("hvc1", True, False, 40)),
        ("02 000001 07 " * 16 + "00 aa 0{}", (None, False, False, 0)),
    ],
)
def test_extensions_before_the_packet_type_are_skipped(
    extensions: str, expected: tuple[str | None, bool, bool, int]
) -> None:
    assert said(video(f"97 {extensions.format(1)} {HEVC} 000028")) == expected


def test_extensions_before_audio_are_skipped() -> None:
    assert said(audio(f"97 02 000001 00 {OPUS} 00")) == ("Opus", False, True, 0)


@pytest.mark.parametrize("data", ["97", "97 ff", "97 ff 01", "97 02 0000", "97 02 000001", "97 02 000001 01"])
def test_extensions_that_are_cut_short_leave_nothing_known(data: str) -> None:
    assert said(video(data)) == said(audio(data)) == (None, False, False, 0)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (f"96 01 {HEVC} 00 000028 00", ("hvc1", True, False, 40)),  # one track, no size
        (f"96 11 {HEVC} 00 000007 000028 00", ("hvc1", True, False, 40)),  # many tracks
        (f"96 21 {HEVC} 00 000007 000028 00", ("hvc1", True, False, 40)),  # many tracks, many codecs
        (f"96 00 {HEVC} 01 00", ("hvc1", False, True, 0)),
        (f"a6 01 {HEVC} 00 000028 00", ("hvc1", False, False, 40)),
        (f"96 01 {HEVC}", ("hvc1", True, False, 0)),
        ("96 01", (None, False, False, 0)),
        ("96", (None, False, False, 0)),
    ],
)
def test_of_several_video_tracks_the_first_is_read(data: str, expected: tuple[str | None, bool, bool, int]) -> None:
    assert said(video(data)) == expected


def test_a_key_frame_of_another_track_is_not_one_of_the_stream() -> None:
    assert said(video(f"96 01 {HEVC} 01 000028 00")) == ("hvc1", False, False, 40)


def test_of_several_audio_tracks_the_first_is_read() -> None:
    assert said(audio(f"95 00 {AAC} 01 1210")) == ("mp4a", False, True, 0)
    assert said(audio(f"95 11 {AAC} 00 000002 2121")) == ("mp4a", False, False, 0)
