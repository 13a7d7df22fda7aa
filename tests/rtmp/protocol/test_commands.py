"""Commands, the requests that are read from them, and the bytes that watchers share."""

import math

import pytest

from mmids_trio.errors import ProtocolError
from mmids_trio.rtmp.protocol import amf, outgoing
from mmids_trio.rtmp.protocol.chunks import ChunkReader
from mmids_trio.rtmp.protocol.commands import (
    Command,
    as_number,
    command_message,
    data_message,
    parse_command,
    result,
)
from mmids_trio.rtmp.protocol.message import Message
from mmids_trio.rtmp.protocol.requests import (
    ConnectRequest,
    EnhancedCapabilities,
    connect_request,
    normalise_app,
    parse_query,
    play_request,
    publish_request,
)
from mmids_trio.rtmp.protocol.server_replies import connect_accepted
from tests.support.rtmp import describe


def connect(properties: object) -> ConnectRequest:
    return connect_request(Command("connect", 1.0, (properties,)))


@pytest.mark.parametrize("type_id", [20, 17])
def test_a_command_survives_its_message(type_id: int) -> None:
    command = Command("play", 4.0, (None, "key", -2000.0), stream_id=1, chunk_stream_id=8)
    message = command_message(command)
    message.type_id = type_id
    assert parse_command(message) == command
    message.payload = b"\0" + message.payload
    assert type_id == 20 or parse_command(message) == command


@pytest.mark.parametrize("payload", [b"", amf.encode_all([1.0, 2.0]), amf.encode_all([None])])
def test_a_command_without_a_name_is_none(payload: bytes) -> None:
    with pytest.raises(ProtocolError, match="begins with its name"):
        parse_command(Message(20, 0, 0, payload, 3))


def test_a_command_may_lack_everything_but_its_name() -> None:
    command = parse_command(Message(20, 0, 0, amf.encode_all(["close"]), 3))
    assert (command.transaction, command.arguments, command.argument(0)) == (0.0, (), None)
    assert not command.wants_result


NAMES = (b"\x02\0\x04play", b"\x0c\0\0\0\x04play", b"\x0f\0\0\0\x04play")
"""As a short string, a long one and XML: what follows is the same."""


@pytest.mark.parametrize("name", NAMES)
def test_what_stands_behind_a_name_that_is_handled_is_read_however_the_name_is_written(name: bytes) -> None:
    payload = name + amf.encode_all([4.0, None, "key"])
    read = parse_command(Message(20, 0, 0, payload, 3), handled={"play"})
    assert (read.name, read.transaction, read.arguments) == ("play", 4.0, (None, "key"))
    other = parse_command(Message(20, 0, 0, payload, 3), handled={"publish"})
    assert (other.name, other.transaction, other.arguments) == ("play", 4.0, ())


@pytest.mark.parametrize("name", [b"\x02", b"\x02\0", b"\x02\0\x05play", b"\x0c\0\0\0\x05play"])
def test_a_name_that_the_data_cuts_off_is_none(name: bytes) -> None:
    with pytest.raises(ProtocolError, match="begins with its name"):
        parse_command(Message(20, 0, 0, name, 3), handled={"play", ""})


@pytest.mark.parametrize(
    ("value", "number"), [(7.9, 7), (True, 1), ("7", 0), (None, 0), (math.nan, 0), (math.inf, 0), (1e300, 0)]
)
def test_numbers_that_cannot_be_counted_with_are_0(value: object, number: int) -> None:
    assert as_number(value, int) == number


@pytest.mark.parametrize(("chunk_stream", "answered_on"), [(3, 3), (63, 63), (64, 3), (65_599, 3)])
def test_answers_stay_on_chunk_streams_that_everybody_reads(chunk_stream: int, answered_on: int) -> None:
    assert result(Command("x", 1.0, chunk_stream_id=chunk_stream)).chunk_stream_id == answered_on


@pytest.mark.parametrize(
    ("sent", "bare", "query"),
    [
        ("live", "live", ""),
        ("live/", "live", ""),
        ("/live//", "live", ""),
        ("live/room", "live/room", ""),
        ("live/_definst_", "live", ""),
        ("live/_definst_/", "live", ""),
        ("live?token=a/b", "live", "token=a/b"),
        ("live/_definst_?a=b", "live", "a=b"),
        ("live/_definst_/room", "live/_definst_/room", ""),
        ("", "", ""),
        ("/", "", ""),
        ("?a=b", "", "a=b"),
    ],
)
def test_applications_lose_what_clients_add(sent: str, bare: str, query: str) -> None:
    assert normalise_app(sent) == (bare, query)


@pytest.mark.parametrize(
    ("raw", "parameters"),
    [
        ("", {}),
        ("token=a%2Fb", {"token": "a/b"}),
        ("token=a+b==&x", {"token": "a+b==", "x": ""}),
        ("a=1&a=2&&", {"a": "2"}),
        ("bad=%zz%", {"bad": "%zz%"}),
        ("utf=%ff", {"utf": "\ufffd"}),
        ("=v", {"": "v"}),
    ],
)
def test_queries_are_decoded_with_patience(raw: str, parameters: dict[str, str]) -> None:
    assert parse_query(raw).parameters == parameters
    assert parse_query(raw).raw == raw


def test_connect_takes_any_spelling_and_any_kind_of_object() -> None:
    request = connect(
        amf.EcmaArray({"app": "live", "tcurl": '"rtmp://h/live"', "FlashVer": "LNX", "objectEncoding": 3.0})
    )
    assert (request.app, request.tc_url, request.flash_version) == ("live", "rtmp://h/live", "LNX")
    assert request.object_encoding == 3


@pytest.mark.parametrize("properties", [None, {}, "live", {"app": 7.0, "capsEx": "x", "fourCcList": "hvc1"}])
def test_connect_says_nothing_when_it_says_nonsense(properties: object) -> None:
    request = connect(properties)
    assert (request.app, request.tc_url, request.capabilities.four_cc_list) == ("", "", None)


def test_a_keys_query_adds_to_the_applications() -> None:
    request = publish_request(
        connect({"app": "live?a=1&b=1"}), 1, Command("publish", 0.0, (None, "key?b=2&c=3", "append"))
    )
    assert (request.app, request.key, request.publish_type) == ("live", "key", "append")
    assert request.query.raw == "a=1&b=1&b=2&c=3"
    assert request.query.parameters == {"a": "1", "b": "2", "c": "3"}


def test_names_of_files_stay_as_ffmpeg_spells_them() -> None:
    assert publish_request(connect({}), 1, Command("publish", 0.0, (None, "mp4:a.mp4"))).key == "mp4:a.mp4"


@pytest.mark.parametrize(
    ("arguments", "start", "duration", "reset"),
    [
        ((None, "key"), -2.0, -1.0, True),
        ((None, "key", -1000.0), -1000.0, -1.0, True),
        ((None, "key", 3.0, 10.0, False), 3.0, 10.0, False),
        ((None, "key", 0.0, -1.0, 0.0), 0.0, -1.0, False),
        ((None, "key", "x", "y", 1.0), 0.0, 0.0, True),
    ],
)
def test_play_fills_in_what_was_left_out(
    arguments: tuple[object, ...], start: float, duration: float, reset: bool
) -> None:
    request = play_request(connect({}), 1, Command("play", 0.0, arguments))
    assert (request.start, request.duration, request.reset) == (start, duration, reset)


@pytest.mark.parametrize(
    ("announced", "answered"),
    [
        ({}, {}),
        ({"fourCcList": ["av01", "hvc1"]}, {"fourCcList": ["*"]}),
        ({"videoFourCcInfoMap": {"*": 1.0}}, {"videoFourCcInfoMap": {"*": 4.0}}),
        (
            {"audioFourCcInfoMap": {"Opus": 7.0}, "capsEx": 31.0},
            {"audioFourCcInfoMap": {"*": 4.0}, "capsEx": 15.0},
        ),
    ],
)
def test_capabilities_are_answered_by_the_names_that_were_announced(
    announced: dict[str, object], answered: dict[str, object]
) -> None:
    capabilities = connect(announced).capabilities
    assert bool(capabilities) == bool(announced)
    accepted = parse_command(connect_accepted(Command("connect", 1.0), capabilities))
    assert accepted.argument(0) == {"fmsVer": "FMS/3,5,7,7009", "capabilities": 31.0, **answered}


def test_announced_codecs_are_kept_with_their_masks() -> None:
    capabilities = connect({"videoFourCcInfoMap": {"hvc1": 7.0, "*": 4.0}, "capsEx": 3.0}).capabilities
    assert capabilities == EnhancedCapabilities(video_four_cc_info={"hvc1": 7, "*": 4}, caps_ex=3)


def test_shared_bytes_can_stand_anywhere_in_any_connection() -> None:
    values = {"width": 640.0, "encoder": "x" * 300}
    pieces = [
        outgoing.stream_begin(1, 128),
        outgoing.metadata_message(values, 0xFFFFFFFF, 1, 128),
        outgoing.stream_eof(1, 128),
        outgoing.play_stop(1, chunk_size=128),
    ]
    for order in (pieces, pieces[::-1]):
        messages = ChunkReader().read_messages(b"".join(order))
        assert {describe(message) for message in messages} == {
            "StreamBegin 1",
            "1: onMetaData width,encoder",
            "StreamEOF 1",
            "1: onStatus NetStream.Play.Stop",
        }
        (metadata,) = (message for message in messages if message.type_id == 18)
        assert metadata.timestamp == 0xFFFFFFFF
        name, array = amf.decode_all(metadata.payload)
        assert (name, array) == ("onMetaData", values)
        assert isinstance(array, amf.EcmaArray)


def test_shared_bytes_and_replies_agree_on_their_chunk_streams() -> None:
    assert outgoing.render(data_message(1, 0, "x"))[0] == 5
    assert outgoing.stream_begin(1)[0] == 2
    assert outgoing.play_stop(1)[0] == 5
