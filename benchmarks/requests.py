"""Requests to the HTTP API over one connection, timed one by one, from a thread that does nothing else."""

import time
from collections.abc import Sequence
from http.client import HTTPConnection
from itertools import cycle

import trio
from attrs import frozen

TIMEOUT_SECONDS = 30.0
MILLISECONDS = 1e3
OK = 200


@frozen
class Request:
    """What is asked; `body` is a workflow."""

    method: str
    path: str
    body: str | None = None


async def ask_again_and_again(
    port: int, requests: Sequence[Request], pause: float, seconds: float, took: list[float]
) -> None:
    """Send the requests in turn for so long, and add to `took` the milliseconds until each whole answer.

    Raises `RuntimeError` when an answer is not 200.  The first, on a fresh connection, is not noted.
    """
    await trio.to_thread.run_sync(_ask, port, requests, pause, seconds, took, abandon_on_cancel=True)


def _ask(port: int, requests: Sequence[Request], pause: float, seconds: float, took: list[float]) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        _time(connection, requests[0])
        end = time.monotonic() + seconds
        for request in cycle(requests):
            time.sleep(pause)  # in a thread of its own: the answers are timed, not the loop that measures
            if time.monotonic() >= end:
                return
            took.append(_time(connection, request))
    finally:
        connection.close()


def _time(connection: HTTPConnection, request: Request) -> float:
    begin = time.perf_counter()
    headers = {} if request.body is None else {"Content-Type": "text/plain"}
    connection.request(request.method, request.path, request.body, headers)
    answer = connection.getresponse()
    body = answer.read()
    took = time.perf_counter() - begin
    if answer.status != OK:
        raise RuntimeError(f"{request.method} {request.path}: {answer.status} {body[:200]!r}")
    return took * MILLISECONDS
