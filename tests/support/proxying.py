"""Headers of the PROXY protocol, version 2, as a balancer writes them."""

import socket
import struct

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def header(command: int, family: int, rest: bytes = b"") -> bytes:
    """Any header: version and command in one byte, family and transport in another."""
    return SIGNATURE + bytes((command, family)) + len(rest).to_bytes(2, "big") + rest


def tcp4(host: str, port: int, additions: bytes = b"") -> bytes:
    """For a client with an IPv4 address."""
    addresses = socket.inet_pton(socket.AF_INET, host) + bytes(4) + struct.pack("!HH", port, 1935)
    return header(0x21, 0x11, addresses + additions)


def tcp6(host: str, port: int, additions: bytes = b"") -> bytes:
    """For a client with an IPv6 address."""
    addresses = socket.inet_pton(socket.AF_INET6, host) + bytes(16) + struct.pack("!HH", port, 1935)
    return header(0x21, 0x21, addresses + additions)
