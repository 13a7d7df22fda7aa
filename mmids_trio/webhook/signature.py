"""What proves to a web service that a post is the server's own and not an old one played again. Pure.

`docs/webhooks.md` shows how a service checks it.
"""

import hmac
from collections.abc import Mapping

TIMESTAMP_HEADER = "X-Mmids-Timestamp"
SIGNATURE_HEADER = "X-Mmids-Signature"


def signed(secret: str, timestamp: int, body: bytes) -> str:
    """HMAC-SHA256 (RFC 2104) over the decimal timestamp, a full stop and the body, in hexadecimal."""
    return hmac.digest(secret.encode(), b"%d." % timestamp + body, "sha256").hex()


def signature_headers(secret: str | None, timestamp: int, body: bytes) -> Mapping[str, str]:
    """The headers of one post, sent at `timestamp` (seconds since 1970); without a `secret` there is no signature."""
    headers = {TIMESTAMP_HEADER: str(timestamp)}
    if secret is not None:
        headers[SIGNATURE_HEADER] = f"sha256={signed(secret, timestamp, body)}"
    return headers
