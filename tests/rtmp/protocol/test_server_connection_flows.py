"""Whole conversations, as the clients that people use hold them."""

import pytest
from attrs import define

from mmids_trio.rtmp.protocol.events import Connected, Event, PlayEnded, PlayRequested, PublishEnded, PublishRequested
from mmids_trio.rtmp.protocol.server_connection import ServerConnection
from tests.support.rtmp import PLAIN_HANDSHAKE, ScriptedClient, command, connect, message

CONNECT_ANSWER = [
    "WindowAcknowledgementSize 2500000",
    "SetPeerBandwidth 2500000",
    "SetChunkSize 65536",
    "_result 1 NetConnection.Connect.Success",
]
PUBLISH_ANSWER = ["StreamBegin 1", "1: onStatus NetStream.Publish.Start"]
PLAY_ANSWER = [
    "StreamBegin 1",
    "1: onStatus NetStream.Play.Reset",
    "1: onStatus NetStream.Play.Start",
    "1: |RtmpSampleAccess True True",
    "1: onStatus NetStream.Data.Start",
]
UNPUBLISHED = "1: onStatus NetStream.Unpublish.Success"
SET_CHUNK_SIZE_4096 = message(1, (4096).to_bytes(4, "big"), chunk_stream=2)
SET_BUFFER_LENGTH = message(4, b"\0\3\0\0\0\1\0\0\x0b\xb8", chunk_stream=2)
WINDOW = message(5, (2_500_000).to_bytes(4, "big"), chunk_stream=2)


@define
class Turn:
    """What the client sends in one segment, and what it must hear then."""

    says: list[bytes]
    hears: list[str]


PUBLISHING = {
    "ffmpeg": [
        Turn([PLAIN_HANDSHAKE, connect(type="nonprivate", flashVer="FMLE/3.0")], CONNECT_ANSWER),
        Turn(
            [
                command("releaseStream", 2, None, "key"),
                command("FCPublish", 3, None, "key"),
                command("createStream", 4, None),
            ],
            [
                "_result 2 undefined",
                "_result 3 undefined",
                "onFCPublish 0 NetStream.Publish.Start",
                "_result 4 1",
            ],
        ),
        Turn([command("publish", 5, None, "key", "live", stream=1, chunk_stream=8)], PUBLISH_ANSWER),
        Turn(
            [command("FCUnpublish", 6, None, "key"), command("deleteStream", 7, None, 1.0)],
            ["_result 6 undefined", UNPUBLISHED],
        ),
    ],
    "obs": [
        Turn([PLAIN_HANDSHAKE], []),
        Turn([SET_CHUNK_SIZE_4096[:12], SET_CHUNK_SIZE_4096[12:], connect(fourCcList=["hvc1"])], CONNECT_ANSWER),
        Turn([WINDOW, command("releaseStream", 2, None, "key?token=a")], ["_result 2 undefined"]),
        Turn(
            [command("FCPublish", 3, None, "key?token=a"), command("createStream", 4, None)],
            ["_result 3 undefined", "onFCPublish 0 NetStream.Publish.Start", "_result 4 1"],
        ),
        Turn([command("publish", 5, None, "key?token=a", "live", stream=1, chunk_stream=4)], PUBLISH_ANSWER),
        Turn(
            [command("FCUnpublish", 6, None, "key?token=a"), command("deleteStream", 7, None, 1.0)],
            ["_result 6 undefined", UNPUBLISHED],
        ),
    ],
    "publishing on message stream 0 without a type": [
        Turn([PLAIN_HANDSHAKE, connect()], CONNECT_ANSWER),
        Turn([command("createStream", 2, None)], ["_result 2 1"]),
        Turn([command("publish", 0, None, "key")], PUBLISH_ANSWER),
        Turn([command("closeStream", 0, None)], [UNPUBLISHED]),
    ],
    "publishing on a stream that it never created": [
        Turn([PLAIN_HANDSHAKE, connect()], CONNECT_ANSWER),
        Turn([command("publish", 2, None, "key", "live", stream=1)], PUBLISH_ANSWER),
        Turn([command("closeStream", 0, None, stream=1)], [UNPUBLISHED]),
    ],
    "old flash": [
        Turn(
            [PLAIN_HANDSHAKE, command("connect", 1, {"app": "live/", "objectEncoding": 0.0}, amf3=True)],
            CONNECT_ANSWER,
        ),
        Turn([command("createStream", 2, None, amf3=True)], ["_result 2 1"]),
        Turn([command("publish", 0, None, "key", "record", stream=1, amf3=True)], PUBLISH_ANSWER),
        Turn([command("deleteStream", 0, None, 1.0, amf3=True)], [UNPUBLISHED]),
    ],
}

PLAYING = {
    "ffmpeg": [
        Turn([PLAIN_HANDSHAKE, connect(fpad=False, videoFunction=1.0)], CONNECT_ANSWER),
        Turn([WINDOW, command("createStream", 2, None)], ["_result 2 1"]),
        Turn(
            [
                command("getStreamLength", 3, None, "key", chunk_stream=8),
                command("play", 4, None, "key", -2000.0, stream=1, chunk_stream=8),
                SET_BUFFER_LENGTH,
            ],
            ["_result 3 0", *PLAY_ANSWER],
        ),
        Turn([command("deleteStream", 5, None, 1.0)], []),
    ],
    "rtmpdump": [
        Turn([PLAIN_HANDSHAKE, connect()], CONNECT_ANSWER),
        Turn([WINDOW, SET_BUFFER_LENGTH, command("createStream", 2, None)], ["_result 2 1"]),
        Turn(
            [command("FCSubscribe", 3, None, "key")],
            ["_result 3 undefined", "onFCSubscribe 0 NetStream.Play.Start"],
        ),
        Turn([command("play", 4, None, "key", -1000.0, stream=1, chunk_stream=8)], PLAY_ANSWER),
        Turn([command("deleteStream", 5, None, 1.0)], []),
    ],
    "a pipelining client": [
        Turn(
            [
                PLAIN_HANDSHAKE,
                connect(),
                command("createStream", 2, None),
                command("play", 3, None, "key", stream=1, chunk_stream=8),
            ],
            [*CONNECT_ANSWER, "_result 2 1", *PLAY_ANSWER],
        ),
        Turn([command("play", 0, None, False, stream=1)], []),
    ],
    "old flash": [
        Turn([PLAIN_HANDSHAKE, connect(app="live/_definst_")], CONNECT_ANSWER),
        Turn(
            [command("createStream", 2, None, amf3=True), command("_checkbw", 3, None, amf3=True)],
            ["_result 2 1", "_result 3 undefined"],
        ),
        Turn([command("play", 0, None, "key", -2.0, -1.0, True, stream=1, amf3=True)], PLAY_ANSWER),
        Turn([command("closeStream", 0, None, stream=1, amf3=True)], []),
    ],
    "a client that keeps its playlist": [
        Turn([PLAIN_HANDSHAKE, connect(), command("createStream", 2, None)], [*CONNECT_ANSWER, "_result 2 1"]),
        Turn([command("play", 0, None, "key", -2.0, -1.0, False, stream=1)], [PLAY_ANSWER[0], *PLAY_ANSWER[2:]]),
        Turn([command("deleteStream", 0, None, 1.0)], []),
    ],
}


def accept(server: ServerConnection, events: list[Event]) -> list[Event]:
    """The owner of these tests: it accepts everything."""
    for event in events:
        if isinstance(event, PublishRequested):
            assert server.accept_publish(event.request)
        elif isinstance(event, PlayRequested):
            assert server.accept_play(event.request)
    return events


def hold(turns: list[Turn]) -> list[Event]:
    client = ScriptedClient()
    events: list[Event] = []
    for turn in turns:
        events += accept(client.server, client.say(*turn.says))
        assert client.hear() == turn.hears
    return events


@pytest.mark.parametrize("client", PUBLISHING)
def test_known_publishers_hear_what_they_expect(client: str) -> None:
    connected, requested, ended = hold(PUBLISHING[client])
    assert isinstance(connected, Connected)
    assert isinstance(requested, PublishRequested)
    assert (requested.request.app, requested.request.key, requested.request.stream) == ("live", "key", 1)
    assert ended == PublishEnded(1)


@pytest.mark.parametrize("client", PLAYING)
def test_known_players_hear_what_they_expect(client: str) -> None:
    connected, requested, ended = hold(PLAYING[client])
    assert isinstance(connected, Connected)
    assert isinstance(requested, PlayRequested)
    assert (requested.request.app, requested.request.key, requested.request.stream) == ("live", "key", 1)
    assert ended == PlayEnded(1)


def test_results_come_on_the_chunk_stream_of_their_command() -> None:
    client = ScriptedClient()
    client.say(PLAIN_HANDSHAKE, connect(), command("createStream", 2, None, chunk_stream=7))
    client.hear()
    assert [answer.chunk_stream_id for answer in client.answers] == [2, 2, 2, 3, 7]
