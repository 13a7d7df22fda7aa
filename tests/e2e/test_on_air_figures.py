"""What the server says of streams that real encoders publish is what ffprobe says of the same media."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import frozen

from tests.support.enhanced import BUNDLED
from tests.support.ffmpeg import MAKING_SECONDS
from tests.support.processes import start
from tests.support.program import Launch, Program

pytestmark = pytest.mark.e2e

SECONDS = 10
"""Of media that are published over and over: what the longer of the two rates is measured over."""

SHOW = """
workflow show {
    rtmp_receive rtmp_app=live stream_key=* port=0
}
"""

PICTURE = ("-f", "lavfi", "-i", f"testsrc2=size=320x180:rate=25:duration={SECONDS}")
SOUND = ("-f", "lavfi", "-i", f"anoisesrc=seed=1:sample_rate=48000:amplitude=0.3:duration={SECONDS}")
AAC = ("-c:a", "aac", "-b:a", "128k", "-ac", "2")
OPUS = ("-c:a", "libopus", "-b:a", "128k", "-ac", "2")
KINDS = {
    "H.264 and AAC": ("-c:v", "libx264", "-preset", "veryfast", "-profile:v", "main", "-bf", "2", *AAC),
    "HEVC and Opus": ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error", *OPUS),
    "AV1 and AAC": ("-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime", "-b:v", "300k", *AAC),
}
CODECS = {"h264": "avc1", "hevc": "hvc1", "av1": "av01", "aac": "mp4a", "opus": "Opus"}
PROFILES = {("h264", "Main"): 77, ("hevc", "Main"): 1, ("av1", "Main"): 0}
"""By the names that ffprobe has for them."""


@frozen
class Probed:
    """What ffprobe says of both tracks, and the bytes a second of their packets."""

    tracks: Mapping[str, Mapping[str, Any]]
    bits: Mapping[str, float]


def made(path: Path, kind: str) -> Path:
    """The media, in a container that every ffprobe reads."""
    options = ("-nostdin", "-hide_banner", "-loglevel", "error", "-y")
    encoding = ("-pix_fmt", "yuv420p", "-g", "50", *KINDS[kind])
    subprocess.run([BUNDLED, *options, *PICTURE, *SOUND, *encoding, str(path)], check=True, timeout=MAKING_SECONDS)
    return path


def probed(path: Path) -> Probed:
    """What ffprobe says."""
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_streams", "-show_entries", "packet=codec_type,size"]
    done = subprocess.run([*command, str(path)], check=True, capture_output=True, timeout=60)
    document = json.loads(done.stdout)
    sizes = {kind: 0 for kind in ("video", "audio")}
    for packet in document["packets"]:
        sizes[packet["codec_type"]] += int(packet["size"])
    tracks = {track["codec_type"]: track for track in document["streams"]}
    return Probed(tracks, {kind: 8 * size / SECONDS for kind, size in sizes.items()})


async def tracks_of(program: Program) -> Mapping[str, Any]:
    """Those of the only stream, by kind; none where there is none yet."""
    streams = (await program.get("/streams")).json["streams"]
    return {track["kind"]: track for track in streams[0]["tracks"]} if streams else {}


def rates_fit(seen: Mapping[str, Any], expected: Probed) -> bool:
    """Bitrates within 5 %, the frame rate within 2 %."""
    if len(seen) < 2 or seen["video"]["frame_rate"] is None or seen["audio"]["bitrate_10s"] is None:
        return False
    bits = all(seen[kind]["bitrate_10s"] == pytest.approx(expected.bits[kind], rel=0.05) for kind in seen)
    return bits and seen["video"]["frame_rate"] == pytest.approx(25, rel=0.02)


@pytest.mark.parametrize("kind", KINDS)
async def test_every_figure_is_what_ffprobe_says(
    kind: str, launch: Launch, nursery: trio.Nursery, tmp_path: Path
) -> None:
    path = made(tmp_path / "media.mkv", kind)
    expected = probed(path)
    program = await launch(SHOW)
    looped = ("-re", "-stream_loop", "-1", "-i", str(path), "-map", "0", "-c", "copy", "-f", "flv")
    options = ("-nostdin", "-hide_banner", "-loglevel", "error")
    await start(nursery, [BUNDLED, *options, *looped, program.url("figures")], name="publisher")
    seen: Mapping[str, Any] = {}
    with trio.move_on_after(90):
        while not rates_fit(seen, expected):
            await trio.sleep(0.5)
            seen = await tracks_of(program)
    assert rates_fit(seen, expected), (seen, expected.bits)
    video, audio = expected.tracks["video"], expected.tracks["audio"]
    assert seen["video"]["codec"] == CODECS[video["codec_name"]]
    assert (seen["video"]["width"], seen["video"]["height"]) == (video["width"], video["height"]) == (320, 180)
    assert seen["video"]["profile"] == PROFILES[video["codec_name"], video["profile"]]
    assert seen["video"]["level"] == video["level"]
    assert seen["video"]["key_frame_interval_ms"] == pytest.approx(2000, abs=50)  # where the media begin again
    assert seen["audio"]["codec"] == CODECS[audio["codec_name"]]
    assert (seen["audio"]["sample_rate"], seen["audio"]["channels"]) == (int(audio["sample_rate"]), audio["channels"])
    assert [track["configuration_changes"] for track in seen.values()] == [0, 0]
