"""What a cluster asks of its registry, on the virtual clock: the figures of docs/cluster.md."""

import pytest
import trio
from trio.testing import MockClock

from mmids_trio.cluster.directory import RENEW_SECONDS, STREAM_TTL_SECONDS, StreamKey
from mmids_trio.cluster.membership import ANNOUNCE_SECONDS
from tests.support.cluster_nodes import cluster

SECONDS = 30


async def operations(nodes: int, streams: int, followed: int) -> float:
    """Of the registry, a second, when all is calm. Each node follows so many keys of others for its viewers."""
    async with cluster() as ours:
        started = [await ours.start(f"node-{number}") for number in range(nodes)]
        for number in range(streams):
            await started[number % nodes].publish(StreamKey("live", str(number)))
        for number, node in enumerate(started):
            for key in range(followed):
                other = StreamKey("live", str((number + 1 + key * (nodes + 1)) % streams))
                node.membership.follow(other, lambda: None)
        await trio.sleep(2 * STREAM_TTL_SECONDS)
        before = ours.registry.operations
        await trio.sleep(SECONDS)
        assert all(node.losses == [] for node in started)
        return (ours.registry.operations - before) / SECONDS


def expected(nodes: int, streams: int, followed: int) -> float:
    """As the page has it: a renewal per key, a look per followed key, and what a node says of itself."""
    of_nodes = nodes * (1 / RENEW_SECONDS + 1 / ANNOUNCE_SECONDS)
    return streams / RENEW_SECONDS + nodes * followed / STREAM_TTL_SECONDS + of_nodes


async def test_twenty_nodes_ask_what_the_page_says(autojump_clock: MockClock) -> None:
    assert await operations(20, 500, 50) == pytest.approx(expected(20, 500, 50), rel=0.05)


@pytest.mark.simulation
async def test_two_hundred_nodes_ask_what_the_page_says(autojump_clock: MockClock) -> None:
    """5,000 streams; 100,000 viewers are 500 a node, who watch 50 keys of others."""
    assert await operations(200, 5000, 50) == pytest.approx(expected(200, 5000, 50), rel=0.05)
