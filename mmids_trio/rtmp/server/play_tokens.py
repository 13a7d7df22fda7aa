"""What lets a publisher or a player in besides its stream key: a shared token, or a signature that expires. Pure.

Everything that is secret is compared in constant time.  A play token is the HMAC-SHA256 (RFC 2104), in hexadecimal,
over `<stream key>:<expiry>` under the play key, so that whoever has the play key can sign, and a player only play.
"""

import hmac
import re
from enum import Enum

from mmids_trio.rtmp.protocol.requests import Query

TOKEN, EXPIRES = "token", "expires"
"""The parameters of a key's query: `key?token=...`, `key?expires=...&token=...`."""

_UNIX_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)
"""Until the year 33,658."""


class TokenVerdict(Enum):
    """What a play token is worth."""

    GOOD = "it may play"
    WRONG = "the token is not right for this stream key and expiry"
    EXPIRED = "the token has expired"


def is_token(query: Query, token: str) -> bool:
    """Whether a query has the shared token."""
    return _same(query.parameters.get(TOKEN, ""), token)


def sign(play_key: str, key: str, expires: int) -> str:
    """The token to play stream key `key` until `expires` (Unix time in seconds)."""
    return _sign(play_key, key, str(expires))


def judge(query: Query, play_key: str, key: str, now: float) -> TokenVerdict:
    """Whether a query lets its player have stream key `key` at `now` (Unix time in seconds).

    An expired token is only called so where its signature is right, so nothing can be learned by trying.
    """
    expires = query.parameters.get(EXPIRES, "")
    is_time = _UNIX_SECONDS.fullmatch(expires) is not None
    is_signed = _same(query.parameters.get(TOKEN, "").lower(), _sign(play_key, key, expires))
    if not is_time or not is_signed:
        return TokenVerdict.WRONG
    return TokenVerdict.GOOD if now < int(expires) else TokenVerdict.EXPIRED


def _sign(play_key: str, key: str, expires: str) -> str:
    return hmac.digest(_bytes(play_key), _bytes(f"{key}:{expires}"), "sha256").hex()


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(_bytes(given), _bytes(wanted))


def _bytes(text: str) -> bytes:
    """Clients send names that need not be UTF-8; such bytes come as lone surrogates."""
    return text.encode("utf-8", "surrogatepass")
