"""`GET /openapi.json`: what this API is, for programs."""

from collections.abc import Callable
from json import dumps

from quart import Response

from mmids_trio.http_api.answers import respond
from mmids_trio.http_api.openapi import create_document
from mmids_trio.http_api.operation import JSON, Operation, json_answer
from mmids_trio.http_api.routing import Routes

GET_DOCUMENT = Operation(
    "GET", "/openapi.json", "getDocument", "This document.", {200: json_answer("OpenAPI 3.1.", dict[str, object])}
)


def add_document_route(routes: Routes, version: str, *, needs_token: Callable[[], bool]) -> None:
    """Add the description of all routes, also of those that are added later; a reload may bring a token."""
    made: dict[bool, str] = {}

    @routes.add(GET_DOCUMENT)
    async def get_document() -> Response:
        locked = needs_token()
        if locked not in made:
            made[locked] = dumps(create_document(routes.operations, version, needs_token=locked)) + "\n"
        return respond(200, made[locked], JSON)
