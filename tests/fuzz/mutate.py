"""A small mutator without feedback, for short runs that are the same every time: all follows from the seed."""

from collections.abc import Iterator, Sequence
from random import Random

INTERESTING = (0, 1, 2, 3, 4, 5, 8, 9, 15, 16, 17, 18, 20, 22, 0x3F, 0x40, 0x7F, 0x80, 0xC0, 0xFE, 0xFF)
MOST_CHANGES = 6
LONGEST_BLOCK = 64


def mutated(seeds: Sequence[bytes], words: Sequence[bytes], random: Random, most_bytes: int) -> Iterator[bytes]:
    """Seeds with some changes each, without end; none is longer than `most_bytes`."""
    while True:
        data = bytearray(random.choice(seeds)[:most_bytes] or b"\0")
        for _ in range(random.randint(1, MOST_CHANGES)):
            _change(data, seeds, words, random)
        yield bytes(data[:most_bytes])


def _change(data: bytearray, seeds: Sequence[bytes], words: Sequence[bytes], random: Random) -> None:
    """One change: a byte, a bit, a number, a block gone, repeated, from elsewhere, a word, or the end cut off."""
    place = random.randrange(len(data) + 1)
    end = place + random.randint(1, LONGEST_BLOCK)
    other = random.choice(seeds)
    start = random.randrange(len(other) + 1)
    what = random.randrange(8)
    if what == 0:
        data[place : place + 1] = bytes((random.choice(INTERESTING),))
    elif what == 1 and place < len(data):
        data[place] ^= 1 << random.randrange(8)
    elif what == 2:
        size = random.choice((2, 3, 4))
        data[place : place + size] = random.getrandbits(8 * size).to_bytes(size, "big")
    elif what == 3:
        del data[place:end]
    elif what == 4:
        data[place:place] = data[place:end] * random.randint(1, 8)
    elif what == 5:
        data[place:end] = other[start : start + LONGEST_BLOCK]
    elif what == 6 and words:
        data[place:place] = random.choice(words)
    else:
        del data[place:]
