"""What tests of supervised children share: one maker of supervisors over children in memory."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from mmids_trio.ffmpeg.capacity import Capacity, Encoding
from mmids_trio.ffmpeg.child import FeedHook, ReadHook, RestHook
from mmids_trio.ffmpeg.stderr_log import StderrLog
from mmids_trio.ffmpeg.supervisor import Supervisor
from mmids_trio.testing.processes import FakeSpawner

MakeSupervisor = Callable[..., Supervisor]


@pytest.fixture
def supervisor(tmp_path: Path) -> MakeSupervisor:
    """Makes supervisors without jitter; each test says which children they get."""

    def make(
        spawner: FakeSpawner,
        *,
        feed: FeedHook | None = None,
        read: ReadHook | None = None,
        rest: RestHook | None = None,
        random: Callable[[], float] = lambda: 0.0,
        capacity: Capacity | None = None,
        encoding: Encoding | None = None,
    ) -> Supervisor:
        stderr = StderrLog(tmp_path / "child.log", now=lambda: 0.0, clock=trio.current_time)
        return Supervisor(
            arguments=lambda: ["/bin/ffmpeg", "-x"],
            spawner=spawner,
            stderr=stderr,
            random=random,
            feed=feed,
            read=read,
            capacity=capacity or Capacity(),
            encoding=encoding,
            rest=rest,
        )

    return make
