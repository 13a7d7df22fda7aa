"""Adobe's authentication of encoders (`authmod=adobe`), as Wowza, Akamai and others ask for it.

A server refuses `connect` and says in the description what it wants; the client connects again with the answer in the
query of its application: first its name, then what it makes of the server's salt and challenge and its password.
The scheme is what FFmpeg and librtmp do; there is no published specification.  Its MD5 is part of it.
"""

from base64 import b64encode
from collections.abc import Callable
from hashlib import md5
from urllib.parse import quote, unquote

CHALLENGE_BYTES = 4


def answer(description: str, user: str, password: str, random: Callable[[int], bytes]) -> str | None:
    """The query to append to application and `tcUrl` for the next try; `None` where another try is of no use.

    `description` is the server's refusal of `connect`; `random(n)` returns `n` random bytes.
    """
    if not user or "authmod=adobe" not in description:
        return None
    if "code=403 need auth" in description:
        return f"?authmod=adobe&user={quote(user)}"
    query = description.partition("?")[2]
    asked = dict(part.partition("=")[::2] for part in query.split("&"))
    if not asked.get("reason", "").startswith("needauth"):
        return None
    return _response(asked, user, password, random(CHALLENGE_BYTES).hex())


def _response(asked: dict[str, str], user: str, password: str, own_challenge: str) -> str:
    salt, challenge, opaque = (unquote(asked.get(name, "")) for name in ("salt", "challenge", "opaque"))
    secret = _digest(user + salt + password)
    response = _digest(secret + (opaque or challenge) + own_challenge)
    query = f"?authmod=adobe&user={quote(user)}&challenge={own_challenge}&response={response}"
    return query + (f"&opaque={opaque}" if opaque else "")


def _digest(text: str) -> str:
    return b64encode(md5(text.encode(), usedforsecurity=False).digest()).decode()
