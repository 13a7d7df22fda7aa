"""Times and sizes with their units: every form that is accepted, the bounds, and what a message shows."""

import pytest

from mmids_trio.config.converters import byte_count, choice, duration


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("200ms", 0.2), ("2s", 2.0), ("5m", 300.0), ("1h", 3600.0), ("1.5m", 90.0), ("0.25s", 0.25), ("100ms", 0.1)],
)
def test_a_time_has_its_unit(written: str, seconds: float) -> None:
    assert duration("100ms", "1h")(written) == seconds


NO_TIMES = [
    "",
    "2",
    "s",
    "2 s",
    " 2s",
    "2s ",
    "-2s",
    "+2s",
    "2S",
    "2sec",
    "2d",
    "1e3s",
    ".5s",
    "5.s",
    "1_0s",
    "٢s",
    "nans",
]
OUTSIDE = ["99ms", "0s", "3600001ms", "1.0000001h", "9" * 5_000 + "s"]


@pytest.mark.parametrize("written", [*NO_TIMES, *OUTSIDE])
def test_what_is_no_time_within_the_bounds_is_refused_with_the_accepted_forms(written: str) -> None:
    message = r"^expected a time from 100ms to 1h, with its unit, as in 200ms, 2s, 5m or 1h$"
    with pytest.raises(ValueError, match=message):
        duration("100ms", "1h")(written)


def test_the_bounds_of_a_time_are_exact() -> None:
    tenth = duration("100ms", "300ms")
    assert [tenth("0.1s"), tenth("0.3s")] == [0.1, 0.3]
    with pytest.raises(ValueError, match="expected a time"):
        tenth("0.300001s")


@pytest.mark.parametrize(
    ("written", "size"),
    [("65536", 65_536), ("64KiB", 65_536), ("1.5MiB", 1_572_864), ("1GiB", 1024**3), ("0.5GiB", 2**29)],
)
def test_a_size_is_a_number_of_bytes_or_has_its_unit(written: str, size: int) -> None:
    assert byte_count("64KiB", "1GiB")(written) == size


@pytest.mark.parametrize(
    "written",
    ["", "KiB", "64KB", "64kib", "64 KiB", "-64KiB", "65535", "63KiB", "65536.5", "100.00001KiB", "2GiB", "1TiB"],
)
def test_what_is_no_size_within_the_bounds_is_refused_with_the_accepted_forms(written: str) -> None:
    message = r"^expected a size from 64KiB to 1GiB, as in 4096 \(bytes\), 64KiB, 8MiB or 1GiB$"
    with pytest.raises(ValueError, match=message):
        byte_count("64KiB", "1GiB")(written)


@pytest.mark.parametrize("bounds", [("1", "1h"), ("1s", "1x")])
def test_the_bounds_of_a_time_need_units_too(bounds: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="with its unit"):
        duration(*bounds)


def test_a_word_stands_for_something() -> None:
    assert choice({"on": True, "off": False})("off") is False
    with pytest.raises(ValueError, match=r"^expected one of on, off; did you mean 'off'\?$"):
        choice({"on": True, "off": False})("of")
