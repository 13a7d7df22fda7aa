"""Sources and targets do in a real ffmpeg what their arguments say."""

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import pytest

from mmids_trio.ffmpeg.arguments import (
    pull_arguments,
    push_arguments,
)
from mmids_trio.ffmpeg.media_pipe import ChildMedia
from mmids_trio.ffmpeg.parameters import PullParameters, PushParameters
from mmids_trio.media.events import MediaKind, MediaPacket, StreamId
from tests.support.ffmpeg_runs import TIMEOUT, feed_of, frames, packets_of, run, run_child

pytestmark = pytest.mark.e2e


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The URL of a web server that serves `tmp_path`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *_: object) -> None:
        """Say nothing."""


def test_a_file_is_pulled_over_and_over_and_time_goes_on(ffmpeg: str, flv: Path, tmp_path: Path) -> None:
    path = tmp_path / "-a:b %d.mp4"
    run("ffmpeg", "-v", "error", "-t", "0.5", "-i", str(flv), "-c", "copy", f"file:{path}")
    arguments = pull_arguments(PullParameters(f"file:{path}", "name", loop=True))
    media = ChildMedia(StreamId("s"))
    media.begin()
    pictures: list[MediaPacket] = []
    with subprocess.Popen([ffmpeg, *arguments], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        while len(pictures) < 40 and (data := os.read(child.stdout.fileno(), 65_536)):
            packets = [event for event in media.receive(data) if isinstance(event, MediaPacket)]
            pictures += frames(packets, MediaKind.VIDEO)
        child.kill()
    timestamps = [packet.timestamp for packet in pictures]
    assert all(before < after for before, after in pairwise(timestamps))
    assert 1_000 < timestamps[-1] < 3_000
    assert len({packet.data for packet in pictures}) < len(pictures) / 2


def test_hls_is_pulled_from_the_web(ffmpeg: str, flv: Path, tmp_path: Path, web: str) -> None:
    run("ffmpeg", "-v", "error", "-t", "1", "-i", str(flv), "-c", "copy", "-hls_time", "1", f"{tmp_path}/a.m3u8")
    done = run_child(ffmpeg, pull_arguments(PullParameters(f"{web}/a.m3u8", "name")))
    assert (done.returncode, done.stderr) == (0, b"")
    pulled, original = packets_of(done.stdout), packets_of(flv.read_bytes())
    sounds = [packet.data for packet in frames(pulled, MediaKind.AUDIO)]
    assert sounds == [packet.data for packet in frames(original, MediaKind.AUDIO)][: len(sounds)]
    assert len(sounds) > 30
    assert len(frames(pulled, MediaKind.VIDEO)) >= 20


def test_a_playlist_from_the_web_reads_no_local_files(ffmpeg: str, flv: Path, tmp_path: Path, web: str) -> None:
    secret = tmp_path / "secret.ts"
    run("ffmpeg", "-v", "error", "-t", "1", "-i", str(flv), "-c", "copy", str(secret))
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n{}\n#EXT-X-ENDLIST\n"
    (tmp_path / "files.m3u8").write_text(playlist.format(f"file://{secret}"))
    arguments = pull_arguments(PullParameters(f"{web}/files.m3u8", "name"))
    done = run_child(ffmpeg, arguments)
    assert done.returncode != 0
    assert done.stdout == b""
    assert b"Protocol 'file' not on whitelist" in done.stderr
    place = arguments.index("-protocol_whitelist") + 1
    allowed = [*arguments[:place], arguments[place] + ",file", *arguments[place + 1 :]]
    assert packets_of(run_child(ffmpeg, allowed).stdout)  # which is all that keeps it away


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1:9/a", "https://127.0.0.1:9/a", "tcp://127.0.0.1:9"),
        *("rtmp://127.0.0.1:9/a/b", "rtmps://127.0.0.1:9/a/b", "rtmpt://127.0.0.1:9/a/b"),
        *("rtsp://127.0.0.1:9/a", "rtsps://127.0.0.1:9/a"),
    ],
)
def test_every_protocol_takes_its_options_and_says_when_nobody_is_there(ffmpeg: str, flv: Path, url: str) -> None:
    for arguments in (pull_arguments(PullParameters(url, "name")), push_arguments(PushParameters(url))):
        done = run_child(ffmpeg, arguments, flv.read_bytes())
        assert done.returncode != 0
        assert b"refused" in done.stderr
        assert b"ption" not in done.stderr


def test_udp_is_written_whether_or_not_anybody_listens(ffmpeg: str, flv: Path) -> None:
    done = run_child(ffmpeg, push_arguments(PushParameters("udp://127.0.0.1:9")), flv.read_bytes())
    assert done.returncode == 0


def test_srt_takes_its_options_and_says_when_nobody_is_there(ffmpeg: str) -> None:
    arguments = pull_arguments(PullParameters("srt://127.0.0.1:9?connect_timeout=200", "name"))
    with subprocess.Popen([ffmpeg, *arguments], stderr=subprocess.PIPE) as child:
        assert child.stderr is not None
        assert b"Connection to srt://127.0.0.1:9" in child.stderr.readline()
        child.kill()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def test_packets_are_pushed_unchanged(ffmpeg: str, flv: Path) -> None:
    target = f"rtmp://127.0.0.1:{free_port()}/app/key with spaces -y"
    arguments = push_arguments(PushParameters(target))
    listen = ["ffmpeg", "-v", "error", "-listen", "1", "-i", target, "-c", "copy", "-f", "flv", "pipe:1"]
    with subprocess.Popen(listen, stdout=subprocess.PIPE) as listener:
        # It is ready when a push succeeds; a refused one is over at once.
        while run_child(ffmpeg, arguments, feed_of(flv)).returncode != 0:
            assert listener.poll() is None
        received, _ = listener.communicate(timeout=TIMEOUT)
    for kind in MediaKind.VIDEO, MediaKind.AUDIO:
        before, after = frames(packets_of(feed_of(flv)), kind), frames(packets_of(received), kind)
        assert [packet.data for packet in after] == [packet.data for packet in before]
