"""However small its messages are, one client is read in turns of bounded work, and nothing is lost between them."""

import pytest

from mmids_trio.rtmp.protocol import message as types
from mmids_trio.rtmp.protocol.chunks import ChunkReader
from mmids_trio.rtmp.protocol.events import Event, MediaReceived, PublishRequested
from mmids_trio.rtmp.protocol.limits import CHUNKS_PER_TURN
from tests.support.rtmp import ScriptedClient, command, message

READ_BYTES = 64 * 1024
SMALLEST = message(types.VIDEO, b"\x27", stream=1, chunk_stream=4)
AGAIN = b"\xc4\x27"
"""The same once more, in the smallest chunk that RTMP has: a header of one byte, and a payload of one."""


def publisher() -> ScriptedClient:
    client = ScriptedClient()
    client.connect()
    client.say(command("createStream", 2, None))
    events = client.say(command("publish", 3, None, "show", "live", stream=1))
    [request] = [event.request for event in events if isinstance(event, PublishRequested)]
    assert client.server.accept_publish(request)
    client.say(SMALLEST)
    return client


def messages(events: list[Event]) -> int:
    return sum(len(event.messages) for event in events if isinstance(event, MediaReceived))


def test_a_read_full_of_the_smallest_messages_is_many_turns_of_bounded_size() -> None:
    turns = [messages(turn) for turn in publisher().server.receive_in_turns(AGAIN * (READ_BYTES // 2))]
    assert max(turns) == CHUNKS_PER_TURN
    assert sum(turns) == READ_BYTES // 2


def test_chunks_that_complete_nothing_are_bounded_as_well() -> None:
    """Two messages that interleave byte by byte: no message in tens of thousands of chunks."""
    reader = ChunkReader()
    reader.read_messages(message(1, (1).to_bytes(4, "big"), chunk_stream=2))
    first = message(types.VIDEO, bytes(100_000), stream=1, chunk_stream=4)[:13]
    second = message(types.AUDIO, bytes(100_000), stream=1, chunk_stream=5)[:13]
    reader.read_messages(first + second)
    reader.read_messages(b"\xc4\0\xc5\0" * 10_000, CHUNKS_PER_TURN)
    assert reader.has_more
    assert reader.unfinished == 2 + 2 * 20_000 - CHUNKS_PER_TURN  # of a chunk that was read, its payload is held


@pytest.mark.parametrize("split", [1, 2, 3, 1000, 1023, 1024, 1025, 5000])
def test_turns_lose_and_repeat_nothing_wherever_the_bytes_are_split(split: int) -> None:
    data = b"".join(b"\xc4" + bytes([number % 256]) for number in range(3_000))
    client, seen = publisher(), list[int]()
    for start in range(0, len(data), split):
        for turn in client.server.receive_in_turns(data[start : start + split]):
            seen += [m.payload[0] for event in turn if isinstance(event, MediaReceived) for m in event.messages]
    assert seen == [number % 256 for number in range(3_000)]
    assert not client.server.is_within_message


def test_usual_media_are_one_turn() -> None:
    data = b"".join(message(types.VIDEO, bytes(170), stream=1, chunk_stream=4) for _ in range(300))
    assert len(list(publisher().server.receive_in_turns(data[:READ_BYTES]))) == 1
