"""What peers say against the form that cannot hurt: it is understood as far as it goes, counted, and told of once.

The rule for the wire: strict about what can hurt (the bounds of `limits`), forgiving about what cannot.
"""

from enum import Enum

from attrs import define, field


class Oddity(Enum):
    """What was odd; the value is its name to the outside."""

    METADATA = "metadata_not_clean"
    COMMAND = "command_not_clean"
    CHUNK_STREAM = "chunk_stream_without_full_header"
    CLOCK = "clock_set_anew"


OddityTotals = dict[Oddity, int]
"""How often each was met, over many connections."""


def no_oddities() -> OddityTotals:
    """All of them, none met."""
    return dict.fromkeys(Oddity, 0)


@define(eq=False)
class Oddities:
    """Those of one connection. `totals` may be shared with others."""

    totals: OddityTotals = field(factory=no_oddities)
    untold: list[tuple[Oddity, str]] = field(factory=list, init=False)
    """What was met for the first time, with a word on it, until somebody takes it; one of each at most."""
    _met: set[Oddity] = field(factory=set, init=False)

    def note(self, oddity: Oddity, detail: str) -> None:
        """Count one."""
        self.totals[oddity] += 1
        if oddity not in self._met:
            self._met.add(oddity)
            self.untold.append((oddity, detail))

    def take_untold(self) -> list[tuple[Oddity, str]]:
        """What is to be told, which counts as told by this call."""
        taken, self.untold = self.untold, []
        return taken
