"""Who may connect by IP address: allowed or denied networks. Pure."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from attrs import frozen

IpNetwork = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

SITE_PREFIX = 64
"""Bits of an IPv6 address that tell one subscriber from another: who has one such network has all 2**64 addresses in it
(RFC 6177, RFC 7421)."""

MAPPED_PREFIX = 96
"""Bits before the IPv4 address in an IPv6 address that it is mapped into (RFC 4291 §2.5.5.2)."""

KNOWN_ADDRESSES = 4_096
"""That are not read again: some 2 MB. A connection asks seven times what its address is, which is most of the work that
it is asked for."""


@frozen
class AddressRules:
    """Either only `allowed` networks may connect, or all but `denied` ones; both empty: everybody."""

    allowed: tuple[IpNetwork, ...] = ()
    denied: tuple[IpNetwork, ...] = ()

    def permit(self, host: str) -> bool:
        """Whether a peer at `host` may connect. An IPv4 address mapped into IPv6 counts as IPv4."""
        address = _address(host)
        if address is None:
            return not self.allowed and not self.denied
        if self.allowed:
            return _within(address, self.allowed)
        return not _within(address, self.denied)


def is_within(host: str, networks: Sequence[IpNetwork]) -> bool:
    """Whether a peer at `host` is in one of `networks`."""
    address = _address(host)
    return address is not None and _within(address, networks)


@lru_cache(KNOWN_ADDRESSES)
def source_of(host: str) -> str:
    """What connections are counted by: an IPv4 address, or the /64 network that an IPv6 address is in."""
    address = _address(host)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, SITE_PREFIX), strict=False))
    return str(address or host)


@lru_cache(KNOWN_ADDRESSES)
def _address(host: str) -> Address | None:
    """The address that `host` is, if it is one; IPv4 where it was mapped into IPv6."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def parse_networks(text: str) -> tuple[IpNetwork, ...]:
    """Read comma-separated IPv4/IPv6 addresses or CIDR networks; raises `ValueError` that names the bad one.

    IPv4 networks mapped into IPv6 are returned as IPv4, as peers are compared.
    """
    networks = []
    for part in text.split(","):
        try:
            networks.append(_unmapped(ip_network(part.strip(), strict=False)))
        except ValueError:
            raise ValueError(f"{part.strip()!r} is not an IPv4 or IPv6 address or CIDR network") from None
    return tuple(networks)


def network_of(text: str) -> IpNetwork | None:
    """What one address or CIDR network means, in whatever form it is written; `None` where it is neither."""
    try:
        networks = parse_networks(text)
    except ValueError:
        return None
    return networks[0] if len(networks) == 1 else None


def _unmapped(network: IpNetwork) -> IpNetwork:
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is None or network.prefixlen < MAPPED_PREFIX:
        return network
    return IPv4Network((mapped, network.prefixlen - MAPPED_PREFIX))


def _within(address: Address, networks: Sequence[IpNetwork]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
