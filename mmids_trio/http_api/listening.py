"""Opening the sockets of the API, before anything runs: a port that is taken must end the start of the program.

Apart from `server`, which needs Hypercorn: that is imported when the sockets are open.
"""

import errno
import socket
from typing import Any

import trio

from mmids_trio.errors import MmidsError

BACKLOG = 128
"""Connections that wait to be accepted; Linux' own default for net.core.somaxconn for decades."""

_UNUSABLE_FAMILY = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


class CannotListen(MmidsError, OSError):
    """The address cannot be listened on; the message says which and why."""


async def bind(host: str, port: int) -> list[trio.SocketListener]:
    """Listen on every address of `host` (a name or an address), all on one port; 0 picks a free one.

    A family that the machine lacks (`localhost` without IPv6) is left out. Raises `CannotListen`.
    """
    listeners: list[trio.SocketListener] = []
    unusable: OSError | None = None
    try:
        for family, address in await _addresses(host, port):
            try:
                listeners.append(_listen(family, address, port_of(listeners) if listeners else port))
            except OSError as error:
                if error.errno not in _UNUSABLE_FAMILY:
                    raise
                unusable = error
        if not listeners:
            raise unusable or OSError("the name has no addresses")
    except OSError as error:
        for listener in listeners:
            listener.socket.close()
        raise CannotListen(_explain(host, port, error)) from error
    return listeners


def port_of(listeners: list[trio.SocketListener]) -> int:
    """The port that the listeners share."""
    port: int = listeners[0].socket.getsockname()[1]
    return port


async def _addresses(host: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
    found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return [(family, tuple(address)) for family, _, _, _, address in found]


def _listen(family: int, address: tuple[Any, ...], port: int) -> trio.SocketListener:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # An address of its own for each family, as the resolver lists them.
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((address[0], port, *address[2:]))
        listening.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    return trio.SocketListener(trio.socket.from_stdlib_socket(listening))


def _explain(host: str, port: int, error: OSError) -> str:
    reason = error.strerror or str(error)
    if error.errno == errno.EADDRINUSE:
        reason = "the port is in use by another program (or by another mmids_trio)"
    elif error.errno == errno.EACCES:
        reason = "permission denied (ports below 1024 are for privileged programs)"
    return f"the HTTP API cannot listen on {host} port {port}: {reason}"
