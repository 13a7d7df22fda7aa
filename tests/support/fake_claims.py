"""A cluster in memory that answers at once: `cluster.claims.StreamClaims` for any number of nodes; it may be away."""

from collections.abc import Callable

import trio
from attrs import define, field

from mmids_trio.cluster.claims import Claim, Following, KeyElsewhere
from mmids_trio.cluster.directory import Incarnation, RegistryAway, StreamEntry, StreamKey


@define(eq=False, repr=False)
class FakeCluster:
    """What all nodes see. `present`: who has a key now; `seen`: who had it last."""

    present: dict[StreamKey, StreamEntry] = field(factory=dict)
    seen: dict[StreamKey, StreamEntry] = field(factory=dict)
    is_away: bool = False
    claims: dict[StreamKey, "FakeClaim"] = field(factory=dict)
    followings: list["FakeFollowing"] = field(factory=list)

    def node(self, name: str, address: str = "rtmp://127.0.0.1:1935") -> "FakeClaims":
        """The cluster as one node sees it."""
        return FakeClaims(self, Incarnation(name, "1"), address)

    def put(self, key: StreamKey, owner: Incarnation, address: str) -> StreamEntry:
        """Give a key to a node; whoever had it hears of it."""
        epoch = self.seen[key].epoch + 1 if key in self.seen else 1
        entry = self.seen[key] = self.present[key] = StreamEntry(key, owner, epoch, address)
        if (former := self.claims.pop(key, None)) is not None:
            former.on_lost(f"stream key '{key.key}' is node {owner.node}'s now")
        self.tell(key)
        return entry

    def drop(self, key: StreamKey) -> None:
        """Nobody has the key."""
        self.claims.pop(key, None)
        if self.present.pop(key, None) is not None:
            self.tell(key)

    def tell(self, key: StreamKey) -> None:
        """Those who follow it hear of it."""
        for following in list(self.followings):
            if following.key == key:
                following.on_change()


@define(eq=False, repr=False)
class FakeClaim:
    """See `cluster.claims.Claim`."""

    cluster: FakeCluster
    entry: StreamEntry
    on_lost: Callable[[str], None]
    is_interrupted: bool = False

    @property
    def epoch(self) -> int | None:
        """See `Claim`."""
        return self.entry.epoch

    def show(self, *, is_interrupted: bool) -> None:
        """See `Claim`."""
        self.is_interrupted = is_interrupted

    def release(self) -> None:
        """See `Claim`."""
        if self.cluster.claims.get(self.entry.key) is self:
            self.cluster.drop(self.entry.key)


@define(eq=False)
class FakeFollowing:
    """See `cluster.claims.Following`."""

    cluster: FakeCluster
    key: StreamKey
    on_change: Callable[[], None]
    looked_again: int = 0

    @property
    def entry(self) -> StreamEntry | None:
        """See `Following`."""
        return self.cluster.seen.get(self.key)

    @property
    def is_present(self) -> bool:
        """See `Following`."""
        return self.key in self.cluster.present

    async def wait_looked_up(self) -> None:
        """See `Following`."""
        await trio.lowlevel.checkpoint()

    def look_again(self) -> None:
        """See `Following`."""
        self.looked_again += 1

    def stop(self) -> None:
        """See `Following`."""
        if self in self.cluster.followings:
            self.cluster.followings.remove(self)


@define(eq=False)
class FakeClaims:
    """See `cluster.claims.StreamClaims`."""

    cluster: FakeCluster
    owner: Incarnation
    address: str

    async def claim(self, key: StreamKey, on_lost: Callable[[str], None]) -> Claim:
        """See `StreamClaims`."""
        await trio.lowlevel.checkpoint()
        if self.cluster.is_away:
            raise RegistryAway("it is away")
        present = self.cluster.claims.get(key)
        if key in self.cluster.present and (present is None or not present.is_interrupted):
            raise KeyElsewhere(str(key))
        entry = self.cluster.put(key, self.owner, self.address)
        claim = self.cluster.claims[key] = FakeClaim(self.cluster, entry, on_lost)
        return claim

    def follow(self, key: StreamKey, on_change: Callable[[], None]) -> Following:
        """See `StreamClaims`."""
        following = FakeFollowing(self.cluster, key, on_change)
        self.cluster.followings.append(following)
        return following

    def is_from_peer(self, token: str, key: StreamKey) -> bool:
        """See `StreamClaims`."""
        return token == self.pull_token(key)

    def pull_token(self, key: StreamKey) -> str:
        """See `StreamClaims`."""
        return f"peer-of-{key.app}-{key.key}"
