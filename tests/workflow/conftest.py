"""A manager on a bench of toy steps, running for the length of a test."""

from collections.abc import Iterator

import pytest
import trio
from structlog.testing import capture_logs
from structlog.typing import EventDict

from mmids_trio.workflow.manager import WorkflowManager
from tests.support.managed import Stage
from tests.support.toy_forwarding import Crossing
from tests.support.toy_steps import Bench


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[EventDict]]:
    """What was logged."""
    with capture_logs() as entries:
        yield entries


@pytest.fixture
async def stage(nursery: trio.Nursery) -> Stage:
    bench = Bench()
    manager = WorkflowManager(bench)
    await nursery.start(manager.run)
    return Stage(bench, manager)


@pytest.fixture
async def crossing(nursery: trio.Nursery) -> Crossing:
    """Workflows with forwarders."""
    made = Crossing()
    await nursery.start(made.manager.run)
    return made
