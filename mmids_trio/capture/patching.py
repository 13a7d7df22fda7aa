"""Changing bytes in place while they stream by, as a script says that asks for them piece by piece.

Apart from the scripts, which know formats, because this half knows how bytes are cut: a script never sees where.
"""

from collections.abc import Callable, Generator

from attrs import define, field

from mmids_trio.errors import ProtocolError

Change = Callable[[bytes], bytes]
"""Gives as many bytes as it takes."""

Op = tuple[int, Change | None]
"""So many bytes are to be changed in this way; `None`: kept, and handed to the script."""

Script = Generator[Op, bytes, None]
"""Says what to do with the bytes of one message; gets what it kept of them, else `b""`. May raise `ProtocolError`."""

REST = 1 << 62
"""More bytes than any message has."""


def blank(data: bytes) -> bytes:
    """Zeros, as many."""
    return bytes(len(data))


def keep(data: bytes) -> bytes:
    """The same bytes, which the script does not get to see."""
    return data


@define
class Patcher:
    """Runs one script. What follows its end, or an error in it, is blanked."""

    _script: Script
    _left: int = field(default=0, init=False)
    _change: Change | None = field(default=None, init=False)
    _kept: bytearray = field(factory=bytearray, init=False)
    _has_begun: bool = field(default=False, init=False)

    def feed(self, data: bytes) -> bytes:
        """The next bytes, changed."""
        changed = bytearray()
        position = 0
        while position < len(data):
            self._advance()
            piece = data[position : position + self._left]
            if self._change is None:
                self._kept += piece
                changed += piece
            else:
                changed += self._change(piece)
            position += len(piece)
            self._left -= len(piece)
        return bytes(changed)

    def _advance(self) -> None:
        """Ask the script what comes next, if the last thing is done."""
        while not self._left:
            kept = bytes(self._kept)
            self._kept.clear()
            try:
                self._left, self._change = self._script.send(kept) if self._has_begun else next(self._script)
            except (StopIteration, ProtocolError):
                self._left, self._change = REST, blank
            self._has_begun = True
