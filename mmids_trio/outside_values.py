"""The values that came from outside of the texts (`${NAME}`), so that nothing that is told shows one of them.

Parameters are hidden where they stand, as each knows where it came from.  This is for texts that are made of them:
messages, names of streams, lines of a log.  It looks for all values at once, by how they begin, so that ten thousand of
them make a line no slower than one.
"""

from collections.abc import Iterable

from attrs import define, field

from mmids_trio.definitions import ReactorDefinition, WorkflowDefinition, variables_of
from mmids_trio.masking import HIDDEN

SHORTEST_WITHIN = 6
"""Characters of a value that is hidden wherever it occurs; a shorter one is hidden where it stands alone."""

MOST_VALUES = 10_000
"""Values that are hidden at most, the newest: one for each workflow that one request may bring."""

MOST_CHARACTERS = 4 * 1024 * 1024
"""That they may have together; secrets have some hundred at most."""

LONGEST_NUMBER = 5
"""Digits of a number that is shown all the same: those of ports, counts and seconds."""


@define(eq=False)
class OutsideValues:
    """Those that one server has come to know."""

    _values: dict[str, None] = field(factory=dict, init=False, repr=False)
    """In the order in which they came last."""
    _starts: dict[str, set[str]] = field(factory=dict, init=False, repr=False)
    """Those that are hidden wherever they occur, by their first `SHORTEST_WITHIN` characters."""
    _characters: int = field(default=0, init=False)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to hide."""
        return not self._values

    def add(self, values: Iterable[str]) -> None:
        """Hide these as well."""
        for value in values:
            if value and not (value.isdigit() and len(value) <= LONGEST_NUMBER):
                self._forget(value)
                self._values[value] = None
                self._characters += len(value)
                if len(value) >= SHORTEST_WITHIN:
                    self._starts.setdefault(value[:SHORTEST_WITHIN], set()).add(value)
        while len(self._values) > MOST_VALUES or self._characters > MOST_CHARACTERS:
            self._forget(next(iter(self._values)))

    def _forget(self, value: str) -> None:
        if value not in self._values:
            return
        del self._values[value]
        self._characters -= len(value)
        if len(value) >= SHORTEST_WITHIN:
            start = value[:SHORTEST_WITHIN]
            self._starts[start].discard(value)
            if not self._starts[start]:
                del self._starts[start]

    def learn(self, definitions: Iterable[WorkflowDefinition | ReactorDefinition]) -> None:
        """Hide what came from outside into these."""
        self.add(variable.value for variable in variables_of(definitions))

    def hide(self, text: str) -> str:
        """`text` without them."""
        if not self._values:
            return text
        if text in self._values:
            return HIDDEN
        starts = {text[place : place + SHORTEST_WITHIN] for place in range(len(text) - SHORTEST_WITHIN + 1)}
        found = [value for start in starts & self._starts.keys() for value in self._starts[start] if value in text]
        for value in sorted(found, key=len, reverse=True):
            text = text.replace(value, HIDDEN)
        return text
