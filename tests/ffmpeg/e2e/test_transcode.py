"""Media goes through a real ffmpeg unchanged where it is copied, and as asked for where it is encoded."""

import os
import subprocess
import threading
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from mmids_trio.ffmpeg.arguments import (
    transcode_arguments,
)
from mmids_trio.ffmpeg.feed import FeedFilter
from mmids_trio.ffmpeg.media_pipe import ChildMedia
from mmids_trio.ffmpeg.parameters import TranscodeParameters
from mmids_trio.media.events import MediaKind, MediaPacket, StreamId
from tests.support.ffmpeg_runs import TIMEOUT, events_of, feed_of, frames, packets_of, probe, run_child

pytestmark = pytest.mark.e2e

STREAM = StreamId("s")
SECONDS = 6


@pytest.mark.parametrize("start", [0, 100])
def test_packets_go_through_a_child_unchanged(ffmpeg: str, flv: Path, start: int) -> None:
    fed = feed_of(flv, start)
    arguments = transcode_arguments(TranscodeParameters(video="copy", audio="copy"))
    done = run_child(ffmpeg, arguments, fed)
    assert (done.returncode, done.stderr) == (0, b"")
    sent, received = packets_of(fed), packets_of(done.stdout)
    for kind in (MediaKind.VIDEO, MediaKind.AUDIO):
        before, after = frames(sent, kind), frames(received, kind)
        assert [packet.data for packet in after] == [packet.data for packet in before]
        assert len(before) > 50
        moved = {out.timestamp - original.timestamp for original, out in zip(before, after, strict=True)}
        assert max(moved) - min(moved) <= 1
        assert abs(max(moved)) <= 100


def test_a_live_child_gives_out_what_it_has_got_and_does_not_wait_for_more(ffmpeg: str, flv: Path) -> None:
    arguments = transcode_arguments(TranscodeParameters(video="copy", audio="copy"))
    feed = FeedFilter()
    events = events_of(flv)
    with subprocess.Popen([ffmpeg, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        watchdog = threading.Timer(TIMEOUT, child.kill)
        watchdog.start()
        child.stdin.write(b"".join(map(feed.render, events[:20])))
        child.stdin.flush()
        media = ChildMedia(STREAM)
        media.begin()
        packets: list[MediaPacket] = []
        while not frames(packets, MediaKind.VIDEO) and (data := os.read(child.stdout.fileno(), 65_536)):
            packets += [event for event in media.receive(data) if isinstance(event, MediaPacket)]
        watchdog.cancel()
        child.kill()
    assert frames(packets, MediaKind.VIDEO)


def transcoded(ffmpeg: str, flv: Path, tmp_path: Path, parameters: TranscodeParameters) -> Path:
    done = run_child(ffmpeg, transcode_arguments(parameters), feed_of(flv, 60))
    assert done.returncode == 0, done.stderr
    path = tmp_path / "out.flv"
    path.write_bytes(done.stdout)
    return path


def test_pictures_and_sound_are_encoded_as_asked(ffmpeg: str, flv: Path, tmp_path: Path) -> None:
    parameters = TranscodeParameters(
        video="encode",
        audio="encode",
        preset="ultrafast",
        width=160,
        height=90,
        fps=10,
        video_kbps=400,
        audio_bps=64_000,
    )
    path = transcoded(ffmpeg, flv, tmp_path, parameters)
    streams = {stream["codec_type"]: stream for stream in probe(path)["streams"]}
    video, audio = streams["video"], streams["audio"]
    assert (video["codec_name"], video["width"], video["height"], video["pix_fmt"]) == ("h264", 160, 90, "yuv420p")
    assert audio["codec_name"] == "aac"
    packets = packets_of(path.read_bytes())
    pictures, sounds = frames(packets, MediaKind.VIDEO), frames(packets, MediaKind.AUDIO)
    seconds = (pictures[-1].timestamp - pictures[0].timestamp) / 1000
    assert abs(len(pictures) / seconds - 10) < 0.5
    assert abs(8 * sum(len(packet.data) for packet in pictures) / seconds / 1000 - 400) < 60
    assert abs(8 * sum(len(packet.data) for packet in sounds) / seconds / 1000 - 64) < 20
    keys = [packet.timestamp for packet in pictures if packet.is_key_frame]
    assert [round((after - before) / 1000, 1) for before, after in pairwise(keys)] == [2.0] * (len(keys) - 1)


def lead_of_sound(packets: Sequence[MediaPacket], priming: float = 0) -> float:
    """Milliseconds from the first sound to the first picture."""
    pictures, sounds = frames(packets, MediaKind.VIDEO), frames(packets, MediaKind.AUDIO)
    return min(packet.timestamp + packet.composition_offset for packet in pictures) - sounds[0].timestamp - priming


@pytest.mark.parametrize("start", [0, 60, 90])
def test_encoding_keeps_sound_and_pictures_together(ffmpeg: str, flv: Path, tmp_path: Path, start: int) -> None:
    fed = feed_of(flv, start)
    parameters = TranscodeParameters(video="encode", audio="encode", preset="veryfast")
    done = run_child(ffmpeg, transcode_arguments(parameters), fed)
    # An encoder of AAC begins with a frame from before the beginning.
    after = lead_of_sound(packets_of(done.stdout), priming=1024 / 44.1)
    assert abs(after - lead_of_sound(packets_of(fed))) < 10


def test_one_side_alone_keeps_the_proportions(ffmpeg: str, flv: Path, tmp_path: Path) -> None:
    parameters = TranscodeParameters(video="encode", audio="copy", preset="ultrafast", width=200)
    video = probe(transcoded(ffmpeg, flv, tmp_path, parameters))["streams"][0]
    assert (video["width"], video["height"]) == (200, 150)


def test_what_is_to_be_dropped_is_gone(ffmpeg: str, flv: Path, tmp_path: Path) -> None:
    no_pictures = TranscodeParameters(video="drop", audio="encode")
    no_sound = TranscodeParameters(video="copy", audio="drop")
    for parameters, left in ((no_pictures, "audio"), (no_sound, "video")):
        path = transcoded(ffmpeg, flv, tmp_path, parameters)
        assert [stream["codec_type"] for stream in probe(path)["streams"]] == [left]


def test_sound_stays_with_the_pictures_over_a_loss(ffmpeg: str, flv: Path, tmp_path: Path) -> None:
    """Two seconds are lost on the way into the child; what comes later is still at its time."""
    feed = FeedFilter()
    fed = [feed.begin()]
    for event in events_of(flv):
        data = feed.render(event)
        if data and isinstance(event, MediaPacket) and 1_500 < event.timestamp < 3_500:
            feed.skip_to_key_frame()
        else:
            fed.append(data)
    done = run_child(
        ffmpeg,
        transcode_arguments(TranscodeParameters(video="encode", audio="encode", preset="ultrafast")),
        b"".join(fed),
    )
    packets = packets_of(done.stdout)
    sounds, pictures = frames(packets, MediaKind.AUDIO), frames(packets, MediaKind.VIDEO)
    before = packets_of(b"".join(fed))
    assert abs(lead_of_sound(packets, priming=1024 / 44.1) - lead_of_sound(before)) < 10
    assert max(packet.timestamp for packet in pictures) > 5_900
    assert abs(len(sounds) * 1024 / 44_100 - SECONDS) < 0.2
