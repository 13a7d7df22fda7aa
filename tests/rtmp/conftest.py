"""What was logged, for tests of everything that has to stay quiet about the faults of its clients."""

from collections.abc import Callable, Iterator

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict


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
