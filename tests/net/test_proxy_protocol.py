"""The PROXY protocol's header, read from any pieces: the address it names, or a refusal that says why."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.errors import ProtocolError
from mmids_trio.net.proxy_protocol import MAX_HEADER_BYTES, ProxiedSource, ProxyHeaderReader
from tests.support.proxying import SIGNATURE, header, tcp4, tcp6

PORTS = st.integers(0, 65535)
ADDITIONS = st.binary(max_size=300)


def read(data: bytes, sizes: list[int] | None = None) -> tuple[ProxyHeaderReader, bytes]:
    """Give a reader what it wants, in pieces of `sizes` at most; what is left of `data`."""
    reader, pieces = ProxyHeaderReader(), list(sizes or [])
    while reader.wanted and data:
        size = min(reader.wanted, pieces.pop(0) if pieces else len(data))
        reader.read_header(data[:size])
        data = data[size:]
    return reader, data


@given(st.ip_addresses(v=4), PORTS, ADDITIONS, st.binary(max_size=50), st.lists(st.integers(1, 20)))
def test_an_ipv4_client_is_named_and_nothing_behind_the_header_is_taken(
    address: IPv4Address, port: int, additions: bytes, after: bytes, sizes: list[int]
) -> None:
    reader, left = read(tcp4(str(address), port, additions) + after, sizes)
    assert (reader.source, reader.wanted, left) == (ProxiedSource(str(address), port), 0, after)


@given(st.ip_addresses(v=6), PORTS, ADDITIONS, st.lists(st.integers(1, 20)))
def test_an_ipv6_client_is_named(address: IPv6Address, port: int, additions: bytes, sizes: list[int]) -> None:
    reader, left = read(tcp6(str(address), port, additions), sizes)
    assert (reader.source, left) == (ProxiedSource(str(address.ipv4_mapped or address), port), b"")


def test_an_ipv4_client_that_was_mapped_into_ipv6_is_an_ipv4_client() -> None:
    assert read(tcp6("::ffff:192.0.2.1", 7))[0].source == ProxiedSource("192.0.2.1", 7)


@pytest.mark.parametrize(
    "data",
    [header(0x20, 0x00), header(0x20, 0x11, bytes(12)), header(0x20, 0xFF, bytes(7)), header(0x21, 0x00, bytes(40))],
    ids=["LOCAL", "LOCAL with addresses", "LOCAL of no known kind", "unspecified"],
)
def test_a_connection_for_the_balancer_itself_names_nobody(data: bytes) -> None:
    reader, left = read(data + b"x")
    assert (reader.source, reader.wanted, left) == (None, 0, b"x")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "version 1; only version 2 is read"),
        (b"\x03" + bytes(20), "no PROXY protocol header"),
        (b"\r\n\r\n\0\r\nQUIT ", "no PROXY protocol header"),
        (header(0x11, 0x11, bytes(12)), "version 1, command 1"),
        (header(0x22, 0x11, bytes(12)), "version 2, command 2"),
        (header(0x21, 0x11, bytes(11)), "addresses of 11 bytes, too few"),
        (header(0x21, 0x21, bytes(35)), "addresses of 35 bytes, too few"),
        (header(0x21, 0x12, bytes(12)), "kind 0x12"),
        (header(0x21, 0x31, bytes(216)), "kind 0x31"),
        (SIGNATURE + b"\x21\x11\xff\xff", f"header of 65551 bytes; up to {MAX_HEADER_BYTES} are accepted"),
    ],
)
def test_what_is_no_good_header_is_refused_with_a_reason(data: bytes, why: str) -> None:
    for size in (1, 3, 1000):
        with pytest.raises(ProtocolError, match=why):
            read(data, [size] * len(data))


def test_the_first_wrong_byte_is_enough() -> None:
    with pytest.raises(ProtocolError):
        ProxyHeaderReader().read_header(b"\x03")


@given(st.one_of(st.binary(max_size=80), st.binary(max_size=80).map(lambda tail: SIGNATURE + tail)))
def test_any_bytes_are_a_header_or_refused(data: bytes) -> None:
    try:
        reader, _ = read(data)
    except ProtocolError:
        return
    assert reader.wanted <= MAX_HEADER_BYTES
