"""Each ffmpeg step, cancelled at every await of its life: no task, child, claim or open log is left."""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from attrs import define, evolve, field
from trio.testing import MockClock

from mmids_trio.config.parser import parse_workflow
from mmids_trio.ffmpeg.executable import Places
from mmids_trio.ffmpeg.media_pipe import tags_from_event
from mmids_trio.ffmpeg.output_paths import OutputPaths
from mmids_trio.ffmpeg.tools import FfmpegTools
from mmids_trio.media.flv import flv_header
from mmids_trio.steps.ffmpeg_hls import ffmpeg_hls
from mmids_trio.steps.ffmpeg_ladder import ffmpeg_ladder
from mmids_trio.steps.ffmpeg_pull import ffmpeg_pull
from mmids_trio.steps.ffmpeg_push import ffmpeg_push
from mmids_trio.steps.ffmpeg_transcode import transcoding_steps
from mmids_trio.steps.registry import StepRegistry
from mmids_trio.testing.cancellation import cancel_everywhere
from mmids_trio.testing.ffmpeg import TELLS_VERSION, FakeFfmpeg
from mmids_trio.testing.processes import Behaviour, FakeSpawner
from mmids_trio.workflow.running_step import RunningStep
from tests.support.children import open_files
from tests.support.scripted_source import Take

pytestmark = pytest.mark.thorough

FEWEST_AWAITS = 50
"""Of a life like those below; a sanity check that the test covers something."""

ONE, TWO = Take("x", "talk"), Take("y", "talk", seed=1)
FILM = flv_header(audio=True, video=True) + b"".join(map(tags_from_event, ONE.packets))
DIES = Behaviour(exits_after=0.3, exit_status=1, stderr=[(0.1, b"oh\n")], echoes=True)
LIVES = Behaviour(stderr=[(0.1, b"fine\n")], echoes=True, exits_after_end_of_input=0.2)


@define(eq=False)
class Life:
    """One step, and its successor, on a server of their own."""

    directory: Path
    line: str
    ffmpeg: FakeFfmpeg = field(init=False)
    paths: OutputPaths = field(factory=OutputPaths, init=False)
    cells: list[RunningStep] = field(factory=list, init=False)
    registry: StepRegistry = field(init=False)

    def __attrs_post_init__(self) -> None:
        slow = Behaviour(stdout=TELLS_VERSION.stdout, exits_after=0.1)
        film = [(0.2, FILM)] if self.line.startswith("ffmpeg_pull") else []
        children = [evolve(DIES, stdout=film), evolve(LIVES, stdout=film)]
        self.ffmpeg = FakeFfmpeg(FakeSpawner(children, takes=0.01), FakeSpawner([slow]))
        tools = FfmpegTools(self.ffmpeg, Places(sys.executable), self.directory / "logs", random=lambda: 0.0)
        kinds = (ffmpeg_pull(tools), ffmpeg_push(tools), ffmpeg_hls(tools, self.paths))
        self.registry = StepRegistry([*kinds, *transcoding_steps(tools), ffmpeg_ladder(tools)])

    async def start(self, nursery: trio.Nursery) -> RunningStep:
        """The step, in the place of the one before it."""
        [definition] = parse_workflow(f"workflow w {{\n{self.line}\n}}\n", "test").steps
        cell = RunningStep(
            "w",
            str(len(self.cells)),
            definition,
            lambda _workflow, _step_id: True,
            lambda _cell: None,
            lambda _event: None,
        )
        self.cells.append(cell)
        await cell.start(nursery, self.registry.factory)
        return cell

    async def run(self, script: Callable[["Life", trio.Nursery], Awaitable[None]]) -> None:
        """As a workflow runs it."""
        async with trio.open_nursery() as nursery:
            await script(self, nursery)
            nursery.cancel_scope.cancel()

    def check(self) -> None:
        """Nothing is left of it."""
        self.ffmpeg.check_nothing_is_left()
        assert self.paths._claims == []
        assert not [path for path in open_files() if path.startswith(str(self.directory))]


async def streams_come_and_go(life: Life, nursery: trio.Nursery) -> None:
    cell = await life.start(nursery)
    cell.inbox.put([*ONE.begin, *ONE.headers, *ONE.second(0)])
    await trio.sleep(0.2)
    cell.inbox.put(TWO.events)
    await trio.sleep(1.0)
    cell.inbox.put(ONE.second(1))
    await trio.sleep(0.1)
    cell.inbox.put([*ONE.end, *TWO.end])
    await trio.sleep(1.0)
    assert len(life.ffmpeg.children.processes) == 3


async def a_source_comes_and_goes(life: Life, nursery: trio.Nursery) -> None:
    await life.start(nursery)
    await trio.sleep(2.0)
    assert len(life.ffmpeg.children.processes) == 2


async def a_successor_takes_over(life: Life, nursery: trio.Nursery) -> None:
    old = await life.start(nursery)
    old.inbox.put([*ONE.begin, *ONE.headers, *ONE.second(0)])
    await trio.sleep(1.0)
    new = await life.start(nursery)
    new.inbox.put([*ONE.begin, *ONE.headers, *ONE.second(1)])
    old.cancel()
    await old.ended.wait()
    await trio.sleep(0.5)
    assert len(life.ffmpeg.children.running) == 1
    assert {claim.step_id for claim in life.paths._claims} <= {new.step_id}


@pytest.mark.parametrize(
    ("step", "script"),
    [
        ("ffmpeg_pull location=rtmp://example.org/live/key stream_name=clip", a_source_comes_and_goes),
        ("ffmpeg_push target=rtmp://example.org/live/key", streams_come_and_go),
        ("ffmpeg_hls path={directory}", streams_come_and_go),
        ("ffmpeg_hls path={directory}", a_successor_takes_over),
        ("ffmpeg_transcode vcodec=copy acodec=copy", streams_come_and_go),
        ("ffmpeg_transcode vcodec=copy acodec=copy", a_successor_takes_over),
        ("ffmpeg_ladder renditions=720p:2500,360p:600", streams_come_and_go),
    ],
)
async def test_a_step_cancelled_anywhere_leaves_nothing(
    step: str,
    script: Callable[[Life, trio.Nursery], Awaitable[None]],
    tmp_path: Path,
    autojump_clock: MockClock,
) -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    life = Life(tmp_path, step.format(directory=tmp_path))

    async def once() -> None:
        nonlocal life
        life = Life(tmp_path, life.line)
        await life.run(script)

    def check() -> None:
        life.check()
        assert trio.lowlevel.current_statistics().tasks_living == before

    assert await cancel_everywhere(once, check) > FEWEST_AWAITS
    assert life.ffmpeg.children.processes
