"""Pseudonyms: what stands on a tape for a secret, of the same length, and the same wherever it occurs.

Apart and pure, as every rule here is a promise.  A pseudonym is made byte by byte, so that bytes that come in pieces
need not be held back, and equal beginnings have equal pseudonyms: what is told apart, or matched, by a prefix
(`key` and `key?token=1`) still is.  Of letters and digits nothing is left; ASCII punctuation stays.
"""

from hashlib import shake_256

from attrs import define, field

MAX_PSEUDONYM = 256
"""Bytes of one text that get a pseudonym, each of which takes some 10 µs; what follows becomes `x`."""

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_PLACES = {symbol: place for place, symbol in enumerate(ALPHABET)}
_FIRST_NOT_ASCII = 0x80
_REST = ord("x")


@define
class Pseudonym:
    """The pseudonym of one text. `secret` is random bytes of the capture's own, which stand on no tape."""

    secret: bytes = field(repr=False)
    _text: bytearray = field(factory=bytearray, init=False, repr=False)

    def feed(self, data: bytes) -> bytes:
        """What stands for the next bytes of the text: as many."""
        return bytes(map(self._substitute, data))

    def _substitute(self, symbol: int) -> int:
        if symbol not in _PLACES and symbol < _FIRST_NOT_ASCII:
            self._note(symbol)
            return symbol
        if len(self._text) >= MAX_PSEUDONYM:
            return _REST
        order = self._order()
        self._note(symbol)
        return order[_PLACES.get(symbol, symbol % len(ALPHABET))]

    def _note(self, symbol: int) -> None:
        if len(self._text) < MAX_PSEUDONYM:
            self._text.append(symbol)

    def _order(self) -> list[int]:
        """The alphabet in an order that what came before decides."""
        noise = shake_256(len(self.secret).to_bytes(2, "big") + self.secret + self._text).digest(4 * len(ALPHABET))
        return sorted(ALPHABET, key=lambda symbol: noise[4 * _PLACES[symbol] : 4 * _PLACES[symbol] + 4])


@define
class Pseudonyms:
    """All pseudonyms of one capture."""

    secret: bytes = field(repr=False)

    def begin(self) -> Pseudonym:
        """For a text that comes in pieces."""
        return Pseudonym(self.secret)

    def of(self, text: str) -> str:
        """For a text that is all there; of the same length in UTF-8."""
        return self.begin().feed(text.encode("utf-8", "surrogateescape")).decode("ascii")
