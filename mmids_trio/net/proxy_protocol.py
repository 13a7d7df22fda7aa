"""Connections that come through a load balancer, which says who the client is in a header (PROXY protocol, version 2).

Source: "The PROXY protocol, versions 1 & 2" (HAProxy), section 2.2.  Version 1 is recognised and refused.  The reader
takes bytes and gives an address; all is over before anything else of a connection begins, TLS included.
"""

import struct
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

import trio
from attrs import define, field, frozen

from mmids_trio.addresses import IpNetwork, is_within
from mmids_trio.errors import ProtocolError
from mmids_trio.net.transport import Transport

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
VERSION_1 = b"PROXY "

MAX_HEADER_BYTES = 4096
"""Bytes of a whole header. Addresses take 52 at most; the rest are additions (TLVs) of some balancers, which are
skipped: names, ids, checksums, of some hundred bytes."""

_FIXED = 16  # signature, version and command, family and transport, length of the rest
_LOCAL, _PROXY = 0, 1
_VERSION = 2
_UNSPECIFIED, _TCP4, _TCP6 = 0x00, 0x11, 0x21


@frozen
class ProxiedSource:
    """The client, as the balancer sees it; an IPv4 address mapped into IPv6 is IPv4."""

    host: str
    port: int


@define
class ProxyHeaderReader:
    """Reads one header, and asks for no byte behind it: give `read_header` at most `wanted` bytes until that is 0."""

    source: ProxiedSource | None = field(default=None, init=False)
    """Once read: whom the connection is for. `None`: for the balancer itself (LOCAL, a health check), or unknown."""
    wanted: int = field(default=_FIXED, init=False)
    """Bytes that are missing, as far as is known."""
    _data: bytearray = field(factory=bytearray, init=False)

    def read_header(self, data: bytes) -> None:
        """Take bytes of the header. Raises `ProtocolError` as soon as they cannot be one."""
        self._data += data
        if len(self._data) < _FIXED:
            self._check_signature()
            self.wanted = _FIXED - len(self._data)
            return
        if len(self._data) - len(data) < _FIXED:
            self._check_fixed_part()
        self.wanted = self._length - len(self._data)
        if not self.wanted:
            self.source = self._read_source()

    @property
    def _length(self) -> int:
        return _FIXED + int.from_bytes(self._data[14:_FIXED], "big")

    def _check_signature(self) -> None:
        start = bytes(self._data[: len(SIGNATURE)])
        if VERSION_1.startswith(start[: len(VERSION_1)]):
            if len(start) >= len(VERSION_1):
                raise ProtocolError("the PROXY protocol's version 1; only version 2 is read (HAProxy: send-proxy-v2)")
        elif not SIGNATURE.startswith(start):
            raise ProtocolError("no PROXY protocol header, which this address has to send")

    def _check_fixed_part(self) -> None:
        self._check_signature()
        version, command = divmod(self._data[12], 16)
        if version != _VERSION or command not in (_LOCAL, _PROXY):
            raise ProtocolError(
                f"PROXY protocol version {version}, command {command}; expected version 2, LOCAL or PROXY"
            )
        if self._length > MAX_HEADER_BYTES:
            raise ProtocolError(f"PROXY protocol header of {self._length} bytes; up to {MAX_HEADER_BYTES} are accepted")

    def _read_source(self) -> ProxiedSource | None:
        family = self._data[13]
        if self._data[12] % 16 == _LOCAL or family == _UNSPECIFIED:
            return None
        addresses = bytes(self._data[_FIXED:])
        try:
            if family == _TCP4:
                host, _, port, _ = struct.unpack_from("!4s4sHH", addresses)
                return ProxiedSource(str(IPv4Address(host)), port)
            if family == _TCP6:
                host, _, port, _ = struct.unpack_from("!16s16sHH", addresses)
                address = IPv6Address(host)
                return ProxiedSource(str(address.ipv4_mapped or address), port)
        except struct.error:
            raise ProtocolError(f"PROXY protocol addresses of {len(addresses)} bytes, too few for their kind") from None
        raise ProtocolError(f"PROXY protocol addresses of kind 0x{family:02x}; expected TCP over IPv4 or IPv6")


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
        "has_arrived",
        "peer_host",
        "peer_port",
        "receive_nowait",
        "receive_some",
        "send_all",
        "send_nowait",
        "wait_writable",
    )

    def __init__(self, below: Transport, source: ProxiedSource) -> None:
        self._below = below
        self.peer_host, self.peer_port = source.host, source.port
        self.receive_some, self.receive_nowait = below.receive_some, below.receive_nowait
        self.has_arrived = below.has_arrived
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

    networks: Sequence[IpNetwork] = ()

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


async def _read_header(transport: Transport) -> ProxiedSource | None:
    reader = ProxyHeaderReader()
    while reader.wanted:
        data = await transport.receive_some(reader.wanted)
        if not data:
            raise ProtocolError("the connection ended before its PROXY protocol header")
        reader.read_header(data)
    return reader.source
