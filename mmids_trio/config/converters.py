"""Converters: each turns a value as an operator wrote it into what a program works with.

Pure.  A converter raises `ValueError` with what it expects.  It never repeats the value, which may be secret; who calls
it knows, and shows the value or the line where neither is.
"""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TypeVar
from urllib.parse import urlsplit

from mmids_trio.addresses import IpNetwork, parse_networks
from mmids_trio.config.suggestions import did_you_mean

T = TypeVar("T")

LARGEST_PORT = 65_535

LONGEST_NUMBER = 15
"""Digits of a whole number: far more than any bound asks for, few enough to convert at once."""

_HOST = re.compile(r"[a-z0-9_.-]+|\[[0-9a-f:.]+\]")
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_ORIGIN = re.compile(r"https?://([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_QUANTITY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)([A-Za-z]*)")
_SECONDS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), "d": Decimal(86_400)}
_BYTES = {unit: Decimal(1024) ** power for power, unit in enumerate(("", "KiB", "MiB", "GiB", "TiB"))}


def anything(value: str) -> str:
    """Any text, even an empty one."""
    return value


def text(value: str) -> str:
    """Any text but the empty one."""
    if not value:
        raise ValueError("expected a value that is not empty")
    return value


def filled(value: str) -> str:
    """Any text but the empty one, for a setting: its line may also stand without a value."""
    if not value:
        raise ValueError("expected a value that is not empty, or none at all")
    return value


def path_or_none(value: str) -> str | None:
    """A path, or `none` for no place at all (`./none` is a path of that name)."""
    return None if filled(value) == "none" else value


def bearer_token(value: str) -> str:
    """What can stand in an `Authorization` header (RFC 9110 §5.5, §11.4: visible ASCII, no spaces)."""
    if not value or not all("!" <= character <= "~" for character in value):
        raise ValueError("expected a token of visible ASCII characters without spaces")
    return value


LEAST_SECRET = 32
"""Bytes of a secret that signs with SHA-256 (RFC 7518 §3.2)."""


def shared_secret(value: str) -> str:
    """What signs tokens."""
    if len(value.encode("utf-8", "surrogatepass")) < LEAST_SECRET:
        raise ValueError(f"expected a secret of {LEAST_SECRET} bytes or more")
    return value


def whole_number(lowest: int, highest: int, unit: str = "") -> Callable[[str], int]:
    """A decimal number between the two, both included."""

    def convert(value: str) -> int:
        is_number = value.isascii() and value.isdigit() and len(value) <= LONGEST_NUMBER
        if not is_number or not lowest <= int(value) <= highest:
            raise ValueError(f"expected a whole number{unit} from {lowest} to {highest}")
        return int(value)

    return convert


port_number = whole_number(0, LARGEST_PORT)
"""A TCP port; 0 stands for any free one."""


def seconds(lowest: float, highest: float) -> Callable[[str], float]:
    """A bare number of seconds between the two, both included, to the millisecond.

    Parameters that are older than `duration` take their times this way.
    """

    def convert(value: str) -> float:
        is_time = re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,3})?", value)
        if not is_time or not lowest <= float(value) <= highest:
            raise ValueError(f"expected seconds from {lowest:g} to {highest:g}, as in 5 or 0.5")
        return float(value)

    return convert


def duration(lowest: str, highest: str) -> Callable[[str], float]:
    """A time with its unit (`200ms`, `2s`, `1.5m`, `1h`) between the two, both included, in seconds.

    The bounds are written the same way: `duration("100ms", "1h")`.
    """
    expected = f"expected a time from {lowest} to {highest}, with its unit, as in 200ms, 2s, 5m or 1h"
    measure = _between(lowest, highest, _SECONDS, expected)
    return lambda value: float(measure(value))


def byte_count(lowest: str, highest: str) -> Callable[[str], int]:
    """A size (`64KiB`, `1.5GiB`, a bare number of bytes) between the two, both included, in bytes.

    The bounds are written the same way: `byte_count("64KiB", "1GiB")`.
    """
    expected = f"expected a size from {lowest} to {highest}, as in 4096 (bytes), 64KiB, 8MiB or 1GiB"
    measure = _between(lowest, highest, _BYTES, expected)

    def convert(value: str) -> int:
        exact = measure(value)
        if exact != int(exact):
            raise ValueError(expected)
        return int(exact)

    return convert


def _between(lowest: str, highest: str, units: Mapping[str, Decimal], expected: str) -> Callable[[str], Decimal]:
    """Reads a number with one of the `units`; exact, so that the bounds are where they are written."""

    def measure(value: str) -> Decimal:
        quantity = _QUANTITY.fullmatch(value)
        if quantity is None or quantity[2] not in units:
            raise ValueError(expected)
        return Decimal(quantity[1]) * units[quantity[2]]

    least, most = measure(lowest), measure(highest)

    def convert(value: str) -> Decimal:
        exact = measure(value)
        if not least <= exact <= most:
            raise ValueError(expected)
        return exact

    return convert


def choice(accepted: Mapping[str, T]) -> Callable[[str], T]:
    """One of a few words, each of which stands for something."""

    def convert(value: str) -> T:
        if value not in accepted:
            raise ValueError(f"expected one of {', '.join(accepted)}{did_you_mean(value, accepted)}")
        return accepted[value]

    return convert


def one_of(*accepted: str) -> Callable[[str], str]:
    """One of a few words, which stand for themselves."""
    return choice({word: word for word in accepted})


def switch(value: str) -> bool:
    """`true` or `false`."""
    if value not in ("true", "false"):
        raise ValueError("expected true or false")
    return value == "true"


def host_names(value: str) -> tuple[str, ...]:
    """Names of hosts or addresses without ports, separated by commas or spaces, in lower case."""
    names = tuple(value.lower().replace(",", " ").split())
    if not names or not all(map(_HOST.fullmatch, names)):
        raise ValueError("expected names of hosts without ports, separated by commas")
    return names


MOST_CERTIFICATES = 100
"""Each is looked at when a connection comes, every few seconds; who has more names has them in few certificates."""


def certificate_files(value: str) -> tuple[tuple[str, str | None], ...]:
    """Certificates separated by commas: each a file, and behind it the file of its key where that is another."""
    parts = [part.split() for part in value.split(",")]
    if not all(len(part) in (1, 2) for part in parts):
        raise ValueError("expected files of certificates, separated by commas, each with that of its key behind it")
    if len(parts) > MOST_CERTIFICATES:
        raise ValueError(f"expected {MOST_CERTIFICATES} certificates at most")
    return tuple((part[0], part[1] if len(part) > 1 else None) for part in parts)


def module_names(value: str) -> tuple[str, ...]:
    """Full names of Python modules, separated by commas or spaces."""
    names = tuple(value.replace(",", " ").split())
    if not names or not all(_MODULE.fullmatch(name) and not name.endswith(".py") for name in names):
        raise ValueError("expected names of Python modules, separated by commas, as in studio or studio.steps")
    return names


def networks(value: str) -> tuple[IpNetwork, ...]:
    """IPv4 and IPv6 networks, separated by commas, without saying which of them is none."""
    try:
        return parse_networks(value)
    except ValueError:
        raise ValueError("expected IPv4 or IPv6 addresses or CIDR networks, separated by commas") from None


def web_address(value: str) -> str:
    """An http or https URL."""
    try:
        parts = urlsplit(value)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or not value.isprintable() or " " in value:
        raise ValueError("expected an http or https URL")
    return value


def web_origins(value: str) -> tuple[str, ...]:
    """Origins of web pages (RFC 6454), separated by commas, in lower case; `*` for all, `none` for none."""
    if value in ("*", "none"):
        return ("*",) if value == "*" else ()
    origins = tuple(value.lower().split(","))
    if not all(map(_ORIGIN.fullmatch, origins)):
        raise ValueError("expected * or none, or origins as in https://example.com, separated by commas")
    return origins


def proxy_address(value: str) -> str:
    """The URL of an HTTP proxy, perhaps with a user and a password; ffmpeg speaks to no other kind."""
    try:
        if not web_address(value).startswith("http://") or urlsplit(value).path not in ("", "/"):
            raise ValueError
    except ValueError:
        raise ValueError("expected the URL of an HTTP proxy, as in http://proxy.example.com:3128") from None
    return value
