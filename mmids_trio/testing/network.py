"""A network in memory: everything that speaks RTMP can be tested without sockets, on trio's mock clock.

Each direction of a connection holds a bounded number of bytes, like a kernel's socket buffer, so a peer
that never reads makes the other side block exactly as a real one does.
"""

import contextlib
import errno
import itertools

import trio

DEFAULT_BUFFER = 64 * 1024
"""Bytes that one direction holds; of the order of a kernel's socket buffer."""

DEFAULT_BACKLOG = 128
"""Connections that may wait for `accept`; one more waits in `connect`."""

FIRST_FREE_PORT = 49_152
"""Where the search for port 0 begins: the first dynamic port (RFC 6335 §6)."""


class _Pipe:
    """One direction of a connection."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.data = bytearray()
        self.sender_closed = False
        self.receiver_closed = False
        self.broken = False
        self.changed = trio.lowlevel.ParkingLot()

    @property
    def room(self) -> int:
        return self.capacity - len(self.data)

    def wake(self) -> None:
        self.changed.unpark_all()


class MemoryTransport:
    """One end of a connection of a `MemoryNetwork`; a `Transport`."""

    takes_ahead = False
    has_unsent = False

    def __init__(self, incoming: _Pipe, outgoing: _Pipe, peer_host: str, peer_port: int) -> None:
        self._incoming, self._outgoing = incoming, outgoing
        self.peer_host, self.peer_port = peer_host, peer_port
        self._closed = False

    async def receive_some(self, max_bytes: int) -> bytes:
        """See `Transport`."""
        await trio.lowlevel.checkpoint()
        pipe = self._incoming
        while True:
            self._check(pipe)
            if pipe.data:
                return self.receive_nowait(max_bytes)
            if pipe.sender_closed:
                return b""
            await pipe.changed.park()

    def receive_nowait(self, max_bytes: int = DEFAULT_BUFFER) -> bytes:
        """What has arrived, `b""` when that is nothing or the end; for tests that have no task to wait in."""
        pipe = self._incoming
        self._check(pipe)
        received = bytes(pipe.data[:max_bytes])
        del pipe.data[:max_bytes]
        pipe.wake()
        return received

    async def send_all(self, data: bytes) -> None:
        """See `Transport`."""
        await trio.lowlevel.checkpoint()
        rest = memoryview(data)
        while rest:
            sent = self.send_nowait(rest)
            rest = rest[sent:]
            if not sent:
                await self.wait_writable()

    def send_nowait(self, data: bytes | memoryview) -> int:
        """See `Transport`."""
        pipe = self._outgoing
        self._check(pipe)
        if pipe.receiver_closed:
            raise trio.BrokenResourceError("the peer has closed the connection")
        taken = min(pipe.room, len(data))
        if taken:
            pipe.data += data[:taken]
            pipe.wake()
        return taken

    async def wait_writable(self) -> None:
        """See `Transport`."""
        await trio.lowlevel.checkpoint()
        pipe = self._outgoing
        while not (self._closed or pipe.room or pipe.receiver_closed or pipe.broken):
            await pipe.changed.park()
        if self._closed:
            raise trio.ClosedResourceError("this connection was closed here")

    def close(self) -> None:
        """See `Transport`. The peer still gets what was sent before."""
        self._closed = True
        self._incoming.receiver_closed = True
        self._outgoing.sender_closed = True
        self._incoming.data.clear()
        self._incoming.wake()
        self._outgoing.wake()

    def reset(self) -> None:
        """Break the connection, as a peer's RST does: both ends get `trio.BrokenResourceError` from now."""
        for pipe in (self._incoming, self._outgoing):
            pipe.broken = True
            pipe.data.clear()
            pipe.wake()

    @property
    def unread(self) -> int:
        """Bytes sent from here that the peer has not read yet."""
        return len(self._outgoing.data)

    def _check(self, pipe: _Pipe) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this connection was closed here")
        if pipe.broken:
            raise trio.BrokenResourceError("the connection was reset")


def memory_connection(
    *,
    buffer_size: int = DEFAULT_BUFFER,
    client: tuple[str, int] = ("127.0.0.1", FIRST_FREE_PORT),
    server: tuple[str, int] = ("127.0.0.1", 1935),
) -> tuple[MemoryTransport, MemoryTransport]:
    """The client's and the server's end of a new connection, with the addresses that their peers see."""
    to_server, to_client = _Pipe(buffer_size), _Pipe(buffer_size)
    return MemoryTransport(to_client, to_server, *server), MemoryTransport(to_server, to_client, *client)


class MemoryListener:
    """An open port of a `MemoryNetwork`; a `Listener`."""

    def __init__(self, network: "MemoryNetwork", port: int, backlog: int) -> None:
        self.port = port
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
            raise _refused(self.port) from None


class MemoryNetwork:
    """A `Network` without sockets; ports are shared by all host names."""

    def __init__(self, *, buffer_size: int = DEFAULT_BUFFER, backlog: int = DEFAULT_BACKLOG) -> None:
        self._buffer_size, self._backlog = buffer_size, backlog
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

    async def connect(self, port: int, *, peer_host: str = "127.0.0.1") -> MemoryTransport:
        """The client's end of a new connection to `port`; the server sees it come from `peer_host`.

        Raises `ConnectionRefusedError` when nobody listens.
        """
        listener = self._listeners.get(port)
        if listener is None:
            await trio.lowlevel.checkpoint()
            raise _refused(port)
        client, server = memory_connection(
            buffer_size=self._buffer_size,
            client=(peer_host, next(self._client_ports)),
            server=("127.0.0.1", port),
        )
        await listener.deliver(server)
        return client

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


def _refused(port: int) -> ConnectionRefusedError:
    return ConnectionRefusedError(errno.ECONNREFUSED, f"nobody listens on port {port}")
