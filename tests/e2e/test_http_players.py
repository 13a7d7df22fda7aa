"""Players that are no browsers, over HTTP: mpv and both ffmpegs decode what is published, as HLS and as FLV."""

import shutil

import pytest
import trio

from tests.support.ffmpeg import GOP_FRAMES, Crew, Recording
from tests.support.ffmpeg_runs import executables
from tests.support.processes import start
from tests.support.program import Launch

pytestmark = pytest.mark.e2e

SHOW = """
workflow show {
    rtmp_receive rtmp_app=live stream_key=* port=0
    http_watch app=live stream_key=* port=%d
}
"""
ENDINGS = pytest.mark.parametrize("ending", ["/index.m3u8", ".flv"], ids=["hls", "flv"])


@pytest.fixture
async def on_air(launch: Launch, crew: Crew, show: Recording, free_port: int) -> str:
    """The address of the page of a stream that is published."""
    program = await launch(SHOW % free_port)
    await crew.publish(show, program.url())
    await program.logged("publisher joined")
    return f"http://127.0.0.1:{free_port}/live/show"


@ENDINGS
@pytest.mark.skipif(shutil.which("mpv") is None, reason="not installed: mpv")
async def test_mpv_plays_what_is_published(nursery: trio.Nursery, on_air: str, ending: str) -> None:
    quiet = ("--no-config", "--vo=null", "--ao=null", "--msg-level=all=error")
    player = await start(nursery, ["mpv", *quiet, f"--frames={2 * GOP_FRAMES}", on_air + ending])
    assert (await player.end(), player.out.text + player.err.text) == (0, "")


@ENDINGS
@pytest.mark.parametrize("ffmpeg", executables(), ids=["installed", "bundled"])
async def test_ffmpeg_decodes_what_is_published(crew: Crew, on_air: str, ending: str, ffmpeg: str) -> None:
    decoder = await crew.decode(on_air + ending, 2 * GOP_FRAMES, ffmpeg)
    assert (await decoder.end(), decoder.err.text) == (0, "")
