"""What holds for all tests: real processes come last, and Hypothesis does not judge by the clock."""

import gc
import os
import signal
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from structlog.testing import capture_logs
from structlog.typing import EventDict

from tests.support.effort import FAST, FAST_EXAMPLES, FAST_LEAVES_OUT, FAST_PARAMETERS, FAST_SCHEDULES, first_mark
from tests.support.skips import fail_if_unexpected

# The first is nothing new where the package is installed with its entry point.
pytest_plugins = ["mmids_trio.testing.plugin", "pytester"]

settings.register_profile("patient", deadline=None)
settings.register_profile(FAST, deadline=None, max_examples=FAST_EXAMPLES)
settings.load_profile("patient")


BLOCKING_S = 2.0
"""The kit's own 50 ms are for who writes a step. Here a log line may wait for the disk of a machine that is busy."""

FAST_TEST_S = 2.0
"""Of processor time, its children's included. What takes longer in the fast suite is named at the end of the run."""

PROCESSOR_S = "processor_s"
"""Under this name the report of a test holds the processor time of its call."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The fast suite: for who edits and tries."""
    parser.addoption(
        "--fast",
        action="store_true",
        help=f"no `e2e` and no `thorough` tests; {FAST_PARAMETERS} parameters, {FAST_SCHEDULES} schedules and "
        f"{FAST_EXAMPLES} examples of others",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The fast suite does not import what it does not run. Pytest does not ask about a file that was named to it."""
    is_asked = config.option.fast and collection_path.match("test_*.py")
    return True if is_asked and f"not {first_mark(collection_path)}" in config.option.markexpr else None


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests with real processes come last: what is wrong in a unit shows in its own tests first."""
    if config.option.fast:
        _keep_a_few_parameters(config, items)
    for item in items:
        if isinstance(item, pytest.Function) and _is_in_virtual_time(item):
            item.add_marker("virtual_time")
        if item.get_closest_marker("mmids_limits") is None:
            is_long = item.get_closest_marker("simulation") is not None
            item.add_marker(pytest.mark.mmids_limits(real_s=3600 if is_long else 480, blocking_s=BLOCKING_S))
        if config.option.fast and (marker := item.get_closest_marker("schedules")) is not None:
            count = min([FAST_SCHEDULES, *marker.args])
            item.add_marker(pytest.mark.schedules(**{**marker.kwargs, "count": count}), append=False)
    items.sort(key=lambda item: item.get_closest_marker("e2e") is not None)


def _keep_a_few_parameters(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of each test those that it names first, in whatever order they come: pytest-randomly has shuffled them by now.

    What its marker leaves out anyway takes nobody's place.
    """
    seen = Counter[str]()
    left_out = list[pytest.Item]()
    for item in sorted(items, key=_place_among_parameters):
        if any(item.get_closest_marker(kind) is not None for kind in FAST_LEAVES_OUT):
            continue
        name, _, _ = item.nodeid.partition("[")
        seen[name] += 1
        if seen[name] > FAST_PARAMETERS:
            left_out.append(item)
    gone = set(left_out)
    items[:] = [item for item in items if item not in gone]
    config.hook.pytest_deselected(items=left_out)


def _place_among_parameters(item: pytest.Item) -> tuple[int, ...]:
    """One number for each decorator; all zero for the first."""
    called = getattr(item, "callspec", None)
    return () if called is None else tuple(called.indices.values())


def _is_in_virtual_time(item: pytest.Function) -> bool:
    clocks = {"autojump_clock", "mock_clock", "schedule_seed"}
    return bool(clocks & set(item.fixturenames)) or hasattr(item.module, "MockClock")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Note what the test takes of the processors."""
    before = sum(os.times()[:4])
    try:
        return (yield)
    finally:
        item.user_properties.append((PROCESSOR_S, round(sum(os.times()[:4]) - before, 2)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which tests are too long for the fast suite: they want a smaller example, or the marker `thorough`."""
    if not config.option.fast:
        return
    long: dict[str, float] = {}
    for report in [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]:
        for name, value in getattr(report, "user_properties", ()):
            if name == PROCESSOR_S and isinstance(value, float) and value > FAST_TEST_S:
                long[report.nodeid] = value
    if long:
        terminalreporter.section(f"more than {FAST_TEST_S:g} s of processor time: too long for the fast suite")
        terminalreporter.write("".join(f"{seconds:6.1f} s  {test}\n" for test, seconds in long.items()))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What is skipped in CI is a failure, unless it is known."""
    report = yield
    fail_if_unexpected(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same of whole files."""
    report = yield
    fail_if_unexpected(report)
    return report


def pytest_collection_finish() -> None:
    """What was collected stays to the end: the collector of garbage need not look at all of it again and again."""
    gc.collect()
    gc.freeze()


def pytest_configure(config: pytest.Config) -> None:
    """Without `-m` that names them, long simulations, the whole matrix and large crowds do not run; see `--fast`."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a shell's background; children would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.option.fast:
        settings.load_profile(FAST)
    for kind in ("simulation", "matrix", "scale", *(FAST_LEAVES_OUT if config.option.fast else ())):
        chosen = config.option.markexpr
        if kind not in chosen:
            config.option.markexpr = f"({chosen}) and not {kind}" if chosen else f"not {kind}"


@pytest.fixture
def logs() -> Iterator[list[EventDict]]:
    """Every line that is logged, as a dictionary; its text is under `event`."""
    with capture_logs() as entries:
        yield entries


@pytest.fixture
def closings(logs: list[EventDict]) -> Callable[[], list[str]]:
    """Why the server has closed connections, in order; fails for anything that was logged as a fault of ours."""

    def find() -> list[str]:
        assert [entry for entry in logs if entry["log_level"] in ("error", "critical")] == []
        return [entry["reason"] for entry in logs if entry["event"] == "connection closes"]

    return find
