"""Invariant: a tape in any pieces gives the same records, or `TapeError`; damage is told, and records are read back.

The first byte is the size of the pieces, which are of one byte at least.
"""

from mmids_trio.capture.records import Record
from mmids_trio.capture.tape import FIRST_LINE, TapeError, TapeReader, encode
from tests.fuzz.reading import pieces

CALLS, CALLS_PER_BYTE = 5000, 80


def fuzz_one(data: bytes) -> None:
    """Read whole and in pieces; write and read."""
    size, wire = data[:1], data[1:]
    whole = _read([wire])
    assert _read(pieces(wire, size[0] if size else 0)) == whole
    if whole is not None:
        records, _ = whole
        assert _read([FIRST_LINE, *map(encode, records)]) == (records, None)


def _read(data: list[bytes]) -> tuple[list[Record], str | None] | None:
    reader = TapeReader()
    try:
        records = [record for piece in data for record in reader.receive(piece)]
        reader.finish()
    except TapeError:
        return None
    return records, reader.damage
