"""QR codes for a terminal (ISO/IEC 18004): texts of up to 230 bytes, with the least correction of errors. Pure.

Only what an address needs: byte mode, versions 1 to 9, level L, where all blocks of a version are equally long.
"""

from collections.abc import Callable, Iterator, Sequence

from attrs import frozen

Matrix = list[list[bool]]
"""Rows of modules; true is dark."""

MAX_BYTES = 230
"""What the largest version here holds."""

QUIET = 2
"""Light modules around the code. Four are asked for; terminals have margins, and phones read two."""


@frozen
class _Version:
    """`total` and `correction`: codewords of all blocks, and of each one; `centers` of the alignment patterns."""

    number: int
    total: int
    correction: int
    blocks: int
    centers: tuple[int, ...]

    @property
    def size(self) -> int:
        return 17 + 4 * self.number

    @property
    def data(self) -> int:
        """Codewords of data."""
        return self.total - self.correction * self.blocks


_VERSIONS = tuple(
    _Version(*row)
    for row in (
        (1, 26, 7, 1, ()),
        (2, 44, 10, 1, (6, 18)),
        (3, 70, 15, 1, (6, 22)),
        (4, 100, 20, 1, (6, 26)),
        (5, 134, 26, 1, (6, 30)),
        (6, 172, 18, 2, (6, 34)),
        (7, 196, 20, 2, (6, 22, 38)),
        (8, 242, 24, 2, (6, 24, 42)),
        (9, 292, 30, 2, (6, 26, 46)),
    )
)
_HEAD_BITS = 12
"""The mode, and the number of bytes."""
_HAS_VERSION = 7
"""The first version that says which it is."""

_MASKS: tuple[Callable[[int, int], bool], ...] = (
    lambda row, column: (row + column) % 2 == 0,
    lambda row, _column: row % 2 == 0,
    lambda _row, column: column % 3 == 0,
    lambda row, column: (row + column) % 3 == 0,
    lambda row, column: (row // 2 + column // 3) % 2 == 0,
    lambda row, column: row * column % 2 + row * column % 3 == 0,
    lambda row, column: (row * column % 2 + row * column % 3) % 2 == 0,
    lambda row, column: ((row + column) % 2 + row * column % 3) % 2 == 0,
)


def encode(text: str) -> Matrix:
    """The code of a text. Raises `ValueError` for one that is too long."""
    data = text.encode()
    version = next((each for each in _VERSIONS if 8 * each.data >= _HEAD_BITS + 8 * len(data)), None)
    if version is None:
        raise ValueError(f"a QR code here holds {MAX_BYTES} bytes, not {len(data)}")
    codewords = _interleaved(_codewords(data, version), version)
    codes = (_drawn(codewords, version, mask) for mask in range(len(_MASKS)))
    return min(codes, key=_penalty)


def for_terminal(code: Matrix, *, colours: bool) -> str:
    """Two rows of modules in each line. Without `colours`, what is light is as bright as the terminal's text."""
    width = len(code) + 2 * QUIET
    light = [False] * width
    rows = [*[light] * QUIET, *([*light[:QUIET], *row, *light[:QUIET]] for row in code), *[light] * QUIET]
    rows += [light] * (len(rows) % 2)
    blocks = {(False, False): "█", (False, True): "▀", (True, False): "▄", (True, True): " "}
    lines = ("".join(blocks[pair] for pair in zip(*rows[at : at + 2], strict=True)) for at in range(0, len(rows), 2))
    return "\n".join(f"\x1b[97;40m{line}\x1b[0m" if colours else line for line in lines)


# Codewords.


def _codewords(data: bytes, version: _Version) -> list[int]:
    bits = f"0100{len(data):08b}" + "".join(f"{byte:08b}" for byte in data)
    bits += "0" * min(4, 8 * version.data - len(bits))
    bits += "0" * (-len(bits) % 8)
    words = [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]
    return words + [(0xEC, 0x11)[at % 2] for at in range(version.data - len(words))]


def _interleaved(words: list[int], version: _Version) -> list[int]:
    length = version.data // version.blocks
    blocks = [words[at : at + length] for at in range(0, len(words), length)]
    corrections = [_correction(block, version.correction) for block in blocks]
    return [word for group in (blocks, corrections) for column in zip(*group, strict=True) for word in column]


def _times(left: int, right: int) -> int:
    """In GF(256), modulo x^8 + x^4 + x^3 + x^2 + 1."""
    product = 0
    for bit in range(7, -1, -1):
        product = (product << 1) ^ (0x11D if product & 0x80 else 0)
        product ^= left if right >> bit & 1 else 0
    return product


def _correction(block: Sequence[int], count: int) -> list[int]:
    """Reed and Solomon's codewords: the remainder by the product of all (x - 2^i)."""
    generator = [0] * (count - 1) + [1]
    root = 1
    for _ in range(count):
        shifted = [*generator[1:], 0]
        generator = [_times(each, root) ^ next_ for each, next_ in zip(generator, shifted, strict=True)]
        root = _times(root, 2)
    rest = [0] * count
    for word in block:
        factor = word ^ rest.pop(0)
        rest.append(0)
        rest = [each ^ _times(coefficient, factor) for each, coefficient in zip(rest, generator, strict=True)]
    return rest


# The matrix.


def _drawn(codewords: Sequence[int], version: _Version, mask: int) -> Matrix:
    size = version.size
    fixed: dict[tuple[int, int], bool] = {}
    for along in range(size):
        fixed[6, along] = fixed[along, 6] = along % 2 == 0
    for place in ((3, 3), (3, size - 4), (size - 4, 3)):
        _add_rings(fixed, size, place, (True, True, False, True, False))
    last = version.centers[-1] if version.centers else 0
    for row in version.centers:
        for column in version.centers:
            if (row, column) not in ((6, 6), (6, last), (last, 6)):
                _add_rings(fixed, size, (row, column), (True, False, True))
    _add_format(fixed, size, mask)
    if version.number >= _HAS_VERSION:
        _add_version(fixed, size, version.number)
    bits = (word >> bit & 1 == 1 for word in codewords for bit in range(7, -1, -1))
    for row, column in _free_places(fixed, size):
        fixed[row, column] = next(bits, False) ^ _MASKS[mask](row, column)
    return [[fixed[row, column] for column in range(size)] for row in range(size)]


def _add_rings(
    fixed: dict[tuple[int, int], bool], size: int, center: tuple[int, int], are_dark: Sequence[bool]
) -> None:
    """Rings around a place, from the inside, as far as they are within the code."""
    reach = len(are_dark) - 1
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            place = center[0] + down, center[1] + right
            if min(place) >= 0 and max(place) < size:
                fixed[place] = are_dark[max(abs(down), abs(right))]


def _remainder(value: int, generator: int) -> int:
    """Of a polynomial over GF(2)."""
    while value.bit_length() >= generator.bit_length():
        value ^= generator << value.bit_length() - generator.bit_length()
    return value


def _add_format(fixed: dict[tuple[int, int], bool], size: int, mask: int) -> None:
    """Twice, with level L in front."""
    value = 0b01 << 3 | mask
    bits = (value << 10 | _remainder(value << 10, 0x537)) ^ 0x5412
    around = [(place, 8) for place in (0, 1, 2, 3, 4, 5, 7, 8)] + [(8, place) for place in (7, 5, 4, 3, 2, 1, 0)]
    beside = [(8, size - 1 - place) for place in range(8)] + [(size - 7 + place, 8) for place in range(7)]
    for number, places in enumerate(zip(around, beside, strict=True)):
        for place in places:
            fixed[place] = bits >> number & 1 == 1
    fixed[size - 8, 8] = True


def _add_version(fixed: dict[tuple[int, int], bool], size: int, number: int) -> None:
    bits = number << 12 | _remainder(number << 12, 0x1F25)
    for place in range(18):
        along, across = place // 3, size - 11 + place % 3
        fixed[along, across] = fixed[across, along] = bits >> place & 1 == 1


def _free_places(fixed: dict[tuple[int, int], bool], size: int) -> Iterator[tuple[int, int]]:
    """Two columns at a time, from the right, up and down in turn; the column of the timing pattern is none."""
    taken = set(fixed)
    for turn, right in enumerate([*range(size - 1, 6, -2), *range(5, 0, -2)]):
        rows = range(size) if turn % 2 else range(size - 1, -1, -1)
        yield from ((row, column) for row in rows for column in (right, right - 1) if (row, column) not in taken)


def _penalty(code: Matrix) -> int:
    """How hard to read it is (§7.8.3)."""
    lines = ["".join("10"[not dark] for dark in row) for row in (*code, *zip(*code, strict=True))]
    runs = sum(len(run) - 2 for line in lines for run in _runs(line) if len(run) >= 5)  # noqa: PLR2004  (ISO's)
    like_finders = sum(line.count(pattern) for line in lines for pattern in ("00001011101", "10111010000"))
    size = len(code)
    blocks = sum(
        code[row][column] == code[row + 1][column] == code[row][column + 1] == code[row + 1][column + 1]
        for row in range(size - 1)
        for column in range(size - 1)
    )
    dark = sum(map(sum, code)) / size**2
    return runs + 3 * blocks + 40 * like_finders + 10 * int(abs(dark - 0.5) * 20)


def _runs(line: str) -> list[str]:
    return line.replace("01", "0 1").replace("10", "1 0").split()
