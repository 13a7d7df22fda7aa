"""Faults as data: what goes wrong in a test, said in a few words, and by a seed the same each time.

`faults(links="5% reset", clock="jump +1h at 30s", disk="full at 12s", service="500 twice")`; several of one kind are
separated by commas.  Times are those of the test's clock.
"""

import re
from collections.abc import Callable
from math import inf
from random import Random

import trio
from attrs import define, field

from mmids_trio.testing.links import Link

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
TIMES = {"once": 1, "twice": 2}
DEFAULT_WITHIN_S = 30
"""When a link breaks that says no time: within so many seconds of its beginning."""

_TIME = r"(\d+(?:\.\d+)?)([smhd])"
GRAMMAR = {
    "links": (rf"(\d+(?:\.\d+)?)% (reset|vanish)(?: within {_TIME})?", "5% reset, 1% vanish within 10s"),
    "clock": (rf"jump ([+-]){_TIME} at {_TIME}", "jump +1h at 30s"),
    "disk": (rf"full at {_TIME}(?: for {_TIME})?", "full at 12s, full at 60s for 5s"),
    "service": (r"(\w+) (?:(once|twice)|(\d+) times)", "500 twice, hangs once, timeout 3 times"),
}
"""How each kind of fault is said, with an example."""


class WrongFault(ValueError):
    """A text that says no fault; it names the part, and what would be one."""


def _parse(kind: str, text: str) -> list[tuple[str, ...]]:
    pattern, example = GRAMMAR[kind]
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(pattern, part)
        if match is None:
            raise WrongFault(f"{kind}={part!r} is no fault; expected, for example: {example}")
        found.append(tuple(group or "" for group in match.groups()))
    if not found and text:
        raise WrongFault(f"{kind}={text!r} says no fault; expected, for example: {example}")
    return found


def _seconds(number: str, unit: str) -> float:
    return float(number) * UNITS[unit]


def _time() -> float:
    return trio.current_time() if trio.lowlevel.in_trio_run() else -inf


@define(eq=False)
class Faults:
    """For `Harness(faults=...)`, and `FakeReactorService(faults=...)` for those of a service. Made by `faults`."""

    seed: int = 0
    _breaks: list[tuple[float, str, float]] = field(factory=list)
    """With which probability, how, and within how many seconds."""
    _jumps: list[tuple[float, float]] = field(factory=list)
    """When, and by how much."""
    _full: list[tuple[float, float]] = field(factory=list)
    """From when to when."""
    _failures: list[str] = field(factory=list)
    """Of the questions to come, in order."""
    _random: Random = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._random = Random(self.seed)

    def link(self) -> Link:
        """That of the next connection."""
        ends = {"reset": inf, "vanish": inf}
        for probability, how, within in self._breaks:
            happens, at = self._random.random() < probability, self._random.uniform(0, within)
            if happens:
                ends[how] = min(ends[how], at)
        return Link(cut_at=ends["reset"], vanish_at=ends["vanish"])

    def calendar(self, now: Callable[[], float]) -> Callable[[], float]:
        """The calendar `now` with its jumps."""
        return lambda: now() + sum(by for at, by in self._jumps if _time() >= at)

    def free_bytes(self, free: Callable[[str], int]) -> Callable[[str], int]:
        """What is `free` on a disk, and nothing while it is full."""
        return lambda directory: 0 if any(begin <= _time() < end for begin, end in self._full) else free(directory)

    def next_failure(self) -> str | None:
        """What a service fails with when it is asked the next time; `hangs` for no answer."""
        return self._failures.pop(0) if self._failures else None


def faults(*, links: str = "", clock: str = "", disk: str = "", service: str = "", seed: int = 0) -> Faults:
    """What shall go wrong; `seed` decides which links break, and when. Raises `WrongFault`."""
    breaks = [
        (float(percent) / 100, how, _seconds(number, unit) if number else DEFAULT_WITHIN_S)
        for percent, how, number, unit in _parse("links", links)
    ]
    jumps = [
        (_seconds(at, at_unit), _seconds(by, by_unit) * (-1 if sign == "-" else 1))
        for sign, by, by_unit, at, at_unit in _parse("clock", clock)
    ]
    full = [
        (_seconds(at, unit), _seconds(at, unit) + _seconds(long, long_unit) if long else inf)
        for at, unit, long, long_unit in _parse("disk", disk)
    ]
    failures = [
        what for what, word, number in _parse("service", service) for _ in range(TIMES[word] if word else int(number))
    ]
    return Faults(seed, breaks, jumps, full, failures)
