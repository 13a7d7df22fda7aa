"""How clients of a harness name what they want, and how they connect."""

from typing import TypedDict

from mmids_trio.testing.links import Link

RTMP_PORT = 1935


class Dialling(TypedDict, total=False):
    """How a client connects: to which port (1935), from which address (127.0.0.1) and port (one of its own), over which
    link (the network's)."""

    port: int
    peer_host: str
    peer_port: int
    link: Link


def split_address(address: str) -> tuple[str, str]:
    """The application and the stream key of `app/key`. A key alone is one of the application `live`."""
    app, slash, key = address.lstrip("/").partition("/")
    return (app, key) if slash else ("live", app)
