"""Who sends a request: the bearer of the one token of the settings, or of one of the file; anybody without either."""

import hmac
from collections.abc import Awaitable, Callable

from attrs import frozen
from quart import request
from werkzeug.datastructures import Headers

from mmids_trio.http_api.refusals import Forbidden
from mmids_trio.http_api.safety import bearer_credentials
from mmids_trio.http_api.session_cookie import session_credentials
from mmids_trio.http_api.token_file import TokenFile
from mmids_trio.http_api.tokens import ADMIN, ANYBODY, NOBODY, OWNER, Caller, ScopeKind

CALLER = "caller"
"""In the `state` of a scope: who sends the request."""

LOOK_AGAIN = "look_again"
"""In the `state` of a scope: who that is by now, for answers that take long."""


@frozen(eq=False)
class Access:
    """Which tokens hold now: `token` says what the setting is, `file` has the named ones."""

    _token: Callable[[], str | None]
    _file: TokenFile | None = None

    @property
    def is_locked(self) -> bool:
        """Whether a token is needed."""
        return self._file is not None or self._token() is not None

    async def caller(self, headers: Headers, *, takes_cookie: bool = False) -> Caller | None:
        """Who sends a request with these headers; `None` if it bears no token where there are some.

        `takes_cookie`: the token may be in the cookie of a sign-in.
        """
        came = bearer_credentials(headers)
        if came is None and takes_cookie:
            came = session_credentials(headers)
        return await self.bearer(came)

    async def bearer(self, came: bytes | None) -> Caller | None:
        """Who has this token."""
        if not self.is_locked:
            return Caller(ANYBODY, ADMIN)
        if self._file is not None:
            await self._file.refresh()
        # From here on nobody else has a turn.
        token = self._token()
        if came is None:
            return None
        if token is not None and hmac.compare_digest(came, token.encode()):
            return Caller(OWNER, ADMIN)
        named = None if self._file is None else self._file.bearer(came)
        return None if named is None else named.caller


def current_caller() -> Caller:
    """Who has sent the current request."""
    caller: Caller | None = request.scope.get("state", {}).get(CALLER)
    return caller or Caller(NOBODY)


def still_may(kind: ScopeKind) -> Callable[[], Awaitable[bool]]:
    """What tells, also later, whether who has sent the current request may still send one of this kind."""
    look_again: Callable[[], Awaitable[Caller | None]] = request.scope["state"][LOOK_AGAIN]

    async def holds() -> bool:
        caller = await look_again()
        return caller is not None and caller.may(kind)

    return holds


def check_change(*workflows: str) -> None:
    """Raises `Forbidden` where the caller may not change one of these."""
    caller = current_caller()
    for name in workflows:
        if not caller.may_change(name):
            raise Forbidden(f"the token '{caller.name}' may not change workflow '{name}'; nothing was changed")


def check_change_of_everything(what: str) -> None:
    """Raises `Forbidden` where the caller may change workflows of some names alone."""
    caller = current_caller()
    if not caller.may_change_everything:
        raise Forbidden(f"the token '{caller.name}' may not change {what}, which takes change:*; nothing was changed")
