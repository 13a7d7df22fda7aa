"""Media through a change: settling, the swap, and what a step that does not come to rest costs."""

from collections.abc import Sequence

import pytest
import trio
from structlog.typing import EventDict
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.media.events import MediaPacket, StreamEnded, StreamId, StreamMetadata, StreamStarted
from mmids_trio.workflow.links import INBOX_BATCHES
from mmids_trio.workflow.pipeline import DRAIN_SECONDS
from tests.support.managed import Stage
from tests.support.numbered_events import Footage, legality
from tests.support.toy_steps import SLOWNESS

SOURCE, A, B, C = "source:s", "recorder:a", "recorder:b", "recorder:c"


def numbers(first: int, last: int) -> list[bytes]:
    return [b"x%d" % number for number in range(first, last)]


async def roll(stage: Stage, footage: Footage, count: int) -> None:
    """Send frames one by one."""
    for event in footage.frames(count):
        await stage.bench.send("s", [event])


async def carry(stage: Stage, *steps: str) -> Footage:
    """Run a workflow whose source has sent stream x up to frame 7."""
    await stage.run(*steps)
    footage = Footage()
    await stage.bench.send("s", footage.start())
    await roll(stage, footage, 7)
    return footage


async def test_a_new_step_sees_all_that_it_needs_before_the_first_frame(stage: Stage) -> None:
    footage = await carry(stage, SOURCE, A)
    await stage.run(SOURCE, B, A)
    await roll(stage, footage, 3)
    await wait_all_tasks_blocked()
    assert stage.bench["b"].seen[:4] == footage.start()
    assert stage.bench["b"].frames() == numbers(7, 10)
    assert stage.bench["a"].frames() == numbers(0, 10)


@pytest.mark.parametrize(
    "steps",
    [(SOURCE, B), (SOURCE, B, "slow:m"), (SOURCE, B, "slow:m", A), (SOURCE, C, "slow:m", A, B), (SOURCE, A, C, B)],
)
async def test_what_is_in_flight_passes_every_kept_step_once(
    stage: Stage, autojump_clock: MockClock, steps: Sequence[str]
) -> None:
    footage = await carry(stage, SOURCE, A, "slow:m", B)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(roll, stage, footage, 3 * INBOX_BATCHES)
        await trio.sleep(SLOWNESS / 2)
        await stage.run(*steps)
    await trio.sleep(5 * SLOWNESS)
    assert stage.bench["b"].frames() == numbers(0, footage.number)
    if A in steps:
        assert stage.bench["a"].frames() == numbers(0, footage.number)


async def test_a_step_that_does_not_come_to_rest_holds_the_swap_up_for_one_second(
    stage: Stage, autojump_clock: MockClock, logs: list[EventDict]
) -> None:
    footage = await carry(stage, SOURCE, "stuck:m", "slow:n", B)
    await stage.run(SOURCE, B)
    assert trio.current_time() == DRAIN_SECONDS
    lost = next(entry for entry in logs if "lost" in entry["event"])
    assert (lost["step"], lost["at_most"]) == (stage.bench["m"].context.step_id, 4 + footage.number)
    unrested = next(entry for entry in logs if "rest before" in entry["event"])
    assert unrested["steps"] == [stage.bench["m"].context.step_id]
    await roll(stage, footage, 3)
    await wait_all_tasks_blocked()
    assert stage.bench["b"].frames() == numbers(7, 10)
    assert legality(stage.bench["b"].seen) is None


async def test_stuck_steps_hold_the_swap_up_for_one_second_together(stage: Stage, autojump_clock: MockClock) -> None:
    await carry(stage, SOURCE, *(f"stuck:{label}" for label in "lmn"), B)
    await stage.run(SOURCE, B)
    assert trio.current_time() == DRAIN_SECONDS


async def test_nobody_notices_a_settled_change_that_is_given_up(stage: Stage, autojump_clock: MockClock) -> None:
    footage = await carry(stage, SOURCE, "stuck:m", A)
    await stage.run(SOURCE, "stuck:m", A, B)
    change = stage.submit(SOURCE, A, B, C, rollback=True)
    await trio.sleep(DRAIN_SECONDS / 2)
    stage.bench["c"].fail(ValueError("late"))
    outcome = await change.wait_outcome()
    assert outcome.message.startswith("rolled back")
    await roll(stage, footage, 3)
    assert stage.active == ["s Active", "m Active", "a Active", "b Active"]
    assert trio.current_time() == DRAIN_SECONDS / 2


@pytest.mark.parametrize("steps", [("stuck:m", A), (A, "stuck:m"), ("slow:m",)])
async def test_appending_needs_no_rest(stage: Stage, autojump_clock: MockClock, steps: Sequence[str]) -> None:
    await carry(stage, SOURCE, *steps)
    await stage.run(SOURCE, *steps, B, C)
    await stage.run(SOURCE, *steps, B, "recorder:i", C)
    assert trio.current_time() == 0


async def test_a_blocked_step_holds_back_its_own_source_only(stage: Stage) -> None:
    await stage.run(SOURCE, "stuck:m")
    await stage.run("source:t", A, name="v")
    footage = Footage()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(roll, stage, footage, 10 * INBOX_BATCHES)
        await stage.bench.send("s", Footage().start())
        await wait_all_tasks_blocked()
        assert nursery.child_tasks
        await stage.bench.send("t", [*Footage().start(), *Footage().frames(5)])
        await wait_all_tasks_blocked()
        assert stage.bench["a"].frames() == numbers(0, 5)
        nursery.cancel_scope.cancel()


async def test_a_sender_that_a_full_step_held_goes_on_when_that_step_is_removed(
    stage: Stage, autojump_clock: MockClock
) -> None:
    await stage.run(SOURCE, "stuck:m", B)
    footage = Footage()
    await stage.bench.send("s", footage.start())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(roll, stage, footage, 3 * INBOX_BATCHES)
        await wait_all_tasks_blocked()
        await stage.run(SOURCE, B)
    await wait_all_tasks_blocked()
    frames = stage.bench["b"].frames()
    assert frames == numbers(3 * INBOX_BATCHES - len(frames), 3 * INBOX_BATCHES)
    assert len(frames) >= INBOX_BATCHES


async def test_a_stream_that_ends_while_its_gate_is_closed_ends_behind_it(
    stage: Stage, autojump_clock: MockClock
) -> None:
    footage = await carry(stage, SOURCE, "slow:m", "stuck:n", A)
    await stage.run(SOURCE, "slow:m", A, "stuck:n")
    change = stage.submit(SOURCE, "slow:m", A)
    await trio.sleep(DRAIN_SECONDS / 2)
    stage.bench.end("s", "x")
    await change.wait_outcome()
    await trio.sleep(5 * SLOWNESS)
    assert stage.bench["a"].seen[-1] == footage.end()


async def test_streams_of_a_removed_source_end_everywhere(stage: Stage) -> None:
    footage = await carry(stage, SOURCE, A, "replacer:r", B)
    await stage.run(A, "replacer:r", B)
    await wait_all_tasks_blocked()
    assert stage.bench["a"].seen[-1] == stage.bench["b"].seen[-1] == footage.end()
    assert not any(isinstance(event, StreamEnded) for event in stage.bench["b"].seen[:-1])


@pytest.mark.parametrize(
    ("before", "after"),
    [((A, B), (A, "replacer:r", B)), ((A, "replacer:r", B), (A, B)), ((A, "replacer:q", B), (A, "replacer:r", B))],
)
async def test_a_replacer_that_comes_or_goes_ends_nothing_for_kept_steps(
    stage: Stage, before: Sequence[str], after: Sequence[str]
) -> None:
    footage = await carry(stage, SOURCE, *before)
    await wait_all_tasks_blocked()
    told = len(stage.bench["b"].seen)
    await stage.run(SOURCE, *after)
    await roll(stage, footage, 8)
    await wait_all_tasks_blocked()
    seen = stage.bench["b"].seen[told:]
    assert not any(isinstance(event, StreamStarted | StreamEnded) for event in seen)
    assert isinstance(seen[0], StreamMetadata)
    assert [event.is_sequence_header for event in seen[1:3] if isinstance(event, MediaPacket)] == [True, True]
    prefix = b"r " if "replacer:r" in after else b""
    assert stage.bench["b"].frames()[7:] == [prefix + frame for frame in numbers(10, 15)]
    assert stage.bench["a"].frames() == numbers(0, 15)


async def test_streams_that_start_and_end_during_a_change_are_complete(stage: Stage, autojump_clock: MockClock) -> None:
    footage = await carry(stage, SOURCE, "slow:m", A, B)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.run, SOURCE, B, A)
        for label in "yz":
            other = Footage(StreamId(label))
            await stage.bench.send("s", [*other.start(), *other.frames(3)])
            stage.bench.end("s", label)
    await roll(stage, footage, 1)
    await wait_all_tasks_blocked()
    for step in (stage.bench["a"], stage.bench["b"]):
        assert legality(step.seen) is None
        assert step.frames("x") == numbers(0, 8)
        assert step.frames("y") == [b"y0", b"y1", b"y2"]
        assert [step.of(label)[-1] for label in "yz"] == [StreamEnded(StreamId("y")), StreamEnded(StreamId("z"))]
