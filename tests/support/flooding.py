"""A publisher that sends small messages as fast as its socket takes them, until it is stopped; a program of its own.

    python -m tests.support.flooding PORT KEY BYTES

Every message has a payload of so many bytes, is one chunk with a header of one byte, and was made before it began.  It
reads nothing while it floods, as a rude client does not.
"""

import os
import socket
import sys

from mmids_trio.rtmp.protocol.client_connection import ClientConnection
from mmids_trio.rtmp.protocol.events import ClientConnected, PublishStarted
from mmids_trio.rtmp.protocol.message import AUDIO, Message
from mmids_trio.rtmp.protocol.outgoing import render

CHUNK_STREAM = 9
"""One that the client connection does not use."""

PIECE_BYTES = 1024 * 1024
"""Sent at once."""


def log_in(connection: socket.socket, key: str) -> int:
    """Become the publisher of `live/key`; returns the message stream."""
    client = ClientConnection(os.urandom, "live", "rtmp://server/live")
    while True:
        connection.sendall(client.data_to_send())
        for event in client.receive_data(connection.recv(65536)):
            if isinstance(event, ClientConnected):
                client.publish(key)
            elif isinstance(event, PublishStarted):
                connection.sendall(client.data_to_send())
                return event.stream


def main(port: int, key: str, size: int) -> None:
    """Flood until the connection breaks."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        stream = log_in(connection, key)
        payload = b"\xaf\x01" + bytes(size - 2) if size > 1 else b"\x2f"
        connection.sendall(render(Message(AUDIO, stream, 0, payload, CHUNK_STREAM), 65536))
        again = bytes([0xC0 | CHUNK_STREAM]) + payload
        piece = again * (PIECE_BYTES // len(again))
        print("flooding", flush=True)
        while True:
            connection.sendall(piece)


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
    except OSError:
        sys.exit(3)
