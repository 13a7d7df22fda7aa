"""Invariant: whatever a server sends, in whatever pieces, a client raises `ProtocolError` or nothing.

The first byte says how the rest is meant: bit 0 that it plays instead of publishing, bit 1 that a handshake stands
before it, bit 2 that it is made of records that become well-formed messages.  The second byte is the size of the
pieces.
"""

from mmids_trio.errors import ProtocolError
from mmids_trio.media.events import StreamId
from mmids_trio.media.source_clock import SourceClock
from mmids_trio.rtmp.ingest import Media, media_events
from mmids_trio.rtmp.protocol.client_connection import ClientConnection, ClientPhase
from mmids_trio.rtmp.protocol.events import ClientConnected, ClientEvent, PublishStarted
from mmids_trio.rtmp.protocol.limits import MAX_BUFFERED
from mmids_trio.rtmp.protocol.message import VIDEO
from tests.fuzz.reading import pieces, records
from tests.support.rtmp import PLAIN_HANDSHAKE, message, zeros

PLAYS, SHAKEN_HANDS, IN_RECORDS = 1, 2, 4
ANSWERED, ANSWERED_PER_BYTE, ANSWERED_PER_PIECE = 8192, 60, 64
CALLS, CALLS_PER_BYTE = 10_000, 120
STREAM = StreamId("fuzz")


def fuzz_one(data: bytes) -> None:
    """One connection from its first byte to its end."""
    head, rest = data[:2].ljust(2, b"\0"), data[2:]
    said = b"".join(_messages(rest)) if head[0] & IN_RECORDS else rest
    wire = [PLAIN_HANDSHAKE if head[0] & SHAKEN_HANDS else b"", *pieces(said, head[1])]
    client = ClientConnection(zeros, app="live", tc_url="rtmp://server/live")
    try:
        answered = sum(_take(client, piece, plays=bool(head[0] & PLAYS)) for piece in wire)
        if client.phase is ClientPhase.PUBLISHING:
            client.unpublish()
        elif client.phase is ClientPhase.PLAYING:
            client.stop_playing()
    except ProtocolError:
        return
    assert answered <= ANSWERED + ANSWERED_PER_BYTE * len(b"".join(wire)) + ANSWERED_PER_PIECE * len(wire)


def _messages(data: bytes) -> list[bytes]:
    return [message(head[0], payload, stream=head[1] & 3) for head, payload in records(data, 2)]


def _take(client: ClientConnection, piece: bytes, *, plays: bool) -> int:
    """Give one piece, do as an owner does; the number of bytes sent."""
    for event in client.receive_data(piece):
        _answer(client, event, plays=plays)
    assert client._reader.unfinished <= MAX_BUFFERED
    return len(client.data_to_send())


def _answer(client: ClientConnection, event: ClientEvent, *, plays: bool) -> None:
    if isinstance(event, Media):
        media_events(STREAM, event, SourceClock())
    elif isinstance(event, ClientConnected) and plays:
        client.play("key")
    elif isinstance(event, ClientConnected):
        client.publish("key")
    elif isinstance(event, PublishStarted) and client.phase is ClientPhase.PUBLISHING:
        client.send_metadata({"width": 1})
        client.send_media(VIDEO, 0, b"\x17\x00")
