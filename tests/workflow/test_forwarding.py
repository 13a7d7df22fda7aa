"""Streams from one workflow in another: when they begin, go on, change hands and end there."""

from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from mmids_trio.errors import StepError
from mmids_trio.media.events import MediaKind, StreamId, StreamStarted
from mmids_trio.workflow.status import OutcomeKind
from tests.support.numbered_events import Footage, legality
from tests.support.toy_forwarding import PROLOGUE, Crossing, frames, start_pair
from tests.support.toy_steps import SLOWNESS, definition

AUDIO = MediaKind.AUDIO


async def test_a_running_target_gets_the_very_events_and_the_source_passes_them_on(crossing: Crossing) -> None:
    stream = Footage()
    await start_pair(crossing)
    await crossing.begin("s", stream, 7)
    await crossing.send("s", [stream.end()])
    seen, rest = crossing.bench["t"].seen, crossing.bench["rest"].seen
    assert [*PROLOGUE, *frames(*range(7)), "ended"] == crossing.story("t")
    assert all(one is other for one, other in zip(seen, rest, strict=True))
    assert seen[0] == StreamStarted(StreamId("x"), "name of x")


async def test_a_target_that_starts_later_is_told_and_goes_on_with_the_next_key_frame(crossing: Crossing) -> None:
    stream = Footage()
    await crossing.run("source", "source:s", "forward:target", "recorder:rest")
    await crossing.begin("s", stream, 7)
    await crossing.run("target", "recorder:t")
    assert crossing.story("t") == PROLOGUE
    await crossing.send("s", stream.frames(5))
    assert crossing.story("t") == [*PROLOGUE, *frames(10, 11)]
    assert crossing.story("rest") == [*PROLOGUE, *frames(*range(12))]


async def test_a_stream_without_video_goes_on_at_once(crossing: Crossing) -> None:
    stream = Footage()
    await crossing.run("source", "source:s", "forward:target")
    await crossing.send("s", [stream.start()[0], stream.header(AUDIO), *stream.frames(2, AUDIO)])
    await crossing.run("target", "recorder:t")
    await crossing.send("s", stream.frames(2, AUDIO))
    assert crossing.story("t") == ["started", "header", *frames(2, 3)]


async def test_a_target_that_stops_and_starts_again_is_told_again(crossing: Crossing) -> None:
    stream = Footage()
    await start_pair(crossing)
    await crossing.begin("s", stream, 2)
    await crossing.stop("target")
    await crossing.send("s", stream.frames(2))
    await crossing.run("target", "recorder:t2")
    await crossing.send("s", stream.frames(4))
    assert crossing.story("t2") == [*PROLOGUE, *frames(5, 6, 7)]
    assert crossing.story("rest") == [*PROLOGUE, *frames(*range(8))]


@pytest.mark.parametrize("first", ["recorder:a", "source:a"])
async def test_a_target_that_fails_and_is_healed_is_told_what_is_live_then(crossing: Crossing, first: str) -> None:
    stream, other = Footage(), Footage(StreamId("y"))
    await start_pair(crossing, first, "recorder:t")
    await crossing.begin("s", stream, 2)
    await crossing.begin("s", other, 1)
    crossing.bench["t"].fail(StepError("broken"))
    await crossing.send("s", [*stream.frames(2), other.end()])
    status = crossing.manager.status("target")
    assert status is not None
    assert status.status.endswith("failed: broken")
    await crossing.run("target", first, "recorder:t2")
    await crossing.send("s", stream.frames(4))
    assert crossing.story("t2") == [*PROLOGUE, *frames(5, 6, 7)]
    assert crossing.story("t2", "y") == []


async def test_a_target_whose_new_definition_fails_gets_nothing_until_it_is_healed(crossing: Crossing) -> None:
    stream = Footage()
    await start_pair(crossing)
    await crossing.begin("s", stream, 2)
    assert (await crossing.apply("target", "recorder:t", "recorder:u refuses")).kind is OutcomeKind.FAILED
    await crossing.send("s", stream.frames(4))
    await crossing.run("target", "recorder:t2")
    await crossing.send("s", stream.frames(6))
    assert crossing.story("t2") == [*PROLOGUE, *frames(10, 11)]


async def test_where_the_first_step_only_produces_the_second_gets_it(crossing: Crossing) -> None:
    stream, own = Footage(), Footage(StreamId("own"))
    await start_pair(crossing, "source:p", "recorder:t")
    await crossing.begin("s", stream, 2)
    await crossing.begin("p", own, 2)
    assert crossing.bench["p"].seen == []
    assert crossing.story("t") == [*PROLOGUE, *frames(0, 1)]
    assert crossing.story("t", "own") == [*PROLOGUE, *frames(0, 1, stream="own")]
    await crossing.stop("source")
    assert crossing.story("t")[-1] == "ended"
    assert crossing.story("t", "own")[-1] != "ended"


CHANGES = [
    (("source:p", "recorder:t"), ("recorder:a", "recorder:t")),
    (("source:p", "recorder:t"), ("source:q", "recorder:t")),
    (("source:p", "recorder:t"), ("recorder:t",)),
    (("source:p", "recorder:t"), ("recorder:t", "source:p")),
    (("recorder:a", "recorder:t"), ("source:p", "recorder:t")),
    (("recorder:a", "recorder:t"), ("recorder:b", "recorder:t")),
    (("recorder:t",), ("source:p", "recorder:t")),
    (("recorder:t", "source:p"), ("source:p", "recorder:t")),
    (("slow:a", "recorder:t"), ("recorder:t", "slow:a")),
    (("slow:a", "recorder:t"), ("source:p", "recorder:t")),
]


@pytest.mark.parametrize(("before", "after"), CHANGES)
async def test_a_change_of_the_targets_front_loses_and_ends_nothing(
    crossing: Crossing, autojump_clock: MockClock, before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    stream = Footage()
    await start_pair(crossing, *before)
    await crossing.begin("s", stream, 3)
    await crossing.bench.send("s", stream.frames(2))
    await crossing.run("target", *after)
    await crossing.send("s", stream.frames(3))
    await trio.sleep(5)
    assert crossing.story("t") == [*PROLOGUE, *frames(*range(8))]
    await crossing.send("s", [stream.end()])
    await trio.sleep(5)
    assert crossing.story("t")[-1] == "ended"


@pytest.mark.parametrize(
    "after", [("recorder:t",), ("source:q", "recorder:t"), ("source:p", "slow:m", "recorder:t"), ("slow:m", "source:p")]
)
async def test_what_comes_while_the_target_settles_is_held_and_not_lost(
    crossing: Crossing, autojump_clock: MockClock, after: tuple[str, ...]
) -> None:
    stream, brief, late = Footage(), Footage(StreamId("brief")), Footage(StreamId("late"))
    await start_pair(crossing, "source:p", "slow:m", "recorder:t")
    await crossing.begin("s", stream, 1)
    change = crossing.manager.apply(definition("target", *after))
    for _ in range(40):  # more than an inbox holds
        await crossing.bench.send("s", stream.frames(1))
    await crossing.bench.send("s", [*brief.start(), *brief.frames(3), brief.end(), *late.start(), *late.frames(3)])
    await change.wait_outcome()
    await crossing.bench.send("s", stream.frames(10))
    await trio.sleep(5)
    last = after[-1].split(":")[1]
    if last != "p":
        assert crossing.story("t") == [*PROLOGUE, *frames(*range(51))]
        assert crossing.story("t", "late") == [*PROLOGUE, *frames(0, 1, 2, stream="late")]
        assert crossing.story("t", "brief")[-1] == "ended"
        assert legality(crossing.bench["t"].seen) is None
    else:
        assert crossing.story("m") == [*PROLOGUE, *frames(*range(51))]
    assert set(crossing.inlet("target").streams) == {"x", "late"}


@pytest.mark.parametrize("new", ["recorder:u refuses", "recorder:u waits"])
async def test_a_change_that_is_given_up_loses_nothing(crossing: Crossing, autojump_clock: MockClock, new: str) -> None:
    stream = Footage()
    await start_pair(crossing, "slow:a", "recorder:t")
    await crossing.begin("s", stream, 3)
    change = crossing.manager.apply(definition("target", new, "recorder:t"), rollback=True)
    await crossing.send_singly("s", stream.frames(5))
    if "waits" in new:
        second = crossing.manager.apply(definition("target", "slow:a", "recorder:t"))
        assert (await second.wait_outcome()).kind is OutcomeKind.APPLIED
    assert (await change.wait_outcome()).kind in (OutcomeKind.ROLLED_BACK, OutcomeKind.SUPERSEDED)
    await crossing.send_singly("s", stream.frames(5))
    await trio.sleep(5)
    assert crossing.story("t") == [*PROLOGUE, *frames(*range(13))]


async def test_of_two_routes_with_one_stream_the_second_takes_over_without_an_end(crossing: Crossing) -> None:
    stream = Footage()
    await crossing.run("target", "recorder:t")
    await crossing.run("source", "source:s", "forward:target", "recorder:m", "forward:target")
    await crossing.begin("s", stream, 3)
    assert crossing.story("t") == [*PROLOGUE, *frames(0, 1, 2)]
    await crossing.run("source", "source:s", "forward:target", "recorder:m")
    await crossing.send("s", stream.frames(3))
    await crossing.run("source", "source:s", "forward:target")
    await crossing.send("s", stream.frames(3))
    assert crossing.story("t") == [*PROLOGUE, *frames(*range(9))]
    await crossing.stop("source")
    assert crossing.story("t")[-1] == "ended"


async def test_a_stream_over_two_workflows_survives_the_end_of_one_of_them(crossing: Crossing) -> None:
    stream = Footage()
    await crossing.run("target", "recorder:t")
    await crossing.run("middle", "recorder:m", "forward:target")
    await crossing.run("source", "source:s", "forward:middle", "forward:target")
    await crossing.begin("s", stream, 3)
    assert crossing.story("t") == [*PROLOGUE, *frames(0, 1, 2)]
    await crossing.stop("middle")
    await crossing.send("s", stream.frames(8))
    assert crossing.story("t") == [*PROLOGUE, *frames(*range(11))]


async def test_a_route_that_lags_behind_repeats_nothing_when_it_takes_over(
    crossing: Crossing, autojump_clock: MockClock
) -> None:
    stream = Footage()
    await crossing.run("target", "recorder:t")
    await crossing.run("behind", "slow:m", "forward:target")
    await crossing.run("ahead", "recorder:n", "forward:target")
    await crossing.run("source", "source:s", "forward:ahead", "forward:behind")
    await crossing.begin("s", stream, 3)
    await trio.sleep(5)
    await crossing.send("s", stream.frames(9))
    await crossing.stop("ahead")
    await trio.sleep(5)
    await crossing.send("s", stream.frames(9))
    await trio.sleep(5)
    story = crossing.story("t")
    assert story == [*PROLOGUE, *frames(*range(12)), *frames(*range(15, 21))]


@pytest.mark.thorough
async def test_a_full_target_misses_whole_groups_and_holds_back_nobody(crossing: Crossing) -> None:
    stream = Footage()
    await start_pair(crossing, "stuck:u")
    await crossing.begin("s", stream)
    await crossing.send_singly("s", stream.frames(103))
    inlet = crossing.inlet("target")
    assert crossing.story("rest") == [*PROLOGUE, *frames(*range(103))]
    assert inlet.dropped_groups == 1
    await crossing.send("s", [stream.header(AUDIO), *stream.frames(1)])
    await crossing.run("target", "recorder:t")
    await crossing.send_singly("s", stream.frames(3))
    assert crossing.story("t") == [*PROLOGUE, *frames(105, 106)]


async def test_a_slow_target_gets_whole_groups_only(crossing: Crossing, autojump_clock: MockClock) -> None:
    stream = Footage()
    await start_pair(crossing, "slow:m", "slow:n", "recorder:t")
    await crossing.begin("s", stream)
    for number in range(203):
        await crossing.send("s", stream.frames(1))
        if number % 25 == 0:
            await trio.sleep(SLOWNESS)
    await crossing.send("s", [stream.end()])
    await trio.sleep(5)
    numbers = [int(word[1:]) for word in crossing.story("t")[4:-1]]
    assert crossing.inlet("target").dropped_groups > 1
    assert len(numbers) < 203
    for previous, number in pairwise(numbers):
        assert number == previous + 1 or number % stream.gop == 0
    assert legality(crossing.bench["t"].seen) is None
    assert crossing.story("t")[-1] == "ended"
