"""The header of the PROXY protocol, version 2, in which a load balancer says who the client is. Bytes in, address out.

Source: "The PROXY protocol, versions 1 & 2" (HAProxy), section 2.2.  Version 1 is recognised and refused.
"""

import struct
from ipaddress import IPv4Address, IPv6Address

from attrs import define, field, frozen

from mmids_trio.errors import ProtocolError

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
class Source:
    """The client, as the balancer sees it; an IPv4 address mapped into IPv6 is IPv4."""

    host: str
    port: int


@define
class ProxyHeaderReader:
    """Reads one header, and asks for no byte behind it: give `receive` at most `wanted` bytes until that is 0."""

    source: Source | None = field(default=None, init=False)
    """Once read: whom the connection is for. `None`: for the balancer itself (LOCAL, a health check), or unknown."""
    wanted: int = field(default=_FIXED, init=False)
    """Bytes that are missing, as far as is known."""
    _data: bytearray = field(factory=bytearray, init=False)

    def receive(self, data: bytes) -> None:
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

    def _read_source(self) -> Source | None:
        family = self._data[13]
        if self._data[12] % 16 == _LOCAL or family == _UNSPECIFIED:
            return None
        addresses = bytes(self._data[_FIXED:])
        try:
            if family == _TCP4:
                host, _, port, _ = struct.unpack_from("!4s4sHH", addresses)
                return Source(str(IPv4Address(host)), port)
            if family == _TCP6:
                host, _, port, _ = struct.unpack_from("!16s16sHH", addresses)
                address = IPv6Address(host)
                return Source(str(address.ipv4_mapped or address), port)
        except struct.error:
            raise ProtocolError(f"PROXY protocol addresses of {len(addresses)} bytes, too few for their kind") from None
        raise ProtocolError(f"PROXY protocol addresses of kind 0x{family:02x}; expected TCP over IPv4 or IPv6")
