"""Publishers and players of GStreamer, mpv and VLC: one stream each way, compared packet by packet where that can be.

Each test runs where its program is installed; docs/interoperability.md says which these are.
"""

import os
import shutil
from pathlib import Path
from tempfile import gettempdir

import pytest
import trio

from tests.support.ffmpeg import GOP_FRAMES, Crew, Recording, in_order, place_of, probe
from tests.support.processes import start
from tests.support.program import Launch
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

WORKFLOW = """workflow live {
    rtmp_receive rtmp_app=live stream_key=* port=0
    rtmp_watch rtmp_app=live stream_key=* port=0
}
"""

NOBODY = 65534
STORED_BYTES = 20_000
"""About a second of the recording."""

PICTURE = "videotestsrc is-live=true ! video/x-raw,width=160,height=90,framerate=30/1"
SOUND = "audiotestsrc is-live=true wave=white-noise ! voaacenc ! aacparse"
ENCODED = f"{PICTURE} ! x264enc tune=zerolatency key-int-max={GOP_FRAMES} bitrate=200 ! h264parse"


def needs(program: str, package: str) -> pytest.MarkDecorator:
    """Only where the program is."""
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"not installed: {package}")


gstreamer = needs("gst-launch-1.0", "gstreamer1.0-tools, gstreamer1.0-plugins-good, -bad and -ugly")


def pipeline(text: str) -> list[str]:
    """GStreamer, running it to its end."""
    return ["gst-launch-1.0", "-q", *text.split()]


@pytest.fixture
async def on_air(launch: Launch, crew: Crew, show: Recording) -> str:
    """Where `show` is being published."""
    program = await launch(WORKFLOW)
    await crew.publish(show, program.url())
    await program.logged("publisher joined")
    return program.url()


@gstreamer
@pytest.mark.parametrize("sink", ["rtmp2sink", "rtmpsink"])
async def test_what_gstreamer_publishes_plays_without_a_flaw(
    launch: Launch, nursery: trio.Nursery, crew: Crew, sink: str
) -> None:
    program = await launch(WORKFLOW)
    sending = f"{ENCODED} ! flvmux name=mux streamable=true ! {sink} location={program.url()} {SOUND} ! mux."
    await start(nursery, pipeline(sending))
    await program.logged("publisher joined")
    decoder = await crew.decode(program.url(), GOP_FRAMES)
    assert (await decoder.end(), decoder.err.text) == (0, "")
    tracks = await crew.list_tracks(program.url())
    assert await tracks.end() == 0
    assert sorted(tracks.out.lines) == ["aac,audio", "h264,video"]


@gstreamer
@pytest.mark.parametrize("source", ["rtmp2src", "rtmpsrc"])
async def test_gstreamer_plays_what_was_published(
    nursery: trio.Nursery, on_air: str, show: Recording, *, tmp_path: Path, source: str
) -> None:
    file = tmp_path / "played.flv"
    await start(nursery, pipeline(f"{source} location={on_air} ! filesink buffer-mode=2 location={file}"))
    await eventually(lambda: file.exists() and file.stat().st_size > STORED_BYTES, "media")
    assert_was_published(file, show)


@needs("mpv", "mpv")
async def test_mpv_plays_what_was_published(
    nursery: trio.Nursery, on_air: str, show: Recording, tmp_path: Path
) -> None:
    file = tmp_path / "played.flv"
    quiet = ["--no-config", "--vo=null", "--ao=null", "--msg-level=all=error"]
    player = await start(nursery, ["mpv", *quiet, f"--frames={GOP_FRAMES}", f"--stream-record={file}", on_air])
    assert (await player.end(), player.out.text + player.err.text) == (0, "")
    assert_was_published(file, show)


@needs("cvlc", "vlc-bin, vlc-plugin-base")
async def test_vlc_plays_what_was_published(
    nursery: trio.Nursery, on_air: str, show: Recording, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    file = home / "played.flv"
    storing = f"#std{{access=file,mux=ffmpeg{{mux=flv}},dst={file}}}"
    command = ["cvlc", "--quiet", "--intf", "dummy", "--run-time=2", "--sout", storing, on_air, "vlc://quit"]
    if os.geteuid() == 0:  # as whom VLC does not run
        for place in [home, *home.parents]:
            if place == Path(gettempdir()):
                break
            place.chmod(0o755)
        os.chown(home, NOBODY, NOBODY)
        command = ["setpriv", f"--reuid={NOBODY}", "--clear-groups", *command]
    player = await start(nursery, command, environment={"HOME": str(home)})
    assert await player.end() == 0, player.err.text
    packets = in_order(probe(file))
    assert len(packets.video) >= GOP_FRAMES  # in another form than they came in
    place_of(packets.audio, show.packets.audio)


def assert_was_published(file: Path, show: Recording) -> None:
    """What a player stored is part of the recording, from a key frame on."""
    packets = in_order(probe(file))
    video = packets.video[:-1]  # the last may be cut short
    assert len(video) >= GOP_FRAMES // 2
    assert video[0] in show.key_frames
    place_of(video, show.packets.video)
    place_of(packets.audio[:-1], show.packets.audio)
