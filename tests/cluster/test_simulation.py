"""A cluster whose registry fails in every way, by seed: what may never happen does not, in a thousand schedules.

Never are there two approved publishers of one key in one epoch; for who follows a key, epochs never go back; nobody is
dismissed because the registry is away, slow or empty; each watcher of a node gets one stream whose time goes forward;
and when all is well again, one publisher of a key is left, all watchers of other nodes get what it sends, and a key
that was released is free.  A schedule that fails is found again by its seed.
"""

from collections import defaultdict
from itertools import count
from random import Random

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock

from mmids_trio.cluster.claims import Claim, Following, KeyElsewhere
from mmids_trio.cluster.directory import (
    ASK_SECONDS,
    RENEW_SECONDS,
    STREAM_TTL_SECONDS,
    RegistryAway,
    StreamKey,
)
from mmids_trio.media.timeline import MODULUS
from tests.support.cluster_nodes import Cluster, Node, cluster
from tests.support.cluster_watchers import Origins, Show, Watcher, make_up_connections
from tests.support.effort import first_are_fast, some_of
from tests.support.faulty_directory import LATEST_S, Faults

SEEDS = 1000
SEEDS_A_TEST = 50
WATCHED_EVERY = 2
"""Seeds have watchers: they cost half as much again."""
KEYS = [StreamKey("live", "show")]
ACTIONS = 10
ASKED_AGAIN_SECONDS = LATEST_S + RENEW_SECONDS + 2 * ASK_SECONDS
"""From the end of all faults on: the last late questions have arrived, and every node has asked again."""
SETTLED_SECONDS = STREAM_TTL_SECONDS + 3 * RENEW_SECONDS + 4 * ASK_SECONDS + LATEST_S
"""By when all is well at the latest; what is well after every node has asked again stays so."""


@define(eq=False)
class Publisher:
    """Somebody who publishes a key at a node."""

    node: Node
    key: StreamKey
    show: Show
    claim: Claim | None = None
    why_lost: str | None = None
    is_interrupted: bool = False

    def turn(self, *, is_interrupted: bool) -> None:
        """It is lost, or here again."""
        assert self.claim is not None
        self.is_interrupted = is_interrupted
        self.claim.show(is_interrupted=is_interrupted)


@define(eq=False)
class Schedule:
    """What happens, drawn from a seed."""

    ours: Cluster
    random: Random
    nursery: trio.Nursery
    is_watched: bool
    publishers: list[Publisher] = field(factory=list)
    owners: dict[tuple[StreamKey, int], str] = field(factory=lambda: defaultdict(str))
    """Which node had a key in an epoch."""
    turns: dict[tuple[StreamKey, int], int] = field(factory=lambda: defaultdict(int))
    """The latest that the registry has shown of an epoch."""
    epochs_seen: dict[int, list[int]] = field(factory=lambda: defaultdict(list))
    """By each who follows."""
    following: list[Following] = field(factory=list)
    watchers: list[tuple[Node, Watcher]] = field(factory=list)
    shows: "count[int]" = field(factory=count)

    async def run(self) -> None:
        for name in "abc":
            node = await self.ours.start(name, faults=self._faults(), allows_on_failure=self.random.random() < 0.8)
            for key in KEYS:
                self._follow(node, key)
                if self.is_watched:
                    await self._watch(node, key)
        for _ in range(ACTIONS):
            self._act()
            await trio.sleep(self.random.expovariate(1 / 1.5))
            self.check()
        self._heal()
        await trio.sleep(ASKED_AGAIN_SECONDS)
        for _ in range(int(SETTLED_SECONDS - ASKED_AGAIN_SECONDS) + 1):
            self.check()
            if not (wrong := self._unsettled()):
                return
            await trio.sleep(1.0)
        raise AssertionError(wrong)

    def _faults(self) -> Faults:
        if self.random.random() < 0.3:
            return Faults()
        share = self.random.uniform(0, 0.3)
        return Faults(lost=share, answer_lost=share / 2, late=share / 2, slowest_s=self.random.uniform(0, 0.5))

    def _act(self) -> None:
        node = self.random.choice(self.ours.nodes)
        match self.random.choice(["publish"] * 5 + ["release", "interrupt"] * 2 + ["away", "cut", "forget", "faults"]):
            case "publish":
                self._come(node, self.random.choice(KEYS))
            case "interrupt":
                if playing := [each for each in self.live() if not each.is_interrupted]:
                    self.random.choice(playing).turn(is_interrupted=True)
            case "release":
                if live := self.live():
                    self._release(self.random.choice(live))
            case "away":
                self.ours.away_for(self.random.uniform(0.5, 12))
            case "cut":
                node.way.away_for(self.random.uniform(0.5, 12))
            case "forget":
                self.ours.registry.forget_everything()
            case "faults":
                node.way.faults = self._faults()

    def live(self) -> list[Publisher]:
        return [each for each in self.publishers if each.why_lost is None]

    def at(self, node: str, key: StreamKey) -> Publisher | None:
        """Who publishes a key at a node."""
        here = (each for each in self.live() if (each.node.membership.node, each.key) == (node, key))
        return next(here, None)

    def _come(self, node: Node, key: StreamKey) -> None:
        """Begin to publish, or go on where a publisher of before is waited for."""
        here = self.at(node.membership.node, key)
        if here is None:
            show = Show(next(self.shows), self.random.randrange(MODULUS))
            self.nursery.start_soon(self._publish, Publisher(node, key, show))
        elif here.is_interrupted:
            here.turn(is_interrupted=False)

    async def _publish(self, publisher: Publisher) -> None:
        def lose(why: str) -> None:
            assert publisher.why_lost is None, "told twice"
            publisher.why_lost = why
            self._turn_watchers(publisher)

        try:
            publisher.claim = await publisher.node.membership.claim(publisher.key, lose)
        except (KeyElsewhere, RegistryAway):
            return
        self.publishers.append(publisher)
        self._turn_watchers(publisher)
        self.check()

    def _release(self, publisher: Publisher) -> None:
        assert publisher.claim is not None
        self.publishers.remove(publisher)
        publisher.claim.release()
        self._turn_watchers(publisher)

    async def _watch(self, node: Node, key: StreamKey) -> None:
        watcher = Watcher(key, node.membership, Origins(self.at, self.random))
        self.watchers.append((node, watcher))
        await self.nursery.start(watcher.run)

    def _turn_watchers(self, publisher: Publisher) -> None:
        """Those of its node want the key of others, or no more."""
        for node, watcher in self.watchers:
            if (node, watcher.key) == (publisher.node, publisher.key):
                if publisher in self.live():
                    watcher.leave()
                else:
                    watcher.want()

    def _follow(self, node: Node, key: StreamKey) -> None:
        number = len(self.following)

        def note() -> None:
            entry = self.following[number].entry
            if entry is not None:
                self.epochs_seen[number].append(entry.epoch)

        self.following.append(node.membership.follow(key, note))

    def check(self) -> None:
        """What holds at any time."""
        for publisher in self.live():
            assert publisher.claim is not None
            if (epoch := publisher.claim.epoch) is not None:
                name = publisher.node.membership.node
                assert self.owners[publisher.key, epoch] in ("", name), "two publishers in one epoch"
                self.owners[publisher.key, epoch] = name
        for publisher in self.publishers:
            if publisher.why_lost is not None:
                assert "has" in publisher.why_lost, "only another node takes a key away"
        for entry in self.ours.registry.streams():
            assert entry.turn >= self.turns[entry.key, entry.epoch], "a turn was taken back by a question of before"
            self.turns[entry.key, entry.epoch] = entry.turn
        for seen in self.epochs_seen.values():
            assert seen == sorted(seen), "an epoch went back"

    def _heal(self) -> None:
        for node in self.ours.nodes:
            node.way.faults = Faults()
            node.way.away_until = trio.current_time()

    def _unsettled(self) -> str | None:
        """What is not yet as it has to be when all is well."""
        for key in KEYS:
            live = [each for each in self.live() if each.key == key]
            entry = self.ours.registry.look_up(key)
            if len(live) > 1:
                return "two publishers are left"
            if not live:
                if entry is not None:
                    return "a released key is taken"
                continue
            claim, owner = live[0].claim, live[0].node.membership.incarnation
            if entry is None or claim is None or (entry.owner, entry.epoch) != (owner, claim.epoch):
                return "a publisher's key is not its own"
            if entry.is_interrupted != live[0].is_interrupted:
                return "the registry does not know whether a publisher is here"
            if not live[0].is_interrupted and not all(self._sees(*watching, live[0]) for watching in self.watchers):
                return "a watcher does not see the publisher that is left"
        return None

    def _sees(self, node: Node, watcher: Watcher, publisher: Publisher) -> bool:
        if watcher.key != publisher.key:
            return True
        return watcher.pull is None if node is publisher.node else watcher.got == publisher.show.number


async def play(seed: int) -> Schedule:
    random = Random(seed)
    async with cluster(seed) as ours, trio.open_nursery() as nursery:
        schedule = Schedule(ours, random, nursery, is_watched=seed % WATCHED_EVERY == 0)
        await schedule.run()
        nursery.cancel_scope.cancel()
    return schedule


@pytest.mark.parametrize("first", first_are_fast(1, range(0, SEEDS, SEEDS_A_TEST)))
async def test_no_schedule_breaks_what_always_holds(
    first: int, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_up_connections(monkeypatch)
    for seed in range(first, first + some_of(SEEDS_A_TEST)):
        try:
            await play(seed)
        except BaseExceptionGroup as group:
            raise AssertionError(f"seed {seed}") from group
