"""Forwarding from its ends: steps, streams and workflows that go away, chains of workflows, and circles."""

from itertools import pairwise

import pytest

from mmids_trio.media.events import StreamEnded, StreamId
from mmids_trio.workflow.status import OutcomeKind
from tests.support.numbered_events import Footage
from tests.support.toy_forwarding import PROLOGUE, Crossing, frames, start_pair


async def test_a_step_taken_out_ends_its_streams_at_the_target(crossing: Crossing) -> None:
    stream = Footage()
    await start_pair(crossing)
    await crossing.begin("s", stream, 2)
    await crossing.run("source", "source:s", "recorder:rest")
    await crossing.send("s", stream.frames(2))
    assert crossing.story("t") == [*PROLOGUE, *frames(0, 1), "ended"]
    assert crossing.story("rest") == [*PROLOGUE, *frames(*range(4))]
    assert crossing.is_empty


async def test_a_step_put_in_shows_its_streams_to_the_target(crossing: Crossing) -> None:
    stream = Footage()
    await crossing.run("target", "recorder:t")
    await crossing.run("source", "source:s", "recorder:rest")
    await crossing.begin("s", stream, 5)
    await crossing.run("source", "source:s", "forward:target", "recorder:rest")
    await crossing.send("s", stream.frames(2))
    assert crossing.story("t") == [*PROLOGUE, *frames(5, 6)]


@pytest.mark.thorough
@pytest.mark.parametrize("target", [("recorder:t",), ("source:p", "recorder:t"), ("stuck:u",)])
async def test_of_a_source_that_is_stopped_nothing_is_left_in_the_target(
    crossing: Crossing, target: tuple[str, ...]
) -> None:
    streams = [Footage(StreamId(name)) for name in "xyz"]
    await start_pair(crossing, *target)
    for stream in streams:
        await crossing.begin("s", stream, 20)
    await crossing.manager.stop("source")
    assert list(crossing.inlet("target").streams) == []
    await crossing.run("target", *target[:-1], "recorder:after")
    assert crossing.bench["after"].seen == []
    if target != ("stuck:u",):
        assert crossing.bench["t"].seen[-3:] == [StreamEnded(stream.stream_id) for stream in streams]
    await crossing.stop("target")
    assert crossing.is_empty


async def test_a_stream_with_the_id_of_one_that_has_ended_is_a_new_one(crossing: Crossing) -> None:
    await start_pair(crossing)
    for _ in range(2):
        stream = Footage()
        await crossing.begin("s", stream, 2)
        await crossing.send("s", [stream.end()])
    assert crossing.story("t") == [*PROLOGUE, *frames(0, 1), "ended"] * 2


async def test_streams_of_different_sources_meet_in_one_target(crossing: Crossing) -> None:
    await crossing.run("target", "recorder:t")
    for name in ("x", "y"):
        await crossing.run(f"from {name}", f"source:{name}", "forward:target")
        await crossing.begin(name, Footage(StreamId(name)), 2)
    await crossing.stop("from x")
    assert crossing.story("t") == [*PROLOGUE, *frames(0, 1), "ended"]
    assert crossing.story("t", "y") == [*PROLOGUE, *frames(0, 1, stream="y")]


async def test_a_chain_of_workflows_carries_streams_to_its_end(crossing: Crossing) -> None:
    stream = Footage()
    for number in range(3, 0, -1):
        await crossing.run(str(number), f"recorder:r{number}", f"forward:{number + 1}")
    await crossing.run("0", "source:s", "forward:1")
    await crossing.begin("s", stream, 2)
    assert crossing.story("r3") == [*PROLOGUE, *frames(0, 1)]
    await crossing.stop("1")
    assert crossing.story("r3")[-1] == "ended"
    await crossing.run("1", "recorder:r1", "forward:2")
    await crossing.send("s", stream.frames(4))
    assert crossing.story("r3") == [*PROLOGUE, *frames(0, 1), "ended", *PROLOGUE, *frames(5)]


@pytest.mark.parametrize("length", [1, 2, 3])
async def test_a_circle_is_refused_and_its_path_is_said(crossing: Crossing, length: int) -> None:
    names = [f"w{number}" for number in range(length)]
    for name, target in pairwise(names):
        await crossing.run(name, f"recorder:{name}", f"forward:{target}")
    outcome = await crossing.apply(names[-1], "recorder:last", "forward:w0")
    assert outcome.kind is OutcomeKind.FAILED
    path = " -> ".join([names[-1], *names])
    assert outcome.message.endswith(f"failed: forwarding in a circle: {path}")
    await crossing.run(names[-1], "recorder:last", "forward:elsewhere")


async def test_a_circle_that_was_opened_may_be_closed_the_other_way_round(crossing: Crossing) -> None:
    await crossing.run("a", "recorder:a", "forward:b")
    await crossing.run("a", "recorder:a")
    await crossing.run("b", "recorder:b", "forward:a")
    assert (await crossing.apply("a", "recorder:a", "forward:b")).kind is OutcomeKind.FAILED
    await crossing.stop("b")
    await crossing.run("a", "recorder:a", "forward:b")
