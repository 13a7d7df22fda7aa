"""File descriptors run out under attack: accepting pauses and goes on, and who is connected does not notice."""

import os
import resource
from contextlib import AsyncExitStack

import pytest
import trio

from tests.support.ffmpeg import Crew, Recording, place_of
from tests.support.program import Launch, Program
from tests.support.waiting import eventually_answered

pytestmark = pytest.mark.e2e

WORKFLOW = """workflow live {
    rtmp_receive rtmp_app=live stream_key=* port=0
    rtmp_watch rtmp_app=live stream_key=* port=0
}
"""
SPARE_FILES = 20
ATTACKERS = 60


def leave_files(program: Program, count: int) -> None:
    """Let the server open so many files more; it had more when it started, and counts on them."""
    pid = program.child.process.pid
    limit = max(int(name) for name in os.listdir(f"/proc/{pid}/fd")) + 1 + count
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, hard))


async def test_when_no_file_is_left_accepting_pauses_and_goes_on(launch: Launch, crew: Crew, show: Recording) -> None:
    program = await launch(WORKFLOW)
    await crew.publish(show, program.url())
    await program.logged("publisher joined")
    player = await crew.play(program.url())
    await player.gets(1)
    leave_files(program, SPARE_FILES)
    async with AsyncExitStack() as attackers:
        for _ in range(ATTACKERS):
            await attackers.enter_async_context(await trio.open_tcp_stream("127.0.0.1", program.rtmp_port))
        line = await program.logged("connections cannot be accepted for now")
        assert "Too many open files" in line
        await player.gets_more()
        assert program.child.is_running

    async def api_answers() -> bool:
        return (await program.get("/")).status == 200

    await eventually_answered(api_answers, "answer of the API")
    await player.gets_more()
    late = await crew.play(program.url())
    await late.gets(10)
    place_of(player.packets.video, show.packets.video)
    place_of(player.packets.audio, show.packets.audio)
    assert program.count_logged("connections cannot be accepted for now") < ATTACKERS
    assert program.count_logged("publisher left|watcher left|crashed") == 0


async def test_connections_beyond_the_limit_are_closed_and_leave_files_for_everything_else(
    launch: Launch, crew: Crew, show: Recording
) -> None:
    program = await launch(WORKFLOW, settings="max_connections 10")
    await crew.publish(show, program.url())
    player = await crew.play(program.url())
    await player.gets(1)
    async with AsyncExitStack() as attackers:
        streams = [await trio.open_tcp_stream("127.0.0.1", program.rtmp_port) for _ in range(ATTACKERS)]
        for stream in streams:
            await attackers.enter_async_context(stream)
        with trio.fail_after(20):
            assert await streams[-1].receive_some(1) == b""
        await player.gets_more()
        assert (await program.get("/")).status == 200
    await program.logged("too many connections, new ones are closed at once")
    assert program.count_logged("too many connections, new ones are closed at once") == 1
    late = await crew.play(program.url())
    await late.gets(10)
