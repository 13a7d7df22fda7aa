"""A real ffmpeg under supervision: what it writes is complete, however it is ended."""

import os
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest
import trio

from mmids_trio.ffmpeg.arguments import transcode_arguments
from mmids_trio.ffmpeg.locations import LARGEST_PICTURE
from mmids_trio.ffmpeg.parameters import TranscodeParameters
from mmids_trio.ffmpeg.process import ChildInput, ChildOutput
from mmids_trio.ffmpeg.spawning import USUAL_LIMITS, ChildLimits, SystemSpawner
from mmids_trio.ffmpeg.stderr_log import StderrLog
from mmids_trio.ffmpeg.supervisor import Supervisor
from tests.support.waiting import eventually

FFMPEG = shutil.which("ffmpeg") or ""

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(not FFMPEG, reason="no ffmpeg on PATH")]

linux = pytest.mark.skipif(sys.platform != "linux", reason="the limits of children are Linux'")

QUIET = [FFMPEG, "-nostdin", "-nostats", "-hide_banner", "-y"]
PICTURES = ["-f", "lavfi", "-i", "testsrc=size=160x120:rate=25"]


def supervisor(arguments: list[str], log: Path, **hooks: object) -> Supervisor:
    return Supervisor(
        arguments=lambda: [*QUIET, *arguments],
        spawner=SystemSpawner(),
        stderr=StderrLog(log),
        random=lambda: 0.0,
        **hooks,  # type: ignore[arg-type]  # hooks of two kinds
    )


async def decode(file: Path) -> bytes:
    """What a decoder has to say against `file`, which it reads to the end."""
    command = [FFMPEG, "-v", "error", "-i", str(file), "-f", "null", "-"]
    return (await trio.run_process(command, capture_stderr=True, capture_stdout=True)).stderr


LARGE = ["-f", "lavfi", "-i", "color=size=4096x4096:rate=25"]
ENCODES = ["-c:v", "libx264", "-preset", "veryfast", "-f", "null", "-"]


async def encode_large(tmp_path: Path, limits: ChildLimits) -> Supervisor:
    watched = supervisor([*LARGE, "-frames:v", "2", *ENCODES], tmp_path / "log")
    watched.spawner = SystemSpawner(limits=limits)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watched.run)
        await eventually(lambda: watched.state.message is not None, "end of the encoder")
        nursery.cancel_scope.cancel()
    return watched


@linux
async def test_an_encoder_that_wants_more_memory_than_a_child_may_have_ends_and_says_so(tmp_path: Path) -> None:
    watched = await encode_large(tmp_path, ChildLimits(data_bytes=200 * 2**20))
    assert "ffmpeg exited with status 0" not in (watched.state.message or "")
    assert re.search("annot allocate memory|malloc of size", watched.state.message or "")


@linux
async def test_what_a_child_may_have_is_enough_for_large_pictures(tmp_path: Path) -> None:
    watched = await encode_large(tmp_path, USUAL_LIMITS)
    assert (watched.state.message or "").startswith("ffmpeg exited with status 0")


@linux
async def test_a_running_ffmpeg_has_the_limits_of_a_child(tmp_path: Path) -> None:
    limits, niceness = "", ""

    async def read(stdout: ChildOutput) -> None:
        nonlocal limits, niceness
        await stdout.receive_some(100)
        process = Path(f"/proc/{watched.state.pid}")
        limits, niceness = (process / "limits").read_text(), (process / "stat").read_text().split()[18]
        nursery.cancel_scope.cancel()

    watched = supervisor(["-re", *PICTURES, "-f", "rawvideo", "pipe:1"], tmp_path / "log", read=read)
    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.deadline = trio.current_time() + 20
        nursery.start_soon(watched.run)
    hard = {line[:26].strip(): line[26:].split()[1] for line in limits.splitlines()[1:]}
    assert hard["Max data size"] == str(USUAL_LIMITS.data_bytes)
    assert hard["Max address space"] == str(USUAL_LIMITS.address_space_bytes)
    assert hard["Max open files"] == str(USUAL_LIMITS.files)
    assert hard["Max core file size"] == "0"
    assert niceness == str(min(os.nice(0) + USUAL_LIMITS.niceness, 19))


async def test_a_picture_beyond_the_limit_is_not_decoded(tmp_path: Path) -> None:
    source = tmp_path / "large.flv"
    small = [*QUIET, "-f", "lavfi", "-i", "color=size=640x360:rate=25", "-t", "1", "-c:v", "libx264", str(source)]
    await trio.run_process(small, capture_stderr=True)
    arguments = transcode_arguments(TranscodeParameters(video="encode", audio="drop", preset="ultrafast"))
    for limit, refused in ((str(640 * 360), False), (str(640 * 359), True)):
        bounded = [limit if argument == str(LARGEST_PICTURE) else argument for argument in arguments]
        done = await trio.run_process(
            [FFMPEG, *bounded], stdin=source.read_bytes(), capture_stdout=True, capture_stderr=True, check=False
        )
        assert (b"exceeds specified max pixel count" in done.stderr) == refused
        assert (done.returncode != 0) == refused


@pytest.mark.parametrize(("largest", "made"), [((640, 360), b"640,360"), ((320, 320), b"320,180")])
async def test_encoded_pictures_are_no_larger_than_they_count_for(
    largest: tuple[int, int], made: bytes, tmp_path: Path
) -> None:
    source = tmp_path / "source.flv"
    await trio.run_process(
        [*QUIET, "-f", "lavfi", "-i", "color=size=640x360:rate=25", "-t", "1", "-c:v", "libx264", str(source)],
        capture_stderr=True,
    )
    arguments = transcode_arguments(TranscodeParameters(video="encode", audio="drop", preset="ultrafast"), largest)
    done = await trio.run_process(
        [FFMPEG, *arguments], stdin=source.read_bytes(), capture_stdout=True, capture_stderr=True
    )
    probe = ["ffprobe", "-v", "error", "-show_entries", "stream=width,height", "-of", "csv=p=0", "-"]
    assert (await trio.run_process(probe, stdin=done.stdout, capture_stdout=True)).stdout.strip() == made


async def test_a_file_is_complete_after_the_interrupt(tmp_path: Path) -> None:
    """An MP4 file without its last part cannot be read at all."""
    file = tmp_path / "out.mp4"
    arguments = ["-re", *PICTURES, "-c:v", "mpeg4", str(file), "-map", "0", "-f", "rawvideo", "pipe:1"]
    async with trio.open_nursery() as nursery:

        async def read(stdout: ChildOutput) -> None:
            await stdout.receive_some(100)
            nursery.cancel_scope.cancel()

        watched = supervisor(arguments, tmp_path / "log", read=read)
        nursery.cancel_scope.deadline = trio.current_time() + 20
        nursery.start_soon(watched.run)
    assert await decode(file) == b""
    assert watched.state.starts == 1


async def test_a_playlist_ends_when_the_input_does(tmp_path: Path) -> None:
    source = tmp_path / "source.ts"
    await trio.run_process(
        [*QUIET, *PICTURES, "-t", "3", "-g", "25", "-c:v", "mpeg4", str(source)], capture_stderr=True
    )
    media = source.read_bytes()

    async def feed(stdin: ChildInput) -> None:
        await stdin.send_all(media)

    playlist = tmp_path / "live.m3u8"
    arguments = ["-f", "mpegts", "-i", "pipe:0", "-c", "copy", "-f", "hls", "-hls_time", "1", str(playlist)]
    watched = supervisor(arguments, tmp_path / "log", feed=feed)
    with trio.fail_after(20):
        await watched.run()
    assert playlist.read_text().rstrip().endswith("#EXT-X-ENDLIST")
    assert await decode(playlist) == b""
    assert (watched.state.starts, watched.state.message) == (1, None)


async def first_asked(location: str, proxy: str | None, listeners: dict[str, trio.SocketListener]) -> tuple[str, bytes]:
    """Which of the listeners a child that reads `location` connects to first, and what it asks there."""
    asked: list[tuple[str, bytes]] = []

    async def accept(name: str, listener: trio.SocketListener, nursery: trio.Nursery) -> None:
        async with await listener.accept() as stream:
            asked.append((name, bytes(await stream.receive_some(1000))))
        nursery.cancel_scope.cancel()

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            for name, listener in listeners.items():
                nursery.start_soon(accept, name, listener, nursery)
            command = [*QUIET, "-i", location, "-f", "null", "-"]
            child = await SystemSpawner(proxy=proxy).spawn(command, stdin=False, stdout=False)
    child.send_signal(signal.SIGKILL)
    await child.wait()
    child.close()
    return asked[0]


@pytest.mark.parametrize(
    ("host", "with_proxy", "asked"),
    [
        ("127.0.0.1", False, "source"),
        ("127.0.0.1", True, "source"),
        ("127.8.0.1", True, "source"),
        ("localhost", True, "source"),
        ("media.example", True, "proxy"),
    ],
)
async def test_only_the_proxy_of_the_setting_is_asked_and_never_for_loopback(
    host: str, with_proxy: bool, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("source", "proxy", "foreign")
    listeners = {name: (await trio.open_tcp_listeners(0, host="0.0.0.0"))[0] for name in names}
    ports = {name: listener.socket.getsockname()[1] for name, listener in listeners.items()}
    for variable in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(variable, f"http://127.0.0.1:{ports['foreign']}")
    proxy = f"http://127.0.0.1:{ports['proxy']}" if with_proxy else None
    name, request = await first_asked(f"http://{host}:{ports['source']}/a.ts", proxy, listeners)
    for listener in listeners.values():
        await listener.aclose()
    assert name == asked
    assert request.startswith(b"GET http://media.example:" if asked == "proxy" else b"GET /a.ts ")
