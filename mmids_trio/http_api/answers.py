"""The answers that handlers give: JSON, text and refusals, with the headers that every one of them has."""

import json
from typing import Any

from quart import Response

from mmids_trio.http_api.operation import JSON, TEXT
from mmids_trio.http_api.schemas import Error, to_json


def json_response(status: int, content: Any, *, etag: str | None = None) -> Response:
    """What `content` (see `schemas.to_json`) says, as JSON."""
    return respond(status, json.dumps(to_json(content)) + "\n", JSON, etag=etag)


def text_response(status: int, content: str, *, etag: str | None = None) -> Response:
    """Plain text."""
    return respond(status, content, TEXT, etag=etag)


def refuse(status: int, message: str) -> Response:
    """A refusal with a sentence."""
    return json_response(status, Error(message))


def respond(status: int, content: Any, content_type: str | None, *, etag: str | None = None) -> Response:
    """Any answer; `content` may be a body that is made as it is sent."""
    response = Response(content, status=status, content_type=content_type)
    if content_type is None:
        response.headers.pop("Content-Type", None)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    if etag is not None:
        response.headers["ETag"] = etag
    return response
