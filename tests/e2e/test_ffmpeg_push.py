"""`ffmpeg_push` on a real server: every packet arrives at another server, also one that went away and came back."""

import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from tests.support.ffmpeg import AUDIO, GOP_FRAMES, VIDEO, Crew, Player, Recording, place_of
from tests.support.processes import Child
from tests.support.program import Launch, Program
from tests.support.waiting import eventually_answered
from tests.support.web import NGINX, NGINX_RTMP, start_nginx

pytestmark = pytest.mark.e2e

RTMP = "rtmp_app=live stream_key=* port="

with_nginx = pytest.mark.skipif(
    not (NGINX.exists() and NGINX_RTMP.exists()), reason="not installed: nginx, libnginx-mod-rtmp"
)


def relay(*steps: str, port: int = 0) -> str:
    """A workflow that receives, watches and has more steps between."""
    lines = ["workflow relay {", f"rtmp_receive {RTMP}{port}", *steps, f"rtmp_watch {RTMP}{port}"]
    return "\n    ".join(lines) + "\n}\n"


def push(target: str) -> str:
    """The step."""
    return f"ffmpeg_push target={target}"


def assert_contiguous(player: Player, recording: Recording) -> None:
    """Nothing is missing between the first packet and the last."""
    place_of(player.packets.video, recording.packets.video)
    place_of(player.packets.audio, recording.packets.audio)
    for stream in (VIDEO, AUDIO):
        assert player.times(stream) == sorted(set(player.times(stream)))


@pytest.fixture
async def nginx(nursery: trio.Nursery, tmp_path: Path, free_port: int) -> Callable[[], Awaitable[Child]]:
    """Starts nginx, always on the same port."""

    async def start() -> Child:
        return await start_nginx(nursery, tmp_path, free_port)

    return start


Nginx = Callable[[], Awaitable[Child]]


async def push_messages(program: Program) -> list[str]:
    """What the workflow's details say of pushed streams."""
    steps = (await program.status("relay"))["active_steps"]
    return [stream["message"] for step in steps for stream in step.get("streams", ())]


async def test_every_packet_is_pushed_to_a_second_server_from_the_first_to_the_last(
    launch: Launch, crew: Crew, clip: Recording
) -> None:
    target = await launch(relay())
    source = await launch(relay(push(target.url("pushed"))))
    there = await crew.play(target.url("pushed"))
    await target.logged("watcher joined")
    here = await crew.play(source.url())
    await source.logged("watcher joined")
    assert await (await crew.publish(clip, source.url())).end() == 0
    await target.logged("publisher left")
    for program, player in ((target, there), (source, here)):
        await program.delete("relay")
        assert await player.child.end() == 0
        assert player.packets == clip.packets
    assert source.count_logged("child ended") == 0


@with_nginx
async def test_every_packet_is_pushed_to_nginx(
    launch: Launch, crew: Crew, clip: Recording, nginx: Nginx, free_port: int
) -> None:
    server = await nginx()
    target = f"rtmp://127.0.0.1:{free_port}/live/pushed"
    source = await launch(relay(push(target)))
    there = await crew.play(target)
    await server.err.line("play: name='pushed'")
    assert await (await crew.publish(clip, source.url())).end() == 0
    await source.logged("publisher left")
    await server.err.line("deleteStream")
    await there.gets(len(clip.packets.video))
    server.send(signal.SIGTERM)  # a player keeps the last of the sound until it is sure that nothing else comes
    await there.child.end()
    assert there.packets == clip.packets


@with_nginx
async def test_pushing_goes_on_when_a_target_that_died_is_back(
    launch: Launch, crew: Crew, show: Recording, nginx: Nginx, free_port: int
) -> None:
    server = await nginx()
    target = f"rtmp://127.0.0.1:{free_port}/live/secret-key"
    source = await launch(relay(push(target)))
    here = await crew.play(source.url())
    await crew.publish(show, source.url())
    before = await crew.play(target)
    await before.gets(GOP_FRAMES)
    server.send(signal.SIGKILL)
    await server.end()
    await source.logged("child ended.*Connection refused")  # the second attempt at least: it was away for a while
    [message] = await eventually_answered(lambda: push_messages(source), "message")
    assert "Connection refused" in message
    assert "secret-key" not in message + source.child.err.text
    await nginx()
    after = await crew.play(target)
    await after.gets(GOP_FRAMES)
    for player in (before, after, here):
        assert_contiguous(player, show)
    assert show.packets.video.index(before.packets.video[-1]) < show.packets.video.index(after.packets.video[0])
    assert source.count_logged("watcher left|publisher left") == 0


async def test_pushing_goes_on_when_a_server_that_was_stopped_is_back(
    launch: Launch, crew: Crew, show: Recording, free_port: int
) -> None:
    target = await launch(relay(port=free_port))
    source = await launch(relay(push(target.url("pushed"))))
    here = await crew.play(source.url())
    await crew.publish(show, source.url())
    await target.logged("publisher joined")
    target.child.send(signal.SIGTERM)
    assert await target.child.end() == 0
    await source.logged("child ended")
    target = await launch(relay(port=free_port))
    there = await crew.play(target.url("pushed"))
    await there.gets(GOP_FRAMES)
    for player in (there, here):
        assert_contiguous(player, show)
    assert there.packets.video[0] in show.key_frames
    assert source.count_logged("watcher left|publisher left") == 0
