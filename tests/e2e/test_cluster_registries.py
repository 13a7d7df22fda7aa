"""Redis, Redis behind Sentinel, and etcd keep what every registry keeps; and what each does when it fails."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from gc import collect
from pathlib import Path

import pytest
import trio

from mmids_trio.cluster.directory import Directory, RegistryAway
from mmids_trio.cluster.registries import directory_of
from tests.support.directory_conformance import CHECKS, Check, Registry
from tests.support.registries import etcd, free_ports, redis, running, sentinels
from tests.support.waiting import eventually_answered

pytestmark = pytest.mark.e2e

ATTEMPTS = 5
AT_ONCE = 6
"""Checks: each has two clients with several connections, and a busy machine takes its time to open them."""

Place = Callable[[Path], AbstractAsyncContextManager[str]]


@asynccontextmanager
async def in_redis(directory: Path) -> AsyncIterator[str]:
    async with running() as nursery:
        [port] = free_ports(1)
        server = redis(nursery, directory, port)
        await server.start()
        yield f"redis://127.0.0.1:{server.port}"


@asynccontextmanager
async def behind_sentinel(directory: Path) -> AsyncIterator[str]:
    async with running() as nursery:
        yield (await sentinels(nursery, directory)).url


@asynccontextmanager
async def in_etcd(directory: Path) -> AsyncIterator[str]:
    async with running() as nursery:
        server = etcd(nursery, directory)
        await server.start()
        yield f"etcd://127.0.0.1:{server.port}"


@asynccontextmanager
async def two_nodes(url: str, cluster: str) -> AsyncIterator[Registry]:
    one, other = directory_of(cluster, url), directory_of(cluster, url)
    async with one.connected(), other.connected():
        await eventually_answered(lambda: answers(one), "answer")
        yield Registry(one, other)


async def answers(directory: Directory) -> bool:
    try:
        await directory.generation()
    except RegistryAway:
        return False
    return True


@pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning")
@pytest.mark.parametrize("place", [in_redis, behind_sentinel, in_etcd], ids=["redis", "sentinel", "etcd"])
async def test_a_real_registry_conforms(place: Place, tmp_path: Path) -> None:
    """All checks, side by side, each in a cluster of its own; so one start and one time to live is enough."""
    room = trio.CapacityLimiter(AT_ONCE)
    async with place(tmp_path) as url, trio.open_nursery() as nursery:
        for check in CHECKS:
            nursery.start_soon(conforms, check, url, room)
    collect()  # here, where it is ignored: coredis closes nothing of a connection that took too long to open


async def conforms(check: Check, url: str, room: trio.CapacityLimiter) -> None:
    """Once more, with another cluster, where a busy machine took more than the second that an answer may take."""
    for attempt in range(ATTEMPTS):
        try:
            async with room, two_nodes(url, f"{check.__name__}-{attempt}") as registry:
                await check(registry)
        except* RegistryAway:
            if attempt + 1 == ATTEMPTS:
                raise
        else:
            return
