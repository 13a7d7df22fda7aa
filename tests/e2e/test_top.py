"""`top` in a pseudo terminal, over a real server: the table, keys that sort, kick and quit; lines without one."""

import fcntl
import os
import struct
import termios

import pytest
import trio

from tests.support.commands import as_process
from tests.support.ffmpeg import Crew, Recording
from tests.support.program import ROOT, Launch

pytestmark = pytest.mark.e2e

SHOW = """
workflow show {
    rtmp_receive rtmp_app=live stream_key=* port=0
    rtmp_watch rtmp_app=live stream_key=* port=0
}
"""


async def read_until(terminal: int, wanted: bytes) -> bytes:
    """Ends with the deadline around it, whether or not anything more is written."""
    seen = b""
    while wanted not in seen:
        seen += await trio.to_thread.run_sync(os.read, terminal, 65536, abandon_on_cancel=True)
    return seen


def opened(columns: int, lines: int) -> tuple[int, int]:
    """A terminal of that size: the side of who looks at it, and the side of the program."""
    terminal, end = os.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    return terminal, end


async def test_the_table_on_a_terminal_shows_sorts_kicks_and_quits(launch: Launch, crew: Crew, show: Recording) -> None:
    program = await launch(SHOW)
    publisher = await crew.publish(show, program.url("night"))
    await program.logged("publisher joined")
    terminal, end = opened(80, 24)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MMIDS_SERVER": program.api, "TERM": "xterm-256color"}
    process = await trio.lowlevel.open_process(
        as_process("top", "--interval", "0.3"), stdin=end, stdout=end, stderr=end, env=environment
    )
    try:
        before = termios.tcgetattr(end)
        with trio.fail_after(60):
            await read_until(terminal, b"night")
            assert termios.tcgetattr(end) != before  # keys come one by one
            await trio.to_thread.run_sync(os.write, terminal, b"nx")
            await read_until(terminal, b"kick night with its publisher? y/n")
            await trio.to_thread.run_sync(os.write, terminal, b"y")
            await read_until(terminal, b"0 streams")
            await publisher.end()
            await trio.to_thread.run_sync(os.write, terminal, b"q")
            assert await process.wait() == 0
        assert termios.tcgetattr(end) == before
    finally:
        os.close(terminal)
        os.close(end)
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_without_a_terminal_it_is_lines(launch: Launch, crew: Crew, show: Recording) -> None:
    program = await launch(SHOW)
    await crew.publish(show, program.url("night"))
    await program.logged("publisher joined")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MMIDS_SERVER": program.api}
    done = await trio.run_process(
        as_process("top", "--count", "2", "--interval", "0.2"), stdin=b"", capture_stdout=True, env=environment
    )
    lines = done.stdout.decode().splitlines()
    assert [line.split()[0] for line in lines] == ["1", "stream=night", "1", "stream=night"]
