"""Random holders, answers, failures and releases: what runs is what the held leases' last good answers call for.

Streams may claim each other's workflows, so an answer may be an error that only the state of all leases explains;
therefore the invariant is checked against what each lease says of its last good answer, and each lease's answer
against what the executor said and the holders were told.
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial

import trio
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.reactors.executor import Answer
from mmids_trio.reactors.views import LeaseView
from mmids_trio.testing.schedules import schedule
from tests.reactors.stand_ins import DOWN, EMPTY, INVALID, Bench, Holder, flow, valid
from tests.support.effort import some_of

INTERVAL = 60
STREAMS = "stu"
NAMES = ["a", "b", "c", "shared"]

Action = tuple[str, str, object]


def answers() -> st.SearchStrategy[Answer | Exception]:
    flows = st.builds(
        lambda name, step, routed: flow(name, step, routed=routed),
        st.sampled_from(NAMES),
        st.sampled_from("xy"),
        st.booleans(),
    )
    good = st.lists(flows, unique_by=lambda item: item.name, max_size=3).map(lambda items: valid(*items))
    return st.one_of(good, good, st.just(INVALID), st.just(DOWN))


def scripts() -> st.SearchStrategy[list[Action]]:
    stream = st.sampled_from(STREAMS)
    return st.lists(
        st.one_of(
            st.tuples(st.just("answer"), stream, answers()),
            st.tuples(st.sampled_from(["hold", "hold", "release"]), stream, st.none()),
            st.tuples(st.just("pass"), st.just(""), st.sampled_from([0, 1, 5, 20, 61])),
        ),
        max_size=40,
    )


@define(eq=False)
class Play:
    """A script at work."""

    bench: Bench
    holders: dict[str, list[Holder]] = field(factory=lambda: {stream: [] for stream in STREAMS})
    scripted: dict[str, float] = field(factory=dict)
    """When the executor's answer about a stream changed last, in seconds since the reactor began."""

    async def run(self, script: Sequence[Action]) -> None:
        for verb, stream, what in script:
            self.act(verb, stream, what)
            if isinstance(what, int):
                await trio.sleep(what + 0.25)
                await wait_all_tasks_blocked()
                self.check()
        for held in self.holders.values():
            for holder in held:
                holder.hold.release()
        await wait_all_tasks_blocked()
        assert self.bench.running == set()
        assert self.bench.reactor.view().leases == ()

    def act(self, verb: str, stream: str, what: object) -> None:
        match verb, what:
            case "answer", Answer() | Exception():
                self.bench.executor.script[stream] = [what]
                self.scripted[stream] = trio.current_time() - self.bench.began
            case "hold", _:
                self.holders[stream].append(self.bench.hold(stream))
            case "release", _ if self.holders[stream]:
                self.holders[stream].pop(0).hold.release()

    def check(self) -> None:
        """What must hold whenever every task waits for something."""
        leases = self.bench.reactor.view().leases
        wanted = Counter(name for lease in leases for name in lease.workflows)
        assert set(wanted) == self.bench.running
        held = {stream: len(holders) for stream, holders in self.holders.items() if holders}
        assert {lease.stream: lease.holders for lease in leases} == held
        for lease in leases:
            for name in lease.workflows:
                owner = self.bench.workflows.owner(name)
                assert owner is not None
                assert (owner.kind, owner.name) == ("reactor", "lookup")  # and the stream of the first that wanted it
            for holder in self.holders[lease.stream]:
                assert holder.hold.is_valid is lease.valid
                assert holder.told == [] or holder.told[-1] == (lease.valid, holder.hold.routable)
            self.check_answer(lease, {name for name, count in wanted.items() if count > 1})

    def check_answer(self, lease: LeaseView, shared: set[str]) -> None:
        """A request without an error did what the executor said then, if it has not been told another since."""
        answer = self.bench.executor.script.get(lease.stream, [EMPTY])[0]
        if lease.last_error is not None or self.scripted.get(lease.stream, -1) >= self.bench.asked(lease.stream)[-1]:
            return
        assert isinstance(answer, Answer)
        assert lease.valid is answer.valid
        assert lease.workflows == tuple(workflow.name for workflow in answer.workflows)
        for workflow in answer.workflows:  # one that others want otherwise meanwhile waits for them
            assert workflow.name in shared or self.bench.workflows.running[workflow.name] == workflow
        routable = tuple(workflow.name for workflow in answer.workflows if workflow.routed_by_reactor)
        assert all(holder.hold.routable == routable for holder in self.holders[lease.stream])


async def play(script: Sequence[Action], interval: int) -> None:
    async with trio.open_nursery() as nursery:
        bench = Bench(nursery)
        await bench.start(interval=interval)
        await Play(bench).run(script)
        nursery.cancel_scope.cancel()


@settings(max_examples=some_of(400), deadline=None)
@given(scripts(), st.sampled_from([0, 20, INTERVAL]), st.integers(0, 2**32))
def test_what_runs_is_what_the_held_leases_call_for(script: list[Action], interval: int, seed: int) -> None:
    with capture_logs(), schedule(seed):
        trio.run(partial(play, script, interval), clock=MockClock(autojump_threshold=0))
