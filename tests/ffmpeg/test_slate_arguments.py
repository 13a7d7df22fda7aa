"""What ffmpeg is told to make a slate of."""

import pytest

from mmids_trio.continuity.formats import AudioFormat, StreamFormat, VideoFormat
from mmids_trio.ffmpeg.slate_arguments import slate_arguments, why_not

VIDEO, AUDIO = VideoFormat("avc1", 640, 360, 29.97), AudioFormat("mp4a", 44_100, 1)
BOTH = StreamFormat(VIDEO, AUDIO)


def following(arguments: list[str], option: str) -> list[str]:
    return [arguments[place + 1] for place, argument in enumerate(arguments) if argument == option]


def test_a_slate_has_no_more_pictures_a_second_than_the_limit() -> None:
    fast = " ".join(slate_arguments(None, StreamFormat(VideoFormat("avc1", 640, 360, 1000.0), None)))
    assert "rate=120 " in fast
    assert "fps=120," in fast
    assert "-g 120" in fast


def test_pictures_beyond_8k_have_no_slate() -> None:
    assert why_not(StreamFormat(VideoFormat("hvc1", 8192, 4352, 60), None)) is None
    assert why_not(StreamFormat(VideoFormat("hvc1", 8192, 4354, 60), None)) is not None


def test_colour_bars_and_silence_are_of_the_streams_form() -> None:
    arguments = slate_arguments(None, BOTH)
    assert following(arguments, "-i") == [
        "smptehdbars=size=640x360:rate=29.97",
        "anullsrc=sample_rate=44100:channel_layout=1c",
    ]
    assert following(arguments, "-map") == ["0:V:0", "1:a:0"]
    assert following(arguments, "-c:v") == ["libx264"]
    assert (following(arguments, "-ar"), following(arguments, "-ac")) == (["44100"], ["1"])
    assert following(arguments, "-bf") == ["0"]


def test_a_picture_is_shown_again_and_again_and_a_video_is_cut() -> None:
    assert following(slate_arguments("/a/soon.PNG", BOTH), "-loop") == ["1"]
    assert following(slate_arguments("/a/soon.PNG", BOTH), "-t") == ["2"]
    assert "-loop" not in slate_arguments("/a/soon.mp4", BOTH)
    assert following(slate_arguments("/a/soon.mp4", BOTH), "-t") == ["30"]


@pytest.mark.parametrize("file", ["-y", "http://host/x.png", "concat:a|b", "../x.png"])
def test_a_file_is_a_path_and_nothing_else(file: str) -> None:
    arguments = slate_arguments(file, BOTH)
    assert f"file:./{file}" in arguments
    assert following(arguments, "-protocol_whitelist") == ["file"]


def test_a_track_that_the_stream_has_not_is_not_made() -> None:
    assert "-an" in slate_arguments(None, StreamFormat(VIDEO, None))
    sound = slate_arguments("/x.png", StreamFormat(None, AUDIO))
    assert "-vn" in sound
    assert following(sound, "-map") == ["0:a:0"]
    assert "file:/x.png" not in sound


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (BOTH, True),
        (StreamFormat(VideoFormat("hvc1", 2, 2, 25), AudioFormat("Opus", 48_000, 2)), True),
        (StreamFormat(VideoFormat("vvc1", 2, 2, 25), AUDIO), False),
        (StreamFormat(VIDEO, AudioFormat("fLaC", 48_000, 2)), False),
        (StreamFormat(None, None), False),
    ],
)
def test_what_there_is_no_encoder_for_cannot_be_made(wanted: StreamFormat, expected: bool) -> None:
    assert (why_not(wanted) is None) is expected
