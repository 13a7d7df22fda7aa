"""What a stream is seen to be made of."""

from collections.abc import Iterable

import pytest
from attrs import evolve

from mmids_trio.continuity.formats import FRAMES_SEEN, AudioFormat, FormatObserver, VideoFormat
from mmids_trio.continuity.program import FeedMemory
from mmids_trio.media.events import MediaKind, MediaPacket, StreamId, StreamMetadata
from mmids_trio.testing.media import generate_stream

AVC_320 = "0164000dffe100196764000dacd94141fb011000000300100000030320f142996001000668ebe3cb22c0fdf8f800"


def observed(packets: Iterable[MediaPacket], **metadata: object) -> FormatObserver:
    memory = FeedMemory()
    observer = FormatObserver(memory)
    if metadata:
        memory.remember(StreamMetadata(StreamId("stream"), metadata))
    for packet in packets:
        if not memory.remember(packet):
            observer.note(packet)
    return observer


def with_header(packets: list[MediaPacket], kind: MediaKind, data: bytes) -> list[MediaPacket]:
    return [evolve(p, data=data) if p.is_sequence_header and p.kind is kind else p for p in packets]


def test_sizes_and_rates_come_from_the_stream_itself_whatever_its_metadata_say() -> None:
    header = bytes.fromhex("1700000000" + AVC_320)
    packets = with_header(generate_stream(seconds=2, fps=30), MediaKind.VIDEO, header)
    seen = observed(packets, width=1.0, height=1.0, framerate=12.0, audiosamplerate=8000.0).format()
    assert seen.video is not None
    assert (seen.video.codec, seen.video.width, seen.video.height) == ("avc1", 320, 240)
    assert seen.video.fps == pytest.approx(30, abs=0.3)
    assert seen.audio == AudioFormat("mp4a", 44_100, 2)


def test_the_channels_of_opus_stand_in_its_header() -> None:
    mono = b"\x90OpusOpusHead" + bytes.fromhex("01 01 3801 80bb0000 0000 00")
    packets = with_header(generate_stream(seconds=2, audio_codec="Opus"), MediaKind.AUDIO, mono)
    assert observed(packets).format().audio == AudioFormat("Opus", 48_000, 1)


def test_metadata_that_are_about_right_are_more_exact_than_milliseconds() -> None:
    seen = observed(generate_stream(seconds=2, fps=30), framerate=29.97).format()
    assert seen.video is not None
    assert seen.video.fps == 29.97


def test_what_nothing_tells_is_as_usual() -> None:
    packets = with_header(generate_stream(seconds=2), MediaKind.VIDEO, b"\x17\0\0\0\0nothing")
    packets = with_header(packets, MediaKind.AUDIO, b"\xaf\0")
    seen = observed(packets).format()
    assert seen.video == VideoFormat("avc1", 1280, 720, 25.0)
    assert seen.audio == AudioFormat("mp4a", 48_000, 2)


@pytest.mark.parametrize("width", [float("nan"), float("inf"), -5.0, 1e9, True, "640"])
def test_metadata_that_make_no_sense_do_not_count(width: object) -> None:
    packets = with_header(generate_stream(seconds=2), MediaKind.VIDEO, b"\x17\0\0\0\0nothing")
    seen = observed(packets, width=width, height=480.0).format()
    assert seen.video is not None
    assert (seen.video.width, seen.video.height) == (1280, 480)


def test_it_is_known_after_a_second_or_so_of_pictures_or_of_sound_alone() -> None:
    packets = generate_stream(seconds=3)
    places = [n for n, p in enumerate(packets) if p.kind is MediaKind.VIDEO and not p.is_sequence_header]
    assert not observed(packets[: places[FRAMES_SEEN]]).is_known
    assert observed(packets[: places[FRAMES_SEEN] + 1]).is_known
    alone = observed(generate_stream(seconds=3, video=False))
    assert alone.is_known
    assert alone.format().video is None
