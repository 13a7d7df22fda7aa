"""TLS over any `Transport`, as another `Transport`; for the side that serves and for the side that dials.

OpenSSL works on memory here and never sees a socket, so `send_nowait` encrypts and sends without a task, and the same
code runs over the network of tests.  The networks themselves know no TLS: what a new connection goes through is said
by a gate, and what is dialled is encrypted where the URL says so.
"""

import contextlib
import errno
import ssl
from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol

import trio
from attrs import define, field, frozen

from mmids_trio.errors import MmidsError
from mmids_trio.net.certificates import Certificates
from mmids_trio.net.transport import Network, Transport, send_everything
from mmids_trio.offload import in_thread

RECORD_BYTES = 16 * 1024
"""Plain bytes of the largest record (RFC 8446 §5.1)."""

PIECE_BYTES = 4 * RECORD_BYTES
"""Encrypted in one go, when the system took all that was encrypted before: what may wait here for one connection."""

MAX_UNSENT_BYTES = 256 * 1024
"""Encrypted bytes that may wait for a peer that does not read, before it is given up. Media stays far below that; what
goes beyond are answers of TLS itself to a peer that asks on and on."""

READ_BYTES = 64 * 1024
"""Encrypted bytes per read."""

HANDSHAKE_SECONDS = 10.0
"""From the connection to the end of the TLS handshake; as long as RTMP's own may take, which comes after it."""

_HANDSHAKE_RECORD = 0x16
"""First byte of what a TLS client says (RFC 8446 §5.1)."""

_NOT_TLS = {0x03: "plain RTMP on an RTMPS port", **dict.fromkeys(b"CDGHOP", "HTTP on an RTMPS port")}


class HandshakeFailed(MmidsError):
    """There will be no TLS connection; says why."""


class TlsTransport:
    """A `Transport` whose bytes go encrypted over another one, which it owns; see `accept_tls` and `connect_tls`."""

    takes_ahead = True

    def __init__(self, transport: Transport, context: ssl.SSLContext, server_name: str | None = None) -> None:
        """`server_name`: whom the side that dials wants to reach; without one this is the side that serves."""
        self.peer_host, self.peer_port = transport.peer_host, transport.peer_port
        self._transport = transport
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_name is None, server_hostname=server_name
        )
        self._unsent = memoryview(b"")
        self._is_ready = False
        self._closed = False

    # The handshake.

    async def handshake(self) -> None:
        """Agree on keys. Raises `HandshakeFailed`, and whatever the transport below raises."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._send_unsent()
            except ssl.SSLError as error:
                self._flush()  # the alert that says why
                raise HandshakeFailed(reason_of(error)) from error
            else:
                self._is_ready = True
                await self._send_unsent()
                return
            if not await self._read_more():
                raise HandshakeFailed("the peer left in the middle of the TLS handshake")

    def feed_encrypted(self, data: bytes) -> None:
        """What was read from the transport before, by whoever looked at the first bytes."""
        self._incoming.write(data)

    # As a transport.

    async def receive_some(self, max_bytes: int) -> bytes:
        """See `Transport`. The end of the connection counts as the peer's goodbye, with or without a word of TLS."""
        await trio.lowlevel.checkpoint_if_cancelled()
        waited = False
        while (data := self._decrypted(max_bytes)) is None:
            waited = True
            if not await self._read_more():
                return b""
        if not waited:
            await trio.lowlevel.cancel_shielded_checkpoint()
        return data

    def receive_nowait(self, max_bytes: int) -> bytes:
        """See `Transport`."""
        if data := self._transport.receive_nowait(READ_BYTES):
            self._incoming.write(data)
        return self._decrypted(max_bytes) or b""

    def has_arrived(self, size: int) -> bool:
        """See `Transport`. Encrypted, the bytes are more."""
        return self._transport.has_arrived(size)

    async def send_all(self, data: bytes) -> None:
        """See `Transport`."""
        await send_everything(self, data)
        await self._send_unsent()

    def send_nowait(self, data: bytes | memoryview) -> int:
        """See `Transport`. Takes more than the system did, up to `PIECE_BYTES`; `has_unsent` says so."""
        self._check()
        self._flush()
        taken = 0
        while taken < len(data) and not self._unsent:
            piece = data if len(data) <= PIECE_BYTES else memoryview(data)[taken : taken + PIECE_BYTES]
            try:
                taken += self._tls.write(piece)
            except ssl.SSLError as error:
                raise trio.BrokenResourceError(f"TLS: {reason_of(error)}") from error
            self._flush()
        return taken

    @property
    def has_unsent(self) -> bool:
        """See `Transport`."""
        return bool(self._unsent)

    async def wait_writable(self) -> None:
        """See `Transport`. Sends meanwhile what was taken before."""
        await self._transport.wait_writable()
        self._check()
        self._flush()
        await self._send_unsent()

    def close(self) -> None:
        """See `Transport`. Says goodbye first (RFC 8446 §6.1), as far as the system takes it at once."""
        if self._closed:
            return
        if self._is_ready:
            with contextlib.suppress(ssl.SSLError):  # it waits for the peer's goodbye, which we do not
                self._tls.unwrap()
            with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                self._flush()
        self._closed = True
        self._unsent = memoryview(b"")
        self._transport.close()

    # Within.

    def _decrypted(self, max_bytes: int) -> bytes | None:
        """What can be decrypted, `b""` at the end; `None` where that is nothing."""
        try:
            return self._read(max_bytes)
        except ssl.SSLWantReadError:
            self._flush()  # an answer of TLS itself
            return None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""
        except ssl.SSLError as error:
            raise trio.BrokenResourceError(f"TLS: {reason_of(error)}") from error

    def _read(self, max_bytes: int) -> bytes:
        """All that can be decrypted of what is here, `max_bytes` at most. Raises `ssl.SSLError` if that is nothing."""
        data = self._tls.read(max_bytes)
        while data and len(data) < max_bytes and (self._incoming.pending or self._tls.pending()):
            try:
                data += self._tls.read(max_bytes - len(data))
            except ssl.SSLError:
                break  # a piece of a record; a real fault comes up again with the next read
        return data

    async def _read_more(self) -> bool:
        """Whether something came."""
        data = await self._transport.receive_some(READ_BYTES)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        return bool(data)

    def _flush(self) -> None:
        """Send what is encrypted, as far as the system takes it."""
        if self._unsent:
            self._unsent = self._unsent[self._transport.send_nowait(self._unsent) :]
        if self._outgoing.pending and not self._unsent:
            data = memoryview(self._outgoing.read())
            self._unsent = data[self._transport.send_nowait(data) :]
        if self._outgoing.pending > MAX_UNSENT_BYTES:
            raise trio.BrokenResourceError("TLS: the peer does not read what it asks for")

    async def _send_unsent(self) -> None:
        self._flush()
        while self._unsent:
            await self._transport.wait_writable()
            self._check()
            self._flush()

    def _check(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this connection was closed here")


async def accept_tls(transport: Transport, context: ssl.SSLContext) -> TlsTransport:
    """Serve TLS on a new connection, within `HANDSHAKE_SECONDS`; closes it where that fails.

    Raises `HandshakeFailed`, which says so if the client does not speak TLS at all.
    """
    with _handshake_on(transport):
        first = await transport.receive_some(READ_BYTES)
        if not first:
            raise HandshakeFailed("the client left before the TLS handshake")
        if first[0] != _HANDSHAKE_RECORD:
            raise HandshakeFailed(_NOT_TLS.get(first[0], f"the first byte, 0x{first[0]:02x}, is not TLS"))
        tls = TlsTransport(transport, context)
        tls.feed_encrypted(first)
        await tls.handshake()
        return tls


async def connect_tls(transport: Transport, server_name: str, context: ssl.SSLContext | None = None) -> TlsTransport:
    """Speak TLS as the side that has dialled, within `HANDSHAKE_SECONDS`; closes the connection where that fails.

    By default the server has to prove, by the system's authorities, that it is `server_name`.
    Raises `HandshakeFailed`.
    """
    with _handshake_on(transport):
        tls = TlsTransport(transport, context or ssl.create_default_context(), server_name)
        await tls.handshake()
        return tls


@contextlib.contextmanager
def _handshake_on(transport: Transport) -> Iterator[None]:
    try:
        with trio.fail_after(HANDSHAKE_SECONDS):
            yield
    except BaseException as error:
        transport.close()
        if isinstance(error, trio.TooSlowError):
            raise HandshakeFailed(f"no TLS handshake within {HANDSHAKE_SECONDS:.0f} seconds") from error
        if isinstance(error, trio.BrokenResourceError):
            raise HandshakeFailed(f"connection lost in the TLS handshake: {error}") from error
        raise


def reason_of(error: ssl.SSLError) -> str:
    """OpenSSL's words for it, without file names and line numbers."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the peer's certificate is refused: {error.verify_message}"
    return (error.reason or str(error)).replace("_", " ").lower()


class ConnectionGate(Protocol):
    """Stands between the open ports of a server and its sessions."""

    async def require_tls(self) -> None:
        """Make sure that encrypted connections can be let in. Raises `StepError` where they cannot."""

    async def admit(self, transport: Transport, port: int, tls: bool) -> Transport:
        """The connection as its session shall see it; `port` is the one that was registered.

        Raises `HandshakeFailed` and what transports raise; the connection is then closed.
        """


@frozen
class TlsGate:
    """The usual one."""

    certificates: Certificates

    async def require_tls(self) -> None:
        """See `ConnectionGate`."""
        await self.certificates.require()

    async def admit(self, transport: Transport, port: int, tls: bool) -> Transport:
        """See `ConnectionGate`."""
        if not tls:
            return transport
        try:
            context = await self.certificates.context()
        except BaseException:
            transport.close()
            raise
        return await accept_tls(transport, context)


class Dialer(Protocol):
    """Where connections to other servers come from."""

    async def dial(self, host: str, port: int, *, tls: bool) -> Transport:
        """A connection. Raises `OSError`."""


@define(eq=False)
class NetworkDialer:
    """A `Dialer` on `network`. Servers must prove who they are, by the authorities that `make_trust` knows.

    They are read once, when first needed; for the system's that takes 50 ms, so `offload` does it in a thread.
    """

    network: Network
    make_trust: Callable[[], ssl.SSLContext] = ssl.create_default_context
    offload: Callable[[Callable[[], ssl.SSLContext]], Awaitable[ssl.SSLContext]] = field(default=in_thread)
    _trust: ssl.SSLContext | None = field(default=None, init=False)

    async def dial(self, host: str, port: int, *, tls: bool) -> Transport:
        """Connect to a server, which with `tls` has to be who `host` says. Raises `OSError`."""
        if tls and self._trust is None:
            self._trust = await self.offload(self.make_trust)
        transport = await self.network.dial(host, port)
        if not tls:
            return transport
        try:
            return await connect_tls(transport, host, self._trust)
        except HandshakeFailed as error:
            raise OSError(errno.EPROTO, f"no TLS: {error}") from error
