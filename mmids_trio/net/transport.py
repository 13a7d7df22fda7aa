"""Connections as bytes: the two Protocols behind which tests put an in-memory network, and the system's own sockets.

Sockets are raw and non-blocking: a read is tried first and waited for only when it would block, and the
fan-out sends without a task.  Nothing above knows sockets.
"""

import contextlib
import errno
import ipaddress
import os
import socket
import sys
from array import array
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Protocol

import structlog
import trio

from mmids_trio.addresses import KNOWN_ADDRESSES

if sys.platform != "win32":
    from fcntl import ioctl
    from termios import FIONREAD


class Sender(Protocol):
    """The two halves of sending."""

    def send_nowait(self, data: memoryview, /) -> int:
        """Send what is taken at once: the number of bytes, 0 when it would block."""

    async def wait_writable(self) -> None:
        """Wait until `send_nowait` is worth another try (or would raise)."""


async def send_everything(sender: Sender, data: bytes) -> None:
    """Send all of `data`, and wait while nothing is taken. Always a checkpoint. Raises what `sender` raises."""
    await trio.lowlevel.checkpoint()
    rest = memoryview(data)
    while rest:
        sent = sender.send_nowait(rest)
        rest = rest[sent:]
        if not sent:
            await sender.wait_writable()


log = structlog.get_logger()

ACCEPT_BACKLOG = 1024
"""Connections that may wait for `accept`: a thousand players come back at once after a restart."""

ACCEPT_RETRY_SECONDS = 0.1
"""Pause when the process or the system is out of files or memory; as long as trio itself waits."""

CAPACITY_ERRNOS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
"""Failures of `accept` that go away when something else is closed."""

LISTENER_ERRNOS = frozenset({errno.EBADF, errno.EINVAL, errno.ENOTSOCK, errno.EFAULT, errno.EOPNOTSUPP})
"""Failures of `accept` that say something about the listening socket. All others are the peer's."""


class Transport(Protocol):
    """One connection, as bytes. One task may receive while another waits to send."""

    @property
    def peer_host(self) -> str:
        """Address of the peer: IPv4 dotted or IPv6, never an IPv4 address mapped into IPv6."""

    @property
    def peer_port(self) -> int:
        """Port of the peer."""

    async def receive_some(self, max_bytes: int) -> bytes:
        """What has arrived, at least one byte; `b""` at the end. Raises `trio.BrokenResourceError`."""

    def receive_nowait(self, max_bytes: int) -> bytes:
        """What has arrived; `b""` where that is nothing, or the end. Raises `trio.BrokenResourceError`."""

    def has_arrived(self, size: int) -> bool:
        """Whether so many bytes can be read, as far as that is known; nothing is said of the end."""

    async def send_all(self, data: bytes) -> None:
        """Send everything. Raises `trio.BrokenResourceError`."""

    def send_nowait(self, data: bytes | memoryview) -> int:
        """Send what the system takes at once: the number of bytes, 0 when it would block.

        Raises `trio.BrokenResourceError`.
        """

    @property
    def takes_ahead(self) -> bool:
        """Whether `send_nowait` may take more than the system does, as encryption has to; constant."""

    @property
    def has_unsent(self) -> bool:
        """Whether something was taken ahead and is not sent yet; it goes out in `wait_writable`, or with more data."""

    async def wait_writable(self) -> None:
        """Wait until all that was taken is sent and `send_nowait` is worth another try (or would raise)."""

    def close(self) -> None:
        """Let go of the connection at once; who waits on it gets `trio.ClosedResourceError`. Idempotent."""


class Listener(Protocol):
    """An open port."""

    on_pause: Callable[[], None]
    """Called when accepting pauses, as the process or the system is out of files or memory; does nothing until set."""

    @property
    def port(self) -> int:
        """The port, also where 0 was asked for."""

    async def accept(self) -> Transport:
        """The next connection. Raises `trio.ClosedResourceError` once the listener is closed."""

    def close(self) -> None:
        """Stop listening; the port can be bound again at once. May be repeated."""


class Network(Protocol):
    """Where ports are opened, and connections made."""

    def listen(self, host: str | None, port: int) -> Listener:
        """Open `port` (0 = a free one) on `host`, or on all addresses of IPv4 and IPv6 when it is `None`.

        Raises `OSError`.
        """

    async def dial(self, host: str, port: int) -> Transport:
        """Connect to another server. Raises `OSError`; how long that may take is for the caller to say."""


class SocketTransport:
    """A `Transport` on a connected stdlib socket, which it owns from now on."""

    __slots__ = ("_arrived", "_closed", "_fd", "_low_water", "_recv", "_send", "_socket", "peer_host", "peer_port")
    takes_ahead = False
    has_unsent = False

    def __init__(self, connection: socket.socket) -> None:
        """Raises `OSError` when the peer is gone already."""
        peer = connection.getpeername()
        self.peer_host, self.peer_port = _plain_address(peer)
        connection.setblocking(False)
        if connection.family in (socket.AF_INET, socket.AF_INET6):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connection
        self._recv: Callable[[int], bytes] = connection.recv
        self._send: Callable[[bytes | memoryview], int] = connection.send
        self._closed = False
        self._fd = connection.fileno()  # the socket in its place would be asked for it by each `ioctl`
        self._arrived = array("i", (0,))
        self._low_water = 1  # bytes that have to arrive before the system wakes who waits for them

    async def receive_some(self, max_bytes: int) -> bytes:
        """See `Transport`. Always a checkpoint, so that a peer that floods starves nobody."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._low_water != 1:
            self._wake_at(1)
        waited = False
        while (data := self._receive(max_bytes)) is None:
            # Not where the exception is handled: it would be kept with its traceback, 2.3 kB for each idle watcher.
            await trio.lowlevel.wait_readable(self._socket)
            waited = True
        if not waited:
            await trio.lowlevel.cancel_shielded_checkpoint()
        return data

    async def receive_together(self, max_bytes: int, at_least: int, seconds: float) -> bytes:
        """What has arrived once that is `at_least` bytes, or `seconds` have passed, or it has ended.

        `b""` where nothing has arrived, and at any end: `receive_some` tells them apart. The system counts the bytes
        (`SO_RCVLOWAT`), so that less of them wakes nobody. Where it does not, the answer is `b""`, at once. Always a
        checkpoint. Raises `trio.BrokenResourceError`.
        """
        if self._closed or not (self._low_water == at_least or self._wake_at(at_least)):
            await trio.lowlevel.checkpoint()
            return b""
        with trio.move_on_after(seconds):
            await trio.lowlevel.wait_readable(self._socket)
        return self.receive_nowait(max_bytes)

    def fileno(self) -> int:
        """What the system knows it by: nothing can be read of it but what can be read there."""
        return self._socket.fileno()

    def receive_nowait(self, max_bytes: int) -> bytes:
        """See `Transport`."""
        try:
            return self._recv(max_bytes)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._failure("receive", error) from error

    def has_arrived(self, size: int) -> bool:
        """See `Transport`."""
        if sys.platform == "win32" or self._closed:
            return True
        ioctl(self._fd, FIONREAD, self._arrived)
        return self._arrived[0] >= size

    async def send_all(self, data: bytes) -> None:
        """See `Transport`."""
        await send_everything(self, data)

    def send_nowait(self, data: bytes | memoryview) -> int:
        """See `Transport`."""
        try:
            return self._send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self._failure("send", error) from error

    async def wait_writable(self) -> None:
        """See `Transport`."""
        await trio.lowlevel.wait_writable(self._socket)

    def close(self) -> None:
        """See `Transport`. Take the connection out of every pass of the fan-out first."""
        if not self._closed:
            self._closed = True
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()

    def _wake_at(self, size: int) -> bool:
        """Have the system wake who waits to read once so many bytes are there; whether it does that."""
        if sys.platform == "linux" and not self._closed:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)
            self._low_water = size
        return self._low_water == size

    def _receive(self, max_bytes: int) -> bytes | None:
        """What has arrived, `b""` at the end; `None` where that is nothing."""
        try:
            return self._recv(max_bytes)
        except BlockingIOError:
            return None
        except OSError as error:
            raise self._failure("receive", error) from error

    def _failure(self, action: str, error: OSError) -> Exception:
        if self._closed:
            return trio.ClosedResourceError("this connection was closed here")
        return trio.BrokenResourceError(f"cannot {action}: {error.strerror or error}")


def _nothing() -> None:
    """Nobody wants to know."""


class SocketListener:
    """A `Listener` on one or more listening stdlib sockets, which it owns."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self._sockets = list(sockets)
        self.port: int = self._sockets[0].getsockname()[1]
        self.on_pause: Callable[[], None] = _nothing
        self._is_starved = False

    async def accept(self) -> SocketTransport:
        """See `Listener`. Outlives peers that vanish in between, and times without a free file descriptor."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while True:
            try:
                transport = self._accept_nowait()
            except OSError as error:
                if error.errno not in CAPACITY_ERRNOS:
                    raise
                if not self._is_starved:
                    log.warning("connections cannot be accepted for now", port=self.port, reason=error.strerror)
                    self.on_pause()
                self._is_starved = True
                await trio.sleep(ACCEPT_RETRY_SECONDS)
                continue
            if transport is not None:
                self._is_starved = False
                await trio.lowlevel.cancel_shielded_checkpoint()
                return transport
            await self._wait_for_connection()

    def close(self) -> None:
        """See `Listener`."""
        sockets, self._sockets = self._sockets, []
        for listening in sockets:
            trio.lowlevel.notify_closing(listening)
            listening.close()

    def _accept_nowait(self) -> SocketTransport | None:
        """A connection from the first socket that has one. Raises `OSError` for trouble on our side."""
        if not self._sockets:
            raise trio.ClosedResourceError("this listener was closed")
        for place, listening in enumerate(self._sockets):
            transport = _accept_from(listening)
            if transport is not None:
                # The others come first the next time: a busy address must not hide them.
                self._sockets = [*self._sockets[place + 1 :], *self._sockets[: place + 1]]
                return transport
        return None

    async def _wait_for_connection(self) -> None:
        if len(self._sockets) == 1:
            await trio.lowlevel.wait_readable(self._sockets[0])
            return
        async with trio.open_nursery() as nursery:
            for listening in self._sockets:
                nursery.start_soon(_wait_and_cancel, listening, nursery.cancel_scope)


class SocketNetwork:
    """The `Network` of the operating system."""

    def listen(self, host: str | None, port: int) -> SocketListener:
        """See `Network`. A name stands for all its addresses; the look-up blocks, so prefer addresses."""
        if host is None:
            return SocketListener([_listen_everywhere(port)])
        addresses = sorted(
            {
                (family, address[0])
                for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            }
        )
        sockets: list[socket.socket] = []
        try:
            for family, address in addresses:
                sockets.append(_listening(family, str(address), port))
                port = sockets[0].getsockname()[1]
        except OSError:
            for listening in sockets:
                listening.close()
            raise
        return SocketListener(sockets)

    async def dial(self, host: str, port: int) -> SocketTransport:
        """See `Network`. Tries the host's addresses side by side (RFC 8305)."""
        try:
            stream = await trio.open_tcp_stream(host, port)
        except OSError as error:
            raise _first_cause(error) from error
        connection = stream.socket
        return SocketTransport(socket.socket(connection.family, connection.type, connection.proto, connection.detach()))


def _first_cause(error: OSError) -> OSError:
    """Why the first address could not be reached: trio's own error only says that none could."""
    cause: BaseException | None = error.__cause__
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    if isinstance(cause, OSError) and cause.errno is not None:
        return OSError(cause.errno, os.strerror(cause.errno))
    return error


def _listen_everywhere(port: int) -> socket.socket:
    """One socket for both families, so that port 0 is one port; IPv4 alone where there is no IPv6."""
    if socket.has_dualstack_ipv6():
        try:
            return _listening(socket.AF_INET6, "::", port, dualstack=True)
        except OSError as error:
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                raise
    return _listening(socket.AF_INET, "0.0.0.0", port)


def _listening(family: socket.AddressFamily, address: str, port: int, *, dualstack: bool = False) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # there, SO_REUSEADDR lets two servers share a port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dualstack else 1)
        listening.setblocking(False)
        listening.bind((address, port))
        listening.listen(ACCEPT_BACKLOG)
    except OSError as error:
        listening.close()
        raise OSError(error.errno, f"cannot listen on {address} port {port}: {error.strerror}") from error
    return listening


def _accept_from(listening: socket.socket) -> SocketTransport | None:
    """The next connection that still lives, `None` when none waits. Raises `OSError` for trouble of ours."""
    while True:
        try:
            connection, _ = listening.accept()
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno in CAPACITY_ERRNOS | LISTENER_ERRNOS:
                raise
            continue
        try:
            return SocketTransport(connection)
        except OSError:
            connection.close()


async def _wait_and_cancel(listening: socket.socket, scope: trio.CancelScope) -> None:
    """Wait for one of several sockets; a closed one counts as ready, its listener then says so."""
    with contextlib.suppress(trio.ClosedResourceError):
        await trio.lowlevel.wait_readable(listening)
    scope.cancel()


def _plain_address(peer: object) -> tuple[str, int]:
    if not isinstance(peer, tuple):
        return "", 0  # a socket pair has no address
    return _plain_host(str(peer[0])), int(peer[1])


@lru_cache(KNOWN_ADDRESSES)
def _plain_host(host: str) -> str:
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or host)
