"""Answers that come late, refusals, and clients that change their mind."""

import pytest

from mmids_trio.errors import ProtocolError
from mmids_trio.rtmp.protocol.commands import as_mapping, parse_command
from mmids_trio.rtmp.protocol.events import (
    AudioWanted,
    ConnectRefused,
    MediaReceived,
    PlayEnded,
    PlayPaused,
    PlayRequested,
    PublishEnded,
    PublishRequested,
    VideoWanted,
)
from mmids_trio.rtmp.protocol.requests import PlayRequest, PublishRequest
from mmids_trio.rtmp.protocol.server_connection import ConnectionPhase, ServerConnection
from tests.support.rtmp import PLAIN_HANDSHAKE, ScriptedClient, command, connect, message, zeros

CREATE = command("createStream", 2, None)
PUBLISH = command("publish", 0, None, "key", "live", stream=1)
PLAY = command("play", 0, None, "key", stream=1)
PING = message(4, b"\0\6\0\0\0\x2a", chunk_stream=2)


@pytest.fixture
def client() -> ScriptedClient:
    """Connected, with message stream 1."""
    client = ScriptedClient()
    client.connect()
    client.say(CREATE)
    client.hear()
    return client


def publish(client: ScriptedClient) -> PublishRequest:
    (requested,) = client.say(PUBLISH)
    assert isinstance(requested, PublishRequested)
    return requested.request


def play(client: ScriptedClient) -> PlayRequest:
    (requested,) = client.say(PLAY)
    assert isinstance(requested, PlayRequested)
    return requested.request


def test_a_waiting_publisher_gets_its_other_answers(client: ScriptedClient) -> None:
    request = publish(client)
    client.say(PING, command("createStream", 3, None))
    assert client.hear() == ["PingResponse 42", "_result 3 2"]
    assert client.server.accept_publish(request)
    assert client.hear() == ["StreamBegin 1", "1: onStatus NetStream.Publish.Start"]


@pytest.mark.parametrize(
    "leaving",
    [
        command("deleteStream", 0, None, 1.0),
        command("closeStream", 0, None, stream=1),
        command("FCUnpublish", 0, None, "key"),
        command("FCUnpublish", 0, None, "another spelling"),
    ],
)
def test_an_answer_to_a_withdrawn_publish_goes_nowhere(client: ScriptedClient, leaving: bytes) -> None:
    request = publish(client)
    assert client.say(leaving) == [PublishEnded(1)]
    assert not client.server.accept_publish(request)
    assert not client.server.refuse_publish(request)
    assert client.hear() == []


def test_an_answer_to_an_older_request_on_the_same_stream_goes_nowhere(client: ScriptedClient) -> None:
    older = publish(client)
    ended, requested = client.say(PUBLISH)
    assert ended == PublishEnded(1)
    assert isinstance(requested, PublishRequested)
    assert not client.server.accept_publish(older)
    assert client.server.accept_publish(requested.request)


def test_a_request_is_answered_once(client: ScriptedClient) -> None:
    request = publish(client)
    assert client.server.accept_publish(request)
    with pytest.raises(ProtocolError, match="accept on message stream 1, which is publishing"):
        client.server.accept_publish(request)


def test_a_disconnect_ends_what_was_asked_and_what_was_running(client: ScriptedClient) -> None:
    client.server.accept_publish(publish(client))
    client.say(command("createStream", 3, None), command("play", 0, None, "other", stream=2))
    assert client.server.receive_end() == [PublishEnded(1), PlayEnded(2)]
    assert client.server.receive_end() == []


def test_a_disconnect_before_connect_ends_nothing() -> None:
    assert ServerConnection(zeros).receive_end() == []


def test_a_refused_publisher_may_ask_again(client: ScriptedClient) -> None:
    assert client.server.refuse_publish(publish(client))
    assert client.hear() == ["1: onStatus NetStream.Publish.BadName"]
    assert as_mapping(parse_command(client.answers[-1]).argument(1))["level"] == "error"
    assert client.server.accept_publish(publish(client))


def test_a_refused_player_reads_why(client: ScriptedClient) -> None:
    assert client.server.refuse_play(play(client), description="Nobody publishes this.")
    assert client.hear() == ["1: onStatus NetStream.Play.StreamNotFound"]
    assert as_mapping(parse_command(client.answers[-1]).argument(1)) == {
        "level": "error",
        "code": "NetStream.Play.StreamNotFound",
        "description": "Nobody publishes this.",
    }


def test_a_refused_connect_ends_the_conversation() -> None:
    client = ScriptedClient(ServerConnection(zeros, lambda request: f"There is no {request.app}."))
    (refused,) = client.say(PLAIN_HANDSHAKE, connect("nowhere"), CREATE, PUBLISH)
    assert isinstance(refused, ConnectRefused)
    assert refused.description == "There is no nowhere."
    assert client.hear() == ["_error 1 NetConnection.Connect.Rejected"]
    assert client.say(PUBLISH, b"whatever") == []
    assert client.server.phase is ConnectionPhase.REFUSED


def test_a_player_that_switches_ends_the_old_playback(client: ScriptedClient) -> None:
    client.server.accept_play(play(client))
    ended, requested = client.say(command("play2", 0, None, {"streamName": "other?a=b"}, stream=1))
    assert ended == PlayEnded(1)
    assert isinstance(requested, PlayRequested)
    assert (requested.request.key, requested.request.query.parameters, requested.request.reset) == (
        "other",
        {"a": "b"},
        False,
    )


def test_players_are_told_about_pause_and_seek(client: ScriptedClient) -> None:
    client.server.accept_play(play(client))
    client.hear()
    assert client.say(command("pause", 0, None, True, 1000.0, stream=1)) == [PlayPaused(1, True)]
    assert client.say(command("pauseRaw", 0, None, False, 1000.0, stream=1)) == [PlayPaused(1, False)]
    assert client.say(command("seek", 0, None, 0.0, stream=1)) == []
    assert client.hear() == [
        "1: onStatus NetStream.Pause.Notify",
        "1: onStatus NetStream.Unpause.Notify",
        "1: onStatus NetStream.Seek.Notify",
    ]


def test_players_choose_audio_and_video(client: ScriptedClient) -> None:
    client.server.accept_play(play(client))
    assert client.say(command("receiveAudio", 0, None, False, stream=1)) == [AudioWanted(1, False)]
    assert client.say(command("receiveVideo", 0, None, True, stream=1)) == [VideoWanted(1, True)]


@pytest.mark.parametrize("name", ["pause", "seek", "receiveAudio", "receiveVideo"])
def test_what_concerns_no_playback_is_ignored(client: ScriptedClient, name: str) -> None:
    assert client.say(command(name, 0, None, True, stream=1), command(name, 0, None, True, stream=9)) == []
    assert client.hear() == []


def test_unknown_commands_fail_only_for_those_who_wait(client: ScriptedClient) -> None:
    client.say(command("doMagic", 7, None), command("doMagic", 0, None), command("_result", 8, None))
    assert client.hear() == ["_error 7 NetConnection.Call.Failed"]


def test_message_streams_are_bounded_and_their_ids_return(client: ScriptedClient) -> None:
    client.say(*(command("createStream", number, None) for number in range(3, 19)))
    assert client.hear()[-2:] == ["_result 17 16", "_error 18 NetConnection.Call.Failed"]
    client.say(command("deleteStream", 0, None, 5.0), command("createStream", 19, None))
    assert client.hear() == ["_result 19 5"]


@pytest.mark.parametrize("stream", [17, 0xFFFFFFFF])
def test_a_publish_on_an_impossible_stream_breaks_the_protocol(client: ScriptedClient, stream: int) -> None:
    with pytest.raises(ProtocolError, match=f"message stream {stream} was never created"):
        client.say(command("publish", 0, None, "key", stream=stream))


def test_a_deleted_stream_takes_no_more_media(client: ScriptedClient) -> None:
    client.server.accept_publish(publish(client))
    frame = message(9, b"\x17\x01", stream=1)
    (media,) = client.say(frame)
    assert isinstance(media, MediaReceived)
    assert client.say(command("deleteStream", 0, None, 1.0), frame) == [PublishEnded(1)]
    assert client.server.ignored_media == 1


def test_two_publishers_on_one_connection_end_by_their_names(client: ScriptedClient) -> None:
    client.say(command("createStream", 3, None), PUBLISH, command("publish", 0, None, "other", stream=2))
    assert client.say(command("FCUnpublish", 0, None, "neither")) == []
    assert client.say(command("FCUnpublish", 0, None, "other?token=x")) == [PublishEnded(2)]


def test_the_owner_may_send_any_other_status(client: ScriptedClient) -> None:
    client.server.send_status(1, "warning", "NetStream.Play.InsufficientBW", "Too slow.")
    assert client.hear() == ["1: onStatus NetStream.Play.InsufficientBW"]
