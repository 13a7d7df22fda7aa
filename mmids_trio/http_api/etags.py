"""Entity tags and the conditions that requests make with them (RFC 9110 §8.8.3 and §13), as pure functions.

Apart from the handlers, because a lost race is decided here: what they do with the answer is theirs.
"""

import re
from collections.abc import Sequence
from typing import Literal, Protocol

from attrs import frozen

from mmids_trio.http_api.refusals import BadRequest, NotModified, PreconditionFailed

MAX_TAGS = 64
"""Tags of one condition; a client has as many as it keeps versions, and the head of a request is bounded anyway."""

_TAG = re.compile(r'(?P<weak>W/)?"(?P<opaque>[\x21\x23-\x7e\x80-\xff]*)"')
_SPACE = " \t"


class HeaderValues(Protocol):
    """The one thing asked of a request's headers."""

    def getlist(self, key: str) -> list[str]:
        """All values of a header, in order, decoded as Latin-1."""


@frozen
class Tag:
    """One entity tag; `opaque` is what stands between the quotes."""

    opaque: str
    is_weak: bool = False

    def __str__(self) -> str:
        return f'{"W/" if self.is_weak else ""}"{self.opaque}"'


Condition = Literal["*"] | tuple[Tag, ...] | None
"""`*` (anything at all), one of these tags, or no condition."""


@frozen
class Conditions:
    """`If-Match` and `If-None-Match` of one request."""

    match: Condition = None
    none_match: Condition = None


def strong_tag(opaque: str) -> str:
    """A strong entity tag as it stands in a header."""
    return str(Tag(opaque))


def parse_conditions(headers: HeaderValues) -> Conditions:
    """Read both headers; raises `BadRequest` for one that is neither `*` nor a list of tags."""
    return Conditions(
        parse_condition("If-Match", headers.getlist("If-Match")),
        parse_condition("If-None-Match", headers.getlist("If-None-Match")),
    )


def parse_condition(name: str, values: Sequence[str]) -> Condition:
    """Read all values of one header. Empty members of a list are none (RFC 9110 §5.6.1.2)."""
    if not values:
        return None
    text = ",".join(values).strip(_SPACE)
    if text == "*":
        return "*"
    tags = _read_tags(text)
    if tags is None or not tags or len(tags) > MAX_TAGS:
        raise BadRequest(f'malformed {name}; expected * or at most {MAX_TAGS} entity tags in quotes, such as "1f3a"')
    return tags


def _read_tags(text: str) -> tuple[Tag, ...] | None:
    tags, position = [], 0
    while position < len(text):
        if text[position] in _SPACE + ",":
            position += 1
            continue
        found = _TAG.match(text, position)
        if found is None:
            return None
        tags.append(Tag(found["opaque"], found["weak"] is not None))
        position = found.end()
        if text[position:].lstrip(_SPACE)[:1] not in ("", ","):
            return None
    return tuple(tags)


def check_change(conditions: Conditions, current: str | None, what: str) -> None:
    """Let a change pass, or raise `PreconditionFailed`.

    `current` is the strong tag of what is to be changed, `None` where there is nothing; `what` is its name in
    messages. To be called in the same synchronous step as the change itself: then of two that race one wins.
    """
    if not _matches(conditions.match, current):
        raise PreconditionFailed(_lost(what, current), current)
    if _is_excluded(conditions.none_match, current):
        raise PreconditionFailed(_exists(what, current), current)


def check_reading(conditions: Conditions, current: str, what: str) -> None:
    """Let a GET pass, or raise `PreconditionFailed`, or `NotModified` where the client has the current state."""
    if not _matches(conditions.match, current):
        raise PreconditionFailed(_lost(what, current), current)
    if _is_excluded(conditions.none_match, current):
        raise NotModified(current)


def _matches(condition: Condition, current: str | None) -> bool:
    """Strong comparison (RFC 9110 §13.1.1)."""
    if condition is None:
        return True
    return current is not None and (condition == "*" or any(str(tag) == current for tag in condition))


def _is_excluded(condition: Condition, current: str | None) -> bool:
    """Weak comparison (RFC 9110 §13.1.2)."""
    if condition is None or current is None:
        return False
    return condition == "*" or any(strong_tag(tag.opaque) == current for tag in condition)


def _lost(what: str, current: str | None) -> str:
    if current is None:
        return f"there is no {what}, and If-Match asks for one; leave the header out to create it. Nothing was changed"
    return (
        f"{what} is not what If-Match says (any more): its ETag is now {current}. Nothing was changed;"
        " read it again, compare it with your change, and repeat the change with this ETag"
    )


def _exists(what: str, current: str | None) -> str:
    return (
        f"{what} exists with the ETag {current}, and If-None-Match excludes it. Nothing was changed;"
        " to change what exists, read it and send its ETag as If-Match"
    )
