"""QR codes (ISO/IEC 18004) for terminals and pages: an address, with the least correction of errors, made by segno."""

from segno import make_qr

Matrix = list[list[bool]]
"""Rows of modules; true is dark."""

MAX_BYTES = 230
"""What 53 modules in a row hold, which fit a window of 80 by 30 characters."""

QUIET = 2
"""Light modules around the code. Four are asked for; terminals have margins, and phones read two."""


def encode(text: str, max_bytes: int = MAX_BYTES) -> Matrix:
    """The code of a text, of so many bytes at most. Raises `ValueError` for one that is too long."""
    if (size := len(text.encode())) > max_bytes:
        raise ValueError(f"a QR code here holds {max_bytes} bytes, not {size}")
    code = make_qr(text, error="L", mode="byte", encoding="utf-8", eci=False, boost_error=False)
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
