"""Who may do what over the API: callers with scopes, and the named tokens that make somebody one. Pure.

A token is 32 random bytes, so a plain SHA-256 keeps it safe: nobody tries so many. The file has the hashes alone.
"""

import hmac
import json
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any, Literal, get_args

from attrs import frozen

from mmids_trio.errors import MmidsError
from mmids_trio.patterns import matches

ScopeKind = Literal["read", "change", "kick", "admin"]
"""`read`: look at what runs. `change`: workflows, by name. `kick`: send away and ban. `admin`: everything."""

KINDS: tuple[ScopeKind, ...] = get_args(ScopeKind)

MAX_TOKENS = 1_000
"""Of one file: a token for everybody of a large company's crew. All are compared with each request."""

MAX_SCOPES = 32
"""Of one token; more is a pattern that was not found yet."""

MAX_PATTERN = 255
"""Characters; names of workflows are shorter."""

TOKEN_BYTES = 32
PREFIX = "mmids_"
"""So that who finds one in a file knows what it is; scanners for secrets look for such."""

OWNER = "http_api_token"
"""What the bearer of the setting of that name is called."""

ANYBODY = "anybody"
"""What whoever asks is called while there is no token at all."""

NOBODY = "nobody"
"""Who has shown none, where a request needs none."""

EVERYTHING = "*"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_EXPECTED = "expected read, change:PATTERN, kick or admin"


class TokenFileError(MmidsError):
    """The file of tokens cannot be used; the message says why."""


@frozen
class Scope:
    """What a token is good for. `pattern`: which workflows, of `change` alone."""

    kind: ScopeKind
    pattern: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Scope":
        """Raises `ValueError`, whose message says what was expected."""
        kind, colon, pattern = text.partition(":")
        if kind not in KINDS or bool(colon) != (kind == "change") or (colon and not pattern):
            raise ValueError(f"unknown scope {text[:MAX_PATTERN]!r}; {_EXPECTED}")
        if len(pattern) > MAX_PATTERN:
            raise ValueError(f"a pattern has {MAX_PATTERN} characters at most")
        return cls(kind, pattern or None)

    def __str__(self) -> str:
        return self.kind if self.pattern is None else f"{self.kind}:{self.pattern}"


@frozen
class Caller:
    """Who has sent a request, and what for it is good."""

    name: str
    scopes: tuple[Scope, ...] = ()

    def may(self, kind: ScopeKind) -> bool:
        """Whether some request of this kind is allowed; which workflows it may be about is for `may_change`."""
        return any(scope.kind in (kind, "admin") for scope in self.scopes)

    def may_change(self, workflow: str) -> bool:
        """Whether this workflow may be changed."""
        return any(
            scope.kind == "admin" or (scope.kind == "change" and matches(scope.pattern or "", workflow))
            for scope in self.scopes
        )

    @property
    def may_change_everything(self) -> bool:
        """Whether also what is not one workflow may be changed: reactors, the file as a whole."""
        return any(scope.kind == "admin" or scope == Scope("change", EVERYTHING) for scope in self.scopes)


ADMIN = (Scope("admin"),)


@frozen
class NamedToken:
    """One token of the file. `made`: when; `expires`: from when on it is worth nothing. Both as `moments` has them."""

    name: str
    digest: str
    scopes: tuple[Scope, ...]
    made: str
    expires: str | None = None

    def holds_at(self, moment: str) -> bool:
        """Whether it has not expired; moments sort as texts do."""
        return self.expires is None or moment < self.expires

    @property
    def caller(self) -> Caller:
        """Whoever bears it."""
        return Caller(self.name, self.scopes)


def check_name(name: str) -> None:
    """Raises `ValueError` for a name that no token can have."""
    if _NAME.fullmatch(name) is None or name in (OWNER, ANYBODY, NOBODY):
        raise ValueError(f"no token can be called {name[:MAX_PATTERN]!r}; expected 1 to 64 of A-Z a-z 0-9 . _ -")


def make_token(name: str, scopes: Iterable[Scope], made: str, expires: str | None = None) -> tuple[str, NamedToken]:
    """A new one: what its bearer gets, and what the file keeps. Raises `ValueError`."""
    check_name(name)
    scopes = tuple(dict.fromkeys(scopes))
    if not 1 <= len(scopes) <= MAX_SCOPES:
        raise ValueError(f"a token has 1 to {MAX_SCOPES} scopes; {_EXPECTED}")
    secret = PREFIX + token_urlsafe(TOKEN_BYTES)
    return secret, NamedToken(name, digest_of(secret.encode()), scopes, made, expires)


def digest_of(secret: bytes) -> str:
    """What is kept of a token."""
    return sha256(secret).hexdigest()


def bearer_of(secret: bytes, tokens: Sequence[NamedToken]) -> NamedToken | None:
    """The one that this is. All are compared, each in constant time: how long it takes says nothing."""
    digest, found = digest_of(secret), None
    for token in tokens:
        if hmac.compare_digest(token.digest, digest):
            found = token
    return found


def write_tokens(tokens: Iterable[NamedToken]) -> bytes:
    """The content of the file."""
    entries = [
        {"name": each.name, "sha256": each.digest, "scopes": [str(scope) for scope in each.scopes], "made": each.made}
        | ({} if each.expires is None else {"expires": each.expires})
        for each in tokens
    ]
    return (json.dumps({"tokens": entries}, indent=2, ensure_ascii=False) + "\n").encode()


def read_tokens(content: bytes) -> tuple[NamedToken, ...]:
    """What the file says. Raises `TokenFileError`; the message repeats nothing of it but names."""
    try:
        entries = json.loads(content)["tokens"]
        if not isinstance(entries, list) or len(entries) > MAX_TOKENS:
            raise ValueError(f"expected a list of {MAX_TOKENS} tokens at most")
        tokens = tuple(map(_token, entries))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = str(error) if type(error) is ValueError else "it is not what the command token writes"
        raise TokenFileError(reason) from None
    names = [token.name for token in tokens]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise TokenFileError(f"two tokens are called {twice[0]!r}")
    return tokens


def _token(entry: Any) -> NamedToken:
    name, digest, made = entry["name"], entry["sha256"], entry["made"]
    if not all(isinstance(value, str) for value in (name, digest, made)) or not isinstance(entry["scopes"], list):
        raise TypeError
    check_name(name)
    if _DIGEST.fullmatch(digest) is None:
        raise ValueError(f"the sha256 of {name!r} is none")
    scopes = tuple(Scope.parse(str(text)) for text in entry["scopes"])
    if not 1 <= len(scopes) <= MAX_SCOPES:
        raise ValueError(f"{name!r} has not 1 to {MAX_SCOPES} scopes")
    return NamedToken(name, digest, scopes, made, _expiry(name, entry.get("expires")))


def _expiry(name: str, moment: Any) -> str | None:
    """A token whose end cannot be read must not hold for ever."""
    if moment is None:
        return None
    if not isinstance(moment, str) or _MOMENT.fullmatch(moment) is None:
        raise ValueError(f"expires of {name!r} is no time such as 2026-01-31T02:13:00.000Z")
    try:
        datetime.fromisoformat(moment)
    except ValueError:
        raise ValueError(f"expires of {name!r} is no time of the calendar") from None
    return moment
