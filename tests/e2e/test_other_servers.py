"""nginx-rtmp and Node-Media-Server as neighbours: they push to this server and pull from it, byte for byte."""

import json
import os
import shutil
from pathlib import Path

import pytest
import trio

from tests.support.ffmpeg import GOP_FRAMES, Crew, Player, Recording, place_of
from tests.support.processes import Child, start
from tests.support.program import Launch
from tests.support.web import NGINX, NGINX_RTMP, start_nginx

pytestmark = pytest.mark.e2e

WORKFLOW = """workflow live {
    rtmp_receive rtmp_app=live stream_key=* port=0
    rtmp_watch rtmp_app=live stream_key=* port=0
}
"""

MODULES = Path(os.environ.get("NODE_PATH") or "node_modules")
NODE_MEDIA_SERVER = MODULES / "node-media-server"

_RELAY = """
const Server = require(process.argv[1]);
const server = new Server({{ bind: "127.0.0.1", rtmp: {{ port: {port} }}, store: {{ path: {store} }} }});
const task = () => server.relayServer.addTask({task});
server.on("postPublish", (session) => {{ if (session.streamPath === {after}) task(); }});
server.run().then(() => {{ if ({at_once}) task(); console.error("relay is up"); }});
"""

with_nginx = pytest.mark.skipif(
    not (NGINX.exists() and NGINX_RTMP.exists()), reason="not installed: nginx, libnginx-mod-rtmp"
)
with_node = pytest.mark.skipif(
    shutil.which("node") is None or not NODE_MEDIA_SERVER.is_dir(),
    reason="not installed: node, and node-media-server in NODE_PATH (npm install node-media-server@4)",
)


async def assert_plays(player: Player, show: Recording) -> None:
    """Two seconds of it are what was published."""
    await player.gets(2 * GOP_FRAMES)
    assert player.packets.video[0] in show.key_frames
    place_of(player.packets.video, show.packets.video)
    place_of(player.packets.audio, show.packets.audio)


async def start_node(nursery: trio.Nursery, directory: Path, port: int, task: dict[str, str]) -> Child:
    """A Node-Media-Server with one relay task; a push begins with its stream, as it would otherwise push nothing."""
    is_push = task.get("mode") == "push"
    after, at_once = task["streamPath"] if is_push else "", bool(task) and not is_push
    store, *words = (json.dumps(value) for value in (str(directory / "store"), task, after, at_once))
    script = _RELAY.format(port=port, store=store, task=words[0], after=words[1], at_once=words[2])
    command = ["node", "-e", script, str(NODE_MEDIA_SERVER.absolute())]
    child = await start(nursery, command, directory=directory)
    await child.err.line("relay is up")
    return child


@with_nginx
async def test_nginx_pushes_to_this_server(
    launch: Launch, nursery: trio.Nursery, crew: Crew, show: Recording, *, tmp_path: Path, free_port: int
) -> None:
    program = await launch(WORKFLOW)
    await start_nginx(nursery, tmp_path, free_port, f"push {program.url('pushed')};")
    await crew.publish(show, f"rtmp://127.0.0.1:{free_port}/live/show")
    await program.logged("publisher joined")
    await assert_plays(await crew.play(program.url("pushed")), show)


@with_nginx
async def test_nginx_pulls_from_this_server(
    launch: Launch, nursery: trio.Nursery, crew: Crew, show: Recording, *, tmp_path: Path, free_port: int
) -> None:
    program = await launch(WORKFLOW)
    await crew.publish(show, program.url())
    await program.logged("publisher joined")
    await start_nginx(nursery, tmp_path, free_port, f"pull {program.url()} name=pulled;")
    await assert_plays(await crew.play(f"rtmp://127.0.0.1:{free_port}/live/pulled"), show)


@with_node
async def test_node_media_server_pushes_to_this_server(
    launch: Launch, nursery: trio.Nursery, crew: Crew, show: Recording, *, tmp_path: Path, free_port: int
) -> None:
    program = await launch(WORKFLOW)
    task = {"mode": "push", "url": program.url("pushed"), "streamPath": "/live/show"}
    await start_node(nursery, tmp_path, free_port, task)
    await crew.publish(show, f"rtmp://127.0.0.1:{free_port}/live/show")
    await program.logged("publisher joined")
    await assert_plays(await crew.play(program.url("pushed")), show)


@with_node
async def test_node_media_server_pulls_from_this_server(
    launch: Launch, nursery: trio.Nursery, crew: Crew, show: Recording, *, tmp_path: Path, free_port: int
) -> None:
    program = await launch(WORKFLOW)
    task = {"mode": "pull", "url": program.url(), "streamPath": "/live/pulled"}
    await start_node(nursery, tmp_path, free_port, task)
    await program.logged("watcher joined")  # before the stream: what comes with the answer to `play` it throws away
    await crew.publish(show, program.url())
    await program.logged("publisher joined")
    await assert_plays(await crew.play(f"rtmp://127.0.0.1:{free_port}/live/pulled"), show)


@with_node
@pytest.mark.parametrize("step", ["rtmp_push", "ffmpeg_push"])
async def test_a_push_to_node_media_server_plays_there(
    launch: Launch, nursery: trio.Nursery, crew: Crew, show: Recording, *, tmp_path: Path, free_port: int, step: str
) -> None:
    await start_node(nursery, tmp_path, free_port, {})
    target = f"rtmp://127.0.0.1:{free_port}/live/pushed"
    program = await launch(WORKFLOW.replace("    rtmp_watch", f"    {step} target={target}\n    rtmp_watch"))
    player = await crew.play(target)
    await crew.publish(show, program.url())
    await assert_plays(player, show)


@with_nginx
async def test_a_native_push_to_nginx_plays_there(
    launch: Launch, nursery: trio.Nursery, crew: Crew, show: Recording, *, tmp_path: Path, free_port: int
) -> None:
    await start_nginx(nursery, tmp_path, free_port)
    target = f"rtmp://127.0.0.1:{free_port}/live/pushed"
    program = await launch(WORKFLOW.replace("    rtmp_watch", f"    rtmp_push target={target}\n    rtmp_watch"))
    player = await crew.play(target)
    await crew.publish(show, program.url())
    await assert_plays(player, show)
