"""How `wait` waits, on a clock of its own."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from attrs import define

from mmids_trio.cli.client.api import Unreachable
from mmids_trio.cli.client.failures import ClientError
from mmids_trio.cli.commands.wait import wait_until_ready, wait_until_settled

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


def wait_ready(seconds: float, *seen: Sequence[str] | Exception | None) -> tuple[Sequence[str] | None, float]:
    clock, looks = Clock(), list(seen)

    def look() -> Sequence[str] | None:
        found = looks.pop(0) if len(looks) > 1 else looks[0]
        if isinstance(found, Exception):
            raise found
        return found

    found = wait_until_ready(look, seconds, now=lambda: clock.now, pause=clock.pause)
    return found, round(clock.now - 100.0, 3)


def test_a_server_that_is_not_there_yet_is_waited_for_until_it_is_ready() -> None:
    assert wait_ready(30, Unreachable("nobody"), ["starting"], None) == (None, 0.4)


def test_the_wait_for_a_server_ends_with_why_it_is_not_ready() -> None:
    assert wait_ready(0.5, ["no port"]) == (["no port"], 0.5)
    assert wait_ready(0, Unreachable("nobody")) == (["nobody"], 0)


def test_other_failures_end_the_wait_for_a_server_at_once() -> None:
    with pytest.raises(ClientError, match="no API"):
        wait_ready(30, ClientError("no API"))
