"""What a JSON Web Token (RFC 7519) lets its bearer do. Pure: keys and the time are given.

The algorithms are never the token's to choose: a key is good for the family that it was configured for alone, so a
public key is never taken for a shared secret, and `none` is no algorithm at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import frozen

from mmids_trio.late import late
from mmids_trio.patterns import matches

if TYPE_CHECKING:
    import jwt
else:
    jwt = late("jwt")

SHARED: Mapping[str, int] = {"HS256": 32, "HS384": 48, "HS512": 64}
"""With the key of `auth_jwt_key`, which has to have so many bytes (RFC 7518 §3.2)."""

PUBLIC: tuple[str, ...] = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
"""With a key of `auth_jwks_url`."""

MAX_TOKEN = 8 * 1024
"""Characters; those of identity providers have one or two thousand."""

MAX_KEYS = 100
"""Of a key set (RFC 7517); providers have two or three."""

LEEWAY_SECONDS = 5
"""By how much the clocks of whoever signs and of this machine may differ."""

PARAMETER = "jwt"
"""Of the query."""


class BadToken(Exception):
    """The token lets nobody in; `str()` says why, and repeats nothing of it."""


@frozen
class Wish:
    """What somebody wants to do."""

    action: str
    app: str
    key: str


@frozen
class Head:
    """What a token says of itself, which decides nothing but which key is tried."""

    algorithm: str
    key_id: str | None


def read_head(token: str) -> Head:
    """Raises `BadToken`."""
    if not token:
        raise BadToken("there is no token (?jwt=)")
    if len(token) > MAX_TOKEN:
        raise BadToken(f"the token has more than {MAX_TOKEN} characters")
    try:
        head = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise BadToken("this is no token") from None
    algorithm, key_id = head.get("alg"), head.get("kid")
    if algorithm not in (*SHARED, *PUBLIC):
        raise BadToken("the token's algorithm is not taken")
    return Head(algorithm, key_id if isinstance(key_id, str) else None)


def read_keys(document: Any) -> Mapping[str | None, jwt.PyJWK]:
    """The public keys of a key set, by their ids; all others of it are passed over. Raises `ValueError`."""
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise ValueError(f"expected a JSON Web Key Set with {MAX_KEYS} keys at most")
    found: dict[str | None, jwt.PyJWK] = {}
    for entry in entries:
        if not isinstance(entry, dict) or entry.get("kty") not in ("RSA", "EC", "OKP"):
            continue  # a shared secret has no business in a document that anybody may read
        if entry.get("use", "sig") != "sig" or "d" in entry:
            continue
        try:
            key = jwt.PyJWK(entry)
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
        if key.algorithm_name in PUBLIC:
            found[entry["kid"] if isinstance(entry.get("kid"), str) else None] = key
    return found


def check(token: str, key: str | jwt.PyJWK, wish: Wish, now: float) -> None:
    """Raises `BadToken` unless the token is signed with the key, in time, and good for that."""
    algorithms = [key.algorithm_name] if isinstance(key, jwt.PyJWK) else _of_length(len(key.encode()))
    try:
        claims: Mapping[str, Any] = jwt.decode(
            token,
            key,
            algorithms=algorithms,
            options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False},
        )
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise BadToken("the token's signature is wrong") from None
    _check_time(claims, now)
    if wish.action not in _texts(claims.get("action")):
        raise BadToken(f"the token is not for action '{wish.action}'")
    if not any(matches(pattern, wish.key) for pattern in _texts(claims.get("key"))):
        raise BadToken("the token is not for this stream key")
    if "app" in claims and not any(matches(pattern, wish.app) for pattern in _texts(claims["app"])):
        raise BadToken("the token is not for this application")


def _of_length(size: int) -> list[str]:
    return [name for name, least in SHARED.items() if size >= least]


def _check_time(claims: Mapping[str, Any], now: float) -> None:
    """By the clock of the server, which tests and replays set."""
    ends, begins = _number(claims.get("exp")), _number(claims.get("nbf", 0))
    if ends is None or begins is None:
        raise BadToken("the token does not say until when it is good (exp)")
    if now >= ends + LEEWAY_SECONDS:
        raise BadToken("the token has expired")
    if now < begins - LEEWAY_SECONDS:
        raise BadToken("the token is not good yet")


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _texts(value: object) -> Sequence[str]:
    """A text, or several."""
    if isinstance(value, str):
        return (value,)
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else ()
