"""How many bytes clients make one server hold, in logs and in messages that are not finished, and who gives way at the
bound.

One object per server, charged synchronously by whoever holds something: each says how large it is now, and that may
make another one, or itself, let go.  There are three bounds: of a connection (all of its streams together), of an
address, and of the server.  What nobody watches goes first, then what is largest.
"""

from collections.abc import Callable, Iterable
from math import inf
from typing import TypeVar

from attrs import define, field

from mmids_trio.addresses import source_of
from mmids_trio.rejections import RejectCounters, RejectReason

Key = TypeVar("Key")

MAX_CONNECTION_BYTES = 32 * 1024 * 1024
"""Of one connection: a log at its largest, and a largest message under way."""

SHARE_OF_ADDRESS = 4
"""One address may hold one in so many of all bytes."""

LOW_WATER = 0.9
"""Part of a bound that is left when room was made, so that it is not made for each packet anew."""


@define(eq=False)
class MediaOwner:
    """Whose the bytes are: an address (`""`: the server's own) and the mark of a connection; one for each stream and
    session, and it may outlive both."""

    source: str = ""
    connection: object | None = None
    is_away: bool = False
    """Whether the stream is interrupted."""
    served_at: float = -inf
    """When it was sent to anybody last, on trio's clock."""


def nothing_to_let_go_of() -> None:
    """For who holds nothing."""


@define(eq=False)
class MediaHolding:
    """One place where bytes are held.

    `let_go`: hold nothing any more, synchronously; it has to end with `resize(0)`.  `is_wanted`: whether anybody
    watches.  `ends`: whether letting go ends the connection.
    """

    memory: "MediaMemory"
    owner: MediaOwner
    let_go: Callable[[], None]
    is_wanted: Callable[[], bool] = field(default=lambda: True)
    ends: bool = False
    size: int = field(default=0, init=False)

    def resize(self, size: int) -> None:
        """It holds `size` bytes now. Where that is too much, somebody lets go in this call."""
        grown = size - self.size
        if grown:
            self.size = size
            self.memory.charge(self, grown)

    def close(self) -> None:
        """It holds nothing, for good."""
        self.resize(0)
        self.let_go = nothing_to_let_go_of

    def pass_to(self, owner: MediaOwner) -> None:
        """What is held belongs to `owner` from now on."""
        size = self.size
        self.resize(0)
        self.owner = owner
        self.resize(size)


@define(eq=False)
class MediaMemory:
    """All that is held; see the module. `limit`: of the server, in bytes."""

    limit: float = inf
    rejections: RejectCounters = field(factory=RejectCounters)
    max_of_connection: float = MAX_CONNECTION_BYTES
    held: int = field(default=0, init=False)
    _of_source: dict[str, int] = field(factory=dict, init=False)
    _of_connection: dict[object, int] = field(factory=dict, init=False)
    _holdings: dict[MediaHolding, None] = field(factory=dict, init=False)
    """Those that hold anything."""
    _owners: dict[str, MediaOwner] = field(factory=dict, init=False)
    """By the id of their stream."""

    # Streams.

    def own(self, stream_id: str, host: str, connection: object) -> MediaOwner:
        """A stream has this publisher (now), as is noted there. `connection`: its mark."""
        owner = self._owners.setdefault(stream_id, MediaOwner())
        holdings = self._of_owner(owner)
        sizes = [holding.size for holding in holdings]
        for holding in holdings:
            holding.resize(0)
        owner.source, owner.connection, owner.is_away = source_of(host), connection, False
        for holding, size in zip(holdings, sizes, strict=True):
            holding.resize(size)
        return owner

    def leave(self, stream_id: str) -> None:
        """A stream is interrupted: what nobody watches of it is let go."""
        owner = self.owner_of(stream_id)
        owner.is_away = True
        for holding in self._of_owner(owner):
            if not holding.is_wanted():
                self._end(holding)

    def disown(self, stream_id: str) -> None:
        """A stream is over; what is still held of it stays its publisher's."""
        self._owners.pop(stream_id, None)

    def owner_of(self, stream_id: str) -> MediaOwner:
        """Whose a stream is; the server's own where no publisher has it."""
        return self._owners.get(stream_id) or MediaOwner()

    def of_source(self, host: str) -> int:
        """Bytes that clients of this address hold."""
        return self._of_source.get(source_of(host), 0)

    def has_room_for(self, host: str) -> bool:
        """Whether another publisher may come, once what nobody watches has been let go."""
        source = source_of(host)
        if self.held >= LOW_WATER * self.limit:
            self._shrink(self._unwanted(self._holdings), lambda: self.held, self.limit)
        if self._of_source.get(source, 0) >= LOW_WATER * self._limit_of_source:
            unwanted = self._unwanted(self._with_source(source))
            self._shrink(unwanted, lambda: self._of_source.get(source, 0), self._limit_of_source)
        return self.held < LOW_WATER * self.limit and (
            self._of_source.get(source, 0) < LOW_WATER * self._limit_of_source
        )

    # Bytes.

    def charge(self, holding: MediaHolding, grown: int) -> None:
        """See `MediaHolding.resize`."""
        owner = holding.owner
        self.held += grown
        if owner.source:
            _add(self._of_source, owner.source, grown)
        if owner.connection is not None:
            _add(self._of_connection, owner.connection, grown)
        if holding.size:
            self._holdings[holding] = None
        else:
            self._holdings.pop(holding, None)
        if grown > 0:
            self._make_room(owner)

    def _make_room(self, owner: MediaOwner) -> None:
        of_connection, of_source, connection = self._of_connection, self._of_source, owner.connection
        if of_connection.get(connection, 0) > self.max_of_connection:
            same = [one for one in self._holdings if one.owner.connection is connection]
            same.sort(key=lambda one: (one.ends, one.is_wanted(), -one.size))
            self._shrink(same, lambda: of_connection.get(connection, 0), self.max_of_connection)
        if of_source.get(owner.source, 0) > self._limit_of_source:
            same = self._in_order(self._with_source(owner.source))
            self._shrink(same, lambda: of_source.get(owner.source, 0), self._limit_of_source)
        if self.held > self.limit:
            self._shrink(self._in_order(self._holdings), lambda: self.held, self.limit)

    @property
    def _limit_of_source(self) -> float:
        return self.limit / SHARE_OF_ADDRESS

    def _with_source(self, source: str) -> list[MediaHolding]:
        return [holding for holding in self._holdings if holding.owner.source == source]

    def _of_owner(self, owner: MediaOwner) -> list[MediaHolding]:
        return [holding for holding in self._holdings if holding.owner is owner]

    def _in_order(self, holdings: Iterable[MediaHolding]) -> list[MediaHolding]:
        return sorted(holdings, key=lambda one: (one.is_wanted(), -one.size))

    def _unwanted(self, holdings: Iterable[MediaHolding]) -> list[MediaHolding]:
        return [holding for holding in self._in_order(holdings) if not holding.is_wanted()]

    def _shrink(self, holdings: list[MediaHolding], held: Callable[[], int], limit: float) -> None:
        for holding in holdings:
            if held() <= LOW_WATER * limit:
                return
            self.rejections.count(RejectReason.MEDIA_BYTES if holding.ends else RejectReason.MEDIA_TRIMMED)
            self._end(holding)

    def _end(self, holding: MediaHolding) -> None:
        holding.let_go()
        assert not holding.size, "it was to let go of all that it holds"


def _add(sums: dict[Key, int], key: Key, grown: int) -> None:
    """Sums that come to nothing are forgotten, so there are no more than there are holders."""
    total = sums.get(key, 0) + grown
    if total:
        sums[key] = total
    else:
        del sums[key]
