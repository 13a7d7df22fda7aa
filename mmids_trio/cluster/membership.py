"""A node's part in a cluster: it says that it is there, holds keys, and knows where those are that others hold.

`Membership` is the `claims.StreamClaims` that steps are given.  What it knows of the registry is in `contact.py`, what
it holds in `holdings.py`, what it follows in `followings.py`.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from time import time

import structlog
import trio
from attrs import define, evolve, field

from mmids_trio.cluster.contact import Contact
from mmids_trio.cluster.directory import (
    ASK_SECONDS,
    RENEW_SECONDS,
    Directory,
    Incarnation,
    NodeEntry,
    RegistryAway,
    StreamKey,
)
from mmids_trio.cluster.followings import Follower, Followings
from mmids_trio.cluster.holdings import HeldKey, Holding, Holdings, Loss
from mmids_trio.cluster.pull_tokens import PullTokens
from mmids_trio.cluster.rounds import Recurring, Rounds

log = structlog.get_logger()

INCARNATION_BYTES = 8
"""Enough that two lives of a node never have one number."""

ANNOUNCE_SECONDS = 2 * RENEW_SECONDS
"""Three times in the life of a node's entry."""

ANNOUNCE_AGAIN_SECONDS = 0.2
"""Until a node looks again whether it may say that it is there."""

LEAVE_SECONDS = ASK_SECONDS
"""What a node may take to tell the registry that it goes; what it could not tell ends by itself."""


@define(eq=False, kw_only=True)
class Membership:
    """See `claims.StreamClaims`. `address` is where other nodes reach this one; `secret` is the cluster's."""

    cluster: str
    node: str
    address: str
    secret: str = field(repr=False)
    directory: Directory
    allows_on_failure: bool = True
    entropy: Callable[[int], bytes]
    now: Callable[[], float] = time
    """The calendar's, for what tokens say alone."""
    _on_away: Callable[[bool], None] = lambda _: None
    """See `Contact`."""
    _on_lost: Callable[[StreamKey, str, Loss], None] = lambda _key, _node, _loss: None
    """See `Holdings`."""
    may_announce: Callable[[], bool] = lambda: True
    """Whether it may say that it is there: it has put in place what all nodes have."""
    incarnation: Incarnation = field(init=False)
    contact: Contact = field(init=False)
    holdings: Holdings = field(init=False)
    followings: Followings = field(init=False)
    entry: NodeEntry = field(init=False)
    """What it says of itself."""
    _tokens: PullTokens = field(init=False)
    _rounds: Rounds = field(factory=Rounds, init=False)
    _announcing: Recurring | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.incarnation = Incarnation(self.node, self.entropy(INCARNATION_BYTES).hex())
        self.contact = Contact(self.directory, self._on_away)
        self.holdings = Holdings(self.incarnation, self.address, self.contact, self.allows_on_failure, self._on_lost)
        self.followings = Followings(self.incarnation, self.address, self.contact)
        self.entry = NodeEntry(self.incarnation, self.address)
        self._tokens = PullTokens(self.cluster, self.node, self.secret)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take part until cancelled; then leave. Ready at once: a registry that is away holds nothing up."""
        try:
            async with self.directory.connected(), trio.open_nursery() as nursery:
                await nursery.start(self.holdings.run)
                await nursery.start(self.followings.run)
                await nursery.start(self._rounds.run)
                self._announcing = self._rounds.add(self._announce)
                self._rounds.add(self._ask_generation)
                nursery.start_soon(self._begin)
                task_status.started()
        finally:
            with trio.move_on_after(LEAVE_SECONDS, shield=True):
                async with self.directory.connected():  # once more: what was connected ended with the cancellation
                    await self._leave()

    def describe(self, *, is_draining: bool | None = None, revision: int | None = None) -> None:
        """Say something else of this node from now on."""
        before = self.entry
        if is_draining is not None:
            self.entry = evolve(self.entry, is_draining=is_draining)
        if revision is not None:
            self.entry = evolve(self.entry, revision=revision)
        if self.entry != before and self._announcing is not None:
            self._rounds.hurry(self._announcing)

    async def claim(self, key: StreamKey, on_lost: Callable[[str], None]) -> Holding:
        """See `claims.StreamClaims`."""
        return await self.holdings.claim(key, on_lost)

    def follow(self, key: StreamKey, on_change: Callable[[], None]) -> Follower:
        """See `claims.StreamClaims`."""
        return self.followings.follow(key, on_change)

    def is_from_peer(self, token: str, key: StreamKey) -> bool:
        """See `claims.StreamClaims`."""
        return self._tokens.is_from_peer(token, key, self.now())

    def pull_token(self, key: StreamKey) -> str:
        """See `claims.StreamClaims`."""
        return self._tokens.sign(key, self.now())

    def held(self) -> Sequence[HeldKey]:
        """The keys that are this node's."""
        return self.holdings.held()

    async def _begin(self) -> None:
        await self.holdings.release_what_an_earlier_life_left()
        with suppress(RegistryAway):
            nodes = await self.contact.ask("nodes", self.directory.nodes())
            others = [node for node in nodes if node.owner.node == self.node and node.owner != self.incarnation]
            if others:
                log.warning("another node of this name was there a moment ago; names must differ", node=self.node)

    async def _announce(self) -> float:
        if not self.may_announce():
            return ANNOUNCE_AGAIN_SECONDS
        try:
            await self.contact.ask("announce", self.directory.announce(self.entry))
        except RegistryAway:
            return RENEW_SECONDS
        return ANNOUNCE_SECONDS

    async def _ask_generation(self) -> float:
        with suppress(RegistryAway):
            await self.contact.ask_generation()
        return RENEW_SECONDS

    async def _leave(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.holdings.release_all)
            with suppress(RegistryAway):
                await self.contact.ask("leave", self.directory.leave(self.incarnation))
