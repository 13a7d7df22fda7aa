"""A TCP server of somebody else's, which accepts, stalls, resets, refuses or is slow: for what dials out.

It listens in a `MemoryNetwork`, and keeps a bounded part of what it gets; the rest is counted.
"""

from collections.abc import Sequence
from math import inf

import trio
from attrs import define, field, frozen

from mmids_trio.testing.network import MemoryListener, MemoryNetwork, MemoryTransport, refused

READ_BYTES = 4096

MOST_CONNECTIONS = 10_000
"""Of one peer; more are refused."""


@frozen(kw_only=True)
class PeerDoes:
    """What the peer does with one connection."""

    refuses: bool = False
    stalls: bool = False
    """Accepts, and reads nothing."""
    resets_after: float = inf
    """Bytes that it reads before it resets the connection."""
    bytes_per_second: float = inf
    """How fast it reads."""
    answers: bytes = b""
    """What it sends at once."""


@define(eq=False)
class PeerConnection:
    """One connection that was made to the peer, and when, on trio's clock."""

    does: PeerDoes
    began: float
    received: bytearray = field(factory=bytearray)
    """The first bytes of what came, as many as are kept."""
    count: int = 0
    """All bytes that it has read."""


@define(eq=False)
class FakePeer:
    """Listens on `port` of `network` while `run` does: `await nursery.start(peer.run)`.

    Each connection gets the next of `script`, all later ones the last.  Of each, `most_kept` bytes are kept.
    """

    network: MemoryNetwork
    port: int
    script: Sequence[PeerDoes] = (PeerDoes(),)
    most_kept: int = 64 * 1024
    connections: list[PeerConnection] = field(factory=list, init=False)
    """Oldest first, those that were refused included."""

    def begin(self) -> PeerConnection:
        """What is done with a connection that comes now. Raises `ConnectionRefusedError`."""
        if len(self.connections) >= MOST_CONNECTIONS:
            raise refused(self.port)
        does = self.script[min(len(self.connections), len(self.script) - 1)]
        self.connections.append(PeerConnection(does, trio.current_time()))
        if does.refuses:
            raise refused(self.port)
        return self.connections[-1]

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        async with trio.open_nursery() as nursery:
            listener = _PeerListener(self, nursery)
            self.network.open(listener)
            try:
                task_status.started()
                await trio.sleep_forever()
            finally:
                listener.close()

    async def serve(self, transport: MemoryTransport, connection: PeerConnection) -> None:
        """Do with one connection what it is to do."""
        does = connection.does
        try:
            if does.answers:
                await transport.send_all(does.answers)
            while not does.stalls:
                if connection.count >= does.resets_after:
                    transport.reset()
                    return
                data = await transport.receive_some(int(min(READ_BYTES, does.resets_after - connection.count)))
                if not data:
                    break
                connection.count += len(data)
                connection.received += data[: max(0, self.most_kept - len(connection.received))]
                await trio.sleep(len(data) / does.bytes_per_second)
            if does.stalls:
                await trio.sleep_forever()
        except trio.BrokenResourceError:
            pass
        finally:
            transport.close()


class _PeerListener(MemoryListener):
    """Decides of each connection when it is made."""

    def __init__(self, peer: FakePeer, nursery: trio.Nursery) -> None:
        super().__init__(peer.network, peer.port, 1)
        self._peer, self._serving = peer, nursery

    async def deliver(self, transport: MemoryTransport) -> None:
        """See `MemoryListener`."""
        await trio.lowlevel.checkpoint()
        self._serving.start_soon(self._peer.serve, transport, self._peer.begin())
