"""Where the problems of one text gather while it is read, bounded, with secrets made unreadable.

Apart from the parser because the scanner's faults, the nodes and the settings all report here.
"""

import re

from attrs import Factory, define

from mmids_trio.config.scanner import Line
from mmids_trio.errors import Place, Problem

MAX_QUOTED = 1_000_000
"""Characters of source lines that the problems of one text quote between them: each problem quotes its
line, so that a bad line of the greatest length, repeated, would make a report a thousand times its size."""

COST_OF_A_PROBLEM = 100
"""Characters that a problem counts for besides its line: about what its message takes."""

_SECRET_NAME = re.compile(r"\s*[^\s=]*(?:token|password|secret)[^\s=]*", re.IGNORECASE)
_FIRST_WORD = re.compile(r"\s*[^\s=]*")
_VISIBLE = re.compile(r"\S")


@define
class Findings:
    """Problems of one weight; when `room` (characters) is used up, a last one says so."""

    problems: list[Problem] = Factory(list)
    room: int = MAX_QUOTED

    def add(self, place: Place, message: str) -> None:
        """Take the problem in, if there is room."""
        if self.room <= 0:
            return
        self.room -= len(place.source) + COST_OF_A_PROBLEM
        self.problems.append(Problem(place, message))
        if self.room <= 0:
            self.problems.append(Problem(place, "too many problems to list; what follows is left out"))

    def in_order(self) -> tuple[Problem, ...]:
        """All of them by place."""
        return tuple(sorted(self.problems, key=lambda problem: (problem.place.line, problem.place.column)))


@define
class Report:
    """The errors and warnings of one text, which messages call `file`."""

    file: str
    errors: Findings = Factory(Findings)
    warnings: Findings = Factory(Findings)

    def error(self, line: Line, column: int, message: str) -> None:
        """Something that keeps the configuration from being used."""
        self.errors.add(self._shown_place(line, column, _SECRET_NAME), message)

    def warn(self, line: Line, column: int, message: str) -> None:
        """Something that is ignored."""
        self.warnings.add(self._shown_place(line, column, _SECRET_NAME), message)

    def warn_of_name(self, line: Line, column: int, message: str) -> None:
        """Like `warn`, for a line whose first word is unknown: what follows may be a misspelt secret."""
        self.warnings.add(self._shown_place(line, column, _FIRST_WORD), message)

    def _shown_place(self, line: Line, column: int, hide_after: re.Pattern[str]) -> Place:
        source = line.source
        if hidden := hide_after.match(source):
            source = source[: hidden.end()] + _VISIBLE.sub("*", source[hidden.end() :])
        return Place(self.file, line.number, column, source)
