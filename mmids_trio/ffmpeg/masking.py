"""What children write, made fit to be kept and shown: lines of bounded length, without secrets.

Apart and pure, since operators paste these lines into tickets, and since every rule here is a promise.
"""

import re
from collections.abc import Sequence

from attrs import define, field

from mmids_trio.masking import HIDDEN, mask

LONGEST_LINE = 2000
"""Characters kept of a line. The longest useful ones are ffmpeg's lists of options, of some hundred."""

LONGEST_READ = 8 * LONGEST_LINE
"""Bytes of a line that are looked at: a secret at their end is far from what is kept of them."""

_CUT_MARK = " [cut]"

_URL_AT_END = re.compile(r"://[^\s'\"]*$")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_LINE_ENDS = re.compile(rb"[\r\n]+")


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
            text = _URL_AT_END.sub(f"://{HIDDEN}", text)
        if len(text) > LONGEST_LINE:
            text = text[:LONGEST_LINE] + _CUT_MARK
        return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)
