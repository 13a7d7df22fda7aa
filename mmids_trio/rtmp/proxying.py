"""Connections that come through a load balancer: who is really at the other end.

Apart from the server because it is over before anything else of a connection begins, TLS included.
"""

from collections.abc import Sequence

import trio
from attrs import frozen

from mmids_trio.errors import ProtocolError
from mmids_trio.rtmp.addresses import Network, is_within
from mmids_trio.rtmp.proxy_protocol import ProxyHeaderReader, Source
from mmids_trio.rtmp.transport import Transport

HEADER_SECONDS = 5.0
"""How long a balancer may take for its header. It has all of it when it connects, so only a lost packet takes time."""


class HeaderRefused(ProtocolError):
    """A balancer's connection is of no use; says why."""


class ProxiedTransport:
    """A connection under the address of the client behind the balancer; everything else is the connection's own.

    Its methods are those of the transport below, so passing through a balancer costs nothing for each packet.
    """

    __slots__ = (
        "_below",
        "close",
        "peer_host",
        "peer_port",
        "receive_nowait",
        "receive_some",
        "send_all",
        "send_nowait",
        "wait_writable",
    )

    def __init__(self, below: Transport, source: Source) -> None:
        self._below = below
        self.peer_host, self.peer_port = source.host, source.port
        self.receive_some, self.receive_nowait = below.receive_some, below.receive_nowait
        self.send_all, self.send_nowait = below.send_all, below.send_nowait
        self.wait_writable, self.close = below.wait_writable, below.close

    @property
    def takes_ahead(self) -> bool:
        """See `Transport`."""
        return self._below.takes_ahead

    @property
    def has_unsent(self) -> bool:
        """See `Transport`."""
        return self._below.has_unsent


@frozen
class Balancers:
    """The networks whose connections have to begin with a header of the PROXY protocol, and only theirs do."""

    networks: Sequence[Network] = ()

    async def look_behind(self, transport: Transport) -> Transport:
        """The connection under its client's address. Raises `HeaderRefused`, with the connection closed."""
        if not self.networks or not is_within(transport.peer_host, self.networks):
            return transport
        try:
            with trio.fail_after(HEADER_SECONDS):
                source = await _read_header(transport)
        except BaseException as error:
            transport.close()
            if isinstance(error, trio.TooSlowError):
                raise HeaderRefused(f"no PROXY protocol header within {HEADER_SECONDS:.0f} seconds") from error
            if isinstance(error, (ProtocolError, trio.BrokenResourceError)):
                raise HeaderRefused(str(error)) from error
            raise
        return transport if source is None else ProxiedTransport(transport, source)


async def _read_header(transport: Transport) -> Source | None:
    reader = ProxyHeaderReader()
    while reader.wanted:
        data = await transport.receive_some(reader.wanted)
        if not data:
            raise ProtocolError("the connection ended before its PROXY protocol header")
        reader.receive(data)
    return reader.source
