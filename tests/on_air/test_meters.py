"""What a stream's media is said to be, and how much of it comes."""

import pytest
from attrs import evolve

from mmids_trio.media.codecs import parse_video
from mmids_trio.media.events import MediaPacket, StreamId
from mmids_trio.on_air.meters import MARKS, StreamMeter
from mmids_trio.on_air.views import TrackView
from mmids_trio.testing.media import AudioCodec, VideoCodec, generate_stream


def metered(packets: list[MediaPacket], *, meter: StreamMeter | None = None, begin: float = 100.0) -> StreamMeter:
    """Each packet a batch of its own, at the time that its timestamp says."""
    meter = meter or StreamMeter()
    for packet in packets:
        meter.note([packet], begin + packet.timestamp / 1000)
    return meter


def tracks(meter: StreamMeter, now: float) -> dict[str, TrackView]:
    return {track.kind: track for track in meter.tracks(now)}


def test_rates_are_those_of_the_last_second_and_of_the_last_ten() -> None:
    slow = generate_stream(seconds=20, gop=1000, frame_bytes=400, audio_bytes=100)
    meter = metered(slow)
    fast = [p for p in generate_stream(seconds=22, gop=1000, frame_bytes=4000, seed=1) if p.timestamp >= 20_000]
    metered(fast, meter=meter)
    video = tracks(meter, 122.0)["video"]
    assert video.bitrate_1s == pytest.approx(8 * 25 * 4000, rel=0.05)
    assert video.bitrate_10s == pytest.approx(8 * 25 * (8 * 400 + 2 * 4000) / 10, rel=0.05)
    assert video.frame_rate == pytest.approx(25, rel=0.02)
    assert tracks(meter, 122.0)["audio"].bitrate_10s == pytest.approx(8 * 100 * 44_100 / 1024, rel=0.05)
    assert meter.bytes == sum(len(packet.data) for packet in (*slow, *fast))


def test_there_are_no_rates_in_the_first_second_and_none_left_after_a_silence() -> None:
    meter = metered(generate_stream(seconds=0.8))
    assert tracks(meter, 100.9)["video"].bitrate_1s is None
    metered(generate_stream(seconds=3), meter=meter, begin=101)
    quiet = tracks(meter, 106.0)["video"]
    assert (quiet.bitrate_1s, quiet.last_frame_ms) == (0, 2040)
    assert quiet.bitrate_10s is not None
    assert quiet.bitrate_10s > 0
    assert tracks(meter, 120.0)["video"].bitrate_10s == 0


@pytest.mark.parametrize(
    ("codec", "described"),
    [
        ("avc1", ("avc1", "avc1.42C01F", 66, 31)),
        ("hvc1", ("hvc1", "hvc1.1.6.L93.90", 1, 93)),
        ("av01", ("av01", "av01.0.04M.08", 0, 4)),
        ("vp09", ("vp09", "vp09.00.10.08", 0, 10)),
    ],
)
def test_video_is_described_by_its_header(codec: VideoCodec, described: tuple[str, str, int, int]) -> None:
    video = tracks(metered(generate_stream(seconds=3, video_codec=codec)), 103.0)["video"]
    assert (video.codec, video.profile, video.level) == (described[0], *described[2:])
    assert video.codec_string is not None
    assert video.codec_string.startswith(described[1])
    assert (video.key_frame_interval_ms, video.configuration_changes) == (1000, 0)


def test_the_size_of_the_picture_is_shown() -> None:
    record = "0164000dffe100196764000dacd94141fb011000000300100000030320f142996001000668ebe3cb22c0fdf8f800"
    header = parse_video(StreamId("s"), 0, bytes.fromhex("1700000000" + record))
    video = tracks(metered([header]), 100.1)["video"]
    assert (video.width, video.height, video.profile) == (320, 240, 100)


@pytest.mark.parametrize(("codec", "rate"), [("mp4a", 44_100), ("Opus", 48_000)])
def test_audio_is_described_by_its_header(codec: AudioCodec, rate: int) -> None:
    audio = tracks(metered(generate_stream(seconds=1, audio_codec=codec)), 101.0)["audio"]
    assert (audio.codec, audio.sample_rate, audio.channels) == (codec, rate, 2)
    assert (audio.frame_rate, audio.key_frame_interval_ms) == (None, None)


def test_another_configuration_is_counted_and_the_same_one_again_is_not() -> None:
    meter = metered(generate_stream(seconds=1))
    metered(generate_stream(seconds=1), meter=meter, begin=101)
    assert tracks(meter, 102)["video"].configuration_changes == 0
    metered(generate_stream(seconds=1, video_codec="vp09"), meter=meter, begin=102)
    video = tracks(meter, 103)["video"]
    assert (video.codec, video.configuration_changes) == ("vp09", 1)


def test_frames_without_a_header_have_a_codec_and_nothing_else() -> None:
    frames = [packet for packet in generate_stream(seconds=1) if not packet.is_sequence_header]
    video = tracks(metered(frames), 101)["video"]
    assert (video.codec, video.codec_string, video.width, video.configuration_changes) == ("avc1", None, None, 0)


def test_what_is_kept_of_a_stream_is_bounded() -> None:
    meter = metered(generate_stream(seconds=60))
    assert len(meter._video._marks) == MARKS


def test_jitter_is_how_unevenly_frames_come_and_no_jump() -> None:
    even = generate_stream(seconds=4, audio=False)
    assert tracks(metered(even), 104)["video"].jitter_ms == 0
    meter = StreamMeter()
    for number, packet in enumerate(even):
        meter.note([packet], 100 + packet.timestamp / 1000 + 0.02 * (number % 2))
    video = tracks(meter, 104)["video"]
    assert video.jitter_ms == pytest.approx(20, abs=2)
    assert video.jumps == 0


@pytest.mark.parametrize("by", [-3000, -1, 2001, 100_000])
def test_a_timestamp_that_goes_back_or_leaps_is_a_jump_of_its_track_alone(by: int) -> None:
    stream = generate_stream(seconds=2)
    last = [packet for packet in stream if packet.kind.value == "audio"][-1]
    meter = metered(stream)
    meter.note([evolve(last, timestamp=(last.timestamp + by) % 2**32)], 102)
    found = tracks(meter, 102)
    assert (found["audio"].jumps, found["video"].jumps) == (1, 0)


def test_timestamps_that_wrap_jump_nowhere_and_neither_does_another_source() -> None:
    stream = generate_stream(seconds=2)
    late = [evolve(packet, timestamp=(packet.timestamp + 2**32 - 1000) % 2**32) for packet in stream]
    meter = StreamMeter()
    for packet in late:
        meter.note([packet], 100)
    assert [track.jumps for track in meter.tracks(100)] == [0, 0]
    meter.restart()
    metered(generate_stream(seconds=1), meter=meter)
    assert [track.jumps for track in meter.tracks(101)] == [0, 0]


def test_sound_that_runs_ahead_of_the_picture_is_seen() -> None:
    stream = generate_stream(seconds=2)
    ahead = [evolve(p, timestamp=p.timestamp + 1500) if p.kind.value == "audio" else p for p in stream]
    assert metered(stream).sound_offset_ms == pytest.approx(0, abs=40)
    assert metered(ahead).sound_offset_ms == pytest.approx(1500, abs=40)
    assert metered([p for p in stream if p.kind.value == "audio"]).sound_offset_ms is None
