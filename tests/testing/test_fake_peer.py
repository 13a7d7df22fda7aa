"""A peer of a test does with each connection what its script says, and keeps a bounded part of what it gets."""

import pytest
import trio
from trio.testing import MockClock

from mmids_trio.testing import FakePeer, MemoryNetwork, PeerDoes


async def test_each_connection_gets_what_the_script_says(autojump_clock: MockClock) -> None:
    network = MemoryNetwork()
    script = [PeerDoes(refuses=True), PeerDoes(resets_after=3), PeerDoes(answers=b"hello")]
    peer = FakePeer(network, 9000, script, most_kept=4)
    async with trio.open_nursery() as nursery:
        await nursery.start(peer.run)
        with pytest.raises(ConnectionRefusedError):
            await network.dial("elsewhere", 9000)
        broken = await network.dial("elsewhere", 9000)
        await broken.send_all(b"abcdef")
        with pytest.raises(trio.BrokenResourceError):
            await broken.receive_some(1)
        for _ in range(2):
            good = await network.dial("elsewhere", 9000)
            assert await good.receive_some(10) == b"hello"
            await good.send_all(b"abcdef")
            good.close()
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert [(each.count, bytes(each.received)) for each in peer.connections] == [
        (0, b""),
        (3, b"abc"),
        (6, b"abcd"),
        (6, b"abcd"),
    ]
    assert not network.open_ports


async def test_a_peer_that_stalls_reads_nothing_and_a_slow_one_little(autojump_clock: MockClock) -> None:
    network = MemoryNetwork(buffer_size=10)
    peer = FakePeer(network, 9000, [PeerDoes(stalls=True), PeerDoes(bytes_per_second=10)])
    async with trio.open_nursery() as nursery:
        await nursery.start(peer.run)
        stalled = await network.dial("elsewhere", 9000)
        with trio.move_on_after(60) as scope:
            await stalled.send_all(bytes(11))
        assert scope.cancelled_caught
        began = trio.current_time()
        await (await network.dial("elsewhere", 9000)).send_all(bytes(100))
        assert 7 < trio.current_time() - began < 11
        nursery.cancel_scope.cancel()
