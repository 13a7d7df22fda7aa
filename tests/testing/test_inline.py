"""Under the harness, work for threads is done inline, and only one module knows threads."""

import threading
import time
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

import mmids_trio
from mmids_trio.errors import StepError
from mmids_trio.ffmpeg.executable import Places
from mmids_trio.offload import in_thread
from mmids_trio.server.building import World
from mmids_trio.testing.harness import Harness

PACKAGE = Path(mmids_trio.__file__).parent
WITH_THREADS = {
    "offload.py",
    "ffmpeg/spawning.py",  # waits for real children
    "http_api/connection.py",  # ASGI wants it named; our handlers are all asynchronous
}


async def test_work_is_done_in_this_thread_and_takes_no_time_of_the_mock_clock(autojump_clock: MockClock) -> None:
    worlds: list[World] = []

    def note(world: World) -> World:
        worlds.append(world)
        return world

    async with Harness(in_world=note):
        began = trio.current_time()
        with trio.fail_after(1):  # to a thread that works, this deadline would pass at once
            thread = await worlds[0].offload(lambda: (time.monotonic(), threading.current_thread())[1])
        assert thread is threading.current_thread()
        assert trio.current_time() == began


async def test_ffmpeg_is_looked_for_in_the_way_that_the_server_was_given(autojump_clock: MockClock) -> None:
    threads: list[threading.Thread] = []
    async with Harness() as h:
        h.server.ffmpeg.places = Places(None, "", lambda: threads.append(threading.current_thread()))
        with pytest.raises(StepError, match="no ffmpeg found"):
            await h.server.ffmpeg.check()
    assert threads == [threading.current_thread()]


async def test_a_server_hands_work_to_a_thread() -> None:
    assert await in_thread(threading.current_thread) is not threading.current_thread()


def test_no_other_module_uses_threads() -> None:
    users = {
        str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if "to_thread." in path.read_text("utf-8")
    }
    assert users == WITH_THREADS
