"""What RTMP clients send, masked: nothing secret is left, and a server understands it as it did before."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmids_trio.capture.chunk_masking import ChunkMasker
from mmids_trio.capture.pseudonyms import Pseudonyms
from mmids_trio.errors import ProtocolError
from mmids_trio.rtmp.protocol.client_connection import ClientConnection
from mmids_trio.rtmp.protocol.events import Event, MediaReceived, MetadataReceived, PlayRequested, PublishRequested
from mmids_trio.rtmp.protocol.message import VIDEO
from mmids_trio.rtmp.protocol.server_connection import ServerConnection
from tests.support.effort import some_of

SESSIONS = sorted((Path(__file__).parents[1] / "rtmp" / "protocol" / "sessions").glob("*.bin"))
NAMES = Pseudonyms(b"of a test")
KEY, TOKEN = "Camera-7/main", "s3cr3tT0ken"
HANDSHAKE = 1 + 2 * 1536
LONGEST_HEADER = 3 + 11 + 4


def masker(*, blanks_media: bool = True) -> ChunkMasker:
    return ChunkMasker(NAMES, blanks_media)


def conversation(key: str = KEY, *, chunk_size: int = 60_000, play: bool = False) -> bytes:
    """All that a client sends which publishes (or plays) with a token."""
    properties = {"pageUrl": f"https://site.example/?auth={TOKEN}"}
    app = f"live?token={TOKEN}"
    client = ClientConnection(bytes, app, f"rtmp://h/{app}", chunk_size=chunk_size, properties=properties)
    server, sent = ServerConnection(bytes), b""

    def exchange() -> None:
        nonlocal sent
        while data := client.data_to_send():
            sent += data
            for event in server.receive_data(data):
                if isinstance(event, PublishRequested):
                    server.accept_publish(event.request)
                if isinstance(event, PlayRequested):
                    server.accept_play(event.request)
            client.receive_data(server.data_to_send())

    exchange()
    if play:
        client.play(f"{key}?token={TOKEN}")
        exchange()
        return sent
    client.publish(f"{key}?token={TOKEN}")
    exchange()
    client.send_metadata({"title": f"of {TOKEN}", "width": 640.0})
    client.send_media(VIDEO, 0, b"\x17\x00\x00\x00\x00" + b"SEQUENCE HEADER" * 5)
    client.send_media(VIDEO, 40, b"\x17\x01\x00\x00\x00" + b"PICTURE" * 700)
    client.unpublish()
    exchange()
    return sent


@pytest.mark.parametrize("chunk_size", [60_000, 128, 33])
@pytest.mark.parametrize("play", [False, True])
def test_no_key_and_no_token_is_left(chunk_size: int, play: bool) -> None:
    sent = conversation(chunk_size=chunk_size, play=play)
    masked = masker().mask(sent)
    assert len(masked) == len(sent)
    assert masked[:HANDSHAKE] == sent[:HANDSHAKE]
    for secret in (KEY, TOKEN, "Camera", "main", "site.example"):
        assert chunk_size < 100 or secret.encode() in sent
        assert secret.encode() not in masked
    assert b"PICTURE" * 2 not in masked


@given(st.integers(20, 300), st.data())
@settings(max_examples=some_of(60))
def test_where_reads_cut_makes_no_difference(chunk_size: int, data: st.DataObject) -> None:
    sent = conversation(chunk_size=chunk_size)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=30)))
    pieces = [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    masks = masker()
    masked = [masks.mask(piece) for piece in pieces]
    assert list(map(len, masked)) == list(map(len, pieces))
    assert b"".join(masked) == masker().mask(sent)


def test_byte_by_byte_makes_no_difference() -> None:
    sent, masks = conversation(chunk_size=40), masker()
    assert b"".join(masks.mask(sent[place : place + 1]) for place in range(len(sent))) == masker().mask(sent)


def shape(event: Event) -> object:
    """Of an event what masking must not change."""
    match event:
        case MediaReceived(messages=messages):
            return [(item.type_id, item.timestamp, len(item.payload), item.payload[:5]) for item in messages]
        case MetadataReceived():
            return MetadataReceived
        case _:
            return type(event)


@pytest.mark.parametrize("chunk_size", [60_000, 128, 33])
def test_a_server_sees_the_same_events(chunk_size: int) -> None:
    sent = conversation(chunk_size=chunk_size)
    assert list(map(shape, serve(masker().mask(sent)))) == list(map(shape, serve(sent)))
    [published] = [event.request for event in serve(masker().mask(sent)) if isinstance(event, PublishRequested)]
    assert published.key == NAMES.of(KEY)


@pytest.mark.parametrize("session", SESSIONS, ids=lambda path: path.stem)
def test_what_real_clients_sent_means_the_same_when_masked(session: Path) -> None:
    sent = session.read_bytes()
    masked = masker().mask(sent)
    assert len(masked) == len(sent)
    before = serve(sent)
    assert list(map(shape, serve(masked))) == list(map(shape, before))
    keys = [event.request.key for event in before if isinstance(event, PublishRequested | PlayRequested)]
    assert keys
    for key in keys:
        assert len(key).to_bytes(2) + key.encode() not in masked[HANDSHAKE:]  # a string of AMF0


def serve(data: bytes) -> list[Event]:
    """What a server makes of `data` that accepts whatever is asked for."""
    server, events = ServerConnection(bytes), []
    for place in range(0, len(data), 500):
        for event in server.receive_data(data[place : place + 500]):
            events.append(event)
            if isinstance(event, PublishRequested):
                server.accept_publish(event.request)
            if isinstance(event, PlayRequested):
                server.accept_play(event.request)
        server.data_to_send()
    return events


def test_who_publishes_and_who_plays_one_key_still_meet() -> None:
    published = [event for event in serve(masker().mask(conversation())) if isinstance(event, PublishRequested)]
    played = [event for event in serve(masker().mask(conversation(play=True))) if isinstance(event, PlayRequested)]
    assert published[0].request.key == played[0].request.key


def test_sequence_headers_stay_and_frames_keep_their_beginning() -> None:
    masked = masker().mask(conversation())
    assert b"SEQUENCE HEADER" * 5 in masked
    assert b"\x17\x01\x00\x00\x00PICTURE"[:8] in masked


def test_all_media_is_kept_where_that_is_asked_for() -> None:
    masked = masker(blanks_media=False).mask(conversation())
    assert b"PICTURE" * 700 in masked
    assert KEY.encode() not in masked


def test_strings_are_kept_and_media_is_blanked_where_that_is_asked_for() -> None:
    masked = ChunkMasker(None, blanks_media=True).mask(conversation())
    assert KEY.encode() in masked
    assert b"PICTURE" * 2 not in masked


@given(st.binary(max_size=300))
def test_of_what_is_no_rtmp_no_more_than_the_first_byte_is_kept(rest: bytes) -> None:
    masked = masker().mask(b"G" + rest)
    assert masked == b"G" + bytes(len(rest))


@given(st.binary(max_size=600), st.integers(1, 50))
def test_garbage_behind_the_handshake_keeps_its_length(garbage: bytes, size: int) -> None:
    sent = conversation()[:HANDSHAKE] + garbage
    masks = masker()
    masked = b"".join(masks.mask(sent[place : place + size]) for place in range(0, len(sent), size))
    assert len(masked) == len(sent)
    # The beginning of a header goes out before the rest shows that it is none.
    assert sum(one != other for one, other in zip(masked, masker().mask(sent), strict=True)) <= LONGEST_HEADER


def test_what_breaks_the_protocol_is_blanked_to_the_end() -> None:
    sent = conversation()[:HANDSHAKE] + b"\xc3" + KEY.encode() * 20  # a chunk of a stream that never began
    with pytest.raises(ProtocolError):
        ServerConnection(bytes).receive_data(sent)
    assert masker().mask(sent)[HANDSHAKE:] == bytes(len(sent) - HANDSHAKE)
