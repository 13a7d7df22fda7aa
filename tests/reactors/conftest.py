"""A bench for reactors, and what is logged."""

from collections.abc import Iterator

import pytest
import trio
from structlog.testing import capture_logs
from structlog.typing import EventDict

from tests.reactors.stand_ins import Bench


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[EventDict]]:
    """What was logged."""
    with capture_logs() as entries:
        yield entries


@pytest.fixture
async def bench(nursery: trio.Nursery) -> Bench:
    """Stand-ins; the test starts the reactor, under a clock that jumps."""
    return Bench(nursery)
