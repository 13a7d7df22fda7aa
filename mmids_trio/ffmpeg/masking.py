"""What children write, made fit to be kept and shown: lines of bounded length, without secrets.

Apart and pure, since operators paste these lines into tickets, and since every rule here is a promise.
"""

import re
from collections.abc import Sequence

from attrs import define, field

LONGEST_LINE = 2000
"""Characters kept of a line. The longest useful ones are ffmpeg's lists of options, of some hundred."""

LONGEST_READ = 8 * LONGEST_LINE
"""Bytes of a line that are looked at: a secret at their end is far from what is kept of them."""

MASK = "***"
_CUT_MARK = " [cut]"

# Every pattern takes linear time: peers choose parts of these lines. Hence the bounded scheme.
_URL = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]{0,19})://([^\s'\"]*)")
_URL_AT_END = re.compile(r"://[^\s'\"]*$")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_LINE_ENDS = re.compile(rb"[\r\n]+")
_PUNCTUATION = ":,;.)]>"
"""What the writer of a line puts behind a URL."""


def mask(line: str, secrets: Sequence[str] = ()) -> str:
    """`line` without what grants access: user and password of a URL, its query string, an RTMP URL's stream key.

    The key is what follows the last `/` (RTMP 1.0 §7.2.2.6 names it apart from the URL, ffmpeg joins the two).
    `secrets` are masked wherever they stand; empty ones are ignored.
    """
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        line = line.replace(secret, MASK)
    return _URL.sub(_mask_url, line) if "://" in line else line


def _mask_url(match: re.Match[str]) -> str:
    scheme, rest = match[1], match[2]
    url = rest.rstrip(_PUNCTUATION)
    punctuation = rest[len(url) :]
    authority, slash, path = url.partition("/")
    if "@" in authority:
        authority = f"{MASK}@{authority.rpartition('@')[2]}"
    location, question, _ = f"{authority}{slash}{path}".partition("?")
    if scheme.lower().startswith("rtmp") and "/" in location:
        location = f"{location.rpartition('/')[0]}/{MASK}"
    return f"{scheme}://{location}{question and f'?{MASK}'}{punctuation}"


@define
class LineReader:
    """Cuts what a child writes into masked lines. Progress ends with a carriage return, so that ends a line too."""

    secrets: Sequence[str] = ()
    """Texts that must not be kept, each at least a character long."""
    _rest: bytes = field(default=b"", init=False)
    _is_skipping: bool = field(default=False, init=False)
    """Whether the rest of a line that was too long is still to come."""

    def receive(self, data: bytes) -> list[str]:
        """The lines that `data` completes; empty ones are left out."""
        *complete, self._rest = _LINE_ENDS.split(self._rest + data)
        lines = []
        for line in complete:
            if not self._is_skipping:
                lines.append(self._line(line))
            self._is_skipping = False
        if len(self._rest) > LONGEST_READ:
            if not self._is_skipping:
                lines.append(self._line(self._rest))
            self._rest, self._is_skipping = b"", True
        return [line for line in lines if line]

    def finish(self) -> list[str]:
        """The last line, where the child has not ended it."""
        return self.receive(b"\n")

    def _line(self, data: bytes) -> str:
        text = mask(data[:LONGEST_READ].decode("utf-8", "backslashreplace").rstrip(), self.secrets)
        if len(data) > LONGEST_READ:  # the end may lack the mark by which a secret is told
            text = _URL_AT_END.sub(f"://{MASK}", text)
        if len(text) > LONGEST_LINE:
            text = text[:LONGEST_LINE] + _CUT_MARK
        return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)
