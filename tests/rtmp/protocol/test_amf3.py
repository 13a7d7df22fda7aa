"""AMF3 values in the middle of AMF0, behind the switch marker: what they mean, and what they may cost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.errors import ProtocolError
from mmids_trio.rtmp.protocol.amf import UNDEFINED, AmfValue, Date, EcmaArray, TypedObject, decode_all, encode_all
from mmids_trio.rtmp.protocol.events import PlayRequested
from mmids_trio.rtmp.protocol.limits import MAX_AMF_DEPTH
from tests.support.rtmp import ScriptedClient, command, message


@pytest.mark.parametrize(
    ("wire", "value"),
    [
        ("00", UNDEFINED),
        ("01", None),
        ("02", False),
        ("03", True),
        ("04 7f", 127),
        ("04 ff7f", 16_383),
        ("04 bfffffff", 2**28 - 1),
        ("04 ffffffff", -1),
        ("04 c0808000", -(2**28)),
        ("05 3ff8000000000000", 1.5),
        ("06 07 6b6579", "key"),
        ("06 01", ""),
        ("0b 07 3c612f", "<a/"),
        ("08 01 408f400000000000", Date(1000.0)),
        ("0c 05 00ff", "\0\xff"),
        ("09 05 01 0401 0402", [1, 2]),
        ("09 03 03 61 0401 01 03", EcmaArray({"a": 1.0, "0": True})),
        ("0a 0b 01 03 61 0401 01", {"a": 1}),
        ("0a 13 03 43 03 61 0401", TypedObject("C", {"a": 1.0})),
        ("0a 0b 01 03 61 06 00 01", {"a": "a"}),  # the text is the name again
        ("09 05 01 0a 13 01 03 61 02 0a 01 03", [{"a": False}, {"a": True}]),  # the same class again
    ],
)
def test_a_value_is_what_it_would_be_in_amf0_and_amf0_goes_on_behind_it(wire: str, value: AmfValue) -> None:
    decoded = decode_all(b"\x11" + bytes.fromhex(wire) + encode_all(["after"]))
    assert decoded == [value, "after"]
    assert decode_all(encode_all(decoded)) == decoded


@pytest.mark.parametrize(
    ("wire", "complaint"),
    [
        ("0d", "AMF3 marker 0x0d"),
        ("", "the data ends"),
        ("06 00", "reference to number 0 of 0"),
        ("0a 00", "reference to an object"),
        ("0a 01", "reference to number 0 of 0"),
        ("0a 07 01", "encoding of its own"),
        ("09 00", "reference .array."),
        ("09 fffffffd 01", "the data ends"),
        ("0a fffffff3 01", "the data ends"),
        ("09 0301" * (MAX_AMF_DEPTH + 1) + "01", "deeper than 16"),
        ("0a 0b 01 888001" + "61" * 65_536 + "01 01", "name of more than"),
    ],
)
def test_the_refusal_says_what_is_wrong(wire: str, complaint: str) -> None:
    with pytest.raises(ProtocolError, match=complaint):
        decode_all(b"\x11" + bytes.fromhex(wire))


def test_a_text_may_not_be_repeated_without_end() -> None:
    long = b"\x06\x84\x80\x01" + b"a" * 32_768
    with pytest.raises(ProtocolError, match="stand for more than"):
        decode_all(b"\x11\x09\x9f\x21\x01" + long + b"\x06\x00" * 2000)


@given(st.binary(max_size=60), st.lists(st.sampled_from([b"\x09", b"\x0a", b"\x0b", b"\x01", b"\x03a", b"\x06\x00"])))
def test_random_bytes_are_values_or_refused(data: bytes, structure: list[bytes]) -> None:
    for wire in (data, b"".join(structure)):
        try:
            values = decode_all(b"\x11" + wire)
        except ProtocolError:
            continue
        encode_all(values)


def test_a_command_may_switch_to_amf3_for_its_arguments() -> None:
    client = ScriptedClient()
    client.connect()
    client.say(command("createStream", 2, None, amf3=True))
    play = b"\0" + encode_all(["play", 3.0]) + b"\x11\x01" + b"\x11\x06\x07key" + b"\x11\x04\xff\xff\xff\xfe"
    [requested] = client.say(message(17, play, stream=1))
    assert isinstance(requested, PlayRequested)
    assert (requested.request.key, requested.request.start) == ("key", -2)
