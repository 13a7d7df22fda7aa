"""Random definitions, streams, failures and changes that overtake each other, under random schedules of tasks.

What has to hold can be read off what each step saw: legal sequences; no gap, repetition or disorder among the
numbered frames, except where a new feed begins with its key frame; and at the end every stream is where the last
definition says, and each step is tuned as that says, however often it was changed in place.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from itertools import groupby, pairwise

import trio
from attrs import Factory, define, field
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from trio.testing import MockClock

from mmids_trio.definitions import step_ids
from mmids_trio.media.events import MediaEvent, MediaPacket, StreamEnded, StreamId
from mmids_trio.media.timeline import is_after
from mmids_trio.testing.schedules import schedule
from mmids_trio.workflow.manager import WorkflowManager
from tests.support.effort import some_of
from tests.support.managed import Stage
from tests.support.numbered_events import Footage, legality
from tests.support.toy_steps import Bench, ToyStep, is_frame

GOP, BURST = 5, 12
"""Video frames from key frame to key frame, and those that one line of a script sends."""

REST = 5.0
"""Seconds, of virtual time, in which everything has come to rest."""

PLAIN = ["source:s", "source:t", "recorder:a", "recorder:b", "recorder:c", "slow:m", "slow:n"]
REPLACING = [*PLAIN, "replacer:q", "replacer:r ahead"]
FAILING = "recorder:f refuses"

Action = tuple[str, object]


def definitions(pool: Sequence[str]) -> st.SearchStrategy[list[str]]:
    """Sequences of different steps, more often than not with a source in front."""
    chain = st.lists(st.sampled_from(pool), unique=True, max_size=6)
    return st.one_of(chain, chain.map(lambda steps: ["source:s", *(step for step in steps if step != "source:s")]))


def tuned(pool: Sequence[str]) -> st.SearchStrategy[list[str]]:
    """Such a sequence, of which some steps are tuned."""
    tunes = st.sampled_from(["", "", " tune=1", " tune=2", " tune=broken", " tune=refused"])
    both = st.tuples(definitions(pool), st.lists(tunes, min_size=7, max_size=7))
    return both.map(lambda two: [step + tune for step, tune in zip(two[0], two[1], strict=False)])


def scripts(pool: Sequence[str], *, failures: bool = False) -> st.SearchStrategy[list[Action]]:
    wanted = definitions(pool)
    actions = [
        st.tuples(st.just("change"), wanted),
        st.tuples(st.just("change in place"), tuned(pool)),
        st.tuples(st.sampled_from(["start", "frames", "frames", "end"]), st.sampled_from("st")),
        st.tuples(st.sampled_from(["rest", "yield"]), st.none()),
    ]
    if failures:
        actions.append(st.tuples(st.just("refused"), wanted))
        actions.append(st.tuples(st.just("fail"), st.sampled_from("abc")))
    return st.tuples(wanted, st.lists(st.one_of(actions), max_size=25)).map(
        lambda script: [("change", script[0]), ("rest", None), ("start", "s"), ("frames", "s"), *script[1]]
    )


@define
class Feed:
    """All that one instance of a source sends, in order, by a task of its own."""

    step: ToyStep
    live: dict[str, Footage] = Factory(dict)
    queue: "list[Callable[[], Awaitable[object]]]" = Factory(list)
    stir: trio.Event = Factory(trio.Event)

    async def run(self) -> None:
        while True:
            while self.queue:
                await self.queue.pop(0)()
                await trio.lowlevel.checkpoint()
            self.stir = trio.Event()
            await self.stir.wait()

    def send(self, events: Sequence[MediaEvent]) -> None:
        self.queue.append(partial(self.step.outbox.send, events))
        self.stir.set()

    async def _end(self, stream_id: StreamId) -> None:
        self.step.outbox.end_stream(stream_id)

    def end(self) -> None:
        if self.live:
            footage = self.live.pop(next(iter(self.live)))
            self.queue.append(partial(self._end, footage.stream_id))
            self.stir.set()


@define
class Play:
    """A script at work."""

    stage: Stage
    nursery: trio.Nursery
    feeds: dict[ToyStep, Feed] = field(factory=dict, init=False)
    streams: int = field(default=0, init=False)

    async def run(self, script: Sequence[Action], *, rested: bool) -> None:
        for verb, what in script:
            if rested:
                await trio.sleep(REST)
            await self._act(verb, what)

    async def _act(self, verb: str, what: object) -> None:
        match verb, what:
            case "change", list(steps):
                self.stage.submit(*steps)
            case "change in place", list(steps):
                self.stage.submit(*steps, in_place=True)
            case "refused", list(steps):
                self.stage.submit(*steps, FAILING, rollback=True)
            case "fail", str(label):
                for step in self.stage.bench.built:
                    if step.label == label and step.is_running:
                        step.fail(ValueError("broken by the script"))
            case "rest", _:
                await trio.sleep(REST)
            case "yield", _:
                await trio.lowlevel.checkpoint()
            case _, str(label):
                self._feed(verb, label)

    def _feed(self, verb: str, label: str) -> None:
        step = next((step for step in reversed(self.stage.bench.built) if step.label == label), None)
        if step is None or not step.is_running:
            return
        if step not in self.feeds:
            self.feeds[step] = Feed(step)
            self.nursery.start_soon(self.feeds[step].run)
        feed = self.feeds[step]
        if verb == "start":
            self.streams += 1
            name = f"{label}{self.streams}_"
            footage = feed.live[name] = Footage(StreamId(name), GOP)
            feed.send(footage.start())
        elif verb == "end":
            feed.end()
        else:
            for footage in feed.live.values():
                for event in footage.frames(BURST):
                    feed.send([event])

    async def finish(self) -> None:
        """Let all come to rest, and play on over a key frame."""
        await trio.sleep(REST)
        for label in "st":
            self._feed("frames", label)
        await trio.sleep(REST)


async def play(script: Sequence[Action], *, rested: bool = False) -> Bench:
    """Play a script, check what must hold at its end, stop, and see that nothing is left."""
    before = trio.lowlevel.current_statistics().tasks_living
    bench = Bench()
    async with trio.open_nursery() as nursery:
        manager = WorkflowManager(bench)
        await nursery.start(manager.run)
        stage = Stage(bench, manager)
        playing = Play(stage, nursery)
        await playing.run(script, rested=rested)
        await playing.finish()
        for step in bench.built:
            check_sequences(step)
        if stage.status == "Running":
            check_tunes(stage)
            check_ends(stage, playing.feeds)
        await manager.stop("w")
        assert bench.running == []
        nursery.cancel_scope.cancel()
    assert trio.lowlevel.current_statistics().tasks_living == before
    return bench


def check_sequences(step: ToyStep) -> None:
    """What must hold for what a step saw, whatever has happened."""
    assert legality(step.seen) is None
    for stream_id in {event.stream_id for event in step.seen}:
        for life in lives(step.of(stream_id)):
            frames = [event for event in life if is_frame(event)]
            for earlier, later in pairwise(frames):
                assert not is_after(earlier.timestamp, later.timestamp), (step.label, earlier, later)
            runs = [list(run) for _, run in groupby(life, key=feed_of)]
            check_runs([run for run in runs if is_frame(run[0])])


def lives(seen: Sequence[MediaEvent]) -> list[Sequence[MediaEvent]]:
    """What a step saw of one stream, cut where it ended (for this step) to start again later."""
    ends = [position for position, event in enumerate(seen) if isinstance(event, StreamEnded)]
    return [seen[first:last] for first, last in pairwise([0, *ends, len(seen)])]


def feed_of(event: MediaEvent) -> bytes | None:
    """Who made a frame's media: the labels of the replacers on its way; `None` for other events."""
    return event.data.rpartition(b" ")[0] if is_frame(event) else None


def check_runs(runs: Sequence[Sequence[MediaEvent]]) -> None:
    """Each run is frames of one feed that came without a word between; a new feed begins with a key frame."""
    for run in runs:
        for earlier, later in pairwise(run):
            assert number(later) == number(earlier) + 1, (earlier, later)
    for before, after in pairwise(runs):
        goes_on = feed_of(before[-1]) == feed_of(after[0]) and number(after[0]) == number(before[-1]) + 1
        assert goes_on or (isinstance(after[0], MediaPacket) and after[0].is_key_frame), (before[-1], after[0])


def number(event: MediaEvent) -> int:
    assert isinstance(event, MediaPacket)
    return int(event.data.rpartition(b"_")[2])


def check_tunes(stage: Stage) -> None:
    """Each step has what is shown of it, and the id that follows from it."""
    status, wanted = stage.manager.status("w"), stage.manager.definition("w")
    running = {step.label: step for step in stage.bench.built if step.is_running}
    if status is None or wanted is None:
        return
    assert tuple(step.step_id for step in status.active_steps) == step_ids(wanted.steps)
    for shown, step in zip(status.active_steps, wanted.steps, strict=True):
        assert shown.parameters == step.parameters
        assert running[shown.parameters["label"] or ""].tune == shown.parameters.get("tune")


def check_ends(stage: Stage, feeds: Mapping[ToyStep, Feed]) -> None:
    """Every step has the streams that the definition gives it, up to their last frame, and no others."""
    running = {step.label: step for step in stage.bench.built if step.is_running}
    feed, replacers = None, b""
    for step in (running[status.split()[0]] for status in stage.active):
        if step.kind == "source":
            feed, replacers = feeds.get(step), b""
            continue
        expected = {} if feed is None else feed.live
        assert live_streams(step) == set(expected), step.label
        for stream_id, footage in expected.items():
            last = next(event for event in reversed(step.of(stream_id)) if is_frame(event))
            assert (feed_of(last), number(last)) == (replacers, footage.number - 1), step.label
        if step.kind == "replacer":
            replacers = (step.label.encode() + b" " + replacers).strip()


def live_streams(step: ToyStep) -> set[str]:
    ids = {event.stream_id for event in step.seen}
    return {stream_id for stream_id in ids if not isinstance(step.of(stream_id)[-1], StreamEnded)}


def rehearse(script: Sequence[Action], seed: int, *, rested: bool = False) -> Bench:
    """Play a script under one schedule of tasks."""
    with capture_logs(), schedule(seed):
        return trio.run(partial(play, script, rested=rested), clock=MockClock(autojump_threshold=0))


@settings(max_examples=some_of(150), deadline=None)
@given(scripts(PLAIN), st.integers(0, 2**32))
def test_steps_that_pass_on_lose_repeat_and_misplace_nothing(script: list[Action], seed: int) -> None:
    rehearse(script, seed)


@settings(max_examples=some_of(150), deadline=None)
@given(scripts(REPLACING), st.integers(0, 2**32))
def test_replacers_that_come_and_go_end_nothing(script: list[Action], seed: int) -> None:
    rehearse(script, seed)


@settings(max_examples=some_of(150), deadline=None)
@given(scripts(REPLACING, failures=True), st.integers(0, 2**32))
def test_failures_leave_every_step_with_a_legal_history(script: list[Action], seed: int) -> None:
    rehearse(script, seed)


def histories(bench: Bench) -> list[object]:
    """What each step saw of each stream, whatever the order of different streams among each other."""
    instances = sorted(bench.built, key=lambda step: step.label)
    return [
        (step.label, {stream_id: step.of(stream_id) for stream_id in sorted({event.stream_id for event in step.seen})})
        for step in instances
    ]


@settings(max_examples=some_of(10, fast=2), deadline=None)
@given(scripts(PLAIN))
def test_the_schedule_of_tasks_changes_no_history_where_changes_are_made_at_rest(script: list[Action]) -> None:
    first, *others = [histories(rehearse(script, seed, rested=True)) for seed in range(20)]
    assert all(history == first for history in others)
