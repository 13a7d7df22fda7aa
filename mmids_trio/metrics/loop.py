"""How long the loop is held up: a trio instrument, so that it needs no task and wakes nobody.

A task that sleeps and looks how late it wakes would cost a wake-up (30 µs) each time, see one moment in ten, and keep
a clock of tests from jumping.  Two calls for each turn of the loop, below 1 µs together, see every turn.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

import trio
from attrs import define, field

from mmids_trio.metrics.counts import Distribution


@define(eq=False)
class LoopLag(trio.abc.Instrument):
    """From each look at sockets and clocks to the next: how long whatever came meanwhile had to wait."""

    durations: Distribution = field(factory=Distribution, init=False)
    _began: float = field(factory=perf_counter, init=False)

    def before_io_wait(self, timeout: float) -> None:
        """The tasks that were ready have had their turn."""
        self.durations.observe(perf_counter() - self._began)

    def after_io_wait(self, timeout: float) -> None:
        """Those that have become ready get theirs."""
        self._began = perf_counter()

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Measure the loop that runs, as long as the block does."""
        self._began = perf_counter()
        trio.lowlevel.add_instrument(self)
        try:
            yield
        finally:
            trio.lowlevel.remove_instrument(self)
