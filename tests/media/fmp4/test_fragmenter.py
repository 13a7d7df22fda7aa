"""Where parts, segments and chapters begin and end, and what is in them: read back from the bytes."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from attrs import evolve, frozen
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.media.codecs import parse_audio
from mmids_trio.media.events import MediaKind, MediaPacket, StreamId
from mmids_trio.media.fmp4.fragmenter import Chapter, Fragmenter, MediaPart, Output, SegmentEnd
from mmids_trio.media.payload import payload_of
from mmids_trio.testing.media import AudioCodec, VideoCodec, generate_stream


@frozen
class Run:
    """What one track has in a fragment."""

    track: int
    start: int
    durations: tuple[int, ...]
    samples: tuple[bytes, ...]


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each box."""
    place = 0
    while place < len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        assert size >= 8
        assert place + size <= len(data)
        yield data[place + 4 : place + 8], data[place + 8 : place + size]
        place += size


def read_fragment(data: bytes) -> list[Run]:
    """What a fragment says, checked against where its data are."""
    (_, moof), (kind, _mdat) = boxes(data)
    assert kind == b"mdat"
    runs = []
    for name, content in boxes(moof):
        if name == b"traf":
            (_, tfhd), (_, tfdt), (_, trun) = boxes(content)
            count, place = int.from_bytes(trun[4:8], "big"), int.from_bytes(trun[8:12], "big")
            durations, samples = [], []
            for index in range(count):
                entry = trun[12 + 16 * index : 28 + 16 * index]
                durations.append(int.from_bytes(entry[:4], "big"))
                size = int.from_bytes(entry[4:8], "big")
                samples.append(data[place : place + size])
                place += size
            start = int.from_bytes(tfdt[4:], "big")
            runs.append(Run(int.from_bytes(tfhd[4:8], "big"), start, tuple(durations), tuple(samples)))
    return runs


def outputs(packets: Iterable[MediaPacket], **options: Any) -> list[Output]:
    fragmenter = Fragmenter(**options)
    found = [output for packet in packets for output in fragmenter.packet(packet)]
    return [*found, *fragmenter.end()]


def parts(found: Sequence[Output]) -> list[MediaPart]:
    return [output for output in found if isinstance(output, MediaPart)]


def payloads(packets: Iterable[MediaPacket], kind: MediaKind) -> list[bytes]:
    found = [payload_of(packet) for packet in packets if packet.kind is kind and not packet.is_sequence_header]
    return [payload.data for payload in found if payload is not None]


@pytest.mark.parametrize("video_codec", ["avc1", "hvc1", "av01", "vp09"])
@pytest.mark.parametrize("audio_codec", ["mp4a", "Opus"])
def test_every_frame_is_in_a_part_once_in_order_and_no_time_is_left_out(
    video_codec: VideoCodec, audio_codec: AudioCodec
) -> None:
    packets = generate_stream(seconds=6, video_codec=video_codec, audio_codec=audio_codec)
    runs = [run for part in parts(outputs(packets)) for run in read_fragment(part.data)]
    for track, kind in ((1, MediaKind.VIDEO), (2, MediaKind.AUDIO)):
        own = [run for run in runs if run.track == track]
        assert [sample for run in own for sample in run.samples] == payloads(packets, kind)
        for before, after in pairwise(own):
            assert before.start + sum(before.durations) == after.start


@pytest.mark.parametrize(
    ("fps", "target"), [(24, 208.3), (25, 200), (30, 200), (50, 200), (60, 200), (5, 200), (4, 250)]
)
def test_parts_are_whole_frames_and_keep_to_their_target(fps: int, target: float) -> None:
    fragmenter = Fragmenter(part_ms=200)
    found: list[Output] = []
    for packet in generate_stream(seconds=10, fps=fps, gop=fps * 2, audio=False):
        found += fragmenter.packet(packet)
    assert fragmenter.part_target_ms == pytest.approx(target, abs=0.5)
    made = parts(found)
    assert all(part.duration_ms <= target + 1 for part in made)
    followed = [part for part, after in pairwise(made) if not after.opens_segment]
    assert all(part.duration_ms >= 0.85 * target for part in followed)


def test_segments_begin_with_key_frames_once_they_are_long_enough() -> None:
    found = outputs(generate_stream(seconds=12, fps=25, gop=25), segment_ms=2_000)
    lengths = [output.duration_ms for output in found if isinstance(output, SegmentEnd)]
    assert lengths[:-1] == [2_000] * (len(lengths) - 1)
    assert all(part.is_independent for part in parts(found) if part.opens_segment)


def test_a_group_of_pictures_that_does_not_end_is_cut_all_the_same() -> None:
    found = outputs(generate_stream(seconds=40, fps=25, gop=10_000, audio=False), segment_ms=1_000)
    lengths = [output.duration_ms for output in found if isinstance(output, SegmentEnd)]
    assert lengths[0] == 8_000
    assert len(lengths) == 5


@pytest.mark.parametrize("kinds", [{"audio": False}, {"video": False}])
def test_one_track_is_enough(kinds: dict[str, bool]) -> None:
    packets = generate_stream(seconds=5, **kinds)  # type: ignore[arg-type]
    found = outputs(packets)
    [chapter] = [output for output in found if isinstance(output, Chapter)]
    assert len(chapter.tracks) == 1
    samples = [sample for part in parts(found) for run in read_fragment(part.data) for sample in run.samples]
    assert samples == payloads(packets, MediaKind.VIDEO if kinds.get("audio") is False else MediaKind.AUDIO)


def test_another_configuration_begins_a_chapter_whose_times_go_on() -> None:
    first = generate_stream(seconds=3)
    header = evolve(
        first[0], data=first[0].data.replace(b"\x67\x42", b"\x67\x4d").replace(b"\x42\xc0\x1f\xff", b"\x4d\x40\x1f\xff")
    )
    second = [evolve(packet, timestamp=packet.timestamp + 3_000) for packet in generate_stream(seconds=3, seed=1)]
    found = outputs([*first, evolve(header, timestamp=3_000), *second[1:]])
    assert sum(isinstance(output, Chapter) for output in found) == 2
    starts = [part.start_ms for part in parts(found)]
    assert starts == sorted(starts)
    samples = [sample for part in parts(found) for run in read_fragment(part.data) for sample in run.samples]
    assert len(samples) == len(payloads([*first, *second], MediaKind.VIDEO)) + len(
        payloads([*first, *second], MediaKind.AUDIO)
    )


def test_a_header_that_is_repeated_begins_nothing() -> None:
    packets = generate_stream(seconds=3)
    found = outputs([*packets[:40], packets[0], packets[1], *packets[40:]])
    assert sum(isinstance(output, Chapter) for output in found) == 1


def test_sound_that_comes_later_joins_at_a_key_frame() -> None:
    packets = generate_stream(seconds=8, gop=25)
    late = [p for p in packets if p.kind is MediaKind.VIDEO or p.is_sequence_header or p.timestamp >= 3_300]
    found = outputs(late)
    chapters = [output for output in found if isinstance(output, Chapter)]
    assert [len(chapter.tracks) for chapter in chapters] == [1, 2]
    videos = [s for part in parts(found) for run in read_fragment(part.data) if run.track == 1 for s in run.samples]
    assert videos == payloads(packets, MediaKind.VIDEO)


def test_a_jump_of_the_clock_begins_a_chapter_and_leaves_no_hole() -> None:
    first = generate_stream(seconds=3)
    second = [evolve(packet, timestamp=packet.timestamp + 3_600_000) for packet in generate_stream(seconds=3, seed=1)]
    found = outputs([*first, *second[2:]])
    assert sum(isinstance(output, Chapter) for output in found) == 2
    made = parts(found)
    assert made[-1].start_ms + made[-1].duration_ms == pytest.approx(6_000, abs=100)


def test_sound_keeps_to_its_own_clock_within_the_rounding_of_timestamps() -> None:
    packets = [
        evolve(packet, timestamp=packet.timestamp + (7 if index % 3 else -6) if packet.timestamp > 10 else 0)
        for index, packet in enumerate(generate_stream(seconds=5, video=False))
    ]
    durations = {d for part in parts(outputs(packets)) for run in read_fragment(part.data) for d in run.durations}
    assert durations == {1024}


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 400), st.booleans()), max_size=60))
def test_whatever_the_timestamps_are_time_never_runs_backwards(steps: list[tuple[bool, int, bool]]) -> None:
    headers = generate_stream(seconds=0.1)[:2]
    frames = generate_stream(seconds=1)
    picture = next(packet for packet in frames if packet.is_key_frame)
    sound = next(p for p in frames if p.kind is MediaKind.AUDIO and not p.is_sequence_header)
    time, packets = 0, list(headers)
    for is_video, step, is_key in steps:
        time += step
        packets.append(
            evolve(picture, timestamp=time, is_key_frame=is_key) if is_video else evolve(sound, timestamp=time)
        )
    made = parts(outputs(packets))
    assert [part.start_ms for part in made] == sorted(part.start_ms for part in made)
    assert all(part.duration_ms >= 0 for part in made)


def test_parts_go_on_with_sound_alone_when_pictures_stop_and_have_them_again_when_they_are_back() -> None:
    packets = generate_stream(seconds=12)
    gap = [one for one in packets if one.kind is MediaKind.AUDIO or not 3_000 < one.timestamp < 9_000]
    found = outputs(gap, segment_ms=1_000, part_ms=200)
    parts = [one for one in found if isinstance(one, MediaPart)]
    assert max(part.duration_ms for part in parts) < 2_500
    assert [len(one.tracks) for one in found if isinstance(one, Chapter)] == [2, 1, 2]


def test_sound_of_another_codec_that_has_no_header_begins_a_chapter_too() -> None:
    first = generate_stream(seconds=3)
    frames = [
        parse_audio(StreamId("stream"), at, b"\x2f\xff\xfb\x90\x64" + bytes(300)) for at in range(3_000, 6_000, 26)
    ]
    pictures = [
        evolve(packet, timestamp=packet.timestamp + 3_000)
        for packet in generate_stream(seconds=3, audio=False)
        if not packet.is_sequence_header
    ]
    found = outputs([*first, *sorted([*frames, *pictures], key=lambda packet: packet.timestamp)])
    chapters = [output for output in found if isinstance(output, Chapter)]
    assert [track.configuration.codec for track in chapters[1].tracks] == ["avc1", ".mp3"]
