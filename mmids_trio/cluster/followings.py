"""Where keys are that are not here: each is looked up again and again, for all who want to know it at once.

The highest epoch counts: an answer of a registry that lags behind is older than what was seen already.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import trio
from attrs import define, evolve, field, frozen

from mmids_trio.cluster.contact import Contact
from mmids_trio.cluster.directory import (
    RENEW_SECONDS,
    STREAM_TTL_SECONDS,
    Incarnation,
    RegistryAway,
    StreamEntry,
    StreamKey,
)
from mmids_trio.cluster.rounds import Recurring, Rounds


@frozen
class Known:
    """What is known of a key."""

    entry: StreamEntry | None = None
    is_present: bool = False
    epoch: int = 0
    """The highest that was seen."""
    generation: str | None = None
    """Of the registry when it was seen."""


def judge(
    known: Known, answer: StreamEntry | None, *, is_here: bool, is_settled: bool, generation: str | None
) -> Known:
    """What is known of a key after an answer. `is_here`: the entry is of this node, so the key is not elsewhere."""
    if answer is None:
        return evolve(known, is_present=known.is_present and not is_settled)
    is_of_new_memory = is_settled and known.generation != generation
    if answer.epoch < known.epoch and not is_of_new_memory:
        return known
    entry = known.entry if is_here else answer
    return Known(entry, not is_here, answer.epoch, generation)


@define(eq=False)
class Follower:
    """See `claims.Following`."""

    _watched: "_Watched"
    on_change: Callable[[], None]

    @property
    def entry(self) -> StreamEntry | None:
        """See `claims.Following`."""
        return self._watched.known.entry

    @property
    def is_present(self) -> bool:
        """See `claims.Following`."""
        return self._watched.known.is_present

    async def wait_looked_up(self) -> None:
        """See `claims.Following`."""
        await self._watched.is_looked_up.wait()

    def look_again(self) -> None:
        """See `claims.Following`."""
        self._watched.look_again(self._watched.key)

    def stop(self) -> None:
        """See `claims.Following`."""
        self._watched.remove(self)


@define(eq=False)
class _Watched:
    """A key that somebody follows."""

    key: StreamKey
    _on_deserted: "Callable[[_Watched], None]"
    look_again: Callable[[StreamKey], None]
    known: Known = field(factory=Known, init=False)
    is_looked_up: trio.Event = field(factory=trio.Event, init=False)
    question: Recurring | None = field(default=None, init=False)
    _followers: list[Follower] = field(factory=list, init=False)

    def add(self, on_change: Callable[[], None]) -> Follower:
        follower = Follower(self, on_change)
        self._followers.append(follower)
        return follower

    def remove(self, follower: Follower) -> None:
        if follower in self._followers:
            self._followers.remove(follower)
            if not self._followers:
                self._on_deserted(self)

    def learn(self, known: Known) -> None:
        before, self.known = self.known, known
        if (before.entry, before.is_present) != (known.entry, known.is_present):
            for follower in list(self._followers):
                if follower in self._followers:  # another's callback may have stopped it
                    follower.on_change()


@define(eq=False)
class Followings:
    """All keys that are followed."""

    _me: Incarnation
    _address: str
    _contact: Contact
    _watched: dict[StreamKey, _Watched] = field(factory=dict, init=False)
    _rounds: Rounds = field(factory=Rounds, init=False)

    def __len__(self) -> int:
        return len(self._watched)

    def follow(self, key: StreamKey, on_change: Callable[[], None]) -> Follower:
        """See `claims.StreamClaims.follow`."""
        watched = self._watched.get(key)
        if watched is None:
            watched = self._watched[key] = _Watched(key, self._forget, self.hurry)
            watched.question = self._rounds.add(partial(self._look_up, watched))
        return watched.add(on_change)

    def hurry(self, key: StreamKey) -> None:
        """Look it up now: it has changed, or may have."""
        watched = self._watched.get(key)
        if watched is not None and watched.question is not None:
            self._rounds.hurry(watched.question)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look up, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._take_hints)
            await self._rounds.run(task_status=task_status)

    def _forget(self, watched: _Watched) -> None:
        del self._watched[watched.key]
        if watched.question is not None:
            self._rounds.stop(watched.question)

    async def _look_up(self, watched: _Watched) -> float:
        try:
            answer = await self._contact.ask("look_up", self._contact.directory.look_up(watched.key))
            if answer is None and watched.known.is_present:
                await self._contact.ask_generation()  # after the answer: perhaps the memory is gone, and not the stream
        except RegistryAway:
            return RENEW_SECONDS
        else:
            self._learn(watched, answer)
            return STREAM_TTL_SECONDS if watched.known.is_present else RENEW_SECONDS
        finally:
            watched.is_looked_up.set()

    def _learn(self, watched: _Watched, answer: StreamEntry | None) -> None:
        if answer is not None:
            self._contact.note_entry(answer)
        watched.learn(
            judge(
                watched.known,
                answer,
                is_here=answer is not None and self._is_here(answer),
                is_settled=self._contact.is_settled(trio.current_time()),
                generation=self._contact.generation,
            )
        )

    def _is_here(self, entry: StreamEntry) -> bool:
        """Whether a pull of it would come back to this node: what an earlier life of it has left, too."""
        return entry.owner.node == self._me.node or entry.address == self._address

    async def _take_hints(self) -> None:
        while True:
            with suppress(RegistryAway):
                async with self._contact.directory.changes() as changes:
                    async for what in changes:
                        if isinstance(what, StreamKey):
                            self.hurry(what)
            await trio.sleep(RENEW_SECONDS)
