"""What an argument means: a name, a flag, a pair, or the one opaque value of a setting.

Apart from the nodes because workflows, steps, reactors and settings read the same few forms, and from
the scanner because the same token means different things in different places.
"""

from typing import NamedTuple

from mmids_trio.config.references import BadReferenceError, References, without_references
from mmids_trio.config.report import ProblemReport
from mmids_trio.config.scanner import Line, Token
from mmids_trio.config.suggestions import shown
from mmids_trio.definitions import ParameterValue

STREAM_KEYS = ("stream_key",)
"""Parameters whose value is one key, or any."""

ANY_KEY = "*"

STAR_IN_KEY = (
    "'*' alone stands for any stream key, and a key with a '*' inside for itself alone; quotes around it say that"
    " this is meant"
)


class Argument(NamedTuple):
    """A flag (`value` is `None`) or a pair, and the 1-based column where it stands."""

    column: int
    name: str
    value: ParameterValue


class BadTokenError(Exception):
    """A token that is not of the form that its place asks for; `str()` says what was expected, `column` where."""

    def __init__(self, column: int, message: str) -> None:
        super().__init__(message)
        self.column = column


def as_argument(token: Token, references: References) -> Argument:
    """Read a flag or a pair; raises `BadTokenError` for anything else."""
    name, equals, value = token.text.partition("=")
    if "$" in name:  # few have one
        _check_name(token, name)
    if not equals:
        if token.quote is not None:
            message = "expected a flag or a pair name=value, found a quoted string without a name"
            raise BadTokenError(token.column, message)
        return Argument(token.column, name, None)
    if not name:
        raise BadTokenError(token.column, "expected a parameter name before '='")
    is_key = name in STREAM_KEYS and token.quote is None and not references.is_lenient
    if is_key and value != ANY_KEY and "*" in without_references(value):
        raise BadTokenError(token.column + token.text.index("*"), STAR_IN_KEY)
    return Argument(token.column, name, _resolved(token, references, len(name) + 1))


def as_value(token: Token, references: References) -> str:
    """Read a whole word, whatever it holds, or a quoted string; raises `BadTokenError` for a mixture."""
    if token.quote is not None and token.text:
        message = "expected one word or one quoted string, found a word that goes on with quotes"
        raise BadTokenError(token.column, message)
    return _resolved(token, references, 0)


def _resolved(token: Token, references: References, start: int) -> str:
    try:
        return references.value(token, start)
    except BadReferenceError as error:
        raise BadTokenError(token.column + error.offset, str(error)) from None


def _check_name(token: Token, name: str) -> None:
    place = name.find("${")
    if place >= 0:
        raise BadTokenError(token.column + place, "a variable stands for a value, or a part of one, and nothing else")


def as_name(token: Token, what: str) -> str:
    """Read a plain word that names `what` ("a workflow name"); raises `BadTokenError` for anything else."""
    if token.quote is not None and not token.text:
        message = f"expected {what}, which is a word without quotes; found a quoted string"
        raise BadTokenError(token.column, message)
    _check_name(token, token.text)
    if "=" in token.text:
        raise BadTokenError(token.column, f"expected {what}, found the pair {shown(token.text)}")
    return token.text


def read_child(
    report: ProblemReport, line: Line, what: str, references: References
) -> tuple[str, ParameterValue] | None:
    """Read a line `NAME [VALUE]`, whose value is opaque; `None` if it is another, with an error in `report`."""
    try:
        name = _child_name(line.tokens[0], what)
    except BadTokenError as error:
        report.error(line, error.column, str(error))
        return None
    if len(line.tokens) == 1:
        return name, None
    try:
        value = as_value(line.tokens[1], references)
    except BadTokenError as error:
        report.error(line, error.column, str(error))
        return None
    if len(line.tokens) > 2:  # noqa: PLR2004 - a name and a value
        message = f"expected the end of the line: a {what} has one value (quotes allow spaces)"
        report.error(line, line.tokens[2].column, message)
        return None
    return name, value


def _child_name(token: Token, what: str) -> str:
    name, equals, _ = token.text.partition("=")
    if name and equals:
        raise BadTokenError(
            token.column, f"expected white space, not '=', between the {what} {shown(name)} and its value"
        )
    return as_name(token, f"a {what} name")


def is_first(report: ProblemReport, line: Line, first_lines: dict[str, int], what: str, name: str) -> bool:
    """Whether `name` is new to `first_lines`, which remembers it; if not, an error is in `report`."""
    first = first_lines.setdefault(name, line.number)
    if first != line.number:
        report.error(line, line.tokens[0].column, f"{what} {shown(name)} is given twice (first on line {first})")
    return first == line.number
