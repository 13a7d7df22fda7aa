"""Where the problems of one text gather while it is read, bounded, with secrets made unreadable.

Apart from the parser because the scanner's faults, the nodes, the settings and the kinds of steps all report here.
"""

import re
from collections.abc import Callable, Collection

from attrs import Factory, define

from mmids_trio.config.scanner import Line
from mmids_trio.config.settings import SECRET_SETTINGS
from mmids_trio.errors import Place, Problem
from mmids_trio.masking import names_a_secret

MAX_PROBLEMS = 1_000
"""Problems of one report: more than anybody reads. As each takes a few hundred characters, a report takes some
hundred kilobytes at most, whatever the text."""

MAX_MESSAGE = 500
"""Characters of one message: twice the longest that quotes nothing of the text."""

SECRET_CHILDREN = SECRET_SETTINGS | {"header"}
"""Settings whose values nobody is shown, and what a reactor's executor (`simple_http`) may be given."""

TOO_MANY = "too many problems to list; the others are left out"

_PAIR = re.compile(r'(?<!\S)([^\s="]+)=("(?:[^"\\]|\\.)*"?|\S*)')
"""A parameter with its value, quoted or not. A word is looked at once, however long it is."""
_FIRST_WORD = re.compile(r"\s*[^\s=]*")
_VISIBLE = re.compile(r"\S")


@define
class Findings:
    """Problems of one weight; instead of the one that is too much there is a last one that says so."""

    problems: list[Problem] = Factory(list)

    @property
    def is_full(self) -> bool:
        """Whether nothing is taken in any more; whoever looks for problems may stop."""
        return len(self.problems) > MAX_PROBLEMS

    def add(self, place: Place, message: str) -> None:
        """Take the problem in, if there is room."""
        if self.is_full:
            return
        if len(self.problems) == MAX_PROBLEMS:
            # At the greatest place of all, so that it stays the last one by whatever order they were found.
            place = max((place, *(problem.place for problem in self.problems)), key=lambda place: place.position)
            message = TOO_MANY
        shortened = message[:MAX_MESSAGE] + "…" if len(message) > MAX_MESSAGE else message
        self.problems.append(Problem(place, shortened))

    def in_order(self) -> tuple[Problem, ...]:
        """All of them by place."""
        return tuple(sorted(self.problems, key=lambda problem: problem.place.position))


@define
class ProblemReport:
    """The errors and warnings of one text, which messages call `file`."""

    file: str
    errors: Findings = Factory(Findings)
    warnings: Findings = Factory(Findings)
    unknown_settings: Findings = Factory(Findings)
    """Those of the warnings that are about a setting which there is not."""
    _shown: dict[tuple[int, bool], str] = Factory(dict)
    """Lines with secrets as they may be shown: one copy of each, however many problems it has."""

    def error(self, line: Line, column: int, message: str, *, hide_all: bool = False) -> None:
        """Something that keeps the configuration from being used. `hide_all`: of the line one word is shown."""
        if not self.errors.is_full:
            self.errors.add(self._shown_place(line, column, hide_all=hide_all), message)

    def warn(self, line: Line, column: int, message: str) -> None:
        """Something that is ignored."""
        if not self.warnings.is_full:
            self.warnings.add(self._shown_place(line, column), message)

    def warn_of_setting(self, line: Line, column: int, message: str) -> None:
        """Like `warn`, for a setting that is unknown: what follows may be a misspelt secret."""
        if not self.warnings.is_full:
            place = self._shown_place(line, column, hide_all=True)
            self.warnings.add(place, message)
            self.unknown_settings.add(place, message)

    def shown_source(self, line: Line) -> str:
        """The line as it may be shown, for problems that are found later."""
        return self._shown_source(line)

    def _shown_place(self, line: Line, column: int, *, hide_all: bool = False) -> Place:
        return Place(self.file, line.number, column, self._shown_source(line, hide_all=hide_all))

    def _shown_source(self, line: Line, *, hide_all: bool = False) -> str:
        """With `hide_all` nothing but the first word is shown."""
        key = (line.number, hide_all)
        if key not in self._shown:
            first_word = _FIRST_WORD.match(line.source)
            assert first_word is not None  # it may be empty
            name = first_word.group().lstrip()
            if hide_all or name in SECRET_CHILDREN:
                shown = _first_word_of(first_word)
            elif not names_a_secret(line.source):
                shown = line.source
            elif names_a_secret(name):
                shown = _first_word_of(first_word)
            else:
                shown = _without_values(names_a_secret, line.source)
            self._shown[key] = shown
        return self._shown[key]


def _first_word_of(match: re.Match[str]) -> str:
    """The line that begins with it, of which nothing else is shown."""
    return match.group() + _VISIBLE.sub("*", match.string[match.end() :])


def without_values_of(secrets: Collection[str], source: str) -> str:
    """A line without the values of parameters with these names."""
    return _without_values(lambda name: name in secrets, source) if any(map(source.__contains__, secrets)) else source


def _without_values(is_secret: Callable[[str], bool], source: str) -> str:
    """The line is as long as before, so that carets stay where they belong."""

    def shown(pair: re.Match[str]) -> str:
        name, value = pair.groups()
        return f"{name}={_VISIBLE.sub('*', value)}" if is_secret(name) else pair.group()

    return _PAIR.sub(shown, source)
