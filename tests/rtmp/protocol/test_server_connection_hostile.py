"""Invariant: whatever a client sends, in whatever pieces, a server raises `ProtocolError` or nothing.

And what one connection holds stays within a few times the limits that are documented for it.
"""

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmids_trio.errors import ProtocolError
from mmids_trio.rtmp.protocol.events import PlayRequested, PublishRequested
from mmids_trio.rtmp.protocol.server_connection import ServerConnection
from tests.support.effort import some_of
from tests.support.rtmp import PLAIN_HANDSHAKE, ScriptedClient, command, connect, message, zeros

SESSIONS = [path.read_bytes() for path in sorted((Path(__file__).parent / "sessions").glob("*.bin"))]
MEBIBYTE = 1024 * 1024

NAMES = [
    *("connect", "createStream", "publish", "play", "play2", "closeStream", "deleteStream", "FCPublish"),
    *("FCUnpublish", "FCSubscribe", "releaseStream", "getStreamLength", "pause", "seek", "receiveAudio", "?"),
]
STREAMS = st.sampled_from([0, 1, 2, 16])
SCALARS = st.one_of(st.none(), st.booleans(), st.floats(), st.text(max_size=5))
ARGUMENTS = st.one_of(
    SCALARS,
    st.dictionaries(st.sampled_from(["app", "tcUrl", "capsEx", "fourCcList", "streamName"]), SCALARS),
    st.lists(SCALARS, max_size=3),
)
COMMANDS = st.builds(
    lambda name, transaction, arguments, stream, amf3: command(name, transaction, *arguments, stream=stream, amf3=amf3),
    st.sampled_from(NAMES),
    st.floats(),
    st.lists(ARGUMENTS, max_size=4),
    STREAMS,
    st.booleans(),
)
MESSAGES = st.builds(
    lambda type_id, payload, stream, timestamp: message(type_id, payload, stream=stream, timestamp=timestamp),
    st.sampled_from([0, 1, 2, 3, 4, 5, 6, 8, 9, 15, 16, 17, 18, 20, 22, 255]),
    st.binary(max_size=40),
    STREAMS,
    st.integers(0, 2**32 - 1),
)


def feed(server: ServerConnection, pieces: list[bytes]) -> None:
    """Give `pieces` one by one, as an owner that accepts what it can; stop at a `ProtocolError`."""
    for piece in pieces:
        try:
            events = server.receive_data(piece)
        except ProtocolError:
            return
        for event in events:
            if isinstance(event, PublishRequested):
                server.accept_publish(event.request)
            elif isinstance(event, PlayRequested):
                server.accept_play(event.request)
        server.data_to_send()
    server.receive_end()


@given(st.lists(st.binary(max_size=200), max_size=10), st.integers(0, 2))
def test_random_bytes_raise_nothing_else(pieces: list[bytes], beginning: int) -> None:
    beginnings = [b"", PLAIN_HANDSHAKE, PLAIN_HANDSHAKE + connect()]
    feed(ServerConnection(zeros), [beginnings[beginning], *pieces])


@given(st.lists(st.one_of(COMMANDS, MESSAGES), max_size=20))
def test_random_messages_raise_nothing_else(pieces: list[bytes]) -> None:
    feed(ServerConnection(zeros), [PLAIN_HANDSHAKE, connect(), *pieces])


@settings(max_examples=some_of(200))
@given(
    st.sampled_from(SESSIONS),
    st.lists(st.tuples(st.integers(0, 20_000), st.binary(max_size=4), st.integers(0, 4)), max_size=5),
    st.sampled_from([100, 1000, 5000]),
)
def test_mutated_sessions_raise_nothing_else(
    session: bytes, mutations: list[tuple[int, bytes, int]], size: int
) -> None:
    data = bytearray(session)
    for position, replacement, length in mutations:
        data[position % len(data) : position % len(data) + length] = replacement
    feed(ServerConnection(zeros), [bytes(data[start : start + size]) for start in range(0, len(data), size)])


ATTACKS = {
    "unanswered media": [command("publish", 0, None, "k", stream=1), *[message(9, bytes(65536), stream=1)] * 100],
    "media for nobody": [message(9, bytes(65536), stream=7)] * 100,
    "requests by the thousand": [command("publish", 0, None, "k" * 100, stream=1) * 100] * 100,
    "streams by the thousand": [command("createStream", 2, None) * 100] * 100,
    "pings by the thousand": [message(4, b"\0\6\0\0\0\1") * 1000] * 10,
    "a huge name": [command("x" * 60_000, 1, None)] * 20,
}


@pytest.mark.thorough
@pytest.mark.parametrize("attack", ATTACKS)
def test_what_a_connection_holds_is_bounded(attack: str) -> None:
    client = ScriptedClient()
    client.connect()
    pieces = ATTACKS[attack]
    tracemalloc.start()
    try:
        for piece in pieces:
            client.say(piece)
            client.server.data_to_send()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < MEBIBYTE
