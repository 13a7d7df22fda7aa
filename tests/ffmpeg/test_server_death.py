"""Children end with the server even if it is killed, and not a moment earlier."""

import os
import sys
from signal import SIGKILL

import pytest
import trio

from mmids_trio.ffmpeg.spawning import SystemSpawner

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG")]

SERVER = """
import sys, trio
from mmids_trio.ffmpeg.spawning import SystemSpawner

async def serve():
    child = await SystemSpawner().spawn([sys.executable, "-I", "-S", "-c", CHILD], stdin=True, stdout=True)
    await child.stdout.receive_some(100)
    print(child.pid, flush=True)
    await trio.sleep_forever()

CHILD = '''
import signal, time
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
'''
trio.run(serve)
"""


async def test_no_child_is_left_two_seconds_after_sigkill() -> None:
    with trio.fail_after(20):
        server = await SystemSpawner({"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}).spawn(
            [sys.executable, "-c", SERVER], stdin=False, stdout=True
        )
        try:
            assert server.stdout is not None
            child = os.pidfd_open(int(await server.stdout.receive_some(100)))
        finally:
            server.send_signal(SIGKILL)
            await server.wait()
            server.close()
    try:
        with trio.fail_after(2):
            await trio.lowlevel.wait_readable(child)
    finally:
        os.close(child)


async def test_a_child_outlives_every_idle_thread_of_trio() -> None:
    """They end after 10 s, and with them every child that was started from one."""
    process = await SystemSpawner().spawn(
        [sys.executable, "-I", "-S", "-c", "import sys; sys.stdin.read()"], stdin=True, stdout=False
    )
    try:
        assert process.stdin is not None
        await trio.to_thread.run_sync(lambda: None)
        with trio.move_on_after(31) as half_a_minute:
            await process.wait()
        assert half_a_minute.cancelled_caught
        process.stdin.close()
        with trio.fail_after(5):
            assert await process.wait() == 0
    finally:
        process.send_signal(SIGKILL)
        process.close()
