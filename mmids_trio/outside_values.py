"""The values that came from outside of the texts (`${NAME}`), so that nothing that is told shows one of them.

Parameters are hidden where they stand, as each knows where it came from.  This is for texts that are made of them:
messages, names of streams, lines of a log.
"""

from collections.abc import Iterable

from attrs import define, field

from mmids_trio.definitions import ReactorDefinition, WorkflowDefinition, variables_of
from mmids_trio.masking import HIDDEN

SHORTEST_WITHIN = 6
"""Characters of a value that is hidden wherever it occurs; a shorter one is hidden where it stands alone."""

MOST_VALUES = 10_000
"""Values that are hidden at most, the newest: ten for each workflow that a server is made for."""

LONGEST_NUMBER = 5
"""Digits of a number that is shown all the same: those of ports, counts and seconds."""


@define(eq=False)
class OutsideValues:
    """Those that one server has come to know."""

    _within: dict[str, None] = field(factory=dict, init=False, repr=False)
    _alone: dict[str, None] = field(factory=dict, init=False, repr=False)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to hide."""
        return not self._within and not self._alone

    @property
    def values(self) -> tuple[str, ...]:
        """Those that are hidden wherever they occur."""
        return tuple(self._within)

    def add(self, values: Iterable[str]) -> None:
        """Hide these as well."""
        for value in values:
            if value and not (value.isdigit() and len(value) <= LONGEST_NUMBER):
                into = self._within if len(value) >= SHORTEST_WITHIN else self._alone
                into.pop(value, None)
                into[value] = None
                if len(into) > MOST_VALUES:
                    del into[next(iter(into))]

    def learn(self, definitions: Iterable[WorkflowDefinition | ReactorDefinition]) -> None:
        """Hide what came from outside into these."""
        self.add(variable.value for variable in variables_of(definitions))

    def hide(self, text: str) -> str:
        """`text` without them."""
        if text in self._alone:
            return HIDDEN
        found = [value for value in self._within if value in text]
        for value in sorted(found, key=len, reverse=True):
            text = text.replace(value, HIDDEN)
        return text
