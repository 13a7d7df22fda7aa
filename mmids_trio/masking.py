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

_SECRET_NAME = re.compile(SECRET_WORDS)
"""In what is folded already: every line of a configuration is searched, and `IGNORECASE` takes three times as long."""

# Every pattern takes linear time: peers choose parts of these lines. Hence the bounded scheme.
_URL = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]{0,19})://([^\s'\"]*)")
_PUNCTUATION = ":,;.)]>"
"""What the writer of a line puts behind a URL."""

_ASSIGNED = re.compile(
    rf"((?:{SECRET_WORDS})[\w.-]{{0,20}}(?:=|＝|%3D))[^\s'\"<>&;,＆；)}}\]]+",  # noqa: RUF001 (what people type)
    re.IGNORECASE,
)
"""A name of a secret with its value, wherever it stands: in a query that is not one by its first character, say."""

_EQUALS = ("=", "＝", "%3")  # noqa: RUF001 (what people type)
"""Of which nothing assigned lacks all."""

_QUERY_SIGN = re.compile("[?&;？＆；]|%3F|%26|%3B", re.IGNORECASE)  # noqa: RUF001
"""Where a stream key ends and a query begins, also one that was mistyped or encoded once too often."""


def names_a_secret(name: str) -> bool:
    """Whether a name says by itself that its value is secret."""
    return _SECRET_NAME.search(name.casefold()) is not None


def mask_assigned(text: str) -> str:
    """`text` without the values that stand behind a name of a secret and an equals sign."""
    if not any(map(text.__contains__, _EQUALS)):
        return text
    return _ASSIGNED.sub(rf"\1{HIDDEN}", text)


def bare_key(key: str) -> str:
    """A stream key up to what was meant as its query; what is left out shows as `***`.

    RTMP cuts a key at its first `?` alone, so `key&token=...` is a key as a whole, with the token in it.
    """
    found = _QUERY_SIGN.search(key)
    return key if found is None else f"{key[: found.start()]}{found[0]}{HIDDEN}"


def mask(line: str, secrets: Sequence[str] = ()) -> str:
    """`line` without what grants access: user and password of a URL, its query string, an RTMP URL's stream key.

    The key is what follows the last `/` (RTMP 1.0 §7.2.2.6 names it apart from the URL, ffmpeg joins the two).
    Values behind names of secrets (`token=...`) go wherever they stand. So do `secrets`; empty ones are ignored.
    """
    for secret in sorted(filter(None, secrets), key=len, reverse=True) if secrets else ():
        line = line.replace(secret, HIDDEN)
    return mask_assigned(_URL.sub(_mask_url, line) if "://" in line else line)


def without_cut_url(text: str) -> str:
    """`text`, of which the end was cut off, without the URL that the cut may have gone through.

    The mark by which user and password are told (`@`) comes behind them, and may have been cut off.
    """
    place = text.find("://", _last_word(text))
    return text if place < 0 else f"{text[:place]}://{HIDDEN}"


def _last_word(text: str) -> int:
    """Where the last run of characters begins that may be one URL."""
    if not text or text[-1].isspace():
        return len(text)
    return max(len(text) - len(text.rsplit(None, 1)[-1]), text.rfind("'") + 1, text.rfind('"') + 1)


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
