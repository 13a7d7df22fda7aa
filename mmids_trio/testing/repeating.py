"""How pytest runs one test under many schedules: the whole protocol of the test again for each seed.

Set-up, call and teardown are repeated, rather than the test parametrized: so every schedule has fixtures of its own,
async ones of pytest-trio included, and a `trio.run` of its own; the test stays one test for `-k`, pytest-xdist and
plugins that shuffle; and the cost is some 2 ms a schedule instead of 200 items with 200 lines of results.  Apart from
the plugin because it is only imported where a test has the marker.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from _pytest._code.code import ExceptionRepr
from _pytest.runner import runtestprotocol
from pytest_trio.plugin import TrioFixture  # type: ignore[import-untyped]  # it has no types

from mmids_trio.testing.plugin import PROPERTY
from mmids_trio.testing.schedules import Order, Priorities, schedule

SEED = pytest.StashKey[int]()
"""Of a test that runs: the seed of its schedule."""


def run_under_schedules(item: pytest.Function, nextitem: pytest.Item | None, seeds: Sequence[int]) -> None:
    """Run a test once for each seed, up to the first that does not pass, and report it as one test."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = _run_until_failure(item, seeds)
    reports += _tear_down_what_the_next_does_not_need(item, nextitem)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def _run_until_failure(item: pytest.Function, seeds: Sequence[int]) -> list[pytest.TestReport]:
    """The reports of the last round; their durations are those of all rounds together."""
    durations: defaultdict[str | None, float] = defaultdict(float)
    properties = len(item.user_properties)
    for number, seed in enumerate(seeds, 1):
        _make_fresh(item, properties)
        reports = _run_once(item, seed, f"schedule seed {seed} ({number} of {len(seeds)})")
        for report in reports:
            durations[report.when] += report.duration
        if not all(report.passed for report in reports):
            break
    for report in reports:
        report.duration = durations[report.when]
    return reports


def _make_fresh(item: pytest.Function, properties: int) -> None:
    """Forget what the round before has left in the item: output, properties, and the instance of a test class."""
    item._report_sections.clear()
    del item.user_properties[properties:]
    if item.cls is not None:
        vars(item).pop("_instance", None)
        vars(item).pop("_obj", None)


def _run_once(item: pytest.Function, seed: int, name: str) -> list[pytest.TestReport]:
    item.stash[SEED] = seed
    try:
        # The parent stands for the next test: only what belongs to this test is torn down.
        reports = runtestprotocol(item, log=False, nextitem=item.parent)  # type: ignore[arg-type]  # any node does
    except BaseException as interruption:  # of a test that hangs, for instance
        item.config.get_terminal_writer().line(f"\n{item.nodeid}: interrupted in {name}")
        raise interruption
    for report in reports:
        if report.failed:
            _say_how_to_replay(report, seed, name)
    return reports


def _say_how_to_replay(report: pytest.TestReport, seed: int, name: str) -> None:
    report.user_properties.append((PROPERTY, seed))
    if isinstance(report.longrepr, ExceptionRepr):
        report.longrepr.addsection("schedule", f"{name}; replay with --schedule-seed={seed}")


def _tear_down_what_the_next_does_not_need(
    item: pytest.Function, nextitem: pytest.Item | None
) -> list[pytest.TestReport]:
    """The end of modules and of the session, which the rounds have left alone; a report where it fails."""
    left = item.session._setupstate
    call = pytest.CallInfo.from_call(lambda: left.teardown_exact(nextitem), "teardown")
    return [item.ihook.pytest_runtest_makereport(item=item, call=call)] if call.excinfo else []


@contextmanager
def in_schedule(seed: int, changes: int | None = None) -> Iterator[None]:
    """What is called inside, a test of pytest-trio with its fixtures, follows the schedule of `seed`.

    `changes`: tasks have random priorities, with so many change points.
    """
    order: Order = seed if changes is None else Priorities(seed, changes)
    with schedule(order, takes_notes=False), pytest.MonkeyPatch.context() as patch:
        # It starts the tasks of fixtures in the order of a set, which differs from process to process.
        patch.setattr(TrioFixture, "register_and_collect_dependencies", _dependencies_in_order)
        yield


def _dependencies_in_order(fixture: TrioFixture) -> list[TrioFixture]:
    """As the method of pytest-trio that it stands in for, with the order in which arguments were declared."""
    found = {fixture: None}
    for value in fixture._pytest_kwargs.values():
        if isinstance(value, TrioFixture):
            value.user_done_events = dict.fromkeys([*value.user_done_events, fixture._teardown_done])
            found.update(dict.fromkeys(_dependencies_in_order(value)))
    return list(found)
