"""Fragmented MP4 of ours read by ffmpeg: every packet of the source, byte for byte."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmids_trio.media.codecs import parse_audio, parse_video
from mmids_trio.media.events import MediaPacket, StreamId
from mmids_trio.media.flv import FlvReader, TagType
from mmids_trio.media.fmp4.fragmenter import Chapter, Fragmenter, MediaPart
from tests.support.enhanced import BUNDLED

pytestmark = pytest.mark.e2e

HANG_SECONDS = 120
VIDEO = {
    "avc": ("libx264", "-preset", "veryfast", "-bf", "0", "-g", "30"),
    "avc with B-frames": ("libx264", "-preset", "veryfast", "-bf", "3", "-g", "60"),
    "hevc": ("libx265", "-preset", "ultrafast", "-g", "30", "-x265-params", "log-level=error"),
    "av1": ("libsvtav1", "-preset", "12", "-g", "30"),
    "vp9": ("libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "30"),
}
AUDIO = {"aac": "aac", "opus": "libopus", "mp3": "libmp3lame", "ac-3": "ac3", "e-ac-3": "eac3", "flac": "flac"}
PAIRS = [
    *((video, "aac") for video in VIDEO),
    *(("avc", audio) for audio in AUDIO if audio != "aac"),
    ("avc", None),
    (None, "aac"),
]


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def make(path: Path, video: str | None, audio: str | None) -> Path:
    """Four seconds of a test picture and a tone."""
    inputs: list[str] = []
    outputs: list[str] = []
    if video is not None:
        inputs += ["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=30"]
        outputs += ["-c:v", *VIDEO[video], "-pix_fmt", "yuv420p"]
    if audio is not None:
        inputs += ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]
        outputs += ["-c:a", AUDIO[audio], "-ac", "2"]
    run(BUNDLED, "-v", "error", *inputs, "-t", "4", *outputs, "-f", "flv", str(path))
    return path


def packets(path: Path) -> Iterator[MediaPacket]:
    for tag in FlvReader().receive(path.read_bytes()):
        if tag.type is not TagType.SCRIPT:
            parse = parse_video if tag.type is TagType.VIDEO else parse_audio
            yield parse(StreamId("s"), tag.timestamp, tag.data)


def hashes(path: Path, track: str) -> list[str]:
    printed = run(BUNDLED, "-v", "error", "-i", str(path), "-map", track, "-c", "copy", "-f", "framemd5", "-")
    return [line.rpartition(",")[2].strip() for line in printed.splitlines() if not line.startswith("#")]


@pytest.mark.parametrize(("video", "audio"), PAIRS)
def test_ffmpeg_reads_the_packets_that_went_in(tmp_path: Path, video: str | None, audio: str | None) -> None:
    source = make(tmp_path / "source.flv", video, audio)
    fragmenter, data = Fragmenter(), b""
    outputs = [output for packet in packets(source) for output in fragmenter.packet(packet)]
    for output in [*outputs, *fragmenter.end()]:
        if isinstance(output, Chapter):
            data += output.init
        elif isinstance(output, MediaPart):
            data += output.data
    made = tmp_path / "made.mp4"
    made.write_bytes(data)
    for track in (["0:v"] if video else []) + (["0:a"] if audio else []):
        assert hashes(made, track) == hashes(source, track)
