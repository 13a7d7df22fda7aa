"""Keys that are this node's: claimed, renewed, and given up where the registry says that they are another's.

Only an entry of somebody else takes a key away: one that was made while nobody had this one, or while its publisher was
gone (`Holding.show`).  That there is none, or nobody to ask, does not: then it is claimed again.  What the registry
says is judged by `verdict`, at once, and nothing is awaited between a judgement and its deed.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from functools import partial

import structlog
import trio
from attrs import define, evolve, field, frozen

from mmids_trio.cluster.claims import KeyElsewhere
from mmids_trio.cluster.contact import Contact
from mmids_trio.cluster.directory import RENEW_SECONDS, Incarnation, RegistryAway, StreamEntry, StreamKey
from mmids_trio.cluster.rounds import Recurring, Rounds

log = structlog.get_logger()

OUTCOMES = ("granted", "allowed", "refused", "lost", "moved")
"""Claims that were granted, allowed without the registry, refused; keys that were lost, and that were to move.

All are there from the start: an alert sees no growth of a counter that begins with 1.
"""


class Verdict(Enum):
    """What an answer means for who holds a key."""

    OURS = "the entry is this node's"
    NOBODYS = "claim it again"
    ANOTHERS = "it is lost"


def verdict(me: Incarnation, answer: StreamEntry | None) -> Verdict:
    """What an answer means; only a whole incarnation is the same."""
    if answer is None:
        return Verdict.NOBODYS
    return Verdict.OURS if answer.owner == me else Verdict.ANOTHERS


class Loss(Enum):
    """Why a key is another node's. But for the first, a publisher was here."""

    MOVED = "moved"
    """Its publisher was gone, and one has come to the other node: what a cluster is for."""
    RACED = "raced"
    """Its publisher came back here and one came to the other node, at one moment."""
    OUTAGE = "outage"
    """It was taken without the registry, by both."""
    EXPIRED = "expired"
    """Nobody renewed its entry: the node was stopped or cut off, or the registry away, or it lost its memory."""


@define(eq=False)
class Holding:
    """See `claims.Claim`."""

    key: StreamKey
    on_lost: Callable[[str], None]
    _on_release: "Callable[[Holding], None]"
    _on_turn: "Callable[[Holding], None]"
    entry: StreamEntry | None = field(default=None, init=False)
    """As the registry has it, as far as that is known; `None` as long as it has not said."""
    turn: int = field(default=0, init=False)
    """See `StreamEntry.turn`."""
    question: Recurring | None = field(default=None, init=False)

    @property
    def epoch(self) -> int | None:
        """See `claims.Claim`."""
        return None if self.entry is None else self.entry.epoch

    def show(self, *, is_interrupted: bool) -> None:
        """See `claims.Claim`."""
        if is_interrupted != self.is_interrupted:
            self.turn += 1
            self._on_turn(self)

    def take(self, entry: StreamEntry) -> None:
        """The registry has this now. A later turn in it is that of a holding of before that could not be released."""
        self.entry = entry
        if entry.turn > self.turn:
            is_interrupted, self.turn = self.is_interrupted, entry.turn
            self.show(is_interrupted=is_interrupted)

    @property
    def is_interrupted(self) -> bool:
        """Whether its publisher is gone, so that one of another node may have the key."""
        return self.turn % 2 == 1

    def loss(self) -> Loss:
        """Why it is another's, where it is."""
        if self.is_interrupted:
            return Loss.MOVED
        if self.entry is None:
            return Loss.OUTAGE
        return Loss.RACED if self.entry.is_interrupted else Loss.EXPIRED

    def release(self) -> None:
        """See `claims.Claim`."""
        self._on_release(self)


@frozen
class HeldKey:
    """A key that is this node's, to be seen."""

    key: StreamKey
    epoch: int | None


@define(eq=False)
class Holdings:
    """All keys of this node."""

    _me: Incarnation
    _address: str
    _contact: Contact
    _allows_on_failure: bool
    _on_lost: Callable[[StreamKey, str, Loss], None] = lambda _key, _node, _loss: None
    """Told after the holder; with the node that has the key now."""
    outcomes: Counter[str] = field(factory=lambda: Counter(dict.fromkeys(OUTCOMES, 0)), init=False)
    _held: dict[StreamKey, Holding] = field(factory=dict, init=False)
    _wanted: set[StreamKey] = field(factory=set, init=False)
    """Being claimed."""
    _tidied: dict[StreamKey, trio.Event] = field(factory=dict, init=False)
    """Being released."""
    _rounds: Rounds = field(factory=Rounds, init=False)

    def __len__(self) -> int:
        return len(self._held)

    def interrupted(self) -> list[StreamKey]:
        """Those whose publisher is gone."""
        return [holding.key for holding in self._held.values() if holding.is_interrupted]

    def held(self) -> list[HeldKey]:
        """All of them."""
        return [HeldKey(holding.key, holding.epoch) for holding in self._held.values()]

    async def claim(self, key: StreamKey, on_lost: Callable[[str], None]) -> Holding:
        """See `claims.StreamClaims.claim`."""
        while (tidied := self._tidied.get(key)) is not None:
            await tidied.wait()
        if key in self._held or key in self._wanted:
            raise KeyElsewhere(f"this node has '{key}' already")
        self._wanted.add(key)
        is_sure = False
        try:
            entry = await self._ask(key)
            is_sure = True
        finally:
            self._wanted.discard(key)
            if not is_sure:  # cancelled, or refused as nobody can be asked: a late answer may still make it ours
                self._tidy(key, None)
        return self._hold(key, on_lost, entry)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Renew, until cancelled."""
        await self._rounds.run(task_status=task_status)

    async def release_all(self) -> None:
        """Tell the registry that all is free, as well as it can be told. The holders keep what they think they have."""
        entries = [holding.entry for holding in self._held.values() if holding.entry is not None]
        self._held.clear()
        await self._release_each(entries)

    async def release_what_an_earlier_life_left(self) -> None:
        """Free what a node of this name has that does not run any more, before its entries end."""
        try:
            entries = await self._contact.ask("streams", self._contact.directory.streams())
        except RegistryAway:
            return
        left = [entry for entry in entries if entry.owner.node == self._me.node and entry.owner != self._me]
        await self._release_each(left)

    async def _release_each(self, entries: list[StreamEntry]) -> None:
        room = trio.CapacityLimiter(16)

        async def release(entry: StreamEntry) -> None:
            async with room:
                await self._release(entry)

        async with trio.open_nursery() as nursery:
            for entry in entries:
                nursery.start_soon(release, entry)

    async def _ask(self, key: StreamKey) -> StreamEntry | None:
        """The entry, now this node's; `None` where nobody can be asked and that is allowed."""
        wanted = StreamEntry(key, self._me, self._contact.highest_epoch, self._address)
        try:
            answer = await self._contact.ask("claim", self._contact.directory.claim(wanted))
        except RegistryAway:
            if not self._allows_on_failure:
                self.outcomes["refused"] += 1
                raise
            return None
        self._contact.note_entry(answer)
        if verdict(self._me, answer) is Verdict.ANOTHERS:
            self.outcomes["refused"] += 1
            raise KeyElsewhere(f"node '{answer.owner.node}' has '{key}'")
        return answer

    def _hold(self, key: StreamKey, on_lost: Callable[[str], None], entry: StreamEntry | None) -> Holding:
        self.outcomes["granted" if entry is not None else "allowed"] += 1
        holding = self._held[key] = Holding(key, on_lost, self._let_go, self._hurry)
        holding.question = self._rounds.add(partial(self._renew, holding), RENEW_SECONDS)
        if entry is not None:
            holding.take(entry)
        return holding

    def _hurry(self, holding: Holding) -> None:
        if self._is_held(holding) and holding.question is not None:
            self._rounds.hurry(holding.question)

    def _is_held(self, holding: Holding) -> bool:
        return self._held.get(holding.key) is holding

    def _let_go(self, holding: Holding) -> None:
        if self._is_held(holding):
            self._drop(holding)
            self._tidy(holding.key, holding.entry)

    def _drop(self, holding: Holding) -> None:
        del self._held[holding.key]
        if holding.question is not None:
            self._rounds.stop(holding.question)

    async def _renew(self, holding: Holding) -> float | None:
        """Ask about a key that is held, for the first time, too, where it was allowed without the registry."""
        directory = self._contact.directory
        try:
            answer = None
            if holding.entry is not None:
                shown = evolve(holding.entry, turn=holding.turn)
                answer = await self._contact.ask("renew", directory.renew(shown))
            if answer is None:
                wanted = StreamEntry(holding.key, self._me, self._contact.highest_epoch, self._address, holding.turn)
                answer = await self._contact.ask("claim", directory.claim(wanted))
        except RegistryAway:
            return RENEW_SECONDS
        self._contact.note_entry(answer)
        if not self._is_held(holding):  # released meanwhile, and perhaps claimed in spite of that
            self._tidy(holding.key, None)
        elif verdict(self._me, answer) is Verdict.ANOTHERS:
            self._lose(holding, answer.owner.node)
        else:
            holding.take(answer)
            return RENEW_SECONDS
        return None

    def _lose(self, holding: Holding, node: str) -> None:
        self._drop(holding)
        loss = holding.loss()
        if loss is Loss.MOVED:
            self.outcomes["moved"] += 1
            log.info("a stream that waited for its publisher is another node's now", stream=str(holding.key), node=node)
        else:
            self.outcomes["lost"] += 1
            log.warning("a stream is another node's now", stream=str(holding.key), node=node, why=loss.value)
        holding.on_lost(f"node '{node}' has '{holding.key}' now")
        self._on_lost(holding.key, node, loss)

    def _tidy(self, key: StreamKey, entry: StreamEntry | None) -> None:
        """Have the registry told soon that a key is free; where it is not known what it has, it is asked."""
        self._rounds.add(partial(self._free, key, entry))

    async def _free(self, key: StreamKey, entry: StreamEntry | None) -> None:
        if not self._may_free(key):
            return
        done = self._tidied[key] = trio.Event()
        try:
            with suppress(RegistryAway):
                if entry is None:
                    entry = await self._contact.ask("look_up", self._contact.directory.look_up(key))
                if entry is not None and entry.owner == self._me:
                    await self._release(entry)
        finally:
            del self._tidied[key]
            done.set()

    def _may_free(self, key: StreamKey) -> bool:
        return key not in self._held and key not in self._wanted and key not in self._tidied

    async def _release(self, entry: StreamEntry) -> None:
        with suppress(RegistryAway):  # it ends by itself
            await self._contact.ask("release", self._contact.directory.release(entry))
