"""What an argument means: a name, a flag, a pair, or the one opaque value of a setting.

Apart from the nodes because workflows, steps, reactors and settings read the same few forms, and from
the scanner because the same token means different things in different places.
"""

from typing import NamedTuple

from mmids_trio.config.report import ProblemReport
from mmids_trio.config.scanner import Line, Token
from mmids_trio.config.suggestions import shown
from mmids_trio.definitions import ParameterValue


class Argument(NamedTuple):
    """A flag (`value` is `None`) or a pair, and the 1-based column where it stands."""

    column: int
    name: str
    value: ParameterValue


class BadTokenError(Exception):
    """A token that is not of the form that its place asks for; `str()` says what was expected."""


def as_argument(token: Token) -> Argument:
    """Read a flag or a pair; raises `BadTokenError` for anything else."""
    name, equals, value = token.text.partition("=")
    if not equals:
        if token.quote is not None:
            raise BadTokenError("expected a flag or a pair name=value, found a quoted string without a name")
        return Argument(token.column, name, None)
    if not name:
        raise BadTokenError("expected a parameter name before '='")
    return Argument(token.column, name, value if token.quote is None else token.quote)


def as_value(token: Token) -> str:
    """Read a whole word, whatever it holds, or a quoted string; raises `BadTokenError` for a mixture."""
    if token.quote is None:
        return token.text
    if token.text:
        raise BadTokenError("expected one word or one quoted string, found a word that goes on with quotes")
    return token.quote


def as_name(token: Token, what: str) -> str:
    """Read a plain word that names `what` ("a workflow name"); raises `BadTokenError` for anything else."""
    if token.quote is not None and not token.text:
        raise BadTokenError(f"expected {what}, which is a word without quotes; found a quoted string")
    if "=" in token.text:
        raise BadTokenError(f"expected {what}, found the pair {shown(token.text)}")
    return token.text


def read_child(report: ProblemReport, line: Line, what: str) -> tuple[str, ParameterValue] | None:
    """Read a line `NAME [VALUE]`, whose value is opaque; `None` if it is another, with an error in `report`."""
    try:
        name = _child_name(line.tokens[0], what)
    except BadTokenError as error:
        report.error(line, line.tokens[0].column, str(error))
        return None
    if len(line.tokens) == 1:
        return name, None
    try:
        value = as_value(line.tokens[1])
    except BadTokenError as error:
        report.error(line, line.tokens[1].column, str(error))
        return None
    if len(line.tokens) > 2:  # noqa: PLR2004 - a name and a value
        message = f"expected the end of the line: a {what} has one value (quotes allow spaces)"
        report.error(line, line.tokens[2].column, message)
        return None
    return name, value


def _child_name(token: Token, what: str) -> str:
    name, equals, _ = token.text.partition("=")
    if name and equals:
        raise BadTokenError(f"expected white space, not '=', between the {what} {shown(name)} and its value")
    return as_name(token, f"a {what} name")


def is_first(report: ProblemReport, line: Line, first_lines: dict[str, int], what: str, name: str) -> bool:
    """Whether `name` is new to `first_lines`, which remembers it; if not, an error is in `report`."""
    first = first_lines.setdefault(name, line.number)
    if first != line.number:
        report.error(line, line.tokens[0].column, f"{what} {shown(name)} is given twice (first on line {first})")
    return first == line.number
