"""How often a line may be repeated, and what is said about the rest."""

import logging
from io import StringIO

import pytest
import structlog
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from mmids_trio.server.log_repeats import BURST_SECONDS, CLIENTS_AT_ONCE, MAX_SUBJECTS, REPEATED, LogRepeats
from mmids_trio.server.logs import Logging, configure

RATE = 5
BURST = RATE * BURST_SECONDS


class Repeats:
    """Repeats with a clock that stands until it is moved."""

    def __init__(self) -> None:
        self.time = 0.0
        self.all = LogRepeats(RATE, clock=lambda: self.time)

    def written(self, times: int, subject: str | None = "192.0.2.1", event: str = "closes") -> int:
        return sum(self.all.admits(event, subject) for _ in range(times))

    def told(self) -> list[dict[str, object]]:
        with capture_logs() as lines:
            self.all.tell()
        return [dict(line) for line in lines]


@pytest.fixture
def repeats() -> Repeats:
    return Repeats()


def test_one_client_has_a_burst_of_each_event_and_then_its_rate(repeats: Repeats) -> None:
    assert repeats.written(10_000) == BURST
    repeats.time = 1
    assert repeats.written(10_000) == RATE
    assert repeats.written(10_000, event="opens") == BURST
    assert repeats.all.left_out == 30_000 - 2 * BURST - RATE


def test_others_are_heard_beside_who_floods(repeats: Repeats) -> None:
    repeats.written(10_000)
    assert repeats.written(BURST, "192.0.2.2") == BURST


def test_an_event_has_a_bound_however_many_addresses_it_comes_from(repeats: Repeats) -> None:
    written = sum(repeats.written(10, f"2001:db8:{number:x}::/64") for number in range(3 * MAX_SUBJECTS))
    assert written == BURST * CLIENTS_AT_ONCE
    assert repeats.written(BURST, event="other") == BURST


def test_a_thousand_lines_about_nobody_are_bounded_as_those_of_all_are(repeats: Repeats) -> None:
    assert repeats.written(1000, None) == BURST * CLIENTS_AT_ONCE


def test_what_was_left_out_is_one_line_for_each_event(repeats: Repeats) -> None:
    for number in range(10):
        repeats.written(BURST + 10 - number, f"192.0.2.{number}")
    repeats.written(BURST + 7, event="opens")
    most = {"192.0.2.0": 10, "192.0.2.1": 9, "192.0.2.2": 8}
    assert [{**line, "log_level": None} for line in repeats.told()] == [
        {"event": REPEATED, "of": "closes", "left_out": 55, "subjects": 10, "most": most, "log_level": None},
        {"event": REPEATED, "of": "opens", "left_out": 7, "subjects": 1, "most": {"192.0.2.1": 7}, "log_level": None},
    ]
    assert repeats.told() == []


def test_addresses_and_events_that_are_told_apart_are_bounded(repeats: Repeats) -> None:
    for number in range(2 * MAX_SUBJECTS):
        repeats.written(1, f"10.0.{number // 256}.{number % 256}", event=f"event {number}")
        repeats.written(1, f"10.0.{number // 256}.{number % 256}")
    assert len(repeats.all._events) <= MAX_SUBJECTS + 1
    assert all(len(kind.by_subject) <= MAX_SUBJECTS + 1 for kind in repeats.all._events.values())


def test_who_has_been_calm_makes_room(repeats: Repeats) -> None:
    for number in range(MAX_SUBJECTS):
        repeats.written(1, f"10.0.{number // 256}.{number % 256}")
    repeats.time = 3600
    assert repeats.written(BURST, "192.0.2.1") == BURST
    assert len(repeats.all._events["closes"].by_subject) == 1


@pytest.mark.thorough
@pytest.mark.parametrize("logger", [structlog.get_logger("ours"), logging.getLogger("some.library")])
def test_lines_of_ours_and_of_libraries_are_counted_once_for_all_places_they_go_to(
    logger: logging.Logger, tmp_path: object
) -> None:
    console = StringIO()
    bounds = Logging(repeats=LogRepeats(RATE, clock=lambda: 0.0))
    with (
        structlog.contextvars.bound_contextvars(connection="[2001:db8::1]:50000"),
        configure(level=logging.INFO, directory=tmp_path, console=console, bounds=bounds),  # type: ignore[arg-type]
    ):
        for number in range(1000):
            with structlog.contextvars.bound_contextvars(connection=f"[2001:db8::{number:x}]:{number}"):
                logger.info("odd")
    assert console.getvalue().count("odd") - console.getvalue().count(REPEATED) == BURST
    assert bounds.repeats.left_out == 1000 - BURST
    assert console.getvalue().count(REPEATED) == 1  # which is told with the end at the latest


async def test_it_is_told_once_a_second(autojump_clock: MockClock) -> None:
    repeats = LogRepeats(RATE, clock=trio.current_time)
    with capture_logs() as lines:
        async with trio.open_nursery() as nursery:
            await nursery.start(repeats.run)
            for _ in range(30):
                for _ in range(100):
                    repeats.admits("closes", "192.0.2.1")
                await trio.sleep(0.1)
            await trio.sleep(10)
            nursery.cancel_scope.cancel()
    assert [line["event"] for line in lines] == [REPEATED] * len(lines)
    assert 3 <= len(lines) <= 4
    assert sum(line["left_out"] for line in lines) == repeats.left_out
