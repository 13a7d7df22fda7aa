"""Invariant: any bytes are a state or a `ConfigurationError`, and a state says the same when written and read again.

An odd first byte has the checksum of the rest put behind it: else the checksum would keep everything out.
"""

from mmids_trio.errors import ConfigurationError
from mmids_trio.state.text import EDITED, MARK, read, write

CALLS, CALLS_PER_BYTE = 20_000, 500


def fuzz_one(data: bytes) -> None:
    """Read, write and read."""
    text = data[1:]
    if data[:1] and data[0] & 1:
        text += f"\n{MARK} end {EDITED}\n".encode()
    try:
        state = read(text, "f")
    except ConfigurationError:
        return
    written = write(state).data
    assert read(written, "f") == state
    assert write(read(written, "f")).data == written
