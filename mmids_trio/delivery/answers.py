"""Answers of the media listener as bytes (RFC 9110, RFC 9112): heads, short texts, and what a CDN may keep. Pure."""

import re
from collections.abc import Mapping, Sequence
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from attrs import define, field

NO_STORE: Final = "no-store"
"""Of what is made for one client or changes at any time."""

FOR_EVER: Final = "public, max-age=31536000, immutable"
"""Of what never changes under its name."""

ALLOWED: Final = "GET, HEAD, OPTIONS"

MOST_KNOWN = 64
"""Heads that are written once: answers to a crowd differ by their size."""

_FOR_ALL = (("Access-Control-Allow-Origin", "*"), ("Access-Control-Expose-Headers", "Date, Content-Length"))

_RANGE = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})")

Headers = Sequence[tuple[str, str]]


@define(eq=False)
class Answer:
    """A whole answer but for what the connection adds. `body` in pieces, so that large ones are not copied."""

    status: int
    headers: Headers = ()
    body: Sequence[bytes | memoryview] = ()
    has_parts: bool = False
    """Whether a part of it may be asked for by a `Range`."""
    is_shared: bool = False
    """Whether many get this very object."""
    whole: bytes | None = field(default=None, init=False)
    """Head and body as the first one got it, where it is shared."""
    mark: bytes = b""
    """Where each viewer's own query belongs in the body, which is one piece then; none: it is the same for all."""
    size: int = -1
    """Bytes of the body, with a query in place of each mark."""

    def __attrs_post_init__(self) -> None:
        if self.size < 0:
            self.size = len(self.body[0]) if len(self.body) == 1 else sum(map(len, self.body))

    def made_for(self, query: bytes) -> "Answer":
        """The same for one viewer alone."""
        return Answer(self.status, self.headers, [bytes(piece).replace(self.mark, query) for piece in self.body])

    def within(self, wanted: str) -> "Answer":
        """The part that a `Range` asks for (RFC 9110 §14): one of bytes; all of it for any other."""
        match = _RANGE.fullmatch(wanted)
        if match is None or not (match[1] or match[2]):
            return self
        size = self.size
        if match[1]:
            start, stop = int(match[1]), min(int(match[2]) + 1, size) if match[2] else size
        else:
            start, stop = max(size - int(match[2]), 0), size
        if start >= size or start >= stop:
            return text_answer(416, "there are not so many bytes", ("Content-Range", f"bytes */{size}"))
        body = (memoryview(b"".join(self.body))[start:stop],)
        return Answer(206, (*self.headers, ("Content-Range", f"bytes {start}-{stop - 1}/{size}")), body)


def text_answer(status: int, text: str, *headers: tuple[str, str]) -> Answer:
    """A line for people, and no page of a browser's."""
    body = f"{text}\n".encode("utf-8", "backslashreplace")
    return Answer(
        status, (("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", NO_STORE), *headers), (body,)
    )


def head(
    status: int, headers: Headers, common: Headers, size: int | None, *, keeps_alive: bool, is_1_0: bool = False
) -> bytes:
    """Status line and headers, with the empty line behind them. `size`: of a body that has one."""
    begin = _begin(status, tuple(headers), tuple(common))
    if size is not None:
        begin = b"%bContent-Length: %d\r\n" % (begin, size)
    if not keeps_alive:
        return begin + b"Connection: close\r\n\r\n"
    return begin + (b"Connection: keep-alive\r\n\r\n" if is_1_0 else b"\r\n")


@lru_cache(MOST_KNOWN)
def _begin(status: int, headers: Headers, common: Headers) -> bytes:
    lines = (f"{name}: {value}\r\n" for part in (headers, common) for name, value in part)
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{''.join(lines)}".encode("latin-1")


@lru_cache(1)
def date_line(second: int) -> str:
    """The value of `Date`, for a second since 1970."""
    return formatdate(second, usegmt=True)


def cors(allowed: Sequence[str], headers: Mapping[str, str]) -> Headers:
    """What says which pages may read an answer (Fetch §3.2). `allowed`: origins, or `*` alone, or none."""
    if not allowed:
        return ()
    if "*" in allowed:
        return _FOR_ALL
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
