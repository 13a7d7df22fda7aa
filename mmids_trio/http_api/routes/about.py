"""`/`, `/ready`, `/openapi.json`, `/metrics`: that the server is there, whether it is ready, what it has and counts."""

from collections.abc import Callable, Iterator, Sequence
from json import dumps
from types import TracebackType

import trio
from attrs import define
from quart import Response, request
from quart.wrappers.response import ResponseBody

from mmids_trio.http_api.access import current_caller
from mmids_trio.http_api.answers import json_response, refuse, respond, text_response
from mmids_trio.http_api.control import Metrics, Readiness
from mmids_trio.http_api.openapi import create_document
from mmids_trio.http_api.operation import JSON, AnswerSpec, Operation, error, json_answer, text_answer
from mmids_trio.http_api.routing import Routes
from mmids_trio.http_api.schemas import Ready
from mmids_trio.metrics.exposition import CONTENT_TYPE
from mmids_trio.plugins.kinds import KindView

HEALTH = Operation(
    "GET", "/", "health", "The version; also the health check.", {200: text_answer("It runs.")}, public=True
)


def add_health_routes(routes: Routes, version: str) -> None:
    """Add the health check."""

    @routes.add(HEALTH)
    async def health() -> Response:
        return text_response(200, f"Mmids version {version}")


READY = Operation(
    "GET",
    "/ready",
    "getReady",
    "Whether all workflows of the configuration file run. Why not is told with the token only.",
    {200: json_answer("It is ready.", Ready), 503: json_answer("It is not.", Ready)},
    public=True,
)


def add_readiness_route(routes: Routes, readiness: Readiness) -> None:
    """Add the check of readiness; who may read is told the reasons."""

    @routes.add(READY)
    async def get_ready() -> Response:
        reasons = tuple(readiness.reasons())
        shown = reasons if current_caller().may("read") else ()
        return json_response(503 if reasons else 200, Ready(not reasons, shown))


GET_DOCUMENT = Operation(
    "GET",
    "/openapi.json",
    "getDocument",
    "This document.",
    {200: json_answer("OpenAPI 3.1.", dict[str, object])},
    also="change",  # it has the language, for who writes it
)


def add_document_route(
    routes: Routes, version: str, *, needs_token: Callable[[], bool], kinds: Callable[[], Sequence[KindView]]
) -> None:
    """Add the description of all routes, also of those that are added later; a reload may bring a token.

    `kinds`: what workflows and reactors may consist of.
    """
    made: dict[bool, str] = {}

    @routes.add(GET_DOCUMENT)
    async def get_document() -> Response:
        locked = needs_token()
        if locked not in made:
            document = create_document(routes.operations, version, needs_token=locked, kinds=kinds())
            made[locked] = dumps(document) + "\n"
        return respond(200, made[locked], JSON)


MAX_SCRAPES = 8
"""Answers under way at once: a few Prometheus servers, and somebody who looks. Each holds its text, 1 MB for 10,000
series."""

METRICS = Operation(
    "GET",
    "/metrics",
    "getMetrics",
    "What the server counts and measures, for Prometheus.",
    {
        200: AnswerSpec("All metrics.", {CONTENT_TYPE: str}),
        503: error("There are as many answers under way as there may be."),
    },
)


@define(eq=False)
class Scrape(ResponseBody):
    """The body: piece by piece, with a turn for everybody else after each, also those that bring no text yet."""

    _pieces: Iterator[str]
    _under_way: set["Scrape"]

    async def __aenter__(self) -> "Scrape":
        self._under_way.add(self)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._under_way.discard(self)

    def __aiter__(self) -> "Scrape":
        return self

    async def __anext__(self) -> bytes:
        """The next piece that is not empty."""
        for piece in self._pieces:
            await trio.lowlevel.checkpoint()
            if piece:
                return piece.encode()
        raise StopAsyncIteration


def add_metrics_route(routes: Routes, metrics: Metrics) -> None:
    """Add the route."""
    under_way: set[Scrape] = set()

    @routes.add(METRICS)
    async def get_metrics() -> Response:
        if len(under_way) >= MAX_SCRAPES:
            return refuse(503, f"{MAX_SCRAPES} answers with metrics are under way; try again later")
        if request.method == "HEAD":
            return respond(200, "", CONTENT_TYPE)
        return respond(200, Scrape(metrics.pieces(), under_way), CONTENT_TYPE)
