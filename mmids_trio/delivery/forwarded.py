"""Whose a request is that a reverse proxy has handed on: `X-Forwarded-For`, believed of known proxies alone. Pure."""

from collections.abc import Sequence
from ipaddress import ip_address

from mmids_trio.addresses import IpNetwork, is_within


def client_behind(peer: str, header: str | None, proxies: Sequence[IpNetwork]) -> str:
    """The address of the client: the last one in the header that is no proxy of ours, else the peer's own.

    Each proxy writes whom it speaks to behind what it was told, so only what our own have written counts.
    """
    client = peer
    for written in reversed((header or "").split(",")):
        if not is_within(client, proxies):
            break
        try:
            address = ip_address(written.strip())
        except ValueError:
            break
        client = str(getattr(address, "ipv4_mapped", None) or address)
    return client
