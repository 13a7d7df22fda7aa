"""What commands cost is bounded by the values in them, and nobody pays for what nobody reads."""

import pytest

from mmids_trio.rtmp.protocol import amf
from mmids_trio.rtmp.protocol import message as types
from mmids_trio.rtmp.protocol.chunks import ChunkReader
from mmids_trio.rtmp.protocol.commands import parse_command
from mmids_trio.rtmp.protocol.events import PublishRequested
from mmids_trio.rtmp.protocol.limits import LEAST_TALK, MAX_COMMAND_VALUES, TALK_PER_TURN, VALUE_TALK
from mmids_trio.rtmp.protocol.message import Message
from tests.support.rtmp import ScriptedClient, command, message

ARRAYS = b"\x0a\0\0\0\1" * 10 + b"\x0a\0\0\x2e\xe0" + b"\5" * 12_000
"""12,000 values in 12 kB, nested."""


@pytest.fixture
def client() -> ScriptedClient:
    client = ScriptedClient()
    client.connect()
    return client


def hostile(name: str, transaction: float = 7.0) -> bytes:
    return message(types.COMMAND_AMF0, amf.encode_all([name, transaction]) + ARRAYS)


def test_nobody_decodes_what_is_in_a_command_that_nobody_handles(client: ScriptedClient) -> None:
    payload = amf.encode_all(["unknown", 7.0]) + ARRAYS
    parsed = parse_command(Message(types.COMMAND_AMF0, 0, 0, payload, 3), handled={"play"})
    assert (parsed.name, parsed.transaction, parsed.arguments, parsed.decoded_values) == ("unknown", 7.0, (), 2)
    before = client.server.talk
    client.say(hostile("unknown"))
    [answer] = client.hear()
    assert answer.startswith("_error 7")
    assert client.server.talk - before == len(payload) + 2 * VALUE_TALK


def test_each_value_of_a_command_is_charged(client: ScriptedClient) -> None:
    before = client.server.talk
    client.say(command("createStream", 1, None, *[None] * 100))
    assert client.server.talk - before == LEAST_TALK + 103 * VALUE_TALK
    assert client.server.asked == client.server.talk


def test_values_of_metadata_are_charged_and_its_bytes_are_no_command(client: ScriptedClient) -> None:
    client.say(command("createStream", 1, None))
    [asked_for] = client.say(command("publish", 2, None, "key", "live", stream=1))
    assert isinstance(asked_for, PublishRequested)
    client.server.accept_publish(asked_for.request)
    talk, asked = client.server.talk, client.server.asked
    metadata = amf.encode_all(["@setDataFrame", "onMetaData", {f"name{n}": float(n) for n in range(100)}])
    client.say(message(types.DATA_AMF0, metadata, stream=1))
    assert client.server.asked - asked == 101 * VALUE_TALK
    assert client.server.talk - talk == len(metadata) + 101 * VALUE_TALK


def test_what_one_read_brings_in_costly_commands_is_done_in_turns(client: ScriptedClient) -> None:
    data = command("createStream", 0, None, *[None] * (MAX_COMMAND_VALUES - 3)) * 100
    before, turns = client.server.talk, 0
    for _ in client.server.receive_in_turns(data):
        turns += 1
        assert client.server.talk - before < TALK_PER_TURN + MAX_COMMAND_VALUES * VALUE_TALK + LEAST_TALK * 2
        before = client.server.talk
    assert turns >= 100 * MAX_COMMAND_VALUES * VALUE_TALK / (2 * TALK_PER_TURN)
    assert len(client.hear()) == 100


def test_the_oldest_unfinished_message_is_known_whatever_else_is_finished() -> None:
    reader = ChunkReader()
    assert reader.oldest_unfinished is None
    whole = message(types.COMMAND_AMF0, bytes(300), chunk_stream=3)
    reader.read_messages(message(types.COMMAND_AMF0, bytes(300), chunk_stream=4)[:200])
    first = reader.oldest_unfinished
    reader.read_messages(whole * 5 + message(types.COMMAND_AMF0, bytes(300), chunk_stream=5)[:200])
    assert reader.oldest_unfinished == first is not None


def test_a_message_that_follows_another_one_is_another_one() -> None:
    reader, seen = ChunkReader(), set[int | None]()
    data = message(types.COMMAND_AMF0, bytes(50)) * 4
    for place in range(len(data) // 4 - 5, len(data), len(data) // 4):
        reader.read_messages(data[max(place - len(data) // 4, 0) : place])
        seen.add(reader.oldest_unfinished)
    assert len(seen) == 4
