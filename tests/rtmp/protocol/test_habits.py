"""What encoders and players do that no specification asks for: each habit by itself, from its bytes to its events.

Those that other tests already show are named in docs/interoperability.md, with the tests.
"""

import pytest

from mmids_trio.media.codecs import parse_video
from mmids_trio.media.events import StreamId
from mmids_trio.rtmp.protocol import amf
from mmids_trio.rtmp.protocol.chunks import ChunkReader
from mmids_trio.rtmp.protocol.events import (
    Connected,
    Event,
    MediaReceived,
    MetadataReceived,
    PlayRequested,
    PublishEnded,
    PublishRequested,
)
from mmids_trio.rtmp.protocol.message import Message
from mmids_trio.rtmp.protocol.outgoing import render
from tests.support.rtmp import PLAIN_HANDSHAKE, ScriptedClient, command, message

VIDEO, AUDIO, DATA = 9, 8, 18
KEY_FRAME, DELTA_FRAME = b"\x17\x01\0\0\0key", b"\x27\x01\0\0\x50delta"
LARGEST_CHUNK = 16 * 1024 * 1024
MEDIA_STREAM = 6


@pytest.fixture
def publisher() -> ScriptedClient:
    client = ScriptedClient()
    client.connect()
    client.say(command("createStream", 2, None))
    (requested,) = client.say(command("publish", 0, None, "key", "live", stream=1))
    assert isinstance(requested, PublishRequested)
    client.server.accept_publish(requested.request)
    client.hear()
    return client


def received(events: list[Event]) -> list[Message]:
    return [message for event in events if isinstance(event, MediaReceived) for message in event.messages]


def test_connect_without_a_tc_url_is_accepted() -> None:
    client = ScriptedClient()
    [connected] = client.say(PLAIN_HANDSHAKE, command("connect", 1, {"app": "live"}))
    assert isinstance(connected, Connected)
    assert (connected.request.app, connected.request.tc_url) == ("live", "")
    assert client.hear()[-1] == "_result 1 NetConnection.Connect.Success"


@pytest.mark.parametrize("app", ["live/room/", "/live/room", "live/room/?token=x"])
def test_an_application_with_an_instance_and_slashes_too_many_is_the_same(app: str) -> None:
    client = ScriptedClient()
    [connected] = client.say(PLAIN_HANDSHAKE, command("connect", 1, {"app": app}))
    assert isinstance(connected, Connected)
    assert connected.request.app == "live/room"


def test_a_token_may_stand_in_the_key_and_is_no_part_of_it() -> None:
    client = ScriptedClient()
    client.connect()
    client.say(command("createStream", 2, None))
    [requested] = client.say(command("publish", 3, None, "key?token=a/b==&user=x", "live", stream=1))
    assert isinstance(requested, PublishRequested)
    assert requested.request.key == "key"
    assert requested.request.query.parameters == {"token": "a/b==", "user": "x"}


@pytest.mark.parametrize("arguments", [(), (0.0,), (-1.0,), (5.0, 60.0), (-2.0, -1.0, True), (-2.0, 0.0, False)])
def test_play_with_any_start_duration_and_reset_is_played(arguments: tuple[object, ...]) -> None:
    client = ScriptedClient()
    client.connect()
    client.say(command("createStream", 2, None))
    [requested] = client.say(command("play", 3, None, "key", *arguments, stream=1))
    assert isinstance(requested, PlayRequested)
    assert client.server.accept_play(requested.request)
    assert "1: onStatus NetStream.Play.Start" in client.hear()


@pytest.mark.parametrize("size", [1, 2, 127, 128, 4096, 65_536, LARGEST_CHUNK - 1, LARGEST_CHUNK])
def test_every_chunk_size_from_one_byte_to_16_mib_is_understood(publisher: ScriptedClient, size: int) -> None:
    sent = Message(VIDEO, 1, 40, KEY_FRAME * 50, MEDIA_STREAM)
    events = publisher.say(message(1, size.to_bytes(4, "big"), chunk_stream=2), render(sent, size))
    assert received(events) == [sent]


def test_clients_that_never_acknowledge_are_served_on(publisher: ScriptedClient) -> None:
    for number in range(60):  # twelve times the window that they were told
        publisher.server.send_status(1, "status", "NetStream.Test", "x" * 500_000)
        assert len(publisher.server.data_to_send()) > 500_000, number
    assert received(publisher.say(message(VIDEO, KEY_FRAME, stream=1, chunk_stream=MEDIA_STREAM)))


def test_timestamps_that_wrap_go_back_or_jump_come_through_as_they_are(publisher: ScriptedClient) -> None:
    times = [2**32 - 40, 2**32 - 1, 0, 40, 20, 10_000_000, 0, 2**31, 2**24 - 1, 2**24]
    for time in times:
        [event] = publisher.say(message(VIDEO, KEY_FRAME, stream=1, timestamp=time, chunk_stream=MEDIA_STREAM))
        assert isinstance(event, MediaReceived)
        assert [found.timestamp for found in event.messages] == [time]


def test_a_message_that_begins_with_type_3_has_an_extended_timestamp_repeated_or_not() -> None:
    mark = b"\xff\xff\xff"
    first = b"\x06" + mark + b"\0\0\2" + b"\x09" + b"\1\0\0\0" + (2**24).to_bytes(4, "big") + b"ab"
    for second in (b"\xc6" + (2**24).to_bytes(4, "big") + b"cd", b"\xc6cd"):
        reader = ChunkReader()
        after = message(AUDIO, b"sound", stream=1, timestamp=5, chunk_stream=4)
        found = [(part.timestamp, part.payload) for part in reader.read_messages(first + second + after)]
        assert found == [(2**24, b"ab"), (2**24, b"cd"), (5, b"sound")]


@pytest.mark.parametrize("kind", [VIDEO, AUDIO])
def test_a_stream_of_one_kind_alone_is_a_stream(publisher: ScriptedClient, kind: int) -> None:
    body = KEY_FRAME if kind == VIDEO else b"\xaf\x01sound"
    parts = [message(kind, body, stream=1, timestamp=time, chunk_stream=MEDIA_STREAM) for time in (0, 40, 80)]
    assert [part.type_id for part in received(publisher.say(*parts))] == [kind] * 3


def test_metadata_may_come_late_and_again(publisher: ScriptedClient) -> None:
    frame = message(VIDEO, KEY_FRAME, stream=1, chunk_stream=MEDIA_STREAM)

    def metadata(width: float) -> bytes:
        return message(DATA, amf.encode_all(["@setDataFrame", "onMetaData", {"width": width}]), stream=1)

    events = publisher.say(frame, metadata(640), frame, metadata(640), metadata(1280), frame)
    assert [event.values["width"] for event in events if isinstance(event, MetadataReceived)] == [640, 640, 1280]
    assert len(received(events)) == 3


def test_sequence_headers_may_change_in_the_middle(publisher: ScriptedClient) -> None:
    bodies = [b"\x17\0\0\0\0one", KEY_FRAME, b"\x17\0\0\0\0two", KEY_FRAME]
    events = publisher.say(*(message(VIDEO, body, stream=1, chunk_stream=MEDIA_STREAM) for body in bodies))
    found = [parse_video(StreamId("x"), part.timestamp, part.payload) for part in received(events)]
    assert [packet.is_sequence_header for packet in found] == [True, False, True, False]


def test_b_frames_keep_their_offsets_and_the_order_of_decoding(publisher: ScriptedClient) -> None:
    bodies = [KEY_FRAME, DELTA_FRAME, b"\x27\x01\xff\xff\xd8b"]
    parts = [message(VIDEO, body, stream=1, timestamp=40 * at, chunk_stream=4) for at, body in enumerate(bodies)]
    found = [parse_video(StreamId("x"), part.timestamp, part.payload) for part in received(publisher.say(*parts))]
    assert [(packet.timestamp, packet.composition_offset) for packet in found] == [(0, 0), (40, 80), (80, -40)]


@pytest.mark.parametrize("goodbye", [(), (command("FCUnpublish", 0, None, "key"),)])
def test_a_publisher_may_leave_without_deleting_its_stream(
    publisher: ScriptedClient, goodbye: tuple[bytes, ...]
) -> None:
    events = publisher.say(*goodbye) if goodbye else []
    assert [*events, *publisher.server.receive_end()] == [PublishEnded(1)]


def test_amf3_commands_may_hold_amf0_without_the_zero_byte_too() -> None:
    client = ScriptedClient()
    client.connect()
    client.say(message(17, amf.encode_all(["createStream", 2.0, None])))
    assert client.hear() == ["_result 2 1"]
