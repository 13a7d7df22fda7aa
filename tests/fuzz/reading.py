"""How targets turn one string of bytes into several decisions: small, and the same for all of them."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from mmids_trio.errors import ProtocolError

_Thing = TypeVar("_Thing")

WHOLE = 0
"""A first byte that asks for no pieces."""


def pieces(data: bytes, size: int) -> list[bytes]:
    """`data` in pieces of `size` bytes, as reads of a socket might bring it; in one for `WHOLE`."""
    if size == WHOLE:
        return [data]
    return [data[start : start + size] for start in range(0, len(data), size)]


def fed(receive: Callable[[bytes], Sequence[_Thing]], data: Sequence[bytes]) -> list[_Thing] | None:
    """All that came out of `receive` for `data`; `None` when it raised `ProtocolError`."""
    things: list[_Thing] = []
    try:
        for piece in data:
            things += receive(piece)
    except ProtocolError:
        return None
    return things


def records(data: bytes, head: int) -> Iterator[tuple[bytes, bytes]]:
    """`data` as records: `head` bytes, two bytes of length, so many bytes (fewer at the end)."""
    position = 0
    while position + head + 2 <= len(data):
        body = position + head + 2
        end = body + int.from_bytes(data[body - 2 : body], "big")
        yield data[position : body - 2], data[body:end]
        position = end
