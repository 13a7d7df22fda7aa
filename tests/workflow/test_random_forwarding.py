"""Two workflows whose steps, streams and faults come in any order: what the target sees is always a legal story."""

from itertools import pairwise
from typing import Literal

import trio
import trio.testing
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from mmids_trio.errors import StepError
from mmids_trio.media.events import MediaEvent, StreamId, StreamStarted
from mmids_trio.workflow.change import Change
from mmids_trio.workflow.status import PlanView
from tests.support.effort import some_of
from tests.support.numbered_events import Footage, legality
from tests.support.toy_forwarding import Crossing
from tests.support.toy_steps import ToyStep, definition, is_frame

SOURCES = [
    ("source:s", "forward:target"),
    ("source:s",),
    ("source:s", "recorder:m", "forward:target"),
    ("source:s", "forward:target", "recorder:m", "forward:target"),
    ("source:s", "forward:middle", "forward:target"),
]
TARGETS = [
    ("recorder:t",),
    ("source:p", "recorder:t"),
    ("source:q", "slow:n", "recorder:t"),
    ("slow:n", "recorder:t"),
    ("recorder:t", "source:p"),
    (),
]

APART = 1_000
"""Frames from the first one of a stream to the first one of the next, which is a key frame, too."""

Move = tuple[Literal["source", "target", "frames", "stream", "fail", "middle", "rest"], int]

MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("source"), st.integers(0, len(SOURCES) - 1)),
        st.tuples(st.just("target"), st.integers(0, len(TARGETS) - 1)),
        st.tuples(st.just("frames"), st.integers(1, 12)),
        st.tuples(st.just("stream"), st.integers(0, 1)),
        st.tuples(st.just("fail"), st.just(0)),
        st.tuples(st.just("middle"), st.integers(0, 1)),
        st.tuples(st.just("rest"), st.just(0)),
    ),
    max_size=25,
)


@define
class Life:
    """One sequence of moves; what is on air in the source, and what should run."""

    crossing: Crossing = field(factory=Crossing)
    on_air: dict[int, Footage] = field(factory=dict)
    source: int = 0
    target: int = 0
    begun: int = 0
    changes: list[Change[PlanView]] = field(factory=list)

    async def live(self, moves: list[Move]) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(self.crossing.manager.run)
            self.change("target", TARGETS[0])
            await self.crossing.run("source", *SOURCES[0])
            for kind, number in moves:
                await self.move(kind, number)
            await self.settle()
            await self.check_end()
            nursery.cancel_scope.cancel()

    async def move(self, kind: str, number: int) -> None:
        match kind:
            case "source":
                self.source = number
                self.change("source", SOURCES[number])
            case "target" if TARGETS[number]:
                self.target = number
                self.change("target", TARGETS[number])
            case "target":
                self.target = number
                await self.crossing.manager.stop("target")
            case "middle" if number:
                self.change("middle", ("recorder:i", "forward:target"))
            case "middle":
                await self.crossing.manager.stop("middle")
            case "frames":
                for stream in self.on_air.values():
                    await self.crossing.bench.send("s", stream.frames(number))
            case "stream":
                await self.switch(number)
            case "fail":
                await self.fail()
            case "rest":
                await self.settle()

    def change(self, name: str, steps: tuple[str, ...]) -> None:
        self.changes.append(self.crossing.manager.apply(definition(name, *steps)))

    async def switch(self, number: int) -> None:
        """Begin a stream, or end it."""
        if stream := self.on_air.pop(number, None):
            await self.crossing.bench.send("s", [stream.end()])
        else:
            self.begun += 1  # no frame of a stream is taken for one of the stream before it under that id
            stream = self.on_air[number] = Footage(StreamId("xy"[number]), number=APART * self.begun)
            await self.crossing.bench.send("s", stream.start())

    async def fail(self) -> None:
        """The target fails, and is started again."""
        await self.settle()
        if TARGETS[self.target]:
            self.crossing.bench["t"].fail(StepError("broken"))
            await self.settle()
            self.change("target", TARGETS[self.target])

    async def settle(self) -> None:
        for change in self.changes:
            await change.wait_outcome()
        await trio.sleep(3)

    async def check_end(self) -> None:
        """What should be in the target is, and goes on with a key frame; then all of it ends with the source."""
        crossing = self.crossing
        is_forwarded = SOURCES[self.source] != ("source:s",)
        for stream in self.on_air.values():
            for event in stream.frames(2 * stream.gop):
                await crossing.bench.send("s", [event])
                await trio.sleep(0.1)
        if TARGETS[self.target]:
            expected = {stream.stream_id for stream in self.on_air.values()} if is_forwarded else set()
            assert set(crossing.inlet("target").streams) == expected
            for stream in self.on_air.values():
                last = f"{stream.stream_id}{stream.number - 1}".encode()
                assert (last in crossing.bench["t"].frames(stream.stream_id)[-1:]) == is_forwarded
            await crossing.stop("source")
            assert not crossing.inlet("target").streams
        for step in crossing.bench.built:
            check_story(step)


def check_story(step: ToyStep) -> None:
    """Legal, nothing twice or out of order, and after a gap, a key frame."""
    if step.label != "t":
        return
    assert legality(step.seen) is None
    for stream_id in ("x", "y"):
        for events in lives(step.of(stream_id)):
            frames = [event for event in events if is_frame(event)]
            for previous, frame in pairwise(frames):
                number, before = number_of(frame), number_of(previous)
                assert number == before + 1 or (number > before and frame.is_key_frame), (before, number)


def number_of(event: MediaEvent) -> int:
    assert is_frame(event)
    return int(event.data[1:])


def lives(events: list[MediaEvent]) -> list[list[MediaEvent]]:
    """From each start to the next."""
    found: list[list[MediaEvent]] = []
    for event in events:
        if isinstance(event, StreamStarted):
            found.append([])
        found[-1].append(event)
    return found


@settings(max_examples=some_of(300))
@given(MOVES)
def test_what_a_target_sees_is_a_legal_story_whatever_happens(moves: list[Move]) -> None:
    trio.run(Life().live, moves, clock=MockClock(autojump_threshold=0))
