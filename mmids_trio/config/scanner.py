"""Lexical rules of the configuration language: text in, lines of tokens out, at most one fault a line.

Apart from the parser because quotes, comments and braces are decided here for one line at a time and
without knowing what the line means.  What a fault leaves intelligible (the tokens before it, whether
the line opens or closes a node) is kept, so that the parser stays in step with the text.
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple
from unicodedata import name as character_name

from attrs import Factory, define

MAX_LINE_LENGTH = 65_536
"""Characters in a line: room for a thousand IPv6 networks, and a bound on what an error quotes."""

LONG_LINE_EXCERPT = 80
"""Characters that are shown of a line beyond `MAX_LINE_LENGTH`: a terminal's width."""

BYTE_ORDER_MARK = "\ufeff"

_TOKEN = re.compile(
    r'((?:[^\x00-\x20\x7f"{}$]++|\$(?:\{[^\x00-\x20\x7f"{}]*+\})?+)*+)'  # a word, or the `name=` before a quote
    r'(?:"((?:[^"\\]++|\\["\\]?+)*+)("?))?+'  # a quoted string, and whether it is closed
    r"([ \t]*+)"
)
_SPACE = re.compile(r"[ \t]*+")
_NOTHING_MORE = re.compile(r"[ \t]*+(?:#.*)?\Z", re.DOTALL)
_ESCAPED = re.compile(r'\\(["\\])')
_NEVER_IN_QUOTES = re.compile("[\\x00\ud800-\udfff]")
"""NUL, which no path, address or argument can hold, and halves of surrogate pairs, which UTF-8 has not."""

_LIKE_A_VARIABLE = re.compile(r"\$[A-Za-z_{]")

_SURELY_PLAIN = re.compile(r"[A-Za-z0-9_.:/*+,~@%-]++")

_TYPOGRAPHIC_QUOTES = frozenset("\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}„‟\uff02")
"""Word processors put them for a quote; taken as plain characters they would end up in paths."""


class Token(NamedTuple):
    """One argument: `text` is its bare part, `quote` what stood in quotes (unescaped), `None` without quotes.

    `rtmps`, `a=b=c`: text only. `"two words"`: text is empty. `key="two words"`: text is `key=`.
    `column` is 1-based.
    """

    column: int
    text: str
    quote: str | None


class Fault(NamedTuple):
    """What is lexically wrong with a line, and in which 1-based column."""

    column: int
    message: str


@define
class Line:
    """A line that is not blank. `opens` and `closes` are the columns of its braces, 0 where there is none."""

    number: int
    source: str
    tokens: list[Token] = Factory(list)
    opens: int = 0
    closes: int = 0
    fault: Fault | None = None

    @property
    def end(self) -> int:
        """The column behind the last character."""
        return len(self.source) + 1


class _FaultFoundError(Exception):
    """Ends the scan of a line."""


HASH_IN_WORD = "a '#' inside a word; expected quotes around the value, or white space before a comment"

LINES_PER_TURN = 100
"""Lines read at once by a caller who has other things to do: two or three milliseconds."""


def scan(text: str, *, hash_in_words: bool = False) -> Iterator[list[Line]]:
    """The lines of `text` that hold anything but white space and comments: of `LINES_PER_TURN` at a time, or none.

    `hash_in_words`: whether `#` inside a word is a character like any other, as it was up to 0.1.
    """
    sources = enumerate(_split(text.removeprefix(BYTE_ORDER_MARK)), 1)
    while some := list(islice(sources, LINES_PER_TURN)):
        lines = (_scan_line(number, source.removesuffix("\r"), hash_in_words) for number, source in some if source)
        yield [line for line in lines if line.tokens or line.opens or line.closes or line.fault]


def _split(text: str) -> Iterator[str]:
    """The lines, found one by one: all of 16 MiB at once would take its time."""
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]


def is_surely_plain(text: str) -> bool:
    """Whether it is a word of letters, digits and what stands in paths and addresses, as most are: seen at a glance."""
    return _SURELY_PLAIN.fullmatch(text) is not None


def is_plain(text: str) -> bool:
    """Whether `text` can stand in a word, that is, without quotes."""
    if is_surely_plain(text):
        return True
    match = _TOKEN.match(text)
    if match is None or match.group(1) != text or _odd_character(text) is not None:
        return False
    return "#" not in text and not _LIKE_A_VARIABLE.search(text)


def is_quotable(text: str) -> bool:
    """Whether `text` can stand in quotes."""
    return "\n" not in text and not _NEVER_IN_QUOTES.search(text)


def _scan_line(number: int, source: str, hash_in_words: bool) -> Line:
    if len(source) > MAX_LINE_LENGTH:
        return _overlong_line(number, source)
    line = Line(number, source)
    try:
        _read_tokens(line, hash_in_words)
    except _FaultFoundError as found:
        line.fault = found.args[0]
    return line


def _overlong_line(number: int, source: str) -> Line:
    line = Line(number, source[:LONG_LINE_EXCERPT])
    if not source.lstrip(" \t").startswith("#"):
        line.fault = Fault(1, f"a line of {len(source)} characters; expected at most {MAX_LINE_LENGTH}")
    return line


def _read_tokens(line: Line, hash_in_words: bool) -> None:
    source, tokens = line.source, line.tokens
    position, length = _skip_space(source, 0), len(source)
    # Every turn starts where white space, the line's start or a word ends, so that a `#` here is a comment.
    while position < length and source[position] != "#":
        match = _TOKEN.match(source, position)
        assert match is not None  # every part of the pattern may be empty
        text, quote, _, _ = match.groups()
        if quote is not None:
            quote = _read_quote(source, match)
        elif not text:
            position = _read_brace(line, position)
            continue
        if not text.isascii():
            _check_characters(text, position)
        if "#" in text and not hash_in_words:
            raise _fault(position + text.index("#") + 1, HASH_IN_WORD)
        tokens.append(Token(position + 1, text, quote))
        position = match.end()


def _read_quote(source: str, match: re.Match[str]) -> str:
    """The quoted string of a token, unescaped."""
    text, quote, closing, gap = match.groups()
    column = match.end(1) + 1
    if text and text.find("=") != len(text) - 1:
        raise _fault(column, "a quote inside a word; expected it around the whole argument or value")
    if not closing:
        raise _fault(column, _unclosed(quote))
    if forbidden := _NEVER_IN_QUOTES.search(quote):
        raise _fault(column + 1 + forbidden.start(), _unexpected(forbidden.group()))
    if not gap and match.end() < len(source) and source[match.end()] not in "{}":
        raise _fault(match.end() + 1, "expected white space after the closing quote")
    return _ESCAPED.sub(r"\1", quote) if "\\" in quote else quote


def _unclosed(quote: str) -> str:
    message = "a quote that is not closed; expected a closing quote before the end of the line"
    if quote.rstrip().endswith('\\"'):
        return message + r" (\" is a quote within the text; a backslash at its end is written \\)"
    return message


def _read_brace(line: Line, position: int) -> int:
    """Read a brace, the only thing but a word and a quote that may begin here; returns where to go on."""
    if line.source[position] == "{":
        return _read_opening(line, position)
    if line.source[position] == "}":
        return _read_closing(line, position)
    raise _fault(position + 1, _unexpected(line.source[position]))


def _read_opening(line: Line, position: int) -> int:
    source = line.source
    if source[position - 1 : position] == "$":
        raise _brace_in_word(source, position)
    if _NOTHING_MORE.match(source, position + 1):
        line.opens = position + 1
        return len(source)
    if not _is_free(source, position) and source[position + 1] not in " \t}":
        raise _brace_in_word(source, position)
    line.opens = position + 1
    if source.endswith("}"):
        line.closes = len(source)
    raise _fault(_skip_space(source, position + 1) + 1, "expected the end of the line after '{'")


def _read_closing(line: Line, position: int) -> int:
    source = line.source
    is_last = _NOTHING_MORE.match(source, position + 1)
    if not line.tokens:
        line.closes = position + 1
        if is_last:
            return len(source)
        raise _fault(_skip_space(source, position + 1) + 1, "expected the end of the line after '}'")
    if not is_last or not _is_free(source, position):
        raise _brace_in_word(source, position)
    line.closes = position + 1
    raise _fault(position + 1, "expected '}' on a line of its own")


def _is_free(source: str, position: int) -> bool:
    return position == 0 or source[position - 1] in " \t"


def _skip_space(source: str, position: int) -> int:
    match = _SPACE.match(source, position)
    return match.end() if match else position


def _check_characters(word: str, position: int) -> None:
    odd = _odd_character(word)
    if odd is not None:
        raise _fault(position + odd + 1, _unexpected(word[odd]))


def _odd_character(word: str) -> int | None:
    """Where in `word` the first character stands that is not plain (ASCII ones are sorted out before)."""
    if word.isascii() and word.isprintable():
        return None  # most are
    return next((i for i, c in enumerate(word) if not c.isprintable() or c in _TYPOGRAPHIC_QUOTES), None)


def _brace_in_word(source: str, position: int) -> _FaultFoundError:
    if source[position - 1 : position + 1] == "${":
        expected = "expected ${NAME}, ${NAME:-default} or ${file:PATH}; quotes around the value allow spaces inside"
        return _fault(position, f"a variable that does not end; {expected}")
    return _fault(position + 1, "a brace inside an argument; expected quotes around a value that holds one")


def _unexpected(character: str) -> str:
    if character in _TYPOGRAPHIC_QUOTES:
        return 'a typographic quotation mark; expected a plain "'
    known_as = character_name(character, "")
    code = f"U+{ord(character):04X}" + (f" ({known_as})" if known_as else "")
    if character == "\0" or "\ud800" <= character <= "\udfff":
        return f"unexpected character {code}, which no value can hold"
    return f"unexpected character {code}; expected a plain character, or quotes around the value"


def _fault(column: int, message: str) -> _FaultFoundError:
    return _FaultFoundError(Fault(column, message))
