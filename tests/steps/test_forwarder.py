"""`workflow_forwarder`: its parameters, and with a reactor, streams that go wherever the answers say."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import trio
from structlog.typing import EventDict
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.media.events import StreamId
from mmids_trio.testing.cancellation import cancel_everywhere
from tests.support.numbered_events import Footage, legality
from tests.support.reactors import ScriptedReactor, ScriptedReactors
from tests.support.toy_forwarding import PROLOGUE, Crossing, frames
from tests.support.toy_steps import definition

NAME = "name of x"
"""What `Footage` calls its stream."""


@pytest.fixture
def reactor() -> ScriptedReactor:
    return ScriptedReactor()


@pytest.fixture
async def c(reactor: ScriptedReactor, nursery: trio.Nursery) -> AsyncIterator[Crossing]:
    """A source that forwards as the reactor says, and three targets."""
    made = Crossing(ScriptedReactors(reactor))
    await nursery.start(made.manager.run)
    for name in "abc":
        await made.run(name, f"recorder:{name}")
    await made.run("source", "source:s", "route:r", "recorder:rest")
    yield made
    for name in list(made.manager.names()):
        await made.stop(name)
    assert made.is_empty
    assert not reactor.held


async def test_a_stream_goes_nowhere_before_the_answer_and_then_on_with_a_key_frame(
    c: Crossing, reactor: ScriptedReactor
) -> None:
    stream = Footage()
    await c.begin("s", stream, 3)
    assert reactor.asked == [NAME]
    assert c.story("a") == []
    assert c.story("rest") == [*PROLOGUE, *frames(0, 1, 2)]
    reactor.answer(NAME, "a", "b")
    await wait_all_tasks_blocked()
    assert c.story("a") == c.story("b") == PROLOGUE
    await c.send("s", [*stream.frames(4), stream.end()])
    assert c.story("a") == c.story("b") == [*PROLOGUE, *frames(5, 6), "ended"]
    assert c.story("c") == []
    assert not reactor.held


async def test_updates_are_followed_in_the_middle_of_a_stream(c: Crossing, reactor: ScriptedReactor) -> None:
    stream = Footage()
    reactor.answer(NAME, "a", "b")
    await c.begin("s", stream, 3)
    reactor.answer(NAME, "b", "c")
    await c.send("s", stream.frames(4))
    assert c.story("a")[-1] == "ended"
    assert c.story("b")[4:] == c.story("rest")[4:]
    assert c.story("c") == [*PROLOGUE, *frames(5, 6)]
    reactor.answer(NAME)
    await c.send("s", stream.frames(4))
    assert c.story("b")[-1] == c.story("c")[-1] == "ended"
    reactor.answer(NAME, "a")
    await c.send("s", stream.frames(5))
    assert c.story("a") == [*PROLOGUE, *frames(0, 1, 2), "ended", *PROLOGUE, *frames(15)]
    assert c.story("rest") == [*PROLOGUE, *frames(*range(16))]


async def test_a_stream_that_is_not_valid_any_more_goes_nowhere(c: Crossing, reactor: ScriptedReactor) -> None:
    stream = Footage()
    reactor.answer(NAME, "a")
    await c.begin("s", stream, 3)
    reactor.answer(NAME, "a", is_valid=False)
    await c.send("s", stream.frames(4))
    assert c.story("a") == [*PROLOGUE, *frames(0, 1, 2), "ended"]
    assert c.story("rest") == [*PROLOGUE, *frames(*range(7))]


async def test_each_stream_goes_its_own_way(c: Crossing, reactor: ScriptedReactor) -> None:
    reactor.answer(NAME, "a")
    reactor.answer("name of y", "a", "b")
    for name in "xyz":
        await c.begin("s", Footage(StreamId(name)), 1)
    assert {event.stream_id for event in c.bench["a"].seen} == {"x", "y"}
    assert {event.stream_id for event in c.bench["b"].seen} == {"y"}
    assert [hold.stream_name for hold in reactor.held] == [NAME, "name of y", "name of z"]


async def test_a_target_that_is_not_there_yet_gets_the_stream_when_it_comes(
    c: Crossing, reactor: ScriptedReactor
) -> None:
    stream = Footage()
    reactor.answer(NAME, "late")
    await c.begin("s", stream, 3)
    await c.run("late", "recorder:l")
    await c.send("s", stream.frames(4))
    assert c.story("l") == [*PROLOGUE, *frames(5, 6)]


async def test_a_circle_is_logged_and_the_others_are_served(
    c: Crossing, reactor: ScriptedReactor, logs: list[EventDict]
) -> None:
    await c.run("b", "recorder:b", "forward:source")
    reactor.answer(NAME, "a", "b", "source", "c")
    stream = Footage()
    await c.begin("s", stream, 1)
    assert c.story("a") == c.story("c") == c.story("rest") == [*PROLOGUE, *frames(0)]
    assert c.story("b") == []
    assert [(line["stream"], line["reason"]) for line in logs if line["event"] == "stream cannot be forwarded"] == [
        (NAME, "forwarding in a circle: source -> b -> source"),
        (NAME, "forwarding in a circle: source -> source"),
    ]
    await c.run("b", "recorder:b")
    reactor.answer(NAME, "a", "b")
    await c.send("s", stream.frames(5))
    assert c.story("b") == [*PROLOGUE, *frames(5)]


@pytest.mark.parametrize("end", ["stream ends", "step removed", "workflow stopped", "source removed"])
async def test_whatever_ends_a_stream_ends_it_at_the_target_and_lets_go(
    c: Crossing, reactor: ScriptedReactor, end: str
) -> None:
    stream, silent = Footage(), Footage(StreamId("y"))
    reactor.answer(NAME, "a")
    await c.begin("s", stream, 1)
    await c.begin("s", silent, 1)  # nobody has answered about it yet
    assert len(reactor.held) == 2
    match end:
        case "stream ends":
            await c.send("s", [stream.end(), silent.end()])
        case "step removed":
            await c.run("source", "source:s", "recorder:rest")
        case "workflow stopped":
            await c.stop("source")
        case "source removed":
            await c.run("source", "route:r", "recorder:rest")
    assert not reactor.held
    assert c.story("a") == [*PROLOGUE, *frames(0), "ended"]
    reactor.answer(NAME, "b")
    reactor.answer("name of y", "b")
    await wait_all_tasks_blocked()
    assert c.story("b") == []


async def test_a_stream_under_the_same_name_is_asked_about_again(c: Crossing, reactor: ScriptedReactor) -> None:
    reactor.answer(NAME, "a")
    for _ in range(2):
        stream = Footage()
        await c.begin("s", stream, 1)
        await c.send("s", [stream.end()])
    assert c.story("a") == [*PROLOGUE, *frames(0), "ended"] * 2
    assert reactor.asked == [NAME, NAME]


async def test_a_stream_that_begins_and_ends_in_one_batch_leaves_nothing(c: Crossing, reactor: ScriptedReactor) -> None:
    stream = Footage()
    reactor.answer(NAME, "a")
    await c.send("s", [*stream.start(), *stream.frames(1), stream.end()])
    assert not reactor.held
    assert legality(c.bench["a"].seen) is None


async def test_one_target_gets_a_stream_once_however_many_forwarders_send_it(
    c: Crossing, reactor: ScriptedReactor
) -> None:
    reactor.answer(NAME, "a")
    await c.run("source", "source:s", "route:r", "recorder:rest", "forward:a")
    stream = Footage()
    await c.begin("s", stream, 2)
    reactor.answer(NAME)
    await c.send("s", stream.frames(2))
    assert c.story("a") == [*PROLOGUE, *frames(0, 1, 2, 3)]


async def test_an_answer_that_comes_just_after_the_question_is_followed(c: Crossing, reactor: ScriptedReactor) -> None:
    stream = Footage()
    await c.bench.send("s", stream.start())
    while not reactor.held:
        await trio.lowlevel.checkpoint()
    reactor.answer(NAME, "a")
    await c.send("s", stream.frames(1))
    assert c.story("a")[:4] == PROLOGUE


async def test_a_batch_stays_a_batch_so_that_a_burst_finds_room(c: Crossing, reactor: ScriptedReactor) -> None:
    stream, other = Footage(), Footage(StreamId("y"))
    reactor.answer(NAME, "a")
    reactor.answer("name of y", "a")
    await c.send("s", [*stream.start(), *stream.frames(40), *other.start(), *other.frames(40), *stream.frames(40)])
    await c.send("s", [stream.end(), *stream.start(), other.end()])
    assert c.story("a") == [*PROLOGUE, *frames(*range(80)), "ended", *PROLOGUE]
    assert c.story("a", "y") == [*PROLOGUE, *frames(*range(40), stream="y"), "ended"]
    assert c.inlet("a").dropped_groups == 0


# Cancelled anywhere.


async def forwarded(c: Crossing) -> None:
    """A source with a forwarder: its streams come, go and stay."""
    stream, other = Footage(), Footage(StreamId("y"))
    await c.manager.apply(definition("w", "source:w", "forward:a", "route:r")).wait_outcome()
    await c.bench.send("w", [*stream.start(), *stream.frames(2)])
    await c.bench.send("w", other.start())
    await trio.lowlevel.checkpoint()
    await c.bench.send("w", [other.end(), *stream.frames(2)])
    await c.manager.apply(definition("w", "source:w", "route:r")).wait_outcome()


async def redirected(c: Crossing) -> None:
    """Answers that change while a stream is on."""
    reactor = c.reactors.get("r")
    assert isinstance(reactor, ScriptedReactor)
    stream = Footage()
    await c.manager.apply(definition("w", "source:w", "route:r")).wait_outcome()
    await c.bench.send("w", stream.start())
    for targets in ("a", "ab", "bc", ""):
        await trio.lowlevel.checkpoint()
        reactor.answer(NAME, *targets)
        await c.bench.send("w", stream.frames(5))


@pytest.mark.thorough
@pytest.mark.parametrize("script", [forwarded, redirected])
async def test_a_forwarder_cancelled_at_any_await_leaves_nothing(
    script: Callable[[Crossing], Awaitable[None]], autojump_clock: MockClock
) -> None:
    lives: list[tuple[Crossing, ScriptedReactor]] = []

    async def run() -> None:
        reactor = ScriptedReactor({NAME: ("b",)})
        crossing = Crossing(ScriptedReactors(reactor))
        lives.append((crossing, reactor))
        async with trio.open_nursery() as nursery:
            await nursery.start(crossing.manager.run)
            await trio.lowlevel.checkpoint()
            for name in "abc":
                await crossing.manager.apply(definition(name, f"recorder:{name}")).wait_outcome()
            await script(crossing)
            await crossing.manager.stop("w")
            assert [list(crossing.inlet(name).streams) for name in "abc"] == [[], [], []]
            nursery.cancel_scope.cancel()

    def check() -> None:
        crossing, reactor = lives[-1]
        assert crossing.is_empty
        assert not crossing.forwarding._inlets
        assert not reactor.held
        assert crossing.bench.running == []

    assert await cancel_everywhere(run, check) > 20
    assert lives[-1][0].bench["b"].seen
