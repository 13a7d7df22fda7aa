"""What a cluster asks of its registry, on the virtual clock: the figures of docs/cluster.md."""

import pytest
import trio
from attrs import frozen
from trio.testing import MockClock

from mmids_trio.cluster.claims import Following, KeyElsewhere
from mmids_trio.cluster.directory import RENEW_SECONDS, STREAM_TTL_SECONDS, StreamKey
from mmids_trio.cluster.membership import ANNOUNCE_SECONDS
from tests.support.cluster_nodes import Node, cluster

pytestmark = pytest.mark.thorough

SECONDS = 30


@frozen
class Figures:
    """What a cluster costs, and how long it takes."""

    operations: float
    """Of the registry, a second, when all is calm."""
    moved: int
    """Keys of a node that died."""
    claimed_s: float
    """After its death the last of them was another node's, where encoders try again every half a second."""
    known_s: float
    """After that death every node that fetched one of them knew where it is."""


async def figures(nodes: int, streams: int, followed: int) -> Figures:
    """Each node follows so many keys of others for its viewers."""
    async with cluster() as ours:
        followings: list[tuple[Node, Following]] = []
        changes: list[float] = []
        started = [await ours.start(f"node-{number}") for number in range(nodes)]
        for number in range(streams):
            await started[number % nodes].publish(StreamKey("live", str(number)))
        for number, node in enumerate(started):
            for turn in range(followed):
                other = StreamKey("live", str((number + 1 + turn * (nodes + 1)) % streams))
                following = node.membership.follow(other, lambda: changes.append(trio.current_time()))
                followings.append((node, following))
        await trio.sleep(2 * STREAM_TTL_SECONDS)
        before = ours.registry.operations
        await trio.sleep(SECONDS)
        assert all(node.losses == [] for node in started)
        a_second = (ours.registry.operations - before) / SECONDS
        dead, owner, died = started[0], started[0].membership.incarnation, trio.current_time()
        of_dead = [(node, each) for node, each in followings if each.entry and each.entry.owner == owner]
        assert of_dead
        moving = [key.key for key in dead.membership.held()]
        dead.die()
        async with trio.open_nursery() as encoders:
            for number, key in enumerate(moving):
                encoders.start_soon(_publish_somewhere, key, started[1 + number % (nodes - 1)])
        claimed_s = trio.current_time() - died
        await trio.sleep(2 * STREAM_TTL_SECONDS)
        for node, each in of_dead:
            assert each.entry is not None
            is_here = any(held.key == each.entry.key for held in node.membership.held())
            assert is_here or node is dead or (each.is_present and each.entry.owner != owner)
        return Figures(a_second, len(moving), claimed_s, changes[-1] - died)


async def _publish_somewhere(key: StreamKey, node: Node) -> None:
    while True:
        try:
            await node.publish(key)
            return
        except KeyElsewhere:
            await trio.sleep(0.5)


def expected(nodes: int, streams: int, followed: int) -> float:
    """As the page has it: a renewal per key, a look per followed key, and what a node says of itself."""
    of_nodes = nodes * (1 / RENEW_SECONDS + 1 / ANNOUNCE_SECONDS)
    return streams / RENEW_SECONDS + nodes * followed / STREAM_TTL_SECONDS + of_nodes


def check(nodes: int, streams: int, followed: int, found: Figures) -> None:
    assert found.operations == pytest.approx(expected(nodes, streams, followed), rel=0.05)
    assert found.moved == streams / nodes
    assert found.claimed_s <= STREAM_TTL_SECONDS + 1
    assert found.known_s <= found.claimed_s + STREAM_TTL_SECONDS


async def test_twenty_nodes_ask_what_the_page_says_and_move_the_keys_of_one_that_dies(
    autojump_clock: MockClock,
) -> None:
    check(20, 500, 50, await figures(20, 500, 50))


@pytest.mark.simulation
async def test_two_hundred_nodes_ask_what_the_page_says_and_move_the_keys_of_one_that_dies(
    autojump_clock: MockClock,
) -> None:
    """5,000 streams; 100,000 viewers are 500 a node, who watch 50 keys of others."""
    found = await figures(200, 5000, 50)
    print(found)
    check(200, 5000, 50, found)
