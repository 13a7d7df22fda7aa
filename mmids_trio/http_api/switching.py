"""What `POST .../switch` asks for: the name of a source, in the query or as JSON in the body, checked. Pure."""

import json
from collections.abc import Mapping, Sequence

from mmids_trio.http_api.refusals import BadRequest

EXPECTED = 'expected ?to=NAME, or {"to": "NAME"} as application/json'

JSON_CONTENT_TYPES = ("application/json", "application/x-www-form-urlencoded")
"""What the body is, and what curl sends unasked with `--data`."""


def parse_switch(query: Mapping[str, Sequence[str]], content_type: str | None, body: bytes) -> str:
    """The name of the wanted source, which is never empty. Raises `BadRequest`."""
    if unknown := sorted(set(query) - {"to"}):
        raise BadRequest(f"unknown query parameter {unknown[0]!r}; {EXPECTED}")
    names: list[object] = list(query.get("to", ()))
    if body.strip():
        media_type = (content_type or "").partition(";")[0].strip(" \t").lower()
        if media_type and media_type not in JSON_CONTENT_TYPES:
            raise BadRequest(f"unexpected Content-Type {media_type!r}; {EXPECTED}")
        names.append(_from_json(body))
    if len(names) != 1 or not isinstance(names[0], str) or not names[0]:
        raise BadRequest(f"not exactly one name of a source; {EXPECTED}")
    return names[0]


def _from_json(body: bytes) -> object:
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequest(f"the body is no JSON; {EXPECTED}") from None
    if not isinstance(asked, dict) or list(asked) != ["to"]:
        raise BadRequest(EXPECTED)
    return asked["to"]
