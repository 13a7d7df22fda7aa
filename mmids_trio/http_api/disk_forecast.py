"""When disks will be full that this server writes to: arithmetic over the free bytes of the last minutes."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence

import structlog
import trio
from attrs import define, field, frozen

from mmids_trio.offload import Offload, in_thread

MAX_DIRECTORIES = 16
"""That are looked at; servers write to two or three."""

LOOK_SECONDS = 10.0
"""Between two looks."""

MAX_LOOKS = 60
"""Kept of each directory: ten minutes of looks."""

LEAST_SECONDS = 60.0
"""Between the first and the last look, before anything is said: a log that is written in gusts says nothing."""

log = structlog.get_logger()


@frozen
class DiskView:
    """One disk. `seconds_left`: until it is full at the pace of the last minutes; `None` where nothing is lost."""

    directories: tuple[str, ...]
    free: int
    seconds_left: float | None


def seconds_left(looks: Sequence[tuple[float, int]]) -> float | None:
    """At the pace between the first and the last look (a time, and the bytes that were free); `None`: it never fills.

    Also `None` where the looks are too few to tell.
    """
    if not looks or looks[-1][0] - looks[0][0] < LEAST_SECONDS:
        return None
    (began, before), (ended, free) = looks[0], looks[-1]
    lost_per_second = (before - free) / (ended - began)
    return free / lost_per_second if lost_per_second > 0 else None


@define(eq=False)
class Disks:
    """Those of the directories that `directories` names, measured by `free_bytes` (raises `OSError`)."""

    directories: Callable[[], Iterable[str]] = field(default=lambda: ())
    free_bytes: Callable[[str], int] = field(default=lambda _: 0)
    offload: Offload = in_thread
    _looks: dict[str, deque[tuple[float, int]]] = field(factory=dict, init=False)

    async def run(self) -> None:
        """Look until cancelled. A disk that does not answer holds up the next look, and nothing else."""
        while True:
            await self.look()
            await trio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Measure all of them."""
        wanted = list(dict.fromkeys(self.directories()))[:MAX_DIRECTORIES]
        found = await self.offload(lambda: self._measure(wanted)) if wanted else {}
        self._looks = {name: self._looks.get(name, deque(maxlen=MAX_LOOKS)) for name in found}
        now = trio.current_time()
        for name, free in found.items():
            self._looks[name].append((now, free))

    def _measure(self, directories: Sequence[str]) -> dict[str, int]:
        found = dict[str, int]()
        for directory in directories:
            try:
                found[directory] = self.free_bytes(directory)
            except OSError as error:  # it is made by who first writes there, say
                log.debug("the disk cannot be looked at", directory=directory, reason=error.strerror)
        return found

    def views(self) -> list[DiskView]:
        """As of the last look. Directories with as many bytes free at the same time are on one disk."""
        by_free = dict[int, list[str]]()
        for name, looks in self._looks.items():
            by_free.setdefault(looks[-1][1], []).append(name)
        return [DiskView(tuple(names), free, self._left(names)) for free, names in by_free.items()]

    def _left(self, names: Sequence[str]) -> float | None:
        """By who has been looked at for longest."""
        return seconds_left(max((self._looks[name] for name in names), key=len))
