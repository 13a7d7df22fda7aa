"""Connections to other servers, encrypted where the URL says so; apart from the networks, which know no TLS."""

import errno
import ssl
from collections.abc import Awaitable, Callable

from attrs import define, field

from mmids_trio.offload import in_thread
from mmids_trio.rtmp.tls import HandshakeFailed, connect_tls
from mmids_trio.rtmp.transport import Network, Transport


@define(eq=False)
class NetworkDialer:
    """A `client.Dialer` on `network`. Servers must prove who they are, by the authorities that `make_trust` knows.

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
