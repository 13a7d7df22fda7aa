"""Decoder configurations: those of real encoders, and bytes from anybody."""

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.media.codecs import parse_audio, parse_video
from mmids_trio.media.configuration import (
    AudioConfiguration,
    VideoConfiguration,
    is_configured_by_frames,
    read_configuration,
)
from mmids_trio.media.events import MediaPacket, StreamId
from mmids_trio.media.opus import opus_samples
from mmids_trio.media.payload import payload_of

STREAM = StreamId("s")

VIDEO = {
    # x264 and x265 by FFmpeg 9.0 (records as in test_sequence_parameters), SVT-AV1 and libvpx by the same
    "avc1": (
        "1700000000 0164000dffe100196764000dacd94141fb011000000300100000030320f142996001000668ebe3cb22c0fdf8f800",
        ("avc1", (320, 240), 100, 13, "avc1.64000D"),
    ),
    "hvc1": (
        "90"
        + b"hvc1".hex()
        + "01016000000090000000000078f000fcfdf8f800000f01210001002a42010101600000030090000003000003"
        "0078a003c08010e596566924caf0168080000003008000000c84",
        ("hvc1", (1920, 1080), 1, 120, "hvc1.1.6.L120.90"),
    ),
    "av01": (
        "90" + b"av01".hex() + "81000c00 0a0b00000024cf7f0dbfffe6c0",
        ("av01", None, 0, 0, "av01.0.00M.08"),
    ),
    "vp09": ("90" + b"vp09".hex() + "01000000 00 14 82 02 02 02 0000", ("vp09", None, 0, 20, "vp09.00.20.08")),
    "vp09 without version": ("90" + b"vp09".hex() + "01 1e a2 02 02 02 0000", ("vp09", None, 1, 30, "vp09.01.30.10")),
}

AUDIO = {
    "AAC-LC": ("af00 1190", (48_000, 2, 1024, "mp4a.40.2")),
    "AAC-LC mono of 44.1 kHz": ("af00 1208", (44_100, 1, 1024, "mp4a.40.2")),
    "AAC of 960 samples": ("af00 1194", (48_000, 2, 960, "mp4a.40.2")),
    "HE-AAC": ("af00 2b118800", (24_000, 2, 1024, "mp4a.40.5")),
    "AAC of a rate that is written out": ("af00 17805dc010", (48_000, 2, 1024, "mp4a.40.2")),
    "Opus": ("90" + b"OpusOpusHead".hex() + "01 02 3801 80bb0000 0000 00", (48_000, 2, 0, "opus")),
    "FLAC": (
        "90" + b"fLaCfLaC".hex() + "80000022" + "12001200 00000e 00246b 0bb802f0 00046500" + "00" * 16,
        (48_000, 2, 4608, "flac"),
    ),
    "MP3": ("2f fffb9064", (44_100, 2, 1152, "mp4a.6B")),
    "MP3 of MPEG 2": ("2f fff39064", (22_050, 2, 576, "mp4a.69")),
    "AC-3": ("91" + b"ac-3".hex() + "0b77 0000 1440 43e1", (48_000, 2, 1536, "ac-3")),
}


def video(body: str) -> MediaPacket:
    return parse_video(STREAM, 0, bytes.fromhex(body))


def audio(body: str) -> MediaPacket:
    return parse_audio(STREAM, 0, bytes.fromhex(body))


@pytest.mark.parametrize("name", VIDEO)
def test_a_video_configuration_says_size_profile_level_and_name(name: str) -> None:
    body, (codec, size, profile, level, rfc6381) = VIDEO[name]
    found = read_configuration(video(body))
    assert isinstance(found, VideoConfiguration)
    assert (found.codec, found.profile, found.level, found.rfc6381) == (codec, profile, level, rfc6381)
    if size is not None:
        assert found.size == size


@pytest.mark.parametrize("name", AUDIO)
def test_an_audio_configuration_says_rate_channels_samples_and_name(name: str) -> None:
    body, expected = AUDIO[name]
    found = read_configuration(audio(body))
    assert isinstance(found, AudioConfiguration)
    assert (found.sample_rate, found.channels, found.frame_samples, found.rfc6381) == expected


def test_the_head_of_opus_turns_into_the_byte_order_of_its_box() -> None:
    found = read_configuration(audio(AUDIO["Opus"][0]))
    assert found is not None
    assert found.record == bytes.fromhex("00 02 0138 0000bb80 0000 00")


def test_a_description_replaces_no_configuration() -> None:
    """FFmpeg sends one behind the sequence header of AC-3 and FLAC; it says channels alone."""
    channels = audio("94" + b"fLaC".hex() + "00 02 03")
    assert channels.is_sequence_header
    assert read_configuration(channels) is None


def test_frames_of_codecs_with_sequence_headers_configure_nothing() -> None:
    assert read_configuration(audio("af01 2110045000")) is None
    assert not is_configured_by_frames("mp4a")
    assert is_configured_by_frames("ac-3")


@given(
    st.binary(max_size=60), st.sampled_from(["avc1", "hvc1", "av01", "vp09", "mp4a", "Opus", "fLaC", ".mp3", "ec-3"])
)
def test_whatever_comes_is_a_configuration_or_none(data: bytes, codec: str) -> None:
    for packet in (parse_video(STREAM, 0, b"\x90" + data), parse_audio(STREAM, 0, b"\x90" + data)):
        for is_header in (True, False):
            read_configuration(evolve(packet, codec=codec, is_sequence_header=is_header))


@pytest.mark.parametrize(
    ("packet", "data", "is_frame"),
    [
        (video("1701000028 00000002 6588"), "0000000265 88", True),
        (video("2701000000 0000000241 9a"), "0000000241 9a", True),
        (video("1702000000"), "", False),
        (video("91" + b"hvc1".hex() + "000028 00000001 26"), "00000001 26", True),
        (video("93" + b"hvc1".hex() + "00000001 26"), "00000001 26", True),
        (video("91" + b"av01".hex() + "1200"), "1200", True),
        (audio("af01 2110"), "2110", True),
        (audio("2f fffb90"), "fffb90", True),
        (audio("91" + b"Opus".hex() + "fc01"), "fc01", True),
        (video("96 01" + b"av01".hex() + "00 aabb"), "aabb", True),
        (video("96 11" + b"av01".hex() + "01 000002 cccc 00 000002 aabb"), "aabb", True),
    ],
)
def test_the_payload_is_what_lies_behind_the_header(packet: MediaPacket, data: str, is_frame: bool) -> None:
    found = payload_of(packet)
    assert found is not None
    assert (found.data, found.is_frame) == (bytes.fromhex(data), is_frame)


def test_a_packet_of_another_track_has_no_payload() -> None:
    assert payload_of(video("96 01" + b"av01".hex() + "01 aabb")) is None


@pytest.mark.parametrize(
    ("head", "samples"),
    [(b"\xfc", 960), (b"\xfd", 1920), (b"\x08", 960), (b"\x68", 960), (b"\xff\x03", 2880), (b"\xff", 0), (b"", 0)],
)
def test_a_packet_of_opus_says_how_long_it_lasts(head: bytes, samples: int) -> None:
    assert opus_samples(head) == samples
