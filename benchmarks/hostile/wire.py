"""How attackers reach the server: connections from addresses of their own, and pieces of RTMP that fit together.

All bytes are made before they are sent, and answers are read only where an attack needs them: a rude client is cheap.
"""

import struct
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random

import trio
from attrs import define, field

from mmids_trio.rtmp.protocol import amf
from mmids_trio.rtmp.protocol import message as types
from mmids_trio.rtmp.protocol.message import Message
from mmids_trio.rtmp.protocol.outgoing import render
from tests.support.rtmp import PLAIN_HANDSHAKE, command, connect, message

ADDRESSES = ("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5")
"""Of the attackers; honest clients come from 127.0.0.1, so that a bound for one address meets attackers alone."""

SET_CHUNK_SIZE = 1
"""RTMP 1.0 §5.4.1."""

CHUNK_SIZE = 65_536
"""Bytes of a chunk, once `LARGE_CHUNKS` was sent."""
LARGE_CHUNKS = message(SET_CHUNK_SIZE, CHUNK_SIZE.to_bytes(4, "big"))

AUDIO_HEADER = bytes.fromhex("af00 1210")
UNREADABLE_HEADER = bytes.fromhex("1700000000")
"""The sequence header of H.264 without a decoder configuration record."""

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: closing resets the connection, and leaves no port in TIME_WAIT."""


class Breach(Exception):
    """The server let an attacker have what it may not have."""


@define(eq=False)
class Target:
    """The server that is attacked, and where the attackers' randomness comes from."""

    rtmp: int
    """Ports, on 127.0.0.1; so below."""
    api: int
    source: int
    """Where the server pulls a stream from: the attackers listen there."""
    random: Random = field(factory=Random)
    counts: Counter[str] = field(factory=Counter)
    """What the attackers did how often."""
    media: int = 0
    """Port of viewers over HTTP."""

    def word(self) -> str:
        """A name that nobody has used."""
        return f"{self.random.randrange(2**64):016x}"

    @asynccontextmanager
    async def line(self, port: int | None = None) -> AsyncIterator[trio.SocketStream]:
        """A connection to `port` (the RTMP port) from one of the attackers' addresses, reset at the end."""
        connection = trio.socket.socket()
        with connection:
            connection.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, _RESET)
            connection.setsockopt(trio.socket.IPPROTO_IP, trio.socket.IP_BIND_ADDRESS_NO_PORT, 1)
            await connection.bind((self.random.choice(ADDRESSES), 0))
            await connection.connect(("127.0.0.1", self.rtmp if port is None else port))
            yield trio.SocketStream(connection)


def log_in(app: str, streams: int = 1) -> bytes:
    """From the handshake to so many message streams, 1 and up, in one piece."""
    created = b"".join(command("createStream", 2 + number, None) for number in range(streams))
    return PLAIN_HANDSHAKE + connect(app) + created


def publish(key: str, stream: int = 1) -> bytes:
    """`publish` on a message stream."""
    return command("publish", 100 + stream, None, key, "live", stream=stream)


def play(key: str, stream: int = 1) -> bytes:
    """`play` on a message stream."""
    return command("play", 200 + stream, None, key, -2.0, stream=stream)


def metadata(**values: object) -> bytes:
    """`@setDataFrame onMetaData` on message stream 1."""
    return message(types.DATA_AMF0, amf.encode_all(["@setDataFrame", "onMetaData", values]), stream=1)


def media(
    type_id: int, payload: bytes, *, at: int = 0, stream: int = 1, chunk_size: int = 128, chunk_stream: int = 6
) -> bytes:
    """One audio or video message at a time in milliseconds."""
    return render(Message(type_id, stream, at, payload, chunk_stream), chunk_size)


def frames(count: int, body: bytes, *, apart_ms: int = 40, chunk_size: int = 128) -> bytes:
    """So many key frames of H.264 that consist of `body`."""
    data = b"\x17\x01\x00\x00\x00" + len(body).to_bytes(4, "big") + body
    return b"".join(media(types.VIDEO, data, at=number * apart_ms, chunk_size=chunk_size) for number in range(count))


def avc_header(width: int, height: int) -> bytes:
    """The sequence header of a stream of H.264 that really has this size (both a multiple of 16)."""
    sps = _sps(width, height)
    record = b"\x01" + sps[1:4] + b"\xff\xe1" + len(sps).to_bytes(2, "big") + sps + bytes.fromhex("01000468ce3c80")
    return UNREADABLE_HEADER + record


def _sps(width: int, height: int) -> bytes:
    """H.264 §7.3.2.1.1, baseline, level 5.1: id, frame_num, order count type 2, one reference, size, no cropping."""
    numbers: Sequence[int | str] = (0, 0, 2, 1, "0", width // 16 - 1, height // 16 - 1, "1100", "1")
    bits = "".join(number if isinstance(number, str) else _exp_golomb(number) for number in numbers)
    bits += "0" * (-len(bits) % 8)
    return bytes.fromhex("6742c033") + int(bits, 2).to_bytes(len(bits) // 8, "big")


def _exp_golomb(number: int) -> str:
    """ue(v), H.264 §9.1."""
    bits = f"{number + 1:b}"
    return "0" * (len(bits) - 1) + bits
