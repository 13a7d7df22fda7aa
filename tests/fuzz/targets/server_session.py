"""Invariant: whatever a client sends, in whatever pieces, a server raises `ProtocolError` or nothing.

What it answers is bounded by what it was sent, and so is what it holds.  The first byte says how the rest is meant:
bits 0 and 1 what stands before it (nothing, a handshake, that and `connect`, both and `createStream`), bit 2 that it
is made of records that become well-formed messages, bits 3 and 4 what its owner says to requests.  The second byte is
the size of the pieces.
"""

from mmids_trio.errors import ProtocolError
from mmids_trio.media.events import StreamId
from mmids_trio.media.source_clock import SourceClock
from mmids_trio.rtmp.ingest import Media, media_events
from mmids_trio.rtmp.protocol.events import (
    DataReceived,
    Event,
    MediaReceived,
    MetadataReceived,
    PlayRequested,
    PublishRequested,
)
from mmids_trio.rtmp.protocol.limits import MAX_BUFFERED
from mmids_trio.rtmp.protocol.server_connection import ServerConnection
from tests.fuzz.reading import pieces, records
from tests.support.rtmp import PLAIN_HANDSHAKE, command, connect, message, zeros

HANDSHAKE = PLAIN_HANDSHAKE
CONNECT = HANDSHAKE + connect()
BEGINNINGS = (b"", HANDSHAKE, CONNECT, CONNECT + command("createStream", 2, None))

IN_RECORDS = 0x04
ACCEPT, REFUSE, BOTH, NEITHER = range(4)
"""What becomes of requests; `BOTH` accepts and then refuses, which is nothing the second time."""

ANSWERED, ANSWERED_PER_BYTE, ANSWERED_PER_PIECE = 8192, 60, 64
"""A type 3 chunk of a few bytes repeats a whole command, whose answer has some 200; a piece may be acknowledged."""

CALLS, CALLS_PER_BYTE = 10_000, 120
STREAM = StreamId("fuzz")


def fuzz_one(data: bytes) -> None:
    """One connection from its first byte to its end."""
    head, rest = data[:2].ljust(2, b"\0"), data[2:]
    said = b"".join(_messages(rest)) if head[0] & IN_RECORDS else rest
    wire = [BEGINNINGS[head[0] & 3], *pieces(said, head[1])]
    server = ServerConnection(zeros)
    try:
        answered = sum(_take(server, piece, head[0] >> 3 & 3) for piece in wire)
    except ProtocolError:
        return
    server.receive_end()
    server.forget()
    assert answered <= ANSWERED + ANSWERED_PER_BYTE * len(b"".join(wire)) + ANSWERED_PER_PIECE * len(wire)


def _messages(data: bytes) -> list[bytes]:
    return [
        message(head[0], payload, stream=head[1] & 3, timestamp=int.from_bytes(head[2:4], "big") << 16)
        for head, payload in records(data, 4)
    ]


def _take(server: ServerConnection, piece: bytes, owner: int) -> int:
    """Give one piece, do as an owner does; the number of bytes answered."""
    for event in server.receive_data(piece):
        _answer(server, event, owner)
    assert server._reader.unfinished <= MAX_BUFFERED
    return len(server.data_to_send())


def _answer(server: ServerConnection, event: Event, owner: int) -> None:
    if isinstance(event, Media):
        _look_at(event)
    elif isinstance(event, PublishRequested):
        if owner in (ACCEPT, BOTH):
            server.accept_publish(event.request)
        if owner in (REFUSE, BOTH):
            server.refuse_publish(event.request)
    elif isinstance(event, PlayRequested):
        if owner in (ACCEPT, BOTH):
            server.accept_play(event.request)
        if owner in (REFUSE, BOTH):
            server.refuse_play(event.request)


def _look_at(media: MediaReceived | MetadataReceived | DataReceived) -> None:
    if isinstance(media, MediaReceived):
        assert media.messages
        assert all(message.payload for message in media.messages)
    media_events(STREAM, media, SourceClock())
