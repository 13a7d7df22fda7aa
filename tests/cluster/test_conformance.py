"""The registry in memory keeps what every registry keeps; tests/e2e/test_cluster_registries.py asks real ones."""

import pytest
from trio.testing import MockClock

from mmids_trio.cluster.memory import MemoryDirectory, MemoryRegistry
from tests.support.directory_conformance import CHECKS, Check, Registry


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_memory_conforms(check: Check, autojump_clock: MockClock) -> None:
    registry = MemoryRegistry()
    await check(Registry(MemoryDirectory(registry), MemoryDirectory(registry)))
