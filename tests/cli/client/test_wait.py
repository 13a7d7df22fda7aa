"""How `wait` waits, on a clock of its own."""

from collections.abc import Mapping
from typing import Any

from attrs import define

from mmids_trio.cli.commands.wait import wait_until_settled

RUNNING = {"status": "Running", "pending_steps": []}
PENDING = {"status": "Running", "pending_steps": [{}]}
FAILED = {"status": "Step id 1 failed: no", "pending_steps": []}


@define
class Clock:
    """Goes on when somebody waits."""

    now: float = 100.0

    def pause(self, seconds: float) -> None:
        """Let so many seconds go by."""
        self.now += seconds


def wait(seconds: float, *seen: Mapping[str, Any] | None) -> tuple[Mapping[str, Any] | None, float]:
    """What the wait ends with, and after how long; the last of `seen` stays."""
    clock, looks = Clock(), list(seen)

    def look() -> Mapping[str, Any] | None:
        return looks.pop(0) if len(looks) > 1 else looks[0]

    found = wait_until_settled(look, seconds, now=lambda: clock.now, pause=clock.pause)
    return found, round(clock.now - 100.0, 3)


def test_what_runs_or_has_failed_is_not_waited_for() -> None:
    assert wait(30, RUNNING) == (RUNNING, 0)
    assert wait(30, FAILED) == (FAILED, 0)


def test_an_update_and_a_workflow_that_is_not_there_yet_are_waited_for() -> None:
    assert wait(30, None, PENDING, RUNNING) == (RUNNING, 0.4)


def test_the_wait_ends_in_time_with_a_last_look() -> None:
    assert wait(0.5, PENDING) == (PENDING, 0.5)
    assert wait(0.5, None) == (None, 0.5)
    assert wait(0, None) == (None, 0)
