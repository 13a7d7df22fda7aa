"""A server whose ports may be shared with other processes: `python -m benchmarks.experiments.worker FILE`.

With SO_REUSEPORT the kernel spreads connections over all processes that listen on a port.  All else is the server as it
is: `FILE` is a configuration without settings.
"""

import socket
import sys
import tempfile
from pathlib import Path

import trio

from mmids_trio.config.parser import parse
from mmids_trio.config.settings import Settings
from mmids_trio.net.transport import SocketListener, SocketNetwork
from mmids_trio.server.building import World, build_server

BACKLOG = 1024
"""Connections that wait to be accepted; the load opens 2,000 a second."""


class SharedPorts(SocketNetwork):
    """The network, with every port on IPv4, and open to other processes of the same user."""

    def listen(self, host: str | None, port: int) -> SocketListener:
        """See `rtmp.transport.Network`."""
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.setblocking(False)
        listening.bind((host or "0.0.0.0", port))
        listening.listen(BACKLOG)
        return SocketListener([listening])


async def _run(text: str, logs: str) -> None:
    server = build_server(Settings(rtmp_host="127.0.0.1", log_path=logs), world=World(network=SharedPorts()))
    document = parse(text, "configuration")
    await server.run([server.steps.validate(workflow) for workflow in document.workflows])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        trio.run(_run, Path(sys.argv[1]).read_text("utf-8"), directory)
