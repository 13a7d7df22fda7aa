"""What children write, made fit to be kept and shown: lines of bounded length, without secrets.

Apart and pure, since operators paste these lines into tickets, and since every rule here is a promise.
"""

import re
from collections.abc import Callable, Sequence

from attrs import define, field

from mmids_trio.masking import mask, without_cut_url

LONGEST_LINE = 2000
"""Characters kept of a line. The longest useful ones are ffmpeg's lists of options, of some hundred."""

LONGEST_READ = 8 * LONGEST_LINE
"""Bytes of a line that are looked at: a secret at their end is far from what is kept of them."""

_CUT_MARK = " [cut]"

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_LINE_ENDS = re.compile(rb"[\r\n]+")


@define
class LineReader:
    """Cuts what a child writes into masked lines. Progress ends with a carriage return, so that ends a line too.

    Every byte is looked for the end of a line once, however little comes at a time.
    """

    secrets: Sequence[str] = ()
    """Texts that must not be kept, each at least a character long."""
    hide: Callable[[str], str] = lambda text: text
    """Takes away what else must not be kept."""
    _rest: bytearray = field(factory=bytearray, init=False)
    """Of the line that has not ended."""
    _is_skipping: bool = field(default=False, init=False)
    """Whether the rest of a line that was too long is still to come."""

    def receive(self, data: bytes) -> list[str]:
        """The lines that `data` completes; empty ones are left out."""
        first, *others = _LINE_ENDS.split(data)
        lines: list[str] = []
        self._add(first, lines)
        for part in others:
            self._complete(lines)
            self._add(part, lines)
        return [line for line in lines if line]

    def finish(self) -> list[str]:
        """The last line, where the child has not ended it."""
        return self.receive(b"\n")

    def skip(self) -> None:
        """Some of what the child wrote does not come: forget the line that it was within, to its end."""
        self._rest.clear()
        self._is_skipping = True

    def _add(self, part: bytes, lines: list[str]) -> None:
        if self._is_skipping:
            return
        self._rest += part
        if len(self._rest) > LONGEST_READ:
            lines.append(self._line(bytes(self._rest)))
            self.skip()

    def _complete(self, lines: list[str]) -> None:
        if not self._is_skipping:
            lines.append(self._line(bytes(self._rest)))
        self._rest.clear()
        self._is_skipping = False

    def _line(self, data: bytes) -> str:
        text = self.hide(data[:LONGEST_READ].decode("utf-8", "backslashreplace").rstrip())
        text = mask(text, self.secrets)
        if len(data) > LONGEST_READ:  # the end may lack the mark by which a secret is told
            text = without_cut_url(text)
        if len(text) > LONGEST_LINE:
            text = text[:LONGEST_LINE] + _CUT_MARK
        return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)
