"""QR codes for a terminal (ISO/IEC 18004): an address, with the least correction of errors. segno makes them."""

from segno import DataOverflowError, make_qr

Matrix = list[list[bool]]
"""Rows of modules; true is dark."""

MAX_VERSION = 9
"""53 modules in a row, which fit a window of 80 by 30 characters."""

MAX_BYTES = 230
"""What that holds."""

QUIET = 2
"""Light modules around the code. Four are asked for; terminals have margins, and phones read two."""


def encode(text: str) -> Matrix:
    """The code of a text. Raises `ValueError` for one that is too long."""
    try:
        code = make_qr(text, error="L", mode="byte", encoding="utf-8", eci=False, boost_error=False)
    except DataOverflowError:
        code = None
    if code is None or int(code.version) > MAX_VERSION:
        raise ValueError(f"a QR code here holds {MAX_BYTES} bytes, not {len(text.encode())}")
    return [[bool(module) for module in row] for row in code.matrix]


def for_terminal(code: Matrix, *, colours: bool) -> str:
    """Two rows of modules in each line. Without `colours`, what is light is as bright as the terminal's text."""
    width = len(code) + 2 * QUIET
    light = [False] * width
    rows = [*[light] * QUIET, *([*light[:QUIET], *row, *light[:QUIET]] for row in code), *[light] * QUIET]
    rows += [light] * (len(rows) % 2)
    blocks = {(False, False): "█", (False, True): "▀", (True, False): "▄", (True, True): " "}
    lines = ("".join(blocks[pair] for pair in zip(*rows[at : at + 2], strict=True)) for at in range(0, len(rows), 2))
    return "\n".join(f"\x1b[97;40m{line}\x1b[0m" if colours else line for line in lines)
