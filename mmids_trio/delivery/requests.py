"""HTTP/1.1 requests for media (RFC 9112), read strictly and without I/O: bytes go in, requests come out.

Media is only fetched, so a request has no body.  Whatever two parsers could read in two ways is refused: a bare line
feed, folded or doubled headers that frame a message, a space in front of a colon.  A refusal ends the connection.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import define, field

from mmids_trio.errors import MmidsError

MAX_HEAD = 16 * 1024
"""Bytes of one request, and of what may wait behind one that is being answered; browsers send 1 KiB with cookies."""

MAX_TARGET = 8 * 1024
"""Bytes of the request target (RFC 9112 §3 asks for 8,000 at least)."""

MAX_FIELDS = 100
"""Header lines of a request."""

METHODS = ("GET", "HEAD", "OPTIONS")

_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([!-~]{1,8192}) HTTP/([0-9])\.([0-9])")
_USUAL = re.compile(rb'GET (/[!"$->@-~]*)(?:\?([!"$-~]*))? ')
"""The beginning of nearly all requests: without a fragment, and cut into path and query."""

_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\0-\x08\x0a-\x1f\x7f]*?)[ \t]*")
_ABSOLUTE = re.compile(r"https?://[^/?#]*", re.IGNORECASE)
_SINGLE = ("host", "content-length", "transfer-encoding", "range", "if-none-match", "origin")
"""What may stand there once."""


class BadRequest(MmidsError):
    """What a client sent is no request that is answered; `status` says why."""

    def __init__(self, status: int, description: str) -> None:
        super().__init__(description)
        self.status = status


if TYPE_CHECKING:
    from attrs import frozen as request_class
else:
    request_class = define(unsafe_hash=True)
    """Frozen for who writes the code, as packets are: a crowd asks for thousands a second."""


@request_class
class Request:
    """One request. `path` and `query` as sent, `headers` by their names in lower case."""

    method: str
    path: str
    query: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    is_1_0: bool = False
    keeps_alive: bool = True
    """Whether the connection goes on behind the answer (RFC 9112 §9.3)."""

    @property
    def wants_body(self) -> bool:
        """Whether the answer has one."""
        return self.method != "HEAD"


@define(eq=False)
class RequestReader:
    """Takes what a client sends, in pieces of any size; holds `MAX_HEAD` bytes at most, and what came with them."""

    held: bytearray = field(factory=bytearray, init=False)
    """What is not read yet."""
    _known: tuple[bytes, Request] = field(factory=lambda: (b"", Request("GET", "/")), init=False)
    """The request that came last, and what stood behind its target: players send the same with each request."""
    _seen: int = field(default=0, init=False)
    """Bytes of `held` in which no head ends."""

    def receive(self, data: bytes) -> None:
        """Take `data`. Raises `BadRequest` for more than may wait."""
        self.held += data
        if len(self.held) > 2 * MAX_HEAD:
            raise BadRequest(431, "more was sent than may wait here")

    def next_at_once(self, data: bytes) -> Request | None:
        """The request that `data` is, where it is just one that differs from the last one by no more than its target.

        `None` for all else, and wherever anything waits; nothing is taken then.
        """
        usual = _USUAL.match(data)
        known, last = self._known
        if usual is None or self.held:
            return None
        end = usual.end()
        if end > MAX_TARGET or len(data) > MAX_HEAD or data[end:] != known:
            return None
        path, query = usual.groups(b"")
        return Request("GET", str(path, "ascii"), str(query, "ascii"), last.headers, last.is_1_0, last.keeps_alive)

    def next_request(self) -> Request | None:
        """The next request, if all of it is here. Raises `BadRequest`."""
        held = self.held
        while held.startswith(b"\r\n"):  # RFC 9112 §2.2: some clients end a body with one
            del held[:2]
        end = held.find(b"\r\n\r\n", max(self._seen - 3, 0))
        if end < 0:
            self._seen = len(held)
            if len(held) > MAX_HEAD:
                raise BadRequest(431, f"a request has {MAX_HEAD} bytes at most")
            return None
        head = bytes(held[:end])
        if len(head) > MAX_HEAD:
            raise BadRequest(431, f"a request has {MAX_HEAD} bytes at most")
        del held[: end + 4]
        self._seen = 0
        line, _, block = head.partition(b"\r\n")
        known, last = self._known
        is_known = known.partition(b"\r\n")[2] == block + b"\r\n\r\n"
        request = _request(line, last.headers if is_known else _headers(block.split(b"\r\n") if block else []))
        self._known = head.split(b" ", 2)[2] + b"\r\n\r\n", request
        return request


def _request(line: bytes, headers: Mapping[str, str]) -> Request:
    match = _LINE.fullmatch(line)
    if match is None:
        if len(line) > MAX_TARGET:
            raise BadRequest(414, f"an address has {MAX_TARGET} bytes at most")
        raise BadRequest(400, "the first line is no request of HTTP/1.1")
    if match[3] != b"1":
        raise BadRequest(505, "only HTTP/1.0 and HTTP/1.1 are spoken here")
    is_1_0 = match[4] == b"0"
    if "host" not in headers and not is_1_0:
        raise BadRequest(400, "the request has no Host")
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise BadRequest(400, "the length of the body is no number")
    if "transfer-encoding" in headers or length.strip("0"):
        raise BadRequest(413, "a request for media has no body")
    method = match[1].decode("ascii")
    path, query = _split(match[2].decode("ascii"), method)
    wishes = headers.get("connection", "").lower()
    keeps_alive = "keep-alive" in wishes if is_1_0 else "close" not in wishes
    return Request(method, path, query, headers, is_1_0, keeps_alive)


def _headers(lines: list[bytes]) -> dict[str, str]:
    if len(lines) > MAX_FIELDS:
        raise BadRequest(431, f"a request has {MAX_FIELDS} header lines at most")
    headers = dict[str, str]()
    for line in lines:
        match = _FIELD.fullmatch(line)
        if match is None:
            raise BadRequest(400, "a header line is malformed")
        name, value = match[1].decode("ascii").lower(), match[2].decode("latin-1")
        if name in headers:
            if name in _SINGLE:
                raise BadRequest(400, f"the header {name} stands there twice")
            value = f"{headers[name]}, {value}"
        headers[name] = value
    return headers


def _split(target: str, method: str) -> tuple[str, str]:
    """Path and query; of a whole URL too, as a proxy is asked (RFC 9112 §3.2.2)."""
    if target == "*" and method == "OPTIONS":
        return target, ""
    if not target.startswith("/"):
        absolute = _ABSOLUTE.match(target)
        if absolute is None:
            raise BadRequest(400, "the address has no path")
        target = target[absolute.end() :]
        if not target.startswith("/"):
            target = "/" + target
    path, _, query = target.partition("?")
    if "#" in target:
        raise BadRequest(400, "the address has a fragment")
    return path, query
