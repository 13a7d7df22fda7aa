"""Acknowledgements, pings and the limits of what a client may do."""

import pytest

from mmids_trio.errors import ProtocolError
from mmids_trio.rtmp.protocol import amf, control
from mmids_trio.rtmp.protocol.control import ReceivedBytes
from mmids_trio.rtmp.protocol.events import PongReceived
from mmids_trio.rtmp.protocol.limits import MAX_BYTES_BEFORE_CONNECT, MAX_COMMAND_VALUES
from mmids_trio.rtmp.protocol.server_connection import ConnectionPhase, ServerConnection
from tests.support.rtmp import PLAIN_HANDSHAKE, ScriptedClient, command, connect, describe, message, zeros

VIDEO_OF_1000 = message(9, bytes(1000), stream=1)


@pytest.fixture
def client() -> ScriptedClient:
    client = ScriptedClient()
    client.connect()
    return client


def window(size: int) -> bytes:
    return message(5, size.to_bytes(4, "big"), chunk_stream=2)


def total_of(client: ScriptedClient, *pieces: bytes) -> int:
    client.say(*pieces)
    (answer,) = client.hear()
    name, total = answer.split()
    assert name == "Acknowledgement"
    return int(total)


def test_received_bytes_are_acknowledged_at_half_the_clients_window(client: ScriptedClient) -> None:
    client.say(window(10_000))
    answers = []
    for _ in range(14):
        client.say(VIDEO_OF_1000)
        answers.append(client.hear())
    assert answers[0] == []
    before = len(PLAIN_HANDSHAKE + connect() + window(10_000))
    expected = [before + count * len(VIDEO_OF_1000) for count in (2, 7, 12)]  # 5 make more than 5,000 bytes
    assert [answer for answer in answers if answer] == [[f"Acknowledgement {total}"] for total in expected]


def test_without_a_window_the_usual_one_counts(client: ScriptedClient) -> None:
    megabyte = message(9, bytes(1_000_000), stream=1)
    client.say(window(0), megabyte)
    assert client.hear() == []
    assert total_of(client, megabyte) > 2_000_000


def test_a_tiny_window_costs_one_acknowledgement_a_read(client: ScriptedClient) -> None:
    client.say(window(1))
    assert total_of(client, VIDEO_OF_1000 * 10) > 10_000


def test_the_acknowledged_total_wraps_on_the_wire_alone() -> None:
    received = ReceivedBytes(total=2**32 - 10, window=100)
    assert received.is_due_after(15)
    assert describe(control.acknowledgement(received.total)) == "Acknowledgement 5"
    assert [received.is_due_after(count) for count in (49, 1)] == [False, True]


def test_an_acknowledgement_is_due_once_for_all_that_came() -> None:
    received = ReceivedBytes(window=100)
    assert [received.is_due_after(count) for count in (49, 1, 49, 500, 0)] == [False, True, False, True, False]
    assert received.total == 599


def test_a_ping_is_answered_with_its_timestamp(client: ScriptedClient) -> None:
    client.say(message(4, b"\0\6\xff\xff\xff\xff", chunk_stream=2))
    assert client.hear() == ["PingResponse 4294967295"]


def test_our_pings_come_back_as_pongs(client: ScriptedClient) -> None:
    client.server.ping(2**32 + 7)
    assert client.hear() == ["PingRequest 7"]
    assert client.say(message(4, b"\0\7\0\0\0\7", chunk_stream=2)) == [PongReceived(7)]


@pytest.mark.parametrize("payload", [b"\0\3\0\0\0\1\0\0\x0b\xb8", b"\0\x1f", b"\0\0\0\0\0\1"])
def test_other_user_control_messages_need_no_answer(client: ScriptedClient, payload: bytes) -> None:
    assert client.say(message(4, payload, chunk_stream=2)) == []
    assert client.hear() == []


def test_acknowledgements_and_bandwidths_of_the_client_are_taken_in_silence(client: ScriptedClient) -> None:
    assert client.say(message(3, b"\0\0\0\1"), message(6, b"\0\0\0\1\2")) == []
    assert client.hear() == []


@pytest.mark.parametrize(
    ("piece", "complaint"),
    [
        (message(4, b"\0"), "user control message has at least 2 bytes"),
        (message(5, b"\0\0\1"), "type 5 has 4 bytes, this one 3"),
        (message(20, b""), "begins with its name"),
        (message(20, amf.encode_all([7.0])), "begins with its name"),
        (message(1, b"\x80\0\0\0"), "chunk size of 2147483648"),
        (message(20, b"\x02\xff\xff"), "the data ends"),
        (message(20, b"\x03\0\1a" * 100), "begins with its name"),
        (message(20, amf.encode_all(["play", 1.0]) + b"\x03\0\1a" * 100), "nested deeper"),
        (message(20, amf.encode_all(["play", 1.0]) + b"\5" * MAX_COMMAND_VALUES), "more than 256 values"),
        (connect(), "an accepted connect was not expected on a connection that is connected"),
    ],
)
def test_what_no_client_says_breaks_the_protocol(client: ScriptedClient, piece: bytes, complaint: str) -> None:
    with pytest.raises(ProtocolError, match=complaint):
        client.say(piece)


@pytest.mark.parametrize("name", ["createStream", "publish", "play", "releaseStream"])
def test_nothing_comes_before_connect(name: str) -> None:
    with pytest.raises(ProtocolError, match=f"connect was expected, '{name}' came"):
        ScriptedClient().say(PLAIN_HANDSHAKE, command(name, 1, None, "key"))


def test_media_cannot_put_off_connect_for_ever() -> None:
    client = ScriptedClient()
    client.say(PLAIN_HANDSHAKE)
    within = MAX_BYTES_BEFORE_CONNECT // len(VIDEO_OF_1000)
    for _ in range(within):
        assert client.say(VIDEO_OF_1000) == []
    with pytest.raises(ProtocolError, match="connect was expected within 65536 bytes"):
        client.say(VIDEO_OF_1000)


def test_much_that_came_along_with_connect_is_no_offence() -> None:
    client = ScriptedClient()
    client.say(PLAIN_HANDSHAKE, connect(), VIDEO_OF_1000 * 100)
    assert client.server.phase is ConnectionPhase.CONNECTED


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1", b"\x16\x03\x01", b"\x06"])
def test_other_protocols_are_recognised(first: bytes) -> None:
    with pytest.raises(ProtocolError, match="expected RTMP version 3"):
        ServerConnection(zeros).receive_data(first)
