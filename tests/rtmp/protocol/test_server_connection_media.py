"""Media, aggregates, metadata and other data of a publisher."""

import pytest

from mmids_trio.errors import ProtocolError
from mmids_trio.rtmp.protocol import amf
from mmids_trio.rtmp.protocol.events import (
    DataReceived,
    MediaReceived,
    MetadataReceived,
    PublishEnded,
    PublishRequested,
)
from mmids_trio.rtmp.protocol.message import Message
from mmids_trio.rtmp.protocol.message_streams import MAX_EARLY_MEDIA
from mmids_trio.rtmp.protocol.requests import PublishRequest
from tests.support.rtmp import ScriptedClient, command, message

AUDIO, VIDEO, AGGREGATE, DATA_AMF3, DATA = 8, 9, 22, 15, 18


@pytest.fixture
def publisher() -> ScriptedClient:
    """Publishing on message stream 1, which it created."""
    return publishing_on(1)


def publishing_on(stream: int) -> ScriptedClient:
    client = ScriptedClient()
    client.connect()
    client.say(command("createStream", 2, None))
    (requested,) = client.say(command("publish", 0, None, "key", "live", stream=stream))
    assert isinstance(requested, PublishRequested)
    client.server.accept_publish(requested.request)
    client.hear()
    return client


def media(type_id: int, timestamp: int, payload: bytes, stream: int = 1) -> bytes:
    return message(type_id, payload, stream=stream, timestamp=timestamp, chunk_stream=4)


def essence(messages: list[Message]) -> list[tuple[int, int, bytes]]:
    return [(message.type_id, message.timestamp, message.payload) for message in messages]


def flv_tag(type_id: int, timestamp: int, body: bytes) -> bytes:
    low = (timestamp & 0xFFFFFF).to_bytes(3, "big")
    header = bytes([type_id]) + len(body).to_bytes(3, "big") + low + bytes([timestamp >> 24]) + bytes(3)
    return header + body + (len(header) + len(body)).to_bytes(4, "big")


def test_a_run_of_media_is_one_event_without_its_empty_messages(publisher: ScriptedClient) -> None:
    (event,) = publisher.say(
        media(VIDEO, 0, b"v0"), media(AUDIO, 1, b""), media(AUDIO, 2, b"a2"), media(VIDEO, 40, b"v40" * 100)
    )
    assert isinstance(event, MediaReceived)
    assert event.stream == 1
    assert essence(event.messages) == [(VIDEO, 0, b"v0"), (AUDIO, 2, b"a2"), (VIDEO, 40, b"v40" * 100)]


def test_metadata_stands_between_the_media_around_it(publisher: ScriptedClient) -> None:
    metadata = amf.encode_all(["@setDataFrame", "onMetaData", amf.EcmaArray({"width": 640.0})])
    before, between, after = publisher.say(media(VIDEO, 0, b"v0"), media(DATA, 5, metadata), media(VIDEO, 40, b"v40"))
    assert isinstance(before, MediaReceived)
    assert between == MetadataReceived(1, 5, {"width": 640.0})
    assert isinstance(after, MediaReceived)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["onMetaData", {"width": 640.0}], {"width": 640.0}),
        (["@setDataFrame", "onMetaData", "onMetaData", {"width": 640.0}], {"width": 640.0}),
        (["onMetaData", 7.0, {"width": 640.0}], {}),
        (["onMetaData"], {}),
    ],
)
def test_metadata_is_found_in_every_known_form(
    publisher: ScriptedClient, values: list[object], expected: dict[str, object]
) -> None:
    plain = amf.encode_all(values)
    assert publisher.say(media(DATA, 0, plain)) == [MetadataReceived(1, 0, expected)]
    assert publisher.say(media(DATA_AMF3, 0, b"\0" + plain)) == [MetadataReceived(1, 0, expected)]


def test_metadata_beyond_the_limits_breaks_the_protocol(publisher: ScriptedClient) -> None:
    with pytest.raises(ProtocolError, match="nested deeper"):
        publisher.say(media(DATA, 0, amf.encode_all(["onMetaData"]) + b"\x03\0\1a" * 20))


def test_other_data_passes_as_it_came(publisher: ScriptedClient) -> None:
    cue = amf.encode_all(["onCuePoint"]) + b"\xff not AMF at all"
    frame = amf.encode_all(["@setDataFrame"])
    assert publisher.say(media(DATA, 9, frame + cue), media(DATA_AMF3, 10, b"\0" + cue)) == [
        DataReceived(1, 9, cue),
        DataReceived(1, 10, cue),
    ]


@pytest.mark.parametrize("name", ["@clearDataFrame", "|RtmpSampleAccess"])
def test_data_for_the_server_alone_is_not_passed_on(publisher: ScriptedClient, name: str) -> None:
    assert publisher.say(media(DATA, 0, amf.encode_all([name, True, True])), media(DATA, 0, b"")) == []


def test_an_aggregate_counts_from_its_first_tag(publisher: ScriptedClient) -> None:
    tags = (
        flv_tag(VIDEO, 0x01000000, b"v"),
        flv_tag(AUDIO, 0x01000010, b"a"),
        flv_tag(AUDIO, 0x01000011, b""),
        flv_tag(DATA, 0x01000012, amf.encode_all(["onMetaData", {"a": 1.0}])),
        flv_tag(20, 0x01000013, b"never looked at"),
    )
    before, metadata = publisher.say(media(AGGREGATE, 500, b"".join(tags)))
    assert isinstance(before, MediaReceived)
    assert essence(before.messages) == [(VIDEO, 500, b"v"), (AUDIO, 516, b"a")]
    assert metadata == MetadataReceived(1, 518, {"a": 1.0})


def test_an_aggregates_timestamps_wrap(publisher: ScriptedClient) -> None:
    tags = flv_tag(AUDIO, 100, b"a") + flv_tag(AUDIO, 110, b"b")[:-4]
    (event,) = publisher.say(media(AGGREGATE, 2**32 - 5, tags))
    assert isinstance(event, MediaReceived)
    assert essence(event.messages) == [(AUDIO, 2**32 - 5, b"a"), (AUDIO, 5, b"b")]


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        (b"\x08\0\0", "cut off in its header"),
        (flv_tag(AUDIO, 0, b"abc")[:-5], "beyond its end"),
        (flv_tag(AUDIO, 0, b"") * 1025, "more than 1024 tags"),
    ],
)
def test_a_broken_aggregate_breaks_the_protocol(publisher: ScriptedClient, payload: bytes, complaint: str) -> None:
    with pytest.raises(ProtocolError, match=complaint):
        publisher.say(media(AGGREGATE, 0, payload))


@pytest.fixture
def hasty() -> tuple[ScriptedClient, PublishRequest]:
    """A publisher that sent its first media along with `publish`, and the request."""
    client = ScriptedClient()
    client.connect()
    (requested,) = client.say(
        command("createStream", 2, None),
        command("publish", 0, None, "key", stream=1),
        media(DATA, 0, amf.encode_all(["onMetaData", {"a": 1.0}])),
        media(AGGREGATE, 7, flv_tag(VIDEO, 0, b"v")),
    )
    assert isinstance(requested, PublishRequested)
    return client, requested.request


def test_media_of_a_publisher_who_did_not_wait_follows_its_acceptance(
    hasty: tuple[ScriptedClient, PublishRequest],
) -> None:
    client, request = hasty
    client.server.accept_publish(request)
    metadata, run = client.say(media(AUDIO, 9, b"a"))
    assert metadata == MetadataReceived(1, 0, {"a": 1.0})
    assert isinstance(run, MediaReceived)
    assert essence(run.messages) == [(VIDEO, 7, b"v"), (AUDIO, 9, b"a")]
    assert client.server.ignored_media == 0


def test_media_that_was_kept_is_not_lost_at_the_end(hasty: tuple[ScriptedClient, PublishRequest]) -> None:
    client, request = hasty
    client.server.accept_publish(request)
    metadata, run, ended = client.server.receive_end()
    assert isinstance(metadata, MetadataReceived)
    assert isinstance(run, MediaReceived)
    assert ended == PublishEnded(1)


def test_the_end_is_said_even_if_what_was_kept_breaks_the_protocol() -> None:
    client = ScriptedClient()
    client.connect()
    client.say(command("createStream", 2, None))
    broken = message(DATA, amf.encode_all(["onMetaData"]) + b"\x03\0\1a" * 20, stream=1)
    (requested,) = client.say(command("publish", 3, None, "key", stream=1), broken)
    assert isinstance(requested, PublishRequested)
    client.server.accept_publish(requested.request)
    assert client.server.receive_end() == [PublishEnded(1)]


def test_media_of_a_refused_publisher_is_forgotten(hasty: tuple[ScriptedClient, PublishRequest]) -> None:
    client, request = hasty
    client.server.refuse_publish(request)
    (requested,) = client.say(command("publish", 0, None, "key", stream=1))
    assert isinstance(requested, PublishRequested)
    client.server.accept_publish(requested.request)
    assert client.say(media(AUDIO, 9, b"")) == []


def test_what_is_kept_for_an_unanswered_publisher_is_bounded(
    hasty: tuple[ScriptedClient, PublishRequest],
) -> None:
    client, _ = hasty
    assert client.say(*(media(VIDEO, number, b"") for number in range(2000))) == []
    assert client.say(media(VIDEO, 0, bytes(MAX_EARLY_MEDIA))) == []
    assert client.server.ignored_media > 2000 - MAX_EARLY_MEDIA // 256


@pytest.mark.parametrize("media_stream", [0, 1])
def test_stream_0_stands_for_the_stream_that_was_created(media_stream: int) -> None:
    (event,) = publishing_on(0).say(media(VIDEO, 0, b"v", stream=media_stream))
    assert isinstance(event, MediaReceived)
    assert event.stream == 1


def test_media_on_another_stream_is_not_the_publishers(publisher: ScriptedClient) -> None:
    assert publisher.say(media(VIDEO, 0, b"v", stream=2)) == []
    assert publisher.server.ignored_media == 1


def test_unknown_message_types_are_ignored(publisher: ScriptedClient) -> None:
    assert publisher.say(media(16, 0, b"shared object"), media(99, 0, b"?")) == []
