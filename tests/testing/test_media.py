"""Generated streams are what they claim to be, and the checker finds every flaw."""

from itertools import pairwise

import pytest
from attrs import evolve

from mmids_trio.media.codecs import parse_audio, parse_video
from mmids_trio.media.events import MediaKind, MediaPacket
from mmids_trio.testing.checker import StreamChecker
from mmids_trio.testing.media import AudioCodec, VideoCodec, generate_metadata, generate_stream

STREAM = generate_stream(seconds=2)  # 2 headers, then video and audio by timestamp
VIDEO = generate_stream(seconds=2, audio=False)  # 1 header, key frames at 1 and 26


def checker(sent: list[MediaPacket], received: list[MediaPacket]) -> StreamChecker:
    result = StreamChecker(sent)
    result.receive_packets(received)
    return result


def test_a_stream_is_the_same_each_time_and_another_seed_is_another() -> None:
    assert generate_stream(seconds=2) == STREAM
    other = generate_stream(seconds=2, seed=1)
    assert {packet.data for packet in other[2:]}.isdisjoint(packet.data for packet in STREAM[2:])


def test_every_payload_is_unique() -> None:
    packets = generate_stream(seconds=60)
    assert len({packet.data for packet in packets}) == len(packets)


def test_frames_come_at_their_rate_and_in_order() -> None:
    video = [packet for packet in STREAM[2:] if packet.kind is MediaKind.VIDEO]
    audio = [packet for packet in STREAM[2:] if packet.kind is MediaKind.AUDIO]
    assert [packet.timestamp for packet in video] == list(range(0, 2000, 40))
    assert [place for place, packet in enumerate(video) if packet.is_key_frame] == [0, 25]
    assert len(audio) == 86
    assert all(one.timestamp <= two.timestamp for one, two in pairwise(STREAM[2:]))
    assert any(packet.composition_offset for packet in video)


def test_what_packets_say_of_themselves_is_what_their_bytes_say() -> None:
    parsers = {MediaKind.VIDEO: parse_video, MediaKind.AUDIO: parse_audio}
    for packet in STREAM:
        assert parsers[packet.kind](packet.stream_id, packet.timestamp, packet.data) == packet


@pytest.mark.parametrize("video_codec", ["avc1", "hvc1", "av01", "vp09"])
@pytest.mark.parametrize("audio_codec", ["mp4a", "Opus"])
def test_every_codec_is_recognised_by_its_bytes(video_codec: VideoCodec, audio_codec: AudioCodec) -> None:
    packets = generate_stream(seconds=1, video_codec=video_codec, audio_codec=audio_codec)
    assert {packet.codec for packet in packets} == {video_codec, audio_codec}
    assert [packet.is_sequence_header for packet in packets[:3]] == [True, True, False]
    assert sum(packet.is_key_frame for packet in packets) == 1
    assert len({packet.data for packet in packets}) == len(packets)
    assert {len(packet.data) for packet in packets if packet.kind is MediaKind.VIDEO} >= {2_000, 400}


@pytest.mark.parametrize("b_frames", [0, 1, 2, 3])
@pytest.mark.parametrize("gop", [1, 2, 10, 25])
def test_every_frame_of_a_group_is_shown_at_a_time_of_its_own(gop: int, b_frames: int) -> None:
    packets = generate_stream(seconds=gop / 25, gop=gop, b_frames=b_frames, audio=False)[1:]
    shown = [packet.timestamp + packet.composition_offset for packet in packets]
    delay = 40 if b_frames else 0
    assert sorted(shown) == [number * 40 + delay for number in range(gop)]
    assert (shown == sorted(shown)) == (b_frames == 0 or gop <= b_frames + 1)


def test_metadata_describes_what_there_is() -> None:
    assert generate_metadata(fps=30)["framerate"] == 30
    assert "videocodecid" not in generate_metadata(video=False)


def test_timestamps_start_where_they_should_and_wrap() -> None:
    packets = generate_stream(seconds=1, audio=False, start_timestamp=2**32 - 100)
    assert [packet.timestamp for packet in packets[1:5]] == [2**32 - 100, 2**32 - 60, 2**32 - 20, 20]


def test_a_whole_stream_is_flawless() -> None:
    report = checker(STREAM, STREAM).report()
    assert report.is_flawless_from_join
    assert report.missed == ()


def test_a_late_join_at_a_key_frame_is_flawless_from_there() -> None:
    report = checker(VIDEO, [VIDEO[0], *VIDEO[26:]]).report()
    assert report.is_flawless_from_join
    assert report.missed == tuple(range(1, 26))
    assert report.gaps == ()


def test_a_gap_is_found_and_what_cannot_be_decoded_behind_it() -> None:
    report = checker(VIDEO, [*VIDEO[:20], *VIDEO[22:]]).report()
    assert report.missed == report.gaps == (20, 21)
    assert report.undecodable == (22, 23, 24, 25)
    assert not report.is_flawless_from_join


def test_an_end_that_is_missing_is_missed_but_no_gap() -> None:
    report = checker(VIDEO, VIDEO[:40]).report()
    assert report.missed == tuple(range(40, 51))
    assert report.gaps == ()


def test_nothing_decodes_without_the_sequence_header() -> None:
    report = checker(VIDEO, [*VIDEO[1:26], VIDEO[0], *VIDEO[26:]]).report()
    assert report.undecodable == tuple(range(1, 26))


def test_nothing_decodes_with_an_outdated_sequence_header() -> None:
    new_header = evolve(VIDEO[0], data=b"\x17\0\0\0\0new")
    sent = [*VIDEO[:26], new_header, *VIDEO[26:]]
    report = checker(sent, [packet for packet in sent if packet is not new_header]).report()
    assert report.undecodable == tuple(range(27, 52))
    assert checker(sent, sent).report().is_flawless_from_join


def test_repeats_are_found_but_headers_may_repeat() -> None:
    report = checker(VIDEO, [*VIDEO[:11], VIDEO[0], VIDEO[10], *VIDEO[11:]]).report()
    assert report.repeated == (10,)
    assert report.out_of_order == report.missed == ()


def test_disorder_is_found() -> None:
    swapped = [*VIDEO[:10], VIDEO[11], VIDEO[10], *VIDEO[12:]]
    report = checker(VIDEO, swapped).report()
    assert report.out_of_order == report.backwards == (10,)
    assert report.undecodable == tuple(range(11, 26))
    assert report.missed == ()


def test_what_was_never_sent_is_unknown() -> None:
    stranger = generate_stream(seconds=0.1, seed=9)[-1]
    report = checker(STREAM, [*STREAM, stranger]).report()
    assert report.unknown == 1
    assert not report.is_flawless_from_join
