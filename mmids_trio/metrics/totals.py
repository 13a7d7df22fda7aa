"""Counts by place (a workflow, a step), of those who are there and those who have left, so that nothing goes back.

Who begins in a place goes on with what its predecessors there have counted.  Places where nobody is any more are kept
for a while, then they are summed up as "other": their number is bounded, however often a configuration changes.
"""

from collections.abc import Iterator
from functools import reduce

from attrs import define, field

from mmids_trio.metrics.counts import Counts, ReadCounts, lasting, since, total

MAX_DEPARTED = 1_000
"""Places without anybody whose counts are kept apart; as many as a large configuration has steps."""

Labels = tuple[str, str, str]
"""Workflow, step id, step type; the last two are empty for a workflow as a whole."""

OTHER: Labels = ("other", "other", "other")
"""Stands for places that are not kept apart any more."""


@define(eq=False)
class Tally:
    """One who counts in a place. `before`: what was counted there earlier; `elsewhere`: what it counted in others."""

    labels: Labels
    read: ReadCounts
    before: Counts
    elsewhere: Counts = field(factory=dict)

    def counts(self) -> Counts:
        """All that was counted in the place, up to now."""
        own = since(self.elsewhere, self.read()) if self.elsewhere else self.read()
        return total(self.before, own) if self.before else own


@define(eq=False)
class Totals:
    """All places of a server. What somebody has counted goes to who counts in the same place still, or is kept."""

    max_departed: int = MAX_DEPARTED
    _live: dict[Labels, list[Tally]] = field(factory=dict, init=False)
    _departed: dict[Labels, Counts] = field(factory=dict, init=False)
    """Of places that are not live; the one that was left last stands last."""

    def open(self, labels: Labels, read: ReadCounts) -> Tally:
        """Somebody begins to count in a place; `close` must follow."""
        tally = Tally(labels, read, self._departed.pop(labels, {}))
        self._live.setdefault(labels, []).append(tally)
        return tally

    def close(self, tally: Tally) -> None:
        """It counts no more. Repeating it does nothing."""
        tallies = self._live.get(tally.labels, [])
        if tally not in tallies:
            return
        tallies.remove(tally)
        counts = lasting(tally.counts())
        if tallies:
            tallies[0].before = total(tallies[0].before, counts)
            return
        del self._live[tally.labels]
        self._keep(tally.labels, counts)
        while len(self._departed) > self.max_departed:
            oldest = next(labels for labels in self._departed if labels != OTHER)
            self._keep(OTHER, self._departed.pop(oldest))

    def move(self, tally: Tally, labels: Labels) -> Tally:
        """Who counts there goes on in another place, where its counting begins anew; what it has counted stays."""
        moved = self.open(labels, tally.read)
        moved.elsewhere = lasting(tally.read())
        self.close(tally)
        return moved

    def walk(self) -> Iterator[tuple[Labels, Counts]]:
        """Each place once, as it is when its turn comes: others may work in between."""
        for labels in [*self._live, *self._departed]:
            if tallies := self._live.get(labels):
                yield labels, reduce(total, (tally.counts() for tally in tallies))
            elif labels in self._departed:
                yield labels, self._departed[labels]

    def of_workflow(self, name: str) -> Iterator[tuple[Labels, Counts]]:
        """Those of its places where somebody is."""
        for labels, tallies in self._live.items():
            if labels[0] == name:
                yield labels, reduce(total, (tally.counts() for tally in tallies))

    def _keep(self, labels: Labels, counts: Counts) -> None:
        self._departed[labels] = total(self._departed.pop(labels, {}), counts)
