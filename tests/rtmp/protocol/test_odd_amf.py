"""Metadata and commands that are not clean AMF0: what can be read of them counts, nobody is cut off for the rest."""

import pytest

from mmids_trio.errors import ProtocolError
from mmids_trio.rtmp.protocol import amf
from mmids_trio.rtmp.protocol.events import Connected, MediaReceived, MetadataReceived, PublishRequested
from mmids_trio.rtmp.protocol.limits import MAX_AMF_DEPTH, MAX_AMF_ITEMS
from mmids_trio.rtmp.protocol.oddities import Oddity
from tests.support.rtmp import PLAIN_HANDSHAKE, ScriptedClient, command, message

VIDEO, DATA, COMMAND = 9, 18, 20
DATA_AMF3 = 15
KEY_FRAME = b"\x17\x01\0\0\0key"

WIDTH = b"\0\5width" + b"\0" + b"\x40\x84\0\0\0\0\0\0"
HEIGHT = b"\0\6height" + b"\0" + b"\x40\x76\x80\0\0\0\0\0"
SIZE = {"width": 640.0, "height": 360.0}
OBJECT, ECMA, END = b"\x03", b"\x08\0\0\0\2", b"\0\0\x09"
LATER = b"\0\5later"
DATE = b"\x0b" + bytes(8)


def _publisher() -> ScriptedClient:
    client = ScriptedClient()
    client.connect()
    [requested] = client.say(command("createStream", 2, None), command("publish", 0, None, "key", "live", stream=1))
    assert isinstance(requested, PublishRequested)
    client.server.accept_publish(requested.request)
    client.hear()
    return client


VARIANTS = {
    "clean object": (OBJECT + WIDTH + HEIGHT + END, SIZE, False),
    "clean array": (ECMA + WIDTH + HEIGHT + END, SIZE, False),
    "array with a wrong count": (b"\x08\xff\xff\xff\xff" + WIDTH + HEIGHT + END, SIZE, False),
    "array without end": (ECMA + WIDTH + HEIGHT, SIZE, False),
    "name said twice": (b"\x02\0\x0aonMetaData" + ECMA + WIDTH + HEIGHT + END, SIZE, False),
    "null behind it": (ECMA + WIDTH + HEIGHT + END + b"\x05", SIZE, False),
    "one zero behind it": (ECMA + WIDTH + HEIGHT + END + b"\0", SIZE, True),
    "eleven zeros behind it": (ECMA + WIDTH + HEIGHT + END + bytes(11), SIZE, True),
    "garbage behind it": (ECMA + WIDTH + HEIGHT + END + b"\xde\xad\xbe\xef", SIZE, True),
    "end mark said twice": (ECMA + WIDTH + HEIGHT + END + b"\x09", SIZE, True),
    "truncated in a number": (ECMA + WIDTH + HEIGHT[:-3], {"width": 640.0}, True),
    "truncated in a name": (ECMA + WIDTH + HEIGHT[:4], {"width": 640.0}, True),
    "truncated in a length": (ECMA + WIDTH + b"\0", {"width": 640.0}, True),
    "object without end": (OBJECT + WIDTH + HEIGHT, SIZE, True),
    "object with half an end": (OBJECT + WIDTH + HEIGHT + b"\0\0", SIZE, True),
    "array ended by a bare end mark": (ECMA + WIDTH + HEIGHT + b"\x09", SIZE, True),
    "unknown marker": (ECMA + WIDTH + HEIGHT + LATER + b"\x7f" + END, SIZE, True),
    "record set": (ECMA + WIDTH + HEIGHT + LATER + b"\x0e" + END, SIZE, True),
    "movie clip": (ECMA + WIDTH + HEIGHT + LATER + b"\x04" + END, SIZE, True),
    "strict array too short": (
        ECMA + WIDTH + HEIGHT + LATER + b"\x0a\0\0\0\4\x05\x01\1",
        {**SIZE, "later": [None, True]},
        True,
    ),
    "reference to itself": (ECMA + WIDTH + LATER + b"\x07\0\0" + HEIGHT + END, {**SIZE, "later": amf.UNDEFINED}, True),
    "reference to nothing": (ECMA + WIDTH + LATER + b"\x07\0\7" + HEIGHT + END, {**SIZE, "later": amf.UNDEFINED}, True),
    "date without zone at the end": (ECMA + WIDTH + HEIGHT + LATER + DATE + END, {**SIZE, "later": amf.Date(0)}, True),
    "date cut off": (ECMA + WIDTH + HEIGHT + LATER + DATE[:5], SIZE, True),
    "long string beyond the end": (ECMA + WIDTH + HEIGHT + LATER + b"\x0c\x7f\xff\xff\xffabc", SIZE, True),
    "nested object without end": (
        ECMA + WIDTH + HEIGHT + LATER + OBJECT + WIDTH,
        {**SIZE, "later": {"width": 640.0}},
        True,
    ),
    "AMF3 object cut off": (
        b"\x11\x0a\x0b\x01\x0bwidth\x05\x40\x84\0\0\0\0\0\0\x0dheight\x05\x40",
        {"width": 640.0},
        True,
    ),
    "nothing": (b"", {}, False),
    "no object": (b"\x02\0\4oops", {}, False),
}


@pytest.mark.parametrize("type_id", [DATA, DATA_AMF3])
@pytest.mark.parametrize("name", list(VARIANTS))
def test_metadata_counts_as_far_as_it_can_be_read_and_media_goes_on(name: str, type_id: int) -> None:
    wire, expected, is_odd = VARIANTS[name]
    publisher = _publisher()
    payload = (b"\0" if type_id == DATA_AMF3 else b"") + amf.encode_all(["@setDataFrame", "onMetaData"]) + wire
    said = message(type_id, payload, stream=1) + message(VIDEO, KEY_FRAME, stream=1)
    metadata, media = publisher.say(said)
    assert isinstance(metadata, MetadataReceived)
    assert dict(metadata.values) == expected
    assert isinstance(media, MediaReceived)
    assert publisher.server.oddities.totals[Oddity.METADATA] == is_odd


def test_metadata_of_which_nothing_can_be_read_takes_nothing_away() -> None:
    publisher = _publisher()
    assert publisher.say(message(DATA, amf.encode_all(["onMetaData"]) + b"\xff\xff", stream=1)) == []
    assert publisher.server.oddities.totals[Oddity.METADATA] == 1


def test_what_was_understood_can_be_said_again() -> None:
    for wire, expected, _ in VARIANTS.values():
        understood = amf.decode_leniently(wire)
        again = amf.decode_all(amf.encode_all(understood.values))
        assert again == understood.values
        assert not expected or expected in again


def test_an_oddity_is_told_once_and_counted_each_time() -> None:
    publisher = _publisher()
    odd = message(DATA, amf.encode_all(["onMetaData"]) + ECMA + WIDTH + END + b"\0", stream=1)
    for _ in range(5):
        publisher.say(odd)
    [(oddity, detail)] = publisher.server.oddities.take_untold()
    assert (oddity, publisher.server.oddities.totals[oddity]) == (Oddity.METADATA, 5)
    assert "the data ends" in detail
    publisher.say(odd)
    assert not publisher.server.oddities.take_untold()


@pytest.mark.parametrize(
    ("bomb", "complaint"),
    [
        (b"\x05" * (MAX_AMF_ITEMS + 1), "more than"),
        ((OBJECT + b"\0\1a") * (MAX_AMF_DEPTH + 1), "nested deeper"),
        (OBJECT + b"\0\1a\x0c\0\0\x80\0" + b"a" * 0x8000 + END + b"\x07\0\2" * 40, "stand for more than"),
    ],
)
def test_the_limits_are_not_lenient(bomb: bytes, complaint: str) -> None:
    with pytest.raises(ProtocolError, match=complaint):
        amf.decode_leniently(ECMA + LATER + b"\x0a\0\1\0\0" + bomb)


@pytest.mark.parametrize(
    ("said", "answers"),
    [
        (["whatIsThis", 7.0, None], ["_error 7 NetConnection.Call.Failed"]),
        (["onFI", 0.0, None], []),
        (["FCPublish", 0.0, None, "key"], ["onFCPublish 0 NetStream.Publish.Start"]),
    ],
)
@pytest.mark.parametrize("behind", [b"", b"\0", b"\x0e", b"\x02\xff\xffcut", b"\x03\0\1a"])
def test_a_command_counts_as_far_as_it_can_be_read(said: list[object], answers: list[str], behind: bytes) -> None:
    publisher = _publisher()
    publisher.say(message(COMMAND, amf.encode_all(said) + behind))
    assert [line.split(": ")[-1] for line in publisher.hear()] == answers
    is_read = said[0] == "FCPublish"  # nobody looks into the others
    assert publisher.server.oddities.totals[Oddity.COMMAND] == (is_read and bool(behind))
    [media] = publisher.say(message(VIDEO, KEY_FRAME, stream=1))
    assert isinstance(media, MediaReceived)


@pytest.mark.parametrize("behind", [END + b"\0", b"", b"\x09"])
def test_connect_counts_as_far_as_it_can_be_read(behind: bytes) -> None:
    client = ScriptedClient()
    payload = amf.encode_all(["connect", 1.0]) + OBJECT + b"\0\3app\x02\0\4live" + behind
    [connected] = client.say(PLAIN_HANDSHAKE, message(COMMAND, payload))
    assert isinstance(connected, Connected)
    assert connected.request.app == "live"
    assert client.hear()[-1] == "_result 1 NetConnection.Connect.Success"
