"""The program with a step of one's own: media goes through it, a capture is replayed, a signal changes it."""

import signal
from pathlib import Path

import pytest
import trio

from tests.support.ffmpeg import GOP_FRAMES, Crew, Recording
from tests.support.plugins import LISTED, STUDIO
from tests.support.program import run_program, serve

pytestmark = pytest.mark.e2e

WORKFLOW = """workflow live {
    rtmp_receive rtmp_app=live stream_key=* port=0
    passing after=2s
    rtmp_watch rtmp_app=live stream_key=* port=0
}
"""


@pytest.fixture(autouse=True)
def studio(tmp_path: Path) -> Path:
    """The module, beside the configuration file."""
    (tmp_path / "studio.py").write_text(STUDIO + LISTED)
    return tmp_path


async def test_media_goes_through_a_step_of_a_module_and_a_capture_of_it_is_replayed(
    nursery: trio.Nursery, tmp_path: Path, crew: Crew, show: Recording
) -> None:
    command = ["capture", "--out", "tape", "--load", "studio"]
    server = await serve(nursery, tmp_path, WORKFLOW, command=command)
    await crew.publish(show, server.url())
    await server.logged("publisher joined")
    player = await crew.play(server.url())
    await player.gets(GOP_FRAMES)
    assert (await server.put(WORKFLOW.replace("live {", "other {").replace("=live", "=other"))).status == 200
    server.child.send(signal.SIGTERM)
    assert await server.child.end() == 0
    replay = await run_program(nursery, tmp_path, "replay", "tape", "--load", "studio")
    assert await replay.end() == 0, replay.err.text
    assert "event stream_began(" in replay.out.text


async def test_a_signal_changes_a_step_of_the_setting_and_loads_no_other_module(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    (tmp_path / "other.py").write_text("raise Exception('imported')\n")
    server = await serve(nursery, tmp_path, WORKFLOW, settings="load studio")
    file = trio.Path(tmp_path / "mmids.config")
    text = await file.read_text()
    await file.write_text(text.replace("after=2s", "after=3s").replace("load studio", "load studio,other"))
    server.child.send(signal.SIGHUP)
    await server.logged("settings need a restart.*load")
    await server.logged("configuration reloaded")
    [_, step, _] = (await server.status("live"))["active_steps"]
    assert step["parameters"] == {"after": "3s"}
    server.child.send(signal.SIGTERM)
    assert await server.child.end() == 0
    again = await run_program(nursery, tmp_path)
    assert await again.end() == 1
    first, *pointer = again.err.text.splitlines()
    assert "mmids.config:3:10: cannot load the module 'other': Exception: imported (" in first
    assert pointer == ["        load studio,other", "             ^"]
