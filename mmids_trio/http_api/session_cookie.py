"""The sign-in of the dashboard: a cookie that holds the token itself, for requests below `/ui` alone.

It holds the token so that it outlives a restart, and ends with the token: a server that keeps hashes of tokens has no
other secret of theirs that it could sign with.  Scripts of the page cannot read it (`HttpOnly`), requests that other
sites cause do not bring it (`SameSite`), and other programs on the same host, which share cookies whatever their port,
get it only where they are asked for a path below `/ui`.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error

from werkzeug.datastructures import Headers
from werkzeug.http import dump_cookie

COOKIE = "mmids_session"
PATH = "/ui"
MAX_AGE_SECONDS = 30 * 24 * 3600
"""How long a browser keeps it: a show's season, not a laptop's life."""

MAX_TOKEN_BYTES = 2048
"""Of what may be tried as a token; a cookie of more than 4 KiB no browser keeps."""


def session_cookie(token: bytes, *, is_secure: bool) -> str:
    """The value of `Set-Cookie` for who has shown this token. `is_secure`: it came over TLS, and shall go that way."""
    return _dump(urlsafe_b64encode(token).decode(), MAX_AGE_SECONDS, is_secure)


def no_session_cookie(*, is_secure: bool) -> str:
    """The value of `Set-Cookie` that takes it away."""
    return _dump("", 0, is_secure)


def _dump(value: str, max_age: int, is_secure: bool) -> str:
    return dump_cookie(
        COOKIE,
        value,
        max_age=max_age,
        path=PATH,
        httponly=True,
        samesite="Strict",
        secure=is_secure,
        sync_expires=False,
    )


def session_credentials(headers: Headers) -> bytes | None:
    """The token of a request's cookie, `None` where it has none, or nothing that this server has set."""
    pairs = [pair.strip(" \t").partition("=") for header in headers.getlist("Cookie") for pair in header.split(";")]
    values = [value for name, _, value in pairs if name == COOKIE]
    if len(values) != 1:
        return None
    try:
        return urlsafe_b64decode(values[0].encode("ascii"))
    except (Error, ValueError):
        return None


def says_where_it_comes_from(headers: Headers) -> bool:
    """Whether the browser says which site caused the request, so that it can be refused if that is another one."""
    return bool(headers.getlist("Origin") or headers.getlist("Sec-Fetch-Site"))
