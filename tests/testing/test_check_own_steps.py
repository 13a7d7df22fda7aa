"""Our own steps, and those of the pages, keep the contract: `check_step` finds nothing."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import ModuleType

import pytest
from attrs import evolve

from mmids_trio.server.building import World
from mmids_trio.steps.registry import StepType
from mmids_trio.testing.checking import check_step
from mmids_trio.testing.ffmpeg import FakeFfmpeg, Script
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from tests.support.fake_claims import FakeCluster

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[2]
FEW_SCHEDULES = 4
"""Each starts a whole server; the scenarios and the cancellations are some forty more."""

SOME_SCHEDULES = 50
"""Of a step alone, which takes some milliseconds."""

MANY_SCHEDULES = 200

OTHER = "workflow other {\n    rtmp_receive rtmp_app=other stream_key=*\n}\n"
BARS = Script().brings(generate_stream("slate", seconds=1, b_frames=0)).exits(at=1.0)
ELSEWHERE = "rtmp://example.org/live/key"

STEPS = {
    "rtmp_receive": "rtmp_app=live stream_key=*",
    "rtmp_receive in a cluster": "rtmp_app=live stream_key=* cluster",
    "rtmp_watch": "rtmp_app=live stream_key=*",
    "rtmp_watch in a cluster": "rtmp_app=live stream_key=* cluster",
    "rtmp_push": f"target={ELSEWHERE}",
    "rtmp_pull": f"location={ELSEWHERE} stream_name=x",
    "failover": "primary=name0 backup=name1 output=out after=2",
    "slate": "after=0.5",
    "workflow_forwarder": "target_workflow=other",
    "ffmpeg_push": f"target={ELSEWHERE}",
    "ffmpeg_pull": f"location={ELSEWHERE} stream_name=clip loop=true",
    "ffmpeg_hls": "path={tmp_path} count=5",
    "ffmpeg_transcode": "vcodec=h264 acodec=copy",
    "ffmpeg_ladder": "renditions=720p:2500,360p:600",
}
QUICK = {"rtmp_receive", "rtmp_receive in a cluster", "failover", "workflow_forwarder"}
"""About a second each."""

DEPEND_ON_TIME = {"failover", "slate", "ffmpeg_transcode", "ffmpeg_ladder"}
"""A source that is silent is changed for another, and an encoder leaves out what it has no time for."""


def in_a_cluster(world: World) -> World:
    return evolve(world, claims=FakeCluster().node("a"))


def of_a_server(name: str) -> Callable[[], AbstractAsyncContextManager[StepType]]:
    """A step that comes with mmids_trio, in a server of its own."""

    @asynccontextmanager
    async def world() -> AsyncIterator[StepType]:
        script = BARS if name == "slate" else Script().echoes()
        async with Harness(OTHER, spawner=FakeFfmpeg(script=script), in_world=in_a_cluster) as h:
            yield next(kind for kind in h.server.steps.types if kind.name == name.split(maxsplit=1)[0])

    return world


def check_own(name: str, tmp_path: Path, schedules: int) -> None:
    parameters = STEPS[name].format(tmp_path=tmp_path)
    depends_on_time = name in DEPEND_ON_TIME
    runs = check_step(of_a_server(name), parameters, schedules=schedules, depends_on_time=depends_on_time)
    assert runs > schedules + 20


@pytest.mark.parametrize(
    "name",
    # Those that take long are left out of the fast suite: they try for an hour to reach what is not there.
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.e2e) for name in STEPS],
)
def test_a_step_that_comes_with_mmids_trio_keeps_the_contract(name: str, tmp_path: Path) -> None:
    check_own(name, tmp_path, FEW_SCHEDULES)


@pytest.mark.simulation
@pytest.mark.parametrize("name", STEPS)
def test_a_step_keeps_the_contract_under_many_schedules(name: str, tmp_path: Path) -> None:
    check_own(name, tmp_path, MANY_SCHEDULES)


@pytest.fixture(scope="module")
def page() -> ModuleType:
    """All Python of the page on writing steps as one module."""
    text = (ROOT / "docs" / "writing-steps.md").read_text("utf-8")
    module = ModuleType("writing_steps")
    exec("\n".join(re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)), module.__dict__)
    return module


@pytest.mark.parametrize(("name", "parameters"), [("silence_alarm", "after=2s"), ("patient_alarm", "")])
def test_a_step_of_the_page_keeps_the_contract(name: str, parameters: str, page: ModuleType) -> None:
    assert check_step(getattr(page, name)(), parameters, schedules=SOME_SCHEDULES, expects=list) > SOME_SCHEDULES
