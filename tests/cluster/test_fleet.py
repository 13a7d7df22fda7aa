"""Nodes that change together: all or none, also where one of them dies at any step, and where answers get lost."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from random import Random
from typing import Any, TypeVar

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock

from mmids_trio.cluster.directory import NODE_TTL_SECONDS, RENEW_SECONDS, Document, Incarnation, NodeEntry, RegistryAway
from mmids_trio.cluster.fleet import CATCH_UP_SECONDS, Fleet
from mmids_trio.cluster.memory import MemoryDirectory, MemoryRegistry
from mmids_trio.cluster.questions import Outcome, Question
from mmids_trio.cluster.revisions import (
    CONFIG_NAME,
    FleetState,
    NodePlan,
    Proposal,
    Report,
    Revision,
    Unreadable,
    report_name,
)
from mmids_trio.cluster.sealing import MAX_SEALED_BYTES, CannotSeal, CannotUnseal, Seal
from mmids_trio.errors import MmidsError
from tests.support.effort import first_are_fast, some_of

SEEDS = 300
ANNOUNCE_SECONDS = 1.5
SLACK_SECONDS = 2.0
"""What an answer may take, and the look that sees what came of it."""

Answer = TypeVar("Answer")


class Died(BaseException):
    """A process that is not there any more."""


@define(eq=False)
class Way(MemoryDirectory):
    """A node's way to the registry, on which answers get lost, and at an operation of which its process may die."""

    random: Random | None = None
    losses: float = 0.0
    dies_at: int | None = None
    """Number of the operation; even ones die before it is done, odd ones before its answer is there."""
    die: Callable[[], None] = lambda: None
    count: int = field(default=0, init=False)
    is_cut: bool = field(default=False, init=False)

    async def ask(self, operation: Callable[[], Answer]) -> Answer:
        self.count += 1
        if self.random is not None:
            await trio.sleep(self.random.random() * 0.3)
        if self.is_cut or (self.random is not None and self.random.random() < self.losses / 2):
            raise RegistryAway("nobody was asked")
        dies = self.dies_at is not None and self.count > self.dies_at // 2
        if dies and self.dies_at is not None and self.dies_at % 2 == 0:
            self.die()
            await trio.sleep_forever()
        answer = await super().ask(operation)
        if dies:
            self.die()
            await trio.sleep_forever()
        if self.random is not None and self.random.random() < self.losses / 2:
            raise RegistryAway("the answer got lost")
        return answer


@define(eq=False)
class Node:
    """A process that serves what it was told to, and says so only when it does."""

    name: str
    registry: MemoryRegistry
    way: Way
    number: str = "1"
    cannot: str | None = None
    """What it refuses."""
    fails: str | None = None
    """What it accepts, and then cannot put in place."""
    serves: str = ""
    served_first: str | None = field(default=None, init=False)
    on_change: Callable[[], None] = field(default=lambda: None, init=False)
    """Told when it may serve something else, or count no more."""
    has_died: bool = field(default=False, init=False)
    _scopes: list[trio.CancelScope] = field(factory=list, init=False)
    fleet: Fleet = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.way.die = self.die
        self.fleet = Fleet(
            directory=self.way,
            owner=Incarnation(self.name, self.number),
            seal=Seal("hush", bytes),
            local=self,
        )

    def die(self) -> None:
        self.has_died = True
        self.on_change()
        for scope in self._scopes:
            scope.cancel()

    @contextmanager
    def living(self) -> Iterator[None]:
        """What goes on in the process."""
        with trio.CancelScope() as scope:
            self._scopes.append(scope)
            yield

    async def plan(self, text: str, revision: Revision) -> NodePlan:
        await trio.sleep(0.01)
        if text == self.cannot:
            raise MmidsError(f"{self.name} has no room for {text}")
        return NodePlan(text != self.serves, 0, 2, f"{self.serves} -> {text}")

    async def apply(self, text: str, revision: Revision) -> None:
        await trio.sleep(0.05)
        if text == self.fails:
            raise MmidsError(f"{self.name} failed")
        self.serves = text
        self.on_change()

    async def run(self) -> None:
        with self.living():
            await self.fleet.catch_up()
            self.served_first = self.serves
            async with trio.open_nursery() as nursery:
                await nursery.start(self.fleet.run)
                while True:
                    try:
                        if self.fleet.is_in_date:
                            await self.way.announce(self.entry)
                    except RegistryAway:
                        pass
                    self.on_change()
                    await trio.sleep(ANNOUNCE_SECONDS)

    @property
    def entry(self) -> NodeEntry:
        fleet = self.fleet
        return NodeEntry(fleet.owner, f"rtmp://{self.name}:1935", bool(fleet.reasons), fleet.serves)


def node(registry: MemoryRegistry, name: str, **more: Any) -> Node:
    way = Way(registry, **{key: more.pop(key) for key in ("random", "losses", "dies_at") if key in more})
    return Node(name, registry, way, **more)


@asynccontextmanager
async def running(*nodes: Node) -> AsyncIterator[trio.Nursery]:
    """Nodes that are announced."""
    async with trio.open_nursery() as nursery:
        for each in nodes:
            nursery.start_soon(each.run)
        await trio.sleep(3)
        yield nursery
        nursery.cancel_scope.cancel()


def state_of(registry: MemoryRegistry) -> FleetState:
    document = registry.read(CONFIG_NAME)
    return FleetState() if document is None else FleetState.from_text(document.text)


async def test_all_nodes_change_or_none_does_and_the_answer_says_which_node_could_not(
    autojump_clock: MockClock,
) -> None:
    registry = MemoryRegistry()
    nodes = [node(registry, name) for name in "abc"]
    nodes[1].cannot = "two"
    async with running(*nodes):
        one = await nodes[0].fleet.ask(Question("one", "me"))
        two = await nodes[2].fleet.ask(Question("two", "me"))
        assert [each.serves for each in nodes] == ["one"] * 3
    assert (one.ending, [answer.stage for answer in one.nodes]) == ("applied", ["applied"] * 3)
    assert (two.ending, two.number) == ("refused", one.number)
    assert [(answer.node, answer.stage, answer.reasons) for answer in two.nodes] == [
        ("a", "can", ()),
        ("b", "cannot", ("b has no room for two",)),
        ("c", "can", ()),
    ]
    assert "b cannot put it in place" in two.reason
    assert state_of(registry).proposal is None


async def test_a_plan_sums_up_what_all_nodes_would_cut_and_changes_nothing(autojump_clock: MockClock) -> None:
    registry = MemoryRegistry()
    nodes = [node(registry, name) for name in "abc"]
    async with running(*nodes):
        plan = await nodes[1].fleet.ask(Question("one", "me", is_plan=True))
        await trio.sleep(20)
        assert [each.serves for each in nodes] == [""] * 3
    assert plan.ending == "planned"
    assert sum(answer.plan.watchers for answer in plan.nodes) == 6
    assert state_of(registry) == FleetState(highest=1)


async def test_more_disconnects_than_are_allowed_over_all_nodes_change_nothing(autojump_clock: MockClock) -> None:
    registry = MemoryRegistry()
    nodes = [node(registry, name) for name in "abc"]
    async with running(*nodes):
        refused = await nodes[0].fleet.ask(Question("one", "me", max_disconnects=5))
        assert {each.serves for each in nodes} == {""}
        applied = await nodes[0].fleet.ask(Question("one", "me", max_disconnects=6))
    assert (refused.ending, applied.ending) == ("too_many", "applied")
    assert "would disconnect 6 clients" in refused.reason


async def test_a_question_that_is_based_on_an_older_revision_loses(autojump_clock: MockClock) -> None:
    registry = MemoryRegistry()
    nodes = [node(registry, name) for name in "ab"]
    async with running(*nodes):
        first = await nodes[0].fleet.ask(Question("one", "me", based_on=0))
        late = await nodes[1].fleet.ask(Question("two", "me", based_on=0))
        again = await nodes[1].fleet.ask(Question("two", "me", based_on=first.number))
    assert [outcome.ending for outcome in (first, late, again)] == ["applied", "lost", "applied"]


async def test_of_two_questions_at_once_one_is_decided_and_the_other_hears_that_it_was_not(
    autojump_clock: MockClock,
) -> None:
    registry = MemoryRegistry()
    nodes = [node(registry, name) for name in "ab"]
    outcomes: list[Outcome] = []

    async def ask(of: Node, text: str) -> None:
        outcomes.append(await of.fleet.ask(Question(text, "me")))

    async with running(*nodes), trio.open_nursery() as asking:
        asking.start_soon(ask, nodes[0], "one")
        asking.start_soon(ask, nodes[1], "two")
        asking.start_soon(ask, nodes[1], "three")
    assert sorted(outcome.ending for outcome in outcomes)[0] == "applied"
    assert {outcome.ending for outcome in outcomes} <= {"applied", "busy", "lost"}
    assert [outcome.ending for outcome in outcomes].count("applied") == 1
    assert len({each.serves for each in nodes}) == 1


async def test_a_node_that_comes_later_has_what_was_decided_before_it_is_announced(autojump_clock: MockClock) -> None:
    registry = MemoryRegistry()
    first, late = node(registry, "a"), node(registry, "b")
    async with running(first) as nursery:
        await first.fleet.ask(Question("one", "me"))
        nursery.start_soon(late.run)
        await trio.sleep(2)
        assert late.served_first == "one"
        assert {entry.owner.node: entry.revision for entry in registry.nodes()} == {"a": 1, "b": 1}


async def test_a_node_that_cannot_carry_out_what_is_decided_is_draining_until_it_can(autojump_clock: MockClock) -> None:
    registry = MemoryRegistry()
    nodes = [node(registry, "a"), node(registry, "b", fails="one")]
    async with running(*nodes):
        outcome = await nodes[0].fleet.ask(Question("one", "me", wait=5))
        await trio.sleep(2)
        entries = {entry.owner.node: entry for entry in registry.nodes()}
        assert (outcome.ending, outcome.nodes[1].reasons) == ("partly", ("b failed",))
        assert "not in place at b" in outcome.reason
        assert (entries["b"].is_draining, entries["b"].revision) == (True, 0)
        assert (entries["a"].is_draining, entries["a"].revision) == (False, outcome.number)
        nodes[1].fails = None
        await trio.sleep(20)
        assert nodes[1].entry == NodeEntry(nodes[1].fleet.owner, "rtmp://b:1935", False, outcome.number)


async def test_a_node_that_is_there_and_says_nothing_keeps_the_others_from_changing(autojump_clock: MockClock) -> None:
    registry = MemoryRegistry()
    nodes = [node(registry, "a")]
    async with running(*nodes) as nursery:
        await announced(nursery, registry, "mute")
        outcome = await nodes[0].fleet.ask(Question("one", "me"))
    assert (outcome.ending, nodes[0].serves) == ("refused", "")
    assert "mute did not answer within 15 s" in outcome.reason


async def announced(nursery: trio.Nursery, registry: MemoryRegistry, name: str) -> None:
    async def announce() -> None:
        while True:
            registry.announce(NodeEntry(Incarnation(name, "1"), "rtmp://x:1"))
            await trio.sleep(1)

    nursery.start_soon(announce)
    await trio.sleep(1)


async def test_a_registry_that_has_forgotten_everything_is_told_what_was_decided(autojump_clock: MockClock) -> None:
    registry = MemoryRegistry()
    nodes = [node(registry, name) for name in "ab"]
    async with running(*nodes) as nursery:
        await nodes[0].fleet.ask(Question("one", "me"))
        await nodes[0].fleet.ask(Question("two", "me"))
        registry.forget_everything()
        early = await nodes[0].fleet.ask(Question("three", "me"))
        await trio.sleep(3)
        late = node(registry, "c")
        nursery.start_soon(late.run)
        await trio.sleep(2)
        assert late.served_first == "two"
        await trio.sleep(NODE_TTL_SECONDS)
        then = await nodes[1].fleet.ask(Question("three", "me"))
    assert (early.ending, then.ending) == ("busy", "applied")


@define(eq=False)
class Split:
    """For how long nodes that count serve different revisions: looks when a node changes, dies or is announced."""

    registry: MemoryRegistry
    nodes: list[Node] = field(factory=list)
    longest: float = 0.0
    _since: float | None = None

    @property
    def alive(self) -> list[Node]:
        return [each for each in self.nodes if not each.has_died]

    @property
    def counting(self) -> list[Node]:
        lives = {entry.owner for entry in self.registry.nodes() if not entry.is_draining}
        return [each for each in self.alive if each.fleet.owner in lives]

    def add(self, *nodes: Node) -> None:
        for each in nodes:
            each.on_change = self.look
            self.nodes.append(each)

    def look(self) -> None:
        now = trio.current_time()
        if len({each.serves for each in self.counting}) < 2:
            self._since = None
        elif self._since is None:
            self._since = now
        else:
            self.longest = max(self.longest, now - self._since)


@pytest.mark.thorough
@pytest.mark.parametrize("victim", ["leader", "follower"])
async def test_a_node_that_dies_at_any_step_leaves_no_two_revisions_in_service(
    victim: str, autojump_clock: MockClock
) -> None:
    """At every operation that it makes until all is over, before and after it was done; and it comes back."""
    for step in range(200):
        registry = MemoryRegistry()
        nodes = [node(registry, name) for name in "abc"]
        leader, follower = nodes[0], nodes[1]
        dying = leader if victim == "leader" else follower
        split = Split(registry)
        split.add(*nodes)
        async with running(*nodes) as nursery:
            first = await leader.fleet.ask(Question("one", "me"))
            assert first.ending == "applied"
            dying.way.dies_at = 2 * dying.way.count + step
            outcome: Outcome | None = None
            with leader.living():
                outcome = await leader.fleet.ask(Question("two", "me", wait=20))
            if not dying.has_died:
                assert step >= 2 * 4, "it reads twice and reports twice at least"
                assert outcome is not None
                assert outcome.ending == "applied"
                return
            dying.way.dies_at = None
            await trio.sleep(NODE_TTL_SECONDS + 1)
            again = node(registry, dying.name, number="2", serves=dying.serves)
            split.add(again)
            decided = state_of(registry).number
            nursery.start_soon(again.run)
            await trio.sleep(3)
            assert again.fleet.serves >= decided
            assert again.served_first == {1: "one", 2: "two"}[decided]
            last = await nodes[2].fleet.ask(Question("three", "me"))
            assert last.ending == "applied", (step, last)
            assert {each.serves for each in split.alive} == {"three"}
        assert split.longest <= NODE_TTL_SECONDS + SLACK_SECONDS, (step, split.longest)
    pytest.fail("it died at every step")


@pytest.mark.parametrize(
    "seeds",
    first_are_fast(1, [range(start, start + some_of(50)) for start in range(0, SEEDS, 50)]),
    ids=lambda seeds: seeds[0],
)
async def test_no_two_revisions_are_in_service_for_long_where_answers_get_lost_and_nodes_die(
    seeds: range, autojump_clock: MockClock
) -> None:
    for seed in seeds:
        random = Random(seed)
        registry = MemoryRegistry()
        names = "abcd"[: random.randint(2, 4)]
        nodes = [node(registry, name, random=Random(f"{seed} {name}"), losses=0.2) for name in names]
        split = Split(registry)
        split.add(*nodes)
        async with running(*nodes) as nursery:
            for number in range(2):
                for fault in random.sample(["die", "cut", "forget", "heal", "none"], 2):
                    await harm(nursery, fault, split, random, seed)
                asked = random.choice(split.alive)
                with trio.move_on_after(random.uniform(1, 40)), asked.living(), suppress(RegistryAway):
                    await asked.fleet.ask(Question(f"text {number}", "me", wait=random.uniform(0, 20)))
            for each in split.alive:
                each.way.is_cut, each.way.losses = False, 0.0
            await changed_at_last(split, seed)
            if any(each.serves != "last" for each in split.alive):  # it was not announced, and hears of it later
                await trio.sleep(CATCH_UP_SECONDS)
            assert {each.serves for each in split.alive} == {"last"}
        assert split.longest <= NODE_TTL_SECONDS + SLACK_SECONDS, (seed, split.longest)


async def changed_at_last(split: Split, seed: int) -> None:
    """All is well from now on: by when entries of the dead are over, a change goes through."""
    by = trio.current_time() + 2 * NODE_TTL_SECONDS + 10
    while True:
        last = await split.alive[0].fleet.ask(Question("last", "me"))
        if last.ending == "applied":
            return
        assert trio.current_time() < by, (seed, last)
        await trio.sleep(RENEW_SECONDS)


async def harm(nursery: trio.Nursery, fault: str, split: Split, random: Random, seed: int) -> None:
    """Do something to a node, or to the registry; nobody waits until it is over."""
    victim = random.choice(split.alive)
    match fault:
        case "die":
            victim.die()
            again = node(
                split.registry,
                victim.name,
                number=f"{victim.number}'",
                serves=victim.serves,
                random=Random(f"{seed} {victim.name} {victim.number}"),
                losses=0.2,
            )
            split.add(again)
            nursery.start_soon(again.run)
        case "cut":
            victim.way.is_cut = True
        case "heal":
            for each in split.nodes:
                each.way.is_cut = False
        case "forget" if random.random() < 0.3:
            split.registry.forget_everything()


def seals() -> Iterator[tuple[str, Seal]]:
    yield "secret", Seal("hush", lambda size: b"\7" * size)
    yield "none", Seal(None, lambda size: b"\7" * size)


@pytest.mark.parametrize("seal", [pytest.param(seal, id=name) for name, seal in seals()])
def test_a_sealed_text_comes_back_and_is_good_in_its_place_alone(seal: Seal) -> None:
    sealed = seal.seal("values {\n    key s3cret\n}\n", "here")
    assert seal.unseal(sealed, "here") == "values {\n    key s3cret\n}\n"
    with pytest.raises(CannotUnseal, match="same secret"):
        Seal("other", bytes).unseal(sealed, "here")
    for damaged in (sealed[:-8], sealed.replace(":", ":A", 1), "", "clear:####"):
        with pytest.raises(CannotUnseal):
            seal.unseal(damaged, "here")


def test_a_document_sealed_with_a_secret_shows_nothing_and_cannot_be_moved() -> None:
    seal = Seal("hush", lambda size: b"\7" * size)
    state = FleetState().propose(_proposal(seal.seal("key s3cret", "config/fleet 1")))
    assert "s3cret" not in state.to_text()
    assert "hush" not in repr(seal)
    with pytest.raises(CannotUnseal):
        seal.unseal(seal.seal("key s3cret", "config/fleet 1"), "config/fleet 2")


def test_a_text_that_is_too_large_for_a_registry_is_refused() -> None:
    random = Random(1)
    noise = "".join(random.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=2 * MAX_SEALED_BYTES))
    with pytest.raises(CannotSeal, match="bytes in the registry"):
        Seal(None, bytes).seal(noise, "here")


def test_a_small_document_that_becomes_too_large_a_text_is_refused() -> None:
    seal = Seal(None, bytes)
    bomb = seal.seal(" " * (16 * 1024 * 1024 + 1), "here")
    assert len(bomb) < 100_000
    with pytest.raises(CannotUnseal):
        seal.unseal(bomb, "here")


def _proposal(text: str = "sealed") -> Any:
    return Proposal(Revision(1, text, "me", in_place=False), Incarnation("a", "1"))


def test_documents_come_back_as_they_were_and_others_are_not_read() -> None:
    state = FleetState().propose(_proposal()).decide()
    assert FleetState.from_text(state.to_text()) == state
    pending = FleetState().propose(_proposal())
    assert FleetState.from_text(pending.to_text()) == pending
    report = Report(Incarnation("a", "1"), "cannot", ("no",), NodePlan(True, 1, 2, "x"))
    assert Report.from_text(report.to_text()) == report
    for text in ("", "[]", "{}", '{"highest": 1, "decided": {}, "proposal": null}', '{"highest": null}'):
        with pytest.raises(Unreadable):
            FleetState.from_text(text)
        with pytest.raises(Unreadable):
            Report.from_text(text)


async def test_a_document_that_is_not_ours_changes_nothing_and_nothing_is_proposed_over_it(
    autojump_clock: MockClock,
) -> None:
    registry = MemoryRegistry()
    registry.write(CONFIG_NAME, "{}", None, None)
    nodes = [node(registry, "a")]
    async with running(*nodes):
        with pytest.raises(Unreadable):
            await nodes[0].fleet.ask(Question("one", "me"))
    assert registry.read(CONFIG_NAME) == Document("{}", 1)


async def test_reports_that_nobody_can_read_count_as_none(autojump_clock: MockClock) -> None:
    registry = MemoryRegistry()
    nodes = [node(registry, "a")]
    async with running(*nodes) as nursery:
        await announced(nursery, registry, "odd")
        registry.write(report_name(1, "odd"), "{}", None, None)
        outcome = await nodes[0].fleet.ask(Question("one", "me"))
    assert (outcome.ending, outcome.nodes[1].stage) == ("refused", None)
