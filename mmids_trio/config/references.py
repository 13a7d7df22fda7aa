"""What a value takes from outside of its text: `${NAME}`, `${NAME:-default}` and `${file:PATH}`.

Apart from the scanner, which only knows that such a thing is a part of a word, and pure: who may look at variables and
files hands in how.  It means the same in quotes; `$${` stands for a literal `${`.
"""

import re
from collections.abc import Callable, Mapping

from attrs import define, field

from mmids_trio.config.scanner import MAX_LINE_LENGTH, Token, is_quotable
from mmids_trio.config.suggestions import shown
from mmids_trio.definitions import Resolved, Variable

MAX_RESOLVED = 16 * 1024 * 1024
"""Characters that all values of one text may take from outside together: the whole of what a request may bring."""

FILE = "file:"
"""What the name of a file begins with."""

OUTSIDE_ONLY = "only a file that the server reads itself, or that check, plan and apply are given, may hold it"

_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)\}")
"""Or `$${`, which stands for a literal `${`."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BARE = re.compile(r"\$[A-Za-z_]")
_NUMBER = re.compile(r"~[0-9]+\Z")
"""Behind a name that stands for several values (`VariableNames`)."""


class BadReferenceError(Exception):
    """Something of the kind that cannot stand here, `offset` characters into the word; `str()` says why."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset = offset


@define(eq=False)
class References:
    """How the values of one text are resolved. `refusal` says why there can be nothing to resolve, if there cannot.

    `variable` gives the value of a name, `None` where it has none; `read` the content of a file (or `ValueError`).
    With `given` the text says the values itself, in a node `values`.
    """

    refusal: str = ""
    variable: Callable[[str], str | None] = lambda _name: None
    read: Callable[[str], str] = field(default=lambda _path: "")
    given: dict[str, str] | None = None
    is_lenient: bool = False
    """Whether `$NAME` and a `*` inside a stream key are literal, as they were before there were variables."""
    missing: str = OUTSIDE_ONLY
    """What is said of a name that has no value among those `given`."""
    _resolved: int = field(default=0, init=False)

    @property
    def is_outside(self) -> bool:
        """Whether values come from the environment and files, and other files may be included."""
        return not self.refusal and self.given is None

    def value(self, token: Token, start: int = 0) -> str:
        """What stands in the quotes of a word, or else in it from `start` on, with its references resolved.

        Raises `BadReferenceError`.
        """
        if token.quote is None:
            text, before = token.text[start:], start
        else:
            text, before = token.quote, len(token.text) + 1
        if "$" not in text:
            return text
        try:
            return self._resolve(text, is_quoted=token.quote is not None)
        except BadReferenceError as error:
            raise BadReferenceError(error.offset + before, str(error)) from None

    def _resolve(self, text: str, *, is_quoted: bool) -> str:
        pieces: list[str | Variable] = [""]
        position = 0
        for match in _REFERENCE.finditer(text):
            self._add(pieces, self._literal(text, position, match.start(), is_quoted=is_quoted))
            if match[1] is None:
                self._add(pieces, "${")
            elif is_quoted and self._was_literal(match[1]):
                self._add(pieces, match[0])
            else:
                pieces.append(self._variable(match[1], match.start()))
            position = match.end()
        self._add(pieces, self._literal(text, position, len(text), is_quoted=is_quoted))
        if len(pieces) == 1 and isinstance(pieces[0], str):
            return pieces[0]
        return Resolved(piece for piece in pieces if piece)

    @staticmethod
    def _add(pieces: list[str | Variable], literal: str) -> None:
        last = pieces[-1]
        if isinstance(last, str):
            pieces[-1] = last + literal
        elif literal:
            pieces.append(literal)

    def _literal(self, text: str, start: int, end: int, *, is_quoted: bool) -> str:
        literal = text[start:end]
        if self.is_lenient:
            return literal
        if is_quoted:
            if "${" in literal:
                message = "a variable that does not end; expected ${NAME}, ${NAME:-default} or ${file:PATH}"
                raise BadReferenceError(start + literal.index("${"), f"{message} ($${{ stands for a literal ${{)")
            return literal
        if bare := _BARE.search(literal):
            name = _NAME.match(literal, bare.start() + 1)
            assert name is not None
            message = f"a variable is written ${{{name[0]}}}; quotes around the value make a $ literal"
            raise BadReferenceError(start + bare.start(), message)
        return literal

    def _was_literal(self, inside: str) -> bool:
        """Whether it stood in quotes in a text of a time in which quotes made everything literal."""
        return self.is_lenient and self.given is not None and inside not in self.given

    def _variable(self, inside: str, offset: int) -> Variable:
        name, has_default, default = inside, "", ""
        if not inside.startswith(FILE):
            name, has_default, default = inside.partition(":-")
        if self.refusal:
            raise BadReferenceError(
                offset, f"a variable cannot stand here: {self.refusal}; $${{ stands for a literal ${{"
            )
        if self.given is not None and name in self.given:
            return Variable(_NUMBER.sub("", name), self._checked(name, self.given[name], offset))
        if name == FILE or not (name.startswith(FILE) or _NAME.fullmatch(name)):
            raise BadReferenceError(
                offset, f"expected ${{NAME}}, ${{NAME:-default}} or ${{file:PATH}}, found {shown(f'${{{inside}}}')}"
            )
        try:
            value = self._look_up(name)
        except ValueError as error:
            raise BadReferenceError(offset, str(error)) from None
        if has_default and not value:
            return Variable(name, self._checked(name, default, offset), is_default=True)
        if value is None:
            raise BadReferenceError(offset, self._unset(name))
        return Variable(name, self._checked(name, value, offset))

    def _look_up(self, name: str) -> str | None:
        if self.given is not None:
            return None
        return self.read(name.removeprefix(FILE)) if name.startswith(FILE) else self.variable(name)

    def _unset(self, name: str) -> str:
        if self.given is not None:
            return f"{shown(name)} is not among the values of this text: {self.missing}"
        return f"the environment variable {shown(name)} is not set; ${{{name}:-default}} has a default"

    def _checked(self, name: str, value: str, offset: int) -> str:
        """The value. Raises `BadReferenceError`, which shows nothing of the value."""
        self._resolved += len(value)
        if not is_quotable(value) or len(value) > MAX_LINE_LENGTH:
            expected = f"expected one line of text, of at most {MAX_LINE_LENGTH} characters"
            raise BadReferenceError(offset, f"the value of {shown(name)} cannot be one; {expected}")
        if self._resolved > MAX_RESOLVED:
            raise BadReferenceError(
                offset, f"too many values from outside; they have at most {MAX_RESOLVED} characters"
            )
        return value


@define
class VariableNames:
    """What the variables of texts are written as where their values are kept beside: each name stands for one value."""

    values: dict[str, str] = field(factory=dict)
    """By their names."""

    def show(self, value: Resolved) -> Resolved:
        """The value with the names under which it is written."""
        return Resolved(
            piece if isinstance(piece, str) else Variable(self._name(piece), piece.value) for piece in value.pieces
        )

    def _name(self, variable: Variable) -> str:
        """Two defaults, say, make two values of one name: `NAME` and `NAME~2`."""
        name, number = variable.name, 1
        while self.values.setdefault(name, variable.value) != variable.value:
            number += 1
            name = f"{variable.name}~{number}"
        return name


def escaped(literal: str) -> str:
    """A text as it is written where it is to be literal."""
    return literal.replace("${", "$${")


def without_references(text: str) -> str:
    """What is literal in it."""
    return _REFERENCE.sub("", text)


def has_reference(text: str) -> bool:
    """Whether a text has what would be a variable outside of quotes."""
    return _REFERENCE.search(text) is not None


def not_here(why: str = OUTSIDE_ONLY) -> References:
    """For texts that may hold none, with the reason."""
    return References(why)


def given_in_the_text() -> References:
    """For texts that say the values themselves: bodies of requests, tapes."""
    return References(given={})


def from_values(values: Mapping[str, str], missing: str) -> References:
    """For texts whose values are kept elsewhere, by the names that stand in the text."""
    return References(given=dict(values), missing=missing, is_lenient=True)
