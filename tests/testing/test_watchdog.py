"""A test that does not go on ends with an error that says why, and one that goes on is left alone."""

import inspect
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.errors import leaves
from mmids_trio.steps import Inbox, Outbox
from mmids_trio.testing import (
    ChannelInbox,
    Deadlock,
    Harness,
    Limits,
    Livelock,
    Outlet,
    TookTooLong,
    Watchdog,
    explore,
)
from mmids_trio.testing.exploring import in_virtual_time

LIVE = "workflow w {\n rtmp_receive rtmp_app=live stream_key=*\n rtmp_watch rtmp_app=live stream_key=*\n}\n"

FEW = Limits(steps=3_000)
SOON = Limits(real_s=0.2)

Main = Callable[[], Awaitable[object]]


class Forgetful:
    """A step that does not say that it has started."""

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        while True:
            await outbox.send(await inbox.receive())


class Careful:
    """The same step, as it should be."""

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        while True:
            await outbox.send(await inbox.receive())


async def start(step: Forgetful | Careful) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(step.run, ChannelInbox(), Outlet()))
        nursery.cancel_scope.cancel()


def line_of(function: Callable[..., object], code: str) -> str:
    """File, line and function, as a text of the watchdog has them."""
    lines, first = inspect.getsourcelines(function)
    number = next(number for number, line in enumerate(lines, first) if code in line)
    return f"tests/testing/test_watchdog.py:{number} in {function.__qualname__}"


def run(main: Main, limits: Limits | None = None) -> None:
    trio.run(main, clock=MockClock(autojump_threshold=0), instruments=[Watchdog(limits or Limits())])


def error_of(main: Main, limits: Limits | None = None) -> BaseException:
    """The first plain exception that `main` ends with."""
    with pytest.raises((Exception, BaseExceptionGroup)) as caught:
        run(main, limits)
    return next(leaves(caught.value))


async def sleep_shielded() -> None:
    with trio.CancelScope(shield=True):
        await trio.sleep_forever()


async def swallow(wait: Main, over: list[bool]) -> None:
    while not over:
        with suppress(BaseException):
            await wait()


async def spin() -> None:
    while True:
        await trio.lowlevel.checkpoint()


# Deadlocks.


def test_a_step_without_started_is_a_deadlock_that_names_it_and_both_places() -> None:
    error = error_of(lambda: start(Forgetful()))
    assert isinstance(error, Deadlock)
    first, starter, step = str(error).splitlines()
    assert first.startswith("deadlock: ")
    assert "waits in Nursery.start for task_status.started() of " in starter
    assert starter.endswith(line_of(start, "nursery.start("))
    assert f"Forgetful.run waits in MemoryReceiveChannel.receive: {line_of(Forgetful.run, 'inbox.')} > " in step


def test_a_step_that_says_that_it_has_started_is_none() -> None:
    run(lambda: start(Careful()))


def test_a_task_that_is_shielded_without_a_deadline_is_told_too() -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sleep_shielded)

    error = error_of(main)
    assert isinstance(error, Deadlock)
    assert f"sleep_shielded waits in sleep_forever: {line_of(sleep_shielded, 'sleep_forever')}" in str(error)


def test_a_test_that_expects_a_deadlock_goes_on() -> None:
    async def main() -> None:
        for _ in range(5):
            with pytest.raises(Deadlock):
                await trio.sleep_forever()
        await trio.sleep(1)

    run(main)


def test_whoever_has_a_deadline_is_waited_for() -> None:
    async def main() -> None:
        with trio.move_on_after(3600):
            await trio.sleep_forever()

    run(main)


def test_a_thread_and_a_test_that_waits_for_all_to_be_blocked_are_no_deadlocks() -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            await wait_all_tasks_blocked()
            await trio.to_thread.run_sync(time.sleep, 0.05)
            nursery.cancel_scope.cancel()

    run(main)


def test_a_thread_of_the_test_may_wake_the_loop() -> None:
    async def main() -> None:
        event, token = trio.Event(), trio.lowlevel.current_trio_token()

        def wake() -> None:
            time.sleep(0.05)
            token.run_sync_soon(event.set)

        threading.Thread(target=wake).start()
        await event.wait()

    run(main)


def test_a_clock_that_the_test_moves_is_watched_too() -> None:
    with pytest.raises(Deadlock):
        trio.run(trio.sleep, 5, clock=MockClock(), instruments=[Watchdog()])


async def test_a_harness_brings_a_watchdog_along(autojump_clock: MockClock) -> None:
    with pytest.raises(Deadlock, match="test_a_harness_brings_a_watchdog_along"):
        async with Harness(LIVE) as h:
            await h.wait_event(int, since=0)


def test_a_harness_brings_one_along_where_nothing_else_does() -> None:
    async def main() -> None:
        async with Harness() as h:
            await h.wait_event(int, since=0)

    with pytest.raises(Deadlock, match=r"harness\.py:\d+ in Harness\.wait_event"):
        trio.run(main, clock=MockClock(autojump_threshold=0))


def test_exploring_finds_the_deadlock_that_needs_an_unlucky_order() -> None:
    async def main() -> None:
        event = trio.Event()

        async def wait_once() -> None:
            nonlocal event
            event = trio.Event()
            await event.wait()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_once)
            await trio.lowlevel.checkpoint()
            event.set()  # lost, if the other has not begun

    with pytest.raises(ExceptionGroup) as caught:
        explore(main, schedules=50)
    assert isinstance(next(leaves(caught.value)), Deadlock)


async def test_the_fixtures_watch_tests_that_run_nothing_of_the_kits(autojump_clock: MockClock) -> None:
    with pytest.raises(Deadlock):
        await trio.sleep_forever()


@pytest.mark.thorough
async def test_a_test_that_waits_on_while_only_the_server_runs_is_a_deadlock(autojump_clock: MockClock) -> None:
    with pytest.raises(Deadlock, match="nothing new for 86400 s of virtual time"):
        async with Harness(LIVE) as h:
            await (await h.watch("nobody")).receive(1)  # the server pings on and on


@pytest.mark.thorough
async def test_a_test_that_waits_for_days_with_a_deadline_is_none(autojump_clock: MockClock) -> None:
    async with Harness(LIVE) as h:
        watcher = await h.watch("nobody")
        with trio.move_on_after(3 * 86_400) as scope:
            await watcher.receive(1)
        assert scope.cancelled_caught or watcher.is_disconnected


# Livelocks.


def test_tasks_that_run_on_and_on_are_a_livelock_that_names_them() -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(spin)
            await trio.sleep(1)

    error = error_of(main, FEW)
    assert isinstance(error, Livelock)
    assert str(error).startswith("livelock: 3000 steps ")
    assert f"spin waits in checkpoint: {line_of(spin, 'checkpoint()')}" in str(error)


@pytest.mark.thorough
@pytest.mark.parametrize("wait", [trio.lowlevel.checkpoint, trio.sleep_forever])
def test_a_task_that_swallows_every_error_ends_all_the_same(wait: Main) -> None:
    over: list[bool] = []

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(swallow, wait, over)
            await trio.sleep(1)
            nursery.cancel_scope.cancel()

    assert isinstance(error_of(main, FEW), Livelock)
    over.append(True)  # it would swallow the end of its coroutine, too


@pytest.mark.thorough
def test_many_steps_are_none_as_long_as_time_goes_by() -> None:
    async def main() -> None:
        for _ in range(10_000):
            await trio.sleep(0.001)

    run(main, FEW)


async def work_for_long(h: Harness) -> None:
    """More steps than are allowed, while bytes arrive all the time."""
    client = await h.connect()
    for _ in range(2_000):
        await client.transport.send_all(b"")
        await client.command("nobodyKnowsIt")


@pytest.mark.thorough
@pytest.mark.mmids_limits(steps=2_000)
async def test_many_steps_are_none_as_long_as_something_arrives(autojump_clock: MockClock) -> None:
    async with Harness(LIVE) as h:
        await work_for_long(h)


@pytest.mark.thorough
@pytest.mark.mmids_limits(steps=2_000, most_steps=2_000)
async def test_the_steps_of_that_test_would_be_too_many(autojump_clock: MockClock) -> None:
    with pytest.raises(Livelock):
        async with Harness(LIVE) as h:
            await work_for_long(h)


# The last resort.


def test_a_task_that_never_awaits_is_named_with_its_line() -> None:
    async def hog() -> None:
        while True:
            pass

    error = error_of(hog, SOON)
    assert isinstance(error, TookTooLong)
    assert "the test took longer than 0.2 s of real time" in str(error)
    assert f"the task {hog.__module__}.{hog.__qualname__} runs: tests/testing/test_watchdog.py:" in str(error)
    assert f"in {hog.__qualname__}" in str(error)


def test_virtual_time_that_runs_away_ends_too_and_all_are_named() -> None:
    async def tick() -> None:
        while True:  # noqa: ASYNC110  # the fault
            await trio.sleep(60)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tick)
            await trio.sleep_forever()

    error = error_of(main, SOON)
    assert isinstance(error, TookTooLong)
    assert f"{main.__qualname__} waits in sleep_forever: {line_of(main, 'sleep_forever')}" in str(error)
    assert f"{tick.__qualname__} waits in sleep: {line_of(tick, 'sleep(60)')}" in str(error)


def test_the_limit_leaves_who_is_debugged_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmids_trio.testing.real_time.is_debugged", lambda: True)

    async def hog() -> None:
        ends = time.monotonic() + 0.3
        while time.monotonic() < ends:
            pass

    run(hog, Limits(real_s=0.05))


def test_what_runs_in_virtual_time_has_no_limit_that_it_reaches() -> None:
    async def main() -> None:
        await trio.sleep(24 * 3600)

    in_virtual_time(main)


# Tests of others.


@pytest.mark.thorough
def test_who_does_not_use_the_kit_is_left_alone(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    pytester.makepyfile(
        """
        import pytest
        import trio
        from trio._core import _run

        @pytest.mark.trio
        async def test_nothing_is_added(autojump_clock):
            assert not [name for name in _run.GLOBAL_RUN_CONTEXT.runner.instruments["_all"]]
        """
    )
    pytester.runpytest_subprocess("-p", "mmids_trio.testing.plugin", "-q").assert_outcomes(passed=1)
