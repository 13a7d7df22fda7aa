"""A network in memory: everything that speaks RTMP can be tested without sockets, on trio's mock clock.

Each direction of a connection holds a bounded number of bytes, like a kernel's socket buffer, so a peer
that never reads makes the other side block exactly as a real one does.  How the bytes travel is for `links` to say.
"""

import contextlib
import errno
import itertools
from collections.abc import Callable

import trio

from mmids_trio.net.transport import send_everything
from mmids_trio.testing.links import PERFECT, Link, LinkState, Pipe

DEFAULT_BUFFER = 64 * 1024
"""Bytes that one direction holds; of the order of a kernel's socket buffer."""

DEFAULT_BACKLOG = 128
"""Connections that may wait for `accept`; one more waits in `connect`."""

FIRST_FREE_PORT = 49_152
"""Where the search for port 0 begins: the first dynamic port (RFC 6335 §6)."""


class MemoryTransport:
    """One end of a connection of a `MemoryNetwork`; a `Transport`."""

    takes_ahead = False
    has_unsent = False

    def __init__(self, incoming: Pipe, outgoing: Pipe, link_state: LinkState, address: tuple[str, int]) -> None:
        self._incoming, self._outgoing, self._link_state = incoming, outgoing, link_state
        self.peer_host, self.peer_port = address
        self._closed = False
        self._peer = self

    def pair_with(self, peer: "MemoryTransport") -> None:
        """The other end."""
        self._peer, peer._peer = peer, self

    async def receive_some(self, max_bytes: int) -> bytes:
        """See `Transport`."""
        await trio.lowlevel.checkpoint()
        pipe = self._incoming
        while True:
            if received := self.receive_nowait(max_bytes):
                return received
            if pipe.has_ended:
                return b""
            with trio.move_on_at(pipe.next_change):
                await pipe.changed.park()

    def receive_nowait(self, max_bytes: int = DEFAULT_BUFFER) -> bytes:
        """See `Transport`; also for tests that have no task to wait in."""
        self._check_open()
        if not self._incoming.arrived:
            self._check_whole()
        return self._incoming.take(max_bytes)

    def has_arrived(self, size: int) -> bool:
        """See `Transport`."""
        return self._incoming.arrived >= size

    async def send_all(self, data: bytes) -> None:
        """See `Transport`."""
        await send_everything(self, data)

    def send_nowait(self, data: bytes | memoryview) -> int:
        """See `Transport`."""
        self._check_open()
        self._check_whole()
        if self._outgoing.receiver_closed:
            raise trio.BrokenResourceError("the peer has closed the connection")
        return self._outgoing.put(data)

    async def wait_writable(self) -> None:
        """See `Transport`."""
        await trio.lowlevel.checkpoint()
        pipe = self._outgoing
        while not (self._closed or pipe.room or pipe.receiver_closed or self._link_state.is_cut):
            with trio.move_on_at(self._link_state.cut_at):
                await pipe.changed.park()
        self._check_open()

    def close(self) -> None:
        """See `Transport`. The peer still gets what was sent before."""
        if not self._closed:
            self._closed = True
            self._incoming.receiver_closed = not self._link_state.has_vanished
            self._outgoing.end()
            self._incoming.clear()
            self._link_state.wake()

    def reset(self) -> None:
        """Break the connection, as a peer's RST does: both ends get `trio.BrokenResourceError` from now."""
        self._incoming.clear()
        self._outgoing.clear()
        self._link_state.cut()

    def vanish(self) -> None:
        """Have the connection go half-open: nothing that either end sends or does from now on reaches the other."""
        self._link_state.vanish()

    @property
    def unread(self) -> int:
        """Bytes sent from here that the peer has not read yet."""
        return self._outgoing.unread

    @property
    def moved(self) -> int:
        """Bytes sent and read so far, of both directions together; it only grows."""
        return self._outgoing.moved + self._incoming.moved

    @property
    def is_over(self) -> bool:
        """Whether either end has closed it, or it was reset; also where this end cannot know of it."""
        return self._closed or self._peer._closed or self._link_state.is_cut

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this connection was closed here")

    def _check_whole(self) -> None:
        if self._link_state.is_cut:
            raise trio.BrokenResourceError("the connection was reset")


def memory_connection(
    *,
    buffer_size: int = DEFAULT_BUFFER,
    client: tuple[str, int] = ("127.0.0.1", FIRST_FREE_PORT),
    server: tuple[str, int] = ("127.0.0.1", 1935),
    link: Link = PERFECT,
) -> tuple[MemoryTransport, MemoryTransport]:
    """The client's and the server's end of a new connection, with the addresses that their peers see."""
    link_state = LinkState(link)
    to_server, to_client = Pipe(buffer_size, link_state, link.up), Pipe(buffer_size, link_state, link.down)
    ends = (
        MemoryTransport(to_client, to_server, link_state, server),
        MemoryTransport(to_server, to_client, link_state, client),
    )
    ends[0].pair_with(ends[1])
    return ends


def _nothing() -> None:
    """Memory has no files to run out of."""


class MemoryListener:
    """An open port of a `MemoryNetwork`; a `Listener`."""

    def __init__(self, network: "MemoryNetwork", port: int, backlog: int) -> None:
        self.port = port
        self.on_pause: Callable[[], None] = _nothing
        self._network = network
        self._waiting, self._arriving = trio.open_memory_channel[MemoryTransport](backlog)

    async def accept(self) -> MemoryTransport:
        """See `Listener`."""
        return await self._arriving.receive()

    def close(self) -> None:
        """See `Listener`. Connections that nobody accepted are reset."""
        self._network.forget(self)
        self._waiting.close()
        with contextlib.suppress(trio.EndOfChannel, trio.ClosedResourceError):
            while True:
                self._arriving.receive_nowait().reset()
        self._arriving.close()

    async def deliver(self, transport: MemoryTransport) -> None:
        """Put a connection before `accept`. Raises `ConnectionRefusedError` if the port closes."""
        try:
            await self._waiting.send(transport)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise refused(self.port) from None


class MemoryNetwork:
    """A `Network` without sockets; ports are shared by all host names."""

    def __init__(
        self, *, buffer_size: int = DEFAULT_BUFFER, backlog: int = DEFAULT_BACKLOG, link: Link = PERFECT
    ) -> None:
        """`link` is for connections that are not made with one of their own."""
        self._buffer_size, self._backlog, self._link = buffer_size, backlog, link
        self.choose_link: Callable[[], Link] = lambda: self._link
        """The link of the next connection that is made without one of its own."""
        self._listeners: dict[int, MemoryListener] = {}
        self._client_ports = itertools.count(FIRST_FREE_PORT)

    def listen(self, host: str | None, port: int) -> MemoryListener:
        """See `Network`. Raises `OSError` (`EADDRINUSE`) when the port is open already."""
        if port == 0:
            port = next(free for free in itertools.count(FIRST_FREE_PORT) if free not in self._listeners)
        if port in self._listeners:
            raise OSError(errno.EADDRINUSE, f"cannot listen on {host or 'all addresses'} port {port}: in use")
        listener = self._listeners[port] = MemoryListener(self, port, self._backlog)
        return listener

    async def connect(
        self, port: int, *, peer_host: str = "127.0.0.1", peer_port: int | None = None, link: Link | None = None
    ) -> MemoryTransport:
        """The client's end of a new connection to `port`; the server sees it come from `peer_host` and `peer_port`.

        Raises `ConnectionRefusedError` when nobody listens.
        """
        listener = self._listeners.get(port)
        if listener is None:
            await trio.lowlevel.checkpoint()
            raise refused(port)
        client, server = memory_connection(
            buffer_size=self._buffer_size,
            client=(peer_host, next(self._client_ports) if peer_port is None else peer_port),
            server=("127.0.0.1", port),
            link=link or self.choose_link(),
        )
        await listener.deliver(server)
        return client

    def open(self, listener: MemoryListener) -> None:
        """Open the port of a listener of one's own. Raises `OSError` as `listen` does."""
        if listener.port in self._listeners:
            raise OSError(errno.EADDRINUSE, f"cannot listen on port {listener.port}: in use")
        self._listeners[listener.port] = listener

    async def dial(self, host: str, port: int) -> MemoryTransport:
        """See `Network`."""
        return await self.connect(port)

    def forget(self, listener: MemoryListener) -> None:
        """Free the port of a listener that closes."""
        if self._listeners.get(listener.port) is listener:
            del self._listeners[listener.port]

    @property
    def open_ports(self) -> frozenset[int]:
        """Ports that somebody listens on."""
        return frozenset(self._listeners)


def refused(port: int) -> ConnectionRefusedError:
    """What whoever dials a closed port gets."""
    return ConnectionRefusedError(errno.ECONNREFUSED, f"nobody listens on port {port}")
