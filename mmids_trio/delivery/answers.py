"""Answers of the media listener as bytes (RFC 9110, RFC 9112): heads, short texts, and what a CDN may keep. Pure."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

from attrs import frozen

NO_STORE: Final = "no-store"
"""Of what is made for one client or changes at any time."""

FOR_EVER: Final = "public, max-age=31536000, immutable"
"""Of what never changes under its name."""

ALLOWED: Final = "GET, HEAD, OPTIONS"

Headers = Sequence[tuple[str, str]]


@frozen
class Answer:
    """A whole answer but for what the connection adds. `body` in pieces, so that large ones are not copied."""

    status: int
    headers: Headers = ()
    body: Sequence[bytes] = ()

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return sum(map(len, self.body))


def text_answer(status: int, text: str, *headers: tuple[str, str]) -> Answer:
    """A line for people, and no page of a browser's."""
    body = f"{text}\n".encode("utf-8", "backslashreplace")
    return Answer(
        status, (("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", NO_STORE), *headers), (body,)
    )


def head(status: int, headers: Headers, *, keeps_alive: bool, is_1_0: bool = False) -> bytes:
    """Status line and headers, with the empty line behind them."""
    connection = _connection(keeps_alive, is_1_0)
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in headers)]
    if connection:
        lines.append(f"Connection: {connection}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _connection(keeps_alive: bool, is_1_0: bool) -> str | None:
    if not keeps_alive:
        return "close"
    return "keep-alive" if is_1_0 else None


def cors(allowed: Sequence[str], headers: Mapping[str, str]) -> Headers:
    """What says which pages may read an answer (Fetch §3.2). `allowed`: origins, or `*` alone, or none."""
    if not allowed:
        return ()
    if "*" in allowed:
        return (("Access-Control-Allow-Origin", "*"), ("Access-Control-Expose-Headers", "Date, Content-Length"))
    origin = headers.get("origin", "")
    if origin.lower() not in allowed:
        return (("Vary", "Origin"),)
    return (("Access-Control-Allow-Origin", origin), ("Vary", "Origin"))


def preflight(allowed: Sequence[str], headers: Mapping[str, str]) -> Answer:
    """To `OPTIONS`: what may be asked, also by pages of elsewhere (Fetch §3.2.2)."""
    return Answer(
        204,
        (
            ("Allow", ALLOWED),
            *(
                (
                    ("Access-Control-Allow-Methods", ALLOWED),
                    ("Access-Control-Allow-Headers", "Range"),
                    ("Access-Control-Max-Age", "86400"),
                )
                if allowed
                else ()
            ),
        ),
    )
