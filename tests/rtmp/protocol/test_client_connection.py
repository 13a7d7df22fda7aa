"""The client's machine against the server's, at any split, and against servers that refuse."""

from collections.abc import Callable

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.errors import ProtocolError
from mmids_trio.rtmp.protocol import limits, outgoing
from mmids_trio.rtmp.protocol import message as types
from mmids_trio.rtmp.protocol.client_connection import ClientConnection, ClientPhase
from mmids_trio.rtmp.protocol.events import (
    ClientConnected,
    ClientEvent,
    Event,
    MediaReceived,
    MetadataReceived,
    PlayEnded,
    PlayRequested,
    PlayStarted,
    PongReceived,
    PublishEnded,
    PublishRequested,
    PublishStarted,
    RefusalReceived,
    StatusReceived,
    StreamBeginReceived,
    StreamEofReceived,
)
from mmids_trio.rtmp.protocol.message import Message
from mmids_trio.rtmp.protocol.server_connection import ServerConnection
from tests.support.rtmp import PLAIN_HANDSHAKE, command, message, zeros

Split = Callable[[bytes], list[bytes]]
AUDIO, VIDEO = 8, 9


def whole(data: bytes) -> list[bytes]:
    return [data]


def bytewise(data: bytes) -> list[bytes]:
    return [data[position : position + 1] for position in range(len(data))]


@define
class Conversation:
    """A client and a server that accepts everything; `run` lets them talk until both are silent."""

    split: Split = whole
    chunk_size: int = 60_000
    server: ServerConnection = field(factory=lambda: ServerConnection(zeros))
    client: ClientConnection = field(init=False)
    server_events: list[Event] = field(factory=list)
    client_events: list[ClientEvent] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.client = ClientConnection(zeros, "live", "rtmp://h/live", chunk_size=self.chunk_size)

    def run(self) -> None:
        while (upward := self.client.data_to_send()) or (downward := self.server.data_to_send()):
            for piece in self.split(upward):
                self._hear(self.server.receive_data(piece))
            downward = self.server.data_to_send()
            for piece in self.split(downward):
                self.client_events += self.client.receive_data(piece)

    def _hear(self, events: list[Event]) -> None:
        self.server_events += events
        for event in events:
            if isinstance(event, PublishRequested):
                assert self.server.accept_publish(event.request)
            elif isinstance(event, PlayRequested):
                assert self.server.accept_play(event.request)


def media_of(events: list[Event] | list[ClientEvent]) -> list[tuple[int, int, bytes]]:
    runs = (event.messages for event in events if isinstance(event, MediaReceived))
    return [(message.type_id, message.timestamp, message.payload) for run in runs for message in run]


def publish_something(conversation: Conversation, media: list[tuple[int, int, bytes]]) -> None:
    conversation.run()
    conversation.client.publish("key?token=a")
    conversation.run()
    conversation.client.send_metadata({"width": 640.0})
    for type_id, timestamp, payload in media:
        conversation.client.send_media(type_id, timestamp, payload)
    conversation.run()
    conversation.client.unpublish()
    conversation.run()


MEDIA = [(VIDEO, 0, b"\x17\0" + bytes(500)), (AUDIO, 2**32 - 1, b"\xaf\0"), (VIDEO, 16_777_215, bytes(100))]


@pytest.mark.parametrize("chunk_size", [1, 128, 60_000])
@pytest.mark.parametrize("split", [whole, bytewise])
def test_what_the_client_publishes_reaches_the_server(split: Split, chunk_size: int) -> None:
    conversation = Conversation(split, chunk_size)
    publish_something(conversation, MEDIA)
    requested = conversation.server_events[1]
    assert isinstance(requested, PublishRequested)
    assert (requested.request.key, requested.request.query.raw) == ("key", "token=a")
    assert conversation.server_events[2] == MetadataReceived(1, 0, {"width": 640.0})
    assert media_of(conversation.server_events) == MEDIA
    assert conversation.server_events[-1] == PublishEnded(1)
    kinds = [type(event) for event in conversation.client_events]
    assert kinds == [ClientConnected, StreamBeginReceived, PublishStarted, StatusReceived]
    assert conversation.client.phase is ClientPhase.CONNECTED


@given(
    st.lists(
        st.tuples(st.sampled_from([AUDIO, VIDEO]), st.integers(0, 2**32 - 1), st.binary(min_size=1, max_size=300)),
        max_size=8,
    ),
    st.integers(1, 400),
    st.lists(st.integers(1, 1000), min_size=1, max_size=5),
)
def test_pieces_and_chunks_change_nothing(
    media: list[tuple[int, int, bytes]], chunk_size: int, sizes: list[int]
) -> None:
    def split(data: bytes) -> list[bytes]:
        pieces: list[bytes] = []
        position = 0
        while position < len(data):
            size = sizes[len(pieces) % len(sizes)]
            pieces.append(data[position : position + size])
            position += size
        return pieces

    conversation = Conversation(split, chunk_size)
    publish_something(conversation, media)
    assert media_of(conversation.server_events) == media
    assert conversation.server_events[-1] == PublishEnded(1)


def playing() -> Conversation:
    conversation = Conversation()
    conversation.run()
    conversation.client.play("key")
    conversation.run()
    return conversation


def test_a_player_sees_what_the_fan_out_renders() -> None:
    conversation = playing()
    kinds = [type(event) for event in conversation.client_events[1:4]]
    assert kinds == [StreamBeginReceived, StatusReceived, PlayStarted]
    frame = outgoing.render(Message(VIDEO, 1, 40, bytes(100_000), 6))
    metadata = outgoing.metadata_message({"width": 640.0})
    assert conversation.client.receive_data(
        metadata + frame + outgoing.stream_eof(1) + outgoing.stream_begin(1) + outgoing.play_stop(1, "Over.")
    ) == [
        MetadataReceived(1, 0, {"width": 640.0}),
        MediaReceived(1, [Message(VIDEO, 1, 40, bytes(100_000), 6)]),
        StreamEofReceived(1),
        StreamBeginReceived(1),
        StatusReceived(1, "status", "NetStream.Play.Stop", "Over."),
    ]


def test_a_player_may_stop_and_play_something_else() -> None:
    conversation = playing()
    conversation.client.stop_playing()
    conversation.run()
    assert conversation.server_events[-1] == PlayEnded(1)
    conversation.client.play("other")
    conversation.run()
    assert conversation.client.phase is ClientPhase.PLAYING
    assert isinstance(conversation.server_events[-1], PlayRequested)


def test_a_player_takes_aggregates_apart() -> None:
    tag = b"\x08\0\0\1\0\0\5\0\0\0\0a\0\0\0\x0c"
    aggregate = message(22, tag + tag.replace(b"\5", b"\7"), stream=1, timestamp=100)
    (event,) = playing().client.receive_data(aggregate + message(VIDEO, b"", stream=1))
    assert media_of([event]) == [(AUDIO, 100, b"a"), (AUDIO, 102, b"a")]


def test_both_ends_answer_pings() -> None:
    conversation = playing()
    conversation.client.ping(5)
    conversation.server.ping(6)
    conversation.run()
    assert conversation.client_events[-1] == PongReceived(5)
    assert conversation.server_events[-1] == PongReceived(6)


def test_the_client_acknowledges_what_it_receives() -> None:
    conversation = playing()
    conversation.client.receive_data(message(VIDEO, bytes(1_300_000), stream=1))
    assert conversation.client.data_to_send()[7] == types.ACKNOWLEDGEMENT


@pytest.fixture
def connecting() -> ClientConnection:
    """A client that is past the handshake and waits for the answer to its `connect`."""
    client = ClientConnection(zeros, "live", "rtmp://h/live")
    client.receive_data(PLAIN_HANDSHAKE)
    return client


@pytest.fixture
def connected(connecting: ClientConnection) -> ClientConnection:
    connecting.receive_data(command("_result", 1, {}, {"code": "NetConnection.Connect.Success"}))
    return connecting


def refusal(name: str, transaction: float, *, stream: int = 0) -> bytes:
    information = {"level": "error", "code": "The.Code", "description": "Because."}
    return command(name, transaction, None, information, stream=stream)


def test_a_refused_connect_is_reported(connecting: ClientConnection) -> None:
    assert connecting.receive_data(refusal("_error", 1)) == [RefusalReceived("The.Code", "Because.")]
    assert connecting.phase is ClientPhase.REFUSED


def test_only_refusals_that_matter_are_reported(connected: ClientConnection) -> None:
    connected.publish("key")
    assert connected.receive_data(refusal("_error", 2) + refusal("_error", 3)) == []
    assert connected.receive_data(refusal("_error", 4)) == [RefusalReceived("The.Code", "Because.")]


def test_a_refused_publish_is_reported(connected: ClientConnection) -> None:
    connected.publish("key")
    assert connected.receive_data(command("_result", 4, None, 1.0) + refusal("onStatus", 0, stream=1)) == [
        RefusalReceived("The.Code", "Because.")
    ]
    with pytest.raises(ProtocolError, match="a client that is publishing was expected, this one is refused"):
        connected.send_media(VIDEO, 0, b"v")


NO = ["NetStream.Publish.BadName", "NetStream.Publish.Denied", "NetStream.Play.StreamNotFound", "NetStream.Play.Failed"]


@pytest.mark.parametrize("level", ["status", "warning", ""])
@pytest.mark.parametrize("code", [*NO, "NetConnection.Connect.Rejected", "NetStream.Publish.Unauthorized"])
def test_a_refusal_is_one_whatever_its_level(code: str, level: str, connected: ClientConnection) -> None:
    connected.publish("key")
    said = {"level": level, "code": code, "description": "Not you."}
    answer = command("_result", 4, None, 1.0) + command("onStatus", 0, None, said, stream=1)
    assert connected.receive_data(answer) == [RefusalReceived(code, "Not you.")]
    assert connected.phase is ClientPhase.REFUSED


def test_so_is_a_result_that_says_no(connecting: ClientConnection) -> None:
    said = {"level": "status", "code": "NetConnection.Connect.Rejected", "description": "Not you."}
    assert connecting.receive_data(command("_result", 1, None, said)) == [RefusalReceived(said["code"], "Not you.")]


@pytest.mark.parametrize("code", ["NetConnection.Call.Failed", "NetStream.Play.Reset", "NetStream.Publish.Idle", ""])
def test_other_statuses_are_no_refusals(code: str, connected: ClientConnection) -> None:
    connected.publish("key")
    said = command("onStatus", 0, None, {"level": "status", "code": code}, stream=1)
    assert connected.receive_data(said + command("_result", 4, None, 1.0)) == [StatusReceived(1, "status", code, "")]
    assert connected.phase is ClientPhase.ASKING_TO_PUBLISH


def test_once_it_publishes_a_mere_status_does_not_end_it(connected: ClientConnection) -> None:
    connected.publish("key")
    connected.receive_data(command("_result", 4, None, 1.0))
    connected.receive_data(
        command("onStatus", 0, None, {"level": "status", "code": "NetStream.Publish.Start"}, stream=1)
    )
    said = command("onStatus", 0, None, {"level": "status", "code": NO[0]}, stream=1)
    assert connected.receive_data(said) == [StatusReceived(1, "status", NO[0], "")]
    assert connected.phase is ClientPhase.PUBLISHING


def test_answers_to_nothing_are_ignored(connected: ClientConnection) -> None:
    assert connected.receive_data(command("_result", 1, {}, {}) + command("_result", 99, None, 1.0)) == []
    assert connected.receive_data(command("onBWDone", 0, None) + message(3, bytes(4))) == []


def test_a_client_does_one_thing_at_a_time(connected: ClientConnection) -> None:
    connected.publish("key")
    with pytest.raises(ProtocolError, match="createStream is not possible for a client that is creating"):
        connected.play("key")


def test_nothing_is_stopped_that_does_not_run(connected: ClientConnection) -> None:
    with pytest.raises(ProtocolError, match="publishing was expected, this one is connected"):
        connected.unpublish()
    with pytest.raises(ProtocolError, match="playing was expected, this one is connected"):
        connected.stop_playing()


@pytest.mark.parametrize(
    "dear", [command("onBWDone", 0, list(range(200))), message(types.USER_CONTROL, b"\0\x07" + bytes(4))]
)
def test_what_a_server_says_is_read_in_turns_that_are_bounded_by_what_they_cost(dear: bytes) -> None:
    client, other = (ClientConnection(zeros, "live", "rtmp://h/live") for _ in range(2))
    said, turns = [*client.receive_data(PLAIN_HANDSHAKE)], 0
    data, bound = dear * 400, limits.TALK_PER_TURN + limits.MAX_COMMAND_VALUES * limits.VALUE_TALK + len(dear)
    while data or client.has_more:
        before = client.talk
        said += client.receive_turn(data)
        assert 0 < client.talk - before <= bound
        data, turns = b"", turns + 1
    assert turns > 5
    assert said == other.receive_data(PLAIN_HANDSHAKE + dear * 400)


@given(st.lists(st.binary(max_size=100), max_size=5))
def test_a_hostile_server_causes_nothing_but_protocol_errors(pieces: list[bytes]) -> None:
    client = ClientConnection(zeros, "live", "rtmp://h/live")
    try:
        client.receive_data(PLAIN_HANDSHAKE)
        for piece in pieces:
            client.receive_data(piece)
    except ProtocolError:
        pass
    assert client.phase is not ClientPhase.HANDSHAKE


@pytest.mark.parametrize("stream", [-1, 2**32, 1e15])
@pytest.mark.parametrize("plays", [True, False])
def test_a_server_that_creates_a_stream_which_no_header_can_name_breaks_the_protocol(
    stream: float, plays: bool
) -> None:
    client = ClientConnection(zeros, "live", "rtmp://h/live")
    client.receive_data(PLAIN_HANDSHAKE + command("_result", 1, {}, {}))
    if plays:
        client.play("key")
    else:
        client.publish("key")
    with pytest.raises(ProtocolError, match="was created"):
        client.receive_data(command("_result", 2 if plays else 4, None, stream))
