"""OBS Studio on a screen that does not exist: what it publishes, it has been told to by its files alone."""

import json
import shutil
from pathlib import Path

import pytest
import trio

from tests.support.ffmpeg import GOP_FRAMES, Crew
from tests.support.processes import start
from tests.support.program import Launch, Program

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        not (shutil.which("obs") and shutil.which("Xvfb")),
        reason="not installed: obs-studio, xvfb",
    ),
]

WORKFLOW = """workflow live {
    rtmp_receive rtmp_app=live/room stream_key=* port=0
    rtmp_watch rtmp_app=live/room stream_key=* port=0
}
"""

NAME = "test"
GLOBAL = f"""[General]
FirstRun=true
EnableAutoUpdates=false
[Basic]
Profile={NAME}
ProfileDir={NAME}
SceneCollection={NAME}
SceneCollectionFile={NAME}
"""
PROFILE = f"""[General]
Name={NAME}
[Video]
BaseCX=320
BaseCY=180
OutputCX=320
OutputCY=180
FPSCommon=30
[Output]
Mode=Simple
[SimpleOutput]
VBitrate=300
StreamEncoder=x264
"""
SCENE = {
    "name": NAME,
    "current_scene": "Scene",
    "current_program_scene": "Scene",
    "scene_order": [{"name": "Scene"}],
    "sources": [{"id": "scene", "name": "Scene", "settings": {"items": [], "id_counter": 0}}],
}


def configure(home: Path, program: Program) -> None:
    """Write what OBS asks its user for."""
    root = home / ".config" / "obs-studio"
    profile, scenes = root / "basic" / "profiles" / NAME, root / "basic" / "scenes"
    profile.mkdir(parents=True)
    scenes.mkdir()
    (root / "global.ini").write_text(GLOBAL)
    (profile / "basic.ini").write_text(PROFILE)
    server = {"server": f"rtmp://127.0.0.1:{program.rtmp_port}/live/room", "key": "show?token=a+b", "use_auth": False}
    (profile / "service.json").write_text(json.dumps({"type": "rtmp_custom", "settings": server}))
    (scenes / f"{NAME}.json").write_text(json.dumps(SCENE))


async def test_what_obs_publishes_plays_without_a_flaw(
    launch: Launch, nursery: trio.Nursery, crew: Crew, tmp_path: Path
) -> None:
    program = await launch(WORKFLOW)
    configure(tmp_path, program)
    screen = await start(nursery, ["Xvfb", "-displayfd", "1", "-nolisten", "tcp"])
    display = f":{await screen.out.line('[0-9]+')}"
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / ".config")}
    command = ["obs", "--startstreaming", "--multi", "--profile", NAME, "--collection", NAME]
    await start(nursery, command, environment={**home, "DISPLAY": display, "LIBGL_ALWAYS_SOFTWARE": "1"})
    await program.logged("publisher joined.*stream=.?show")
    decoder = await crew.decode(program.url(app="live/room"), GOP_FRAMES)
    assert (await decoder.end(), decoder.err.text) == (0, "")
    tracks = await crew.list_tracks(program.url(app="live/room"))
    assert await tracks.end() == 0
    assert sorted(tracks.out.lines) == ["aac,audio", "h264,video"]
