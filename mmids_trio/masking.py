"""What is shown in place of secrets, and which parts of a text are secret where no declaration says so.

Pure.  What a parameter's declaration says (`config.parameters.secret_parameter`) decides.  The rules here are for texts
that nobody reads as parameters: lines that messages quote, what children write, URLs within values, tapes, logs.
"""

import re
from collections.abc import Mapping, Sequence

HIDDEN = "***"
"""What is shown in place of a secret value."""

SECRET_WORDS = "passw|passphrase|secret|token|credential|authorization|cookie|(?:api|play|private|access)_?key"
"""Words that make a name one of a secret, as a pattern."""

_SECRET_NAME = re.compile(SECRET_WORDS, re.IGNORECASE)

# Every pattern takes linear time: peers choose parts of these lines. Hence the bounded scheme.
_URL = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]{0,19})://([^\s'\"]*)")
_PUNCTUATION = ":,;.)]>"
"""What the writer of a line puts behind a URL."""


def names_a_secret(name: str) -> bool:
    """Whether a name says by itself that its value is secret."""
    return _SECRET_NAME.search(name) is not None


def mask(line: str, secrets: Sequence[str] = ()) -> str:
    """`line` without what grants access: user and password of a URL, its query string, an RTMP URL's stream key.

    The key is what follows the last `/` (RTMP 1.0 §7.2.2.6 names it apart from the URL, ffmpeg joins the two).
    `secrets` are masked wherever they stand; empty ones are ignored.
    """
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        line = line.replace(secret, HIDDEN)
    return _URL.sub(_mask_url, line) if "://" in line else line


def mask_values(parameters: Mapping[str, str | None]) -> dict[str, str | None]:
    """Parameters, of which what is declared as secret is hidden already, without what grants access in URLs."""
    return {name: None if value is None else mask(value) for name, value in parameters.items()}


def _mask_url(match: re.Match[str]) -> str:
    scheme, rest = match[1], match[2]
    url = rest.rstrip(_PUNCTUATION)
    punctuation = rest[len(url) :]
    authority, slash, path = url.partition("/")
    if "@" in authority:
        authority = f"{HIDDEN}@{authority.rpartition('@')[2]}"
    location, question, _ = f"{authority}{slash}{path}".partition("?")
    if scheme.lower().startswith("rtmp") and "/" in location:
        location = f"{location.rpartition('/')[0]}/{HIDDEN}"
    return f"{scheme}://{location}{question and f'?{HIDDEN}'}{punctuation}"
