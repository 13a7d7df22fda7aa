"""How many children a server runs at once, and how much they encode: who is let in, who waits, and for what.

Synchronous but for the event that a claim waits for.  Claims are let in by the order in which they ask; one that asks
for more than there is does not hold up those behind it that need less.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum

import trio
from attrs import define, field

MAX_CHILDREN = 32
"""Unless `max_children` says otherwise; copying children take some 30 MiB each."""

MAX_ENCODE_RATE = 497_664_000
"""Pixels a second, unless `max_encode_rate` says otherwise: 4K at 60 pictures a second, or eight times 1080p at 30."""


class Delay(Enum):
    """Why a child has to wait; the value is its name to the outside."""

    CHILDREN = "max_children"
    ENCODE_RATE = "max_encode_rate"
    SLATE = "one_slate_at_a_time"


@define(eq=False)
class Encoding:
    """What a child encodes."""

    pixels_per_second: int
    """Of the next child."""
    is_slate: bool = False
    """Of those one at a time is made on a server."""
    claim: "Claim | None" = field(default=None, init=False)

    def change(self, pixels_per_second: int, running: int) -> bool:
        """The next child would encode so much, the one that runs does `running`; whether that one may go on."""
        self.pixels_per_second = pixels_per_second
        return self.claim is None or self.claim.capacity.reconsider(self.claim, running)


@define(eq=False)
class Claim:
    """One child's claim to a place, from before its start to its end."""

    capacity: "Capacity"
    encoding: Encoding | None
    tell: Callable[[str], None] = field(default=lambda _why: None, init=False)
    """Told why it waits, whenever that changes."""
    admitted: trio.Event = field(factory=trio.Event, init=False)
    rate: int = field(default=0, init=False)
    """Pixels a second that it has been granted."""
    delay: Delay | None = field(default=None, init=False)
    """What it waits for, or has waited for last."""

    @property
    def is_admitted(self) -> bool:
        """Whether it has its place."""
        return self.admitted.is_set()

    def why(self) -> str:
        """For an operator."""
        match self.delay:
            case Delay.CHILDREN:
                return f"waits: {self.capacity.max_children} children run already (max_children)"
            case Delay.SLATE:
                return "waits: another slate is being made"
            case _:
                wanted = 0 if self.encoding is None else self.encoding.pixels_per_second
                most = self.capacity.max_encode_rate
                return (
                    f"waits: to encode {wanted} pixels a second as well would be more than {most} (max_encode_rate)"
                    if wanted <= most
                    else f"is not started: it would encode {wanted} pixels a second, at most {most} are allowed "
                    "(max_encode_rate)"
                )


@define(eq=False)
class Capacity:
    """All children of a server."""

    max_children: int = MAX_CHILDREN
    max_encode_rate: int = MAX_ENCODE_RATE
    delays: Counter[Delay] = field(factory=lambda: Counter(dict.fromkeys(Delay, 0)), init=False)
    """How often a child had to wait, or to end since it encoded more than before."""
    encode_rate: int = field(default=0, init=False)
    """Pixels a second of all that run."""
    _running: set[Claim] = field(factory=set, init=False)
    _waiting: dict[Claim, None] = field(factory=dict, init=False)
    _slate: Claim | None = field(default=None, init=False)

    @property
    def running(self) -> int:
        """Children that have a place."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Children that wait for one."""
        return len(self._waiting)

    @contextmanager
    def place(self, encoding: Encoding | None = None) -> Iterator[Claim]:
        """Ask for a place, and give it back, or leave the line. The claim may have to wait until it is admitted."""
        claim = Claim(self, encoding)
        if encoding is not None:
            encoding.claim = claim
        self._waiting[claim] = None
        self._admit()
        try:
            yield claim
        finally:
            if encoding is not None:
                encoding.claim = None
            self._leave(claim)

    def reconsider(self, claim: Claim, wanted: int) -> bool:
        """Another number of pixels a second is encoded: whether a child that has its place may keep it."""
        if claim in self._running:
            if self.encode_rate - claim.rate + wanted > self.max_encode_rate:
                self.delays[Delay.ENCODE_RATE] += 1
                return False
            self.encode_rate += wanted - claim.rate
            claim.rate = wanted
        self._admit()
        return True

    def _admit(self) -> None:
        for claim in list(self._waiting):
            delay = self._obstacle(claim)
            if delay is None:
                del self._waiting[claim]
                self._enter(claim)
            elif delay is not claim.delay:
                if claim.delay is None:
                    self.delays[delay] += 1
                claim.delay = delay
                claim.tell(claim.why())

    def _obstacle(self, claim: Claim) -> Delay | None:
        if claim.encoding is not None:
            if self.encode_rate + claim.encoding.pixels_per_second > self.max_encode_rate:
                return Delay.ENCODE_RATE
            if claim.encoding.is_slate and self._slate is not None:
                return Delay.SLATE
        return Delay.CHILDREN if len(self._running) >= self.max_children else None

    def _enter(self, claim: Claim) -> None:
        self._running.add(claim)
        if claim.encoding is not None:
            claim.rate = claim.encoding.pixels_per_second
            self.encode_rate += claim.rate
            if claim.encoding.is_slate:
                self._slate = claim
        claim.admitted.set()

    def _leave(self, claim: Claim) -> None:
        self._waiting.pop(claim, None)
        self._running.discard(claim)
        self.encode_rate -= claim.rate
        claim.rate = 0
        if self._slate is claim:
            self._slate = None
        self._admit()
