"""The pytest plugin: options, markers and fixtures of the test kit.

It is loaded by every pytest of an environment that mmids_trio is installed in, so it imports nothing but pytest until
a test asks for something.  Its entry point has the name of this module: a `pytest_plugins` line that names it, for a
checkout that is not installed, then does not register it twice.
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, asynccontextmanager
from random import SystemRandom
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mmids_trio.testing.ffmpeg import FakeFfmpeg
    from mmids_trio.testing.fixtures import StartHarness
    from mmids_trio.testing.harness import Harness
    from mmids_trio.testing.network import MemoryNetwork
    from mmids_trio.testing.reactors import FakeReactorService

DEFAULT_SCHEDULES = 100
"""Schedules of `@pytest.mark.schedules` without a number."""

PROPERTY = "schedule_seed"
"""Under this name the report of a failed test holds the seed, also in JUnit files."""

USES_THE_KIT = {"mmids_trio.workflow.step"}
"""Modules one of which every project imports that tests steps or workflows; all others are left alone."""

CLOCKS = ("autojump_clock", "mock_clock")
"""Fixtures of pytest-trio, which runs a test by such a clock only where the test function itself takes it."""

BASE_BITS = 32
"""Of a base seed that nobody chose."""

MARKERS = (
    "schedules(count=100, changes=None): run the test under so many schedules of its tasks (changes=N: by priorities "
    "with N change points); a failure names the seed to replay it",
    "mmids_limits(**limits): when a test in virtual time does not go on, see mmids_trio.testing.Limits",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which schedules run."""
    group = parser.getgroup("mmids_trio", "schedules and cancellation (mmids_trio)")
    group.addoption("--schedules", type=int, metavar="N", help="schedules per marked test, whatever its marker says")
    group.addoption("--schedule-base", type=int, metavar="N", help="base seed that the seeds of schedules derive from")
    group.addoption("--schedule-seed", type=int, metavar="N", help="run marked tests under this schedule alone")
    group.addoption(
        "--cancel-at", metavar="N:SEED", help="cancel_everywhere cancels at checkpoint N of the schedule SEED alone"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Choose the base seed; processes of pytest-xdist get it with the options."""
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    if config.option.schedule_base is None:
        config.option.schedule_base = SystemRandom().getrandbits(BASE_BITS)
    if (count := config.option.schedules) is not None and count < 1:
        raise pytest.UsageError(f"--schedules must be at least 1, not {count}")
    if (place := config.option.cancel_at) is not None:
        config.option.cancel_at = _place(place)


def _place(text: object) -> tuple[int, int]:
    if isinstance(text, tuple):  # in a process of pytest-xdist
        number, seed = text
        return number, seed
    number, _, seed = str(text).partition(":")
    if not (number.isdecimal() and seed.isdecimal() and int(number)):
        raise pytest.UsageError(f"--cancel-at takes a checkpoint and a seed, such as 17:12345, not {text}")
    return int(number), int(seed)


def pytest_report_header(config: pytest.Config) -> str:
    """The seed that repeats this run."""
    if config.option.schedule_seed is not None:
        return f"schedules: only seed {config.option.schedule_seed}"
    return f"schedules: base seed {config.option.schedule_base} (repeat with --schedule-base)"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a marked test under its schedules."""
    if not isinstance(item, pytest.Function) or item.get_closest_marker("schedules") is None:
        return None
    from mmids_trio.testing.repeating import run_under_schedules

    run_under_schedules(item, nextitem, _seeds_of(item))
    return True


def _seeds_of(item: pytest.Function) -> list[int]:
    from mmids_trio.testing.schedules import seeds

    options = item.config.option
    if options.schedule_seed is not None:
        return [options.schedule_seed]
    return seeds(options.schedule_base, item.nodeid, options.schedules or _count_of(item))


def _count_of(item: pytest.Function) -> int:
    marker = item.get_closest_marker("schedules")
    assert marker is not None
    count = marker.kwargs.get("count", *marker.args or (DEFAULT_SCHEDULES,))
    if not isinstance(count, int) or count < 1:
        raise pytest.UsageError(f"{item.nodeid}: schedules takes a number of at least 1, not {count!r}")
    return count


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    """Choose the schedule, and the checkpoint of `--cancel-at`, where the test itself runs."""
    __tracebackhide__ = True
    with ExitStack() as stack:
        if (marker := pyfuncitem.get_closest_marker("schedules")) is not None:
            from mmids_trio.testing.repeating import SEED, in_schedule

            if hasattr(pyfuncitem.obj, "hypothesis"):
                pytest.fail("schedules does not go with @given: draw a seed for mmids_trio.testing.schedules.schedule")
            stack.enter_context(in_schedule(pyfuncitem.stash[SEED], marker.kwargs.get("changes")))
        if (place := pyfuncitem.config.option.cancel_at) is not None:
            from mmids_trio.testing.cancellation import cancel_only_at

            stack.enter_context(cancel_only_at(*place))
        if not (USES_THE_KIT & sys.modules.keys()):
            return (yield)
        _fail_where_a_clock_is_passed_by(pyfuncitem)
        from mmids_trio.testing.watchdog import Limits, watching

        marker = pyfuncitem.get_closest_marker("mmids_limits")
        stack.enter_context(watching(Limits() if marker is None else Limits(**marker.kwargs)))
        try:
            return (yield)
        except BaseExceptionGroup as group:
            if (plain := _only_error(group)) is None:
                raise
    raise plain  # here, where the group is not its context


def _fail_where_a_clock_is_passed_by(item: pytest.Function) -> None:
    """Where a mark or a fixture asks for a clock, the test would wait in real time, and nobody would know."""
    from trio.abc import Clock

    asked = [name for name in CLOCKS if name in item.fixturenames]
    own = item._fixtureinfo.argnames
    if asked and item.get_closest_marker("trio") and not any(isinstance(item.funcargs[name], Clock) for name in own):
        pytest.fail(
            f"{asked[0]} has no effect: only a mark or a fixture asks for it, so the test would run in real time; "
            f"make it an argument of {item.originalname} itself",
            pytrace=False,
        )


def _only_error(group: BaseExceptionGroup[BaseException]) -> BaseException | None:
    """The one plain exception in it: the groups are those of pytest-trio's nurseries."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        if len(error.exceptions) > 1:
            return None
        (error,) = error.exceptions
    return error


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Every failed schedule again, in one place and whatever `--tb` says."""
    reports = [*terminalreporter.getreports("failed"), *terminalreporter.getreports("error")]
    # A file that could not be collected has a report without properties.
    failed = {report.nodeid: dict(getattr(report, "user_properties", ())).get(PROPERTY) for report in reports}
    lines = [f"{test}  --schedule-seed={seed}" for test, seed in failed.items() if seed is not None]
    if lines:
        terminalreporter.section("schedules that failed")
        terminalreporter.write("".join(f"{line}\n" for line in lines))


@pytest.fixture
def schedule_seed(request: pytest.FixtureRequest) -> int:
    """The seed of the schedule that the test runs under, for choices of its own: `Random(schedule_seed)`."""
    from mmids_trio.testing.repeating import SEED

    seed = request.node.stash.get(SEED, None)
    if seed is None:
        pytest.fail("schedule_seed is for tests that are marked with `schedules`")
    return int(seed)


@pytest.fixture
def memory_network() -> "MemoryNetwork":
    """The network that servers of `harness` are on."""
    from mmids_trio.testing.network import MemoryNetwork

    return MemoryNetwork()


@pytest.fixture
def fake_ffmpeg() -> "FakeFfmpeg":
    """The ffmpeg that servers of `harness` start; its `children` say what became of them."""
    from mmids_trio.testing.ffmpeg import FakeFfmpeg

    return FakeFfmpeg()


@pytest.fixture
def fake_reactor() -> "FakeReactorService":
    """The service behind `reactor r executor=scripted {` in servers of `harness`; a test scripts its answers."""
    from mmids_trio.testing.reactors import FakeReactorService

    return FakeReactorService()


@pytest.fixture
def harness(
    memory_network: "MemoryNetwork", fake_ffmpeg: "FakeFfmpeg", fake_reactor: "FakeReactorService"
) -> "StartHarness":
    """`async with harness(configuration) as h:` runs a server, stops it, and requires that nothing is left of it.

    Takes what `Harness` takes; network, ffmpeg and executors are those of the fixtures, unless it is given others.
    """
    from mmids_trio.testing.harness import Harness

    @asynccontextmanager
    async def run(configuration: str = "", **more: Any) -> "AsyncIterator[Harness]":
        usual = {"network": memory_network, "spawner": fake_ffmpeg, "more_executors": [fake_reactor.kind()]}
        async with Harness(configuration, **{**usual, **more}) as h:
            yield h
        h.assert_quiet()
        fake_ffmpeg.check_nothing_is_left()

    return run
