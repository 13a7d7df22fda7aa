"""What a log line may hold: no secrets, bounded values, nothing that steers a terminal.

The one place that decides this, for lines of the server and of its libraries.  Clients choose parts of many values, so
every value is shortened; those that the server writes itself (messages, paths, what a child said last) may be longer
where no client is the subject of the line.
"""

import re
from collections.abc import Mapping
from itertools import islice

from attrs import frozen
from structlog.typing import EventDict, WrappedLogger

from mmids_trio.masking import HIDDEN, bare_key, mask_assigned, names_a_secret, without_cut_url
from mmids_trio.outside_values import OutsideValues

LONGEST_VALUE = 128
"""Characters of a value; stream keys and addresses are shorter."""

LONGEST_TEXT = 2_000
"""Characters of what the server writes itself, where no client is the subject of the line."""

LONGEST_TRACEBACK = 16_000
"""Characters of a traceback: its head and, twice as much, its end, which says what has happened."""

MOST_ITEMS = 32
"""Items of a list or mapping, on all its levels."""

DEEPEST = 4
"""Levels of lists and mappings."""

LOOKED_AT = 2_000
"""Characters beyond those kept that are looked at for what tells a secret."""

OURS = frozenset(
    {"answer", "error", "event", "last_lines", "message", "path", "problem", "reason", "settings", "source", "target"}
)
"""Names of values that the server composes; a client chooses a part of them at most."""

TRACEBACKS = frozenset({"exception", "stack"})

KEYS = frozenset({"app", "key", "served", "stream", "stream_key", "stream_name"})
"""Names under which stream keys and applications stand."""

CLIENTS = ("connection", "client", "ip")
"""Names of values that say which client a line is about."""

FORMATTER_KEYS = frozenset({"_record", "_from_structlog"})
"""What `ProcessorFormatter` puts into a line for itself."""

_QUERY = re.compile(r"(?<=[^\s?])\?[^\s?\"'<>)]+")
_USER_INFO = re.compile(r"(?<=://)[^/\s@]+@")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""But for tabs and line ends, which both kinds of logs escape in values."""


def client_of(line: Mapping[str, object]) -> str | None:
    """The address and port, or the address alone, of the client that a line is about; `None` where it is about none."""
    return next((value for name in CLIENTS if isinstance(value := line.get(name), str)), None)


def make_fit(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """A processor: the line as it may be written."""
    is_of_client = client_of(line) is not None
    return {
        name: value if name in FORMATTER_KEYS else _fit_named(name, value, is_of_client) for name, value in line.items()
    }


NEVER_OUTSIDE = FORMATTER_KEYS | {"level", "logger", "reactor", "step_id", "step_type", "timestamp", "workflow"}
"""Names of values that are never made of what came from outside."""


@frozen
class HideOutside:
    """A processor: the line without values that came from outside of the configuration (`${NAME}`)."""

    outside: OutsideValues

    def __call__(self, _logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
        """See `structlog.typing.Processor`."""
        if self.outside.is_empty:
            return line
        return {name: value if name in NEVER_OUTSIDE else self._shown(value) for name, value in line.items()}

    def _shown(self, value: object) -> object:
        match value:
            case None | bool() | int() | float():
                return value
            case Mapping():
                return {name: self._shown(inner) for name, inner in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self._shown(inner) for inner in value]
            case _:
                return self.outside.hide(str(value))


def fit(value: object, longest: int = LONGEST_VALUE) -> object:
    """`value` without query strings, users of URLs and what stands under a secret's name; strings shortened.

    Containers are searched; numbers stay; whatever else is no string becomes its `str`.
    """
    return _fit(value, longest, DEEPEST)


def _fit_named(name: str, value: object, is_of_client: bool) -> object:
    if value is not None and names_a_secret(name):
        return HIDDEN
    if name in TRACEBACKS:
        return _text(_middle_cut(str(value)), LONGEST_TRACEBACK)
    if name in KEYS and isinstance(value, str):
        value = bare_key(value)
    value = _fit(value, LONGEST_TEXT if name in OURS and not is_of_client else LONGEST_VALUE, DEEPEST)
    return value.replace("\n", "\\n") if name == "event" and isinstance(value, str) else value


def _fit(value: object, longest: int, levels: int) -> object:
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return _text(value, longest)
        case Mapping() if levels:
            named = islice(value.items(), MOST_ITEMS)
            shown = {
                str(_text(str(name), LONGEST_VALUE)): HIDDEN
                if inner is not None and names_a_secret(str(name)[:LOOKED_AT])
                else _fit(inner, longest, levels - 1)
                for name, inner in named
            }
            return shown if len(value) <= MOST_ITEMS else {**shown, "…": len(value) - MOST_ITEMS}
        case list() | tuple() | set() | frozenset() if levels:
            items = [_fit(inner, longest, levels - 1) for inner in islice(value, MOST_ITEMS)]
            return items if len(value) <= MOST_ITEMS else [*items, f"… ({len(value)})"]
        case Mapping() | list() | tuple() | set() | frozenset():
            return "…"  # as text it could be of any size
        case _:
            return _text(str(value), longest)


def _text(text: str, longest: int) -> str:
    """Masked first, then cut, so that a cut never takes away the mark by which a secret is told."""
    seen = text[: longest + LOOKED_AT]
    masked = mask_assigned(_USER_INFO.sub(f"{HIDDEN}@", _QUERY.sub(f"?{HIDDEN}", seen)))
    if len(seen) < len(text):
        masked = without_cut_url(masked)
    if len(masked) > longest or len(seen) < len(text):
        masked = f"{masked[:longest]}… ({len(text)})"
    return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], masked)


def _middle_cut(text: str) -> str:
    if len(text) <= LONGEST_TRACEBACK:
        return text
    head, end = LONGEST_TRACEBACK // 4, LONGEST_TRACEBACK // 2
    return f"{text[:head]}\n… ({len(text)})\n{text[-end:]}"
