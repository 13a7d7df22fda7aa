"""`ffmpeg_push` with children that only exist in memory, and what all steps say where there is no ffmpeg."""

import errno
from collections.abc import Sequence

import pytest
from structlog.typing import EventDict
from trio.testing import MockClock

from mmids_trio.ffmpeg.arguments import push_arguments
from mmids_trio.ffmpeg.parameters import PushParameters
from mmids_trio.testing.ffmpeg import TELLS_VERSION, FakeFfmpeg
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.network import MemoryNetwork
from mmids_trio.testing.processes import Behaviour, FakeSpawner
from mmids_trio.testing.recorder import Recorder
from mmids_trio.workflow.status import OutcomeKind
from tests.support.scripted_source import Camera, Take, workflow

TARGET = "rtmp://example.org/live/key"
PUSH = f"ffmpeg_push target={TARGET}"
EVERY_STEP = (
    PUSH,
    "ffmpeg_pull location=rtmp://example.org/live/key stream_name=clip",
    "ffmpeg_hls path=/tmp/never-made-by-a-test",
    "ffmpeg_transcode vcodec=copy acodec=aac",
    "basic_transcode video=copy audio=drop",
)
MISSING = Behaviour(cannot_start=errno.ENOENT)
BROKEN = Behaviour(exits_after=0.0, exit_status=127)


async def test_everything_is_passed_on_unchanged_and_in_order(autojump_clock: MockClock) -> None:
    camera, before, take = Camera(), Recorder(), Take()
    steps = [*camera.steps, before.step_type("before")]
    async with Harness(workflow("before", PUSH), steps):
        sent = [*take.events, *take.end]
        await camera.send(sent)
        assert all(one is other for one, other in zip(sent, before.events, strict=True))
        assert all(one is other for one, other in zip(sent, camera.recorder.events, strict=True))


async def test_the_child_is_told_the_target(autojump_clock: MockClock) -> None:
    camera, ffmpeg = Camera(), FakeFfmpeg()
    async with Harness(workflow(PUSH), camera.steps, MemoryNetwork(), ffmpeg):
        await camera.send(Take().events)
        [child] = ffmpeg.children.running
        assert list(child.arguments[1:]) == push_arguments(PushParameters(TARGET))
        assert child.stdout is None


async def test_several_streams_to_one_target_are_warned_of(
    autojump_clock: MockClock, logs: Sequence[EventDict]
) -> None:
    camera, ffmpeg = Camera(), FakeFfmpeg()
    async with Harness(workflow(PUSH), camera.steps, MemoryNetwork(), ffmpeg):
        one, two = Take("x", "a"), Take("y", "b", seed=1)
        await camera.send(one.events)
        assert warned(logs) == []
        await camera.send(two.events)
        assert warned(logs) == ["b"]
        assert [child.arguments[-1] for child in ffmpeg.children.running] == [TARGET, TARGET]
        await camera.send([*one.end, *two.end])
        await camera.send(Take("z", "c").events)
        assert warned(logs) == ["b"]


async def test_only_the_named_stream_is_pushed_and_all_are_passed_on(
    autojump_clock: MockClock, logs: Sequence[EventDict]
) -> None:
    camera, ffmpeg = Camera(), FakeFfmpeg()
    async with Harness(workflow(PUSH + " stream_name=b"), camera.steps, MemoryNetwork(), ffmpeg):
        one, two = Take("x", "a"), Take("y", "b", seed=1)
        await camera.send(one.events)
        assert ffmpeg.children.running == []
        await camera.send(two.events)
        assert len(ffmpeg.children.running) == 1
        assert warned(logs) == []
        await camera.send([*one.end, *two.end])
        assert camera.recorder.events == [*one.events, *two.events, *one.end, *two.end]


def warned(logs: Sequence[EventDict]) -> list[str]:
    """The streams of which it was said that they share a target."""
    return [entry["stream"] for entry in logs if entry["event"] == "several streams are pushed to one target"]


@pytest.mark.parametrize("step", EVERY_STEP)
@pytest.mark.parametrize(
    ("behaviour", "reason"), [(MISSING, "cannot run /bin/sh (from the setting"), (BROKEN, "it exited with status 127")]
)
async def test_without_an_ffmpeg_the_workflow_says_so_and_a_later_update_finds_a_repaired_one(
    step: str, behaviour: Behaviour, reason: str, autojump_clock: MockClock
) -> None:
    camera = Camera()
    ffmpeg = FakeFfmpeg(questions=FakeSpawner([behaviour, TELLS_VERSION]))
    settings = "settings {\n ffmpeg_path /bin/sh\n}\n"
    async with Harness(settings, camera.steps, MemoryNetwork(), ffmpeg) as h:
        text = workflow(step.replace("/tmp/never-made-by-a-test", "."))
        outcome = await h.put(text)
        assert outcome.kind is OutcomeKind.FAILED
        assert reason in outcome.message
        assert h.workflow("w").status == outcome.message
        assert (await h.put(text)).kind is OutcomeKind.APPLIED
        assert h.workflow("w").status == "Running"
    ffmpeg.check_nothing_is_left()


async def test_an_ffmpeg_that_does_not_exist_is_named(autojump_clock: MockClock) -> None:
    async with Harness("settings {\n ffmpeg_path /nowhere/ffmpeg\n}\n", Camera().steps) as h:
        outcome = await h.put(workflow(PUSH))
        assert "the setting ffmpeg_path names /nowhere/ffmpeg, which does not exist" in outcome.message
