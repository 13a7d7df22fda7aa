"""`GET /metrics`: what the server counts, in Prometheus' text format."""

from collections.abc import Iterator
from types import TracebackType

import trio
from attrs import define
from quart import Response, request
from quart.wrappers.response import ResponseBody

from mmids_trio.http_api.answers import refuse, respond
from mmids_trio.http_api.control import Metrics
from mmids_trio.http_api.operation import Answer, Operation, error
from mmids_trio.http_api.routing import Routes
from mmids_trio.metrics.exposition import CONTENT_TYPE

MAX_SCRAPES = 8
"""Answers under way at once: a few Prometheus servers, and somebody who looks. Each holds its text, 1 MB for 10,000
series."""

METRICS = Operation(
    "GET",
    "/metrics",
    "getMetrics",
    "What the server counts and measures, for Prometheus.",
    {
        200: Answer("All metrics.", {CONTENT_TYPE: str}),
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
