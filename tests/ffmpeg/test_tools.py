"""What steps share: ffmpeg is looked for until it is found, and then only run."""

import errno
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs
from structlog.typing import EventDict
from trio.testing import MockClock

from mmids_trio.errors import StepError
from mmids_trio.ffmpeg.executable import Places
from mmids_trio.ffmpeg.process import ChildInput
from mmids_trio.ffmpeg.state import ChildPhase, ChildState
from mmids_trio.ffmpeg.tools import FfmpegTools, Job
from mmids_trio.testing.cancellation import cancel_everywhere
from mmids_trio.testing.ffmpeg import TELLS_VERSION, VERSION, FakeFfmpeg
from mmids_trio.testing.processes import Behaviour, FakeSpawner

SLOW_ANSWER = Behaviour(stdout=TELLS_VERSION.stdout, exits_after=1.0)


@pytest.fixture
def logs() -> Iterator[list[EventDict]]:
    with capture_logs() as entries:
        yield entries


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Of a program that looks like an ffmpeg."""
    program = tmp_path / "ffmpeg"
    program.touch(mode=0o755)
    return Places(str(program))


async def test_it_is_asked_once_however_many_steps_want_it_at_once(
    places: Places, tmp_path: Path, autojump_clock: MockClock, logs: Sequence[EventDict]
) -> None:
    ffmpeg = FakeFfmpeg(questions=FakeSpawner([SLOW_ANSWER]))
    tools = FfmpegTools(ffmpeg, places, tmp_path)
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(tools.check)
    assert (await tools.check()).version == VERSION
    assert len(ffmpeg.questions.processes) == 1
    found = [entry for entry in logs if entry["event"] == "ffmpeg found"]
    assert [(entry["version"], entry["path"]) for entry in found] == [(VERSION, str(tmp_path / "ffmpeg"))]


async def test_it_is_looked_for_again_until_it_is_found(
    places: Places, tmp_path: Path, autojump_clock: MockClock
) -> None:
    ffmpeg = FakeFfmpeg(questions=FakeSpawner([Behaviour(cannot_start=errno.ENOEXEC), TELLS_VERSION]))
    tools = FfmpegTools(ffmpeg, places, tmp_path)
    with pytest.raises(StepError, match="cannot run"):
        await tools.check()
    assert (await tools.check()).version == VERSION


async def test_a_search_that_is_cancelled_anywhere_is_no_hindrance(
    places: Places, tmp_path: Path, autojump_clock: MockClock
) -> None:
    ffmpeg = FakeFfmpeg(questions=FakeSpawner([SLOW_ANSWER]))

    async def look() -> None:
        await FfmpegTools(ffmpeg, places, tmp_path).check()

    assert await cancel_everywhere(look, ffmpeg.check_nothing_is_left) > 3

    tools = FfmpegTools(ffmpeg, places, tmp_path)
    with trio.move_on_after(0.5):
        await tools.check()
    assert (await tools.check()).version == VERSION


async def test_a_job_becomes_a_child_with_its_own_log(
    places: Places, tmp_path: Path, autojump_clock: MockClock
) -> None:
    ffmpeg = FakeFfmpeg(FakeSpawner([Behaviour(stderr=[(0.1, b"to secret\n")], exits_after_end_of_input=0.5)]))
    tools = FfmpegTools(ffmpeg, places, tmp_path / "logs", random=lambda: 0.0)
    state = ChildState()

    async def feed(stdin: ChildInput) -> None:
        await stdin.send_all(b"media")

    await tools.check()
    job = Job(
        workflow="w",
        step_id="1",
        stream="talk",
        arguments=lambda: ["-i", "pipe:0", "secret"],
        state=state,
        feed=feed,
        secrets=["secret"],
    )
    await tools.supervisor(job).run()
    [child] = ffmpeg.children.processes
    assert child.arguments == (str(tmp_path / "ffmpeg"), "-i", "pipe:0", "secret")
    assert child.stdin is not None
    assert child.stdin.received == b"media"
    assert child.stdout is None
    assert state.phase is ChildPhase.STOPPED
    text = (tmp_path / "logs" / "ffmpeg" / "w-1-talk.log").read_text()
    assert "to ***" in text
    assert "secret" not in text
    ffmpeg.check_nothing_is_left()
