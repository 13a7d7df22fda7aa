"""AMF0 that is cut short, nonsense, or made to cost: it is refused, in time and in words."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmids_trio.errors import ProtocolError
from mmids_trio.rtmp.protocol.amf import (
    UNDEFINED,
    AmfValue,
    Date,
    EcmaArray,
    TypedObject,
    XmlDocument,
    decode_all,
    encode_all,
)
from mmids_trio.rtmp.protocol.limits import MAX_AMF_DEPTH, MAX_AMF_EXPANSION, MAX_AMF_ITEMS
from tests.support.effort import some_of

EVERYTHING: list[AmfValue] = [
    "connect",
    1.0,
    {"app": "live", "flags": [True, None, UNDEFINED], "when": Date(1.0, 60)},
    XmlDocument("<a/>"),
    TypedObject("C", {"long": "a" * 70_000}),
]


def nested(depth: int) -> bytes:
    return b"\x0a\x00\x00\x00\x01" * depth + b"\x05"


def test_every_truncation_of_a_value_is_refused() -> None:
    starts = {len(encode_all(EVERYTHING[:count])) for count in range(len(EVERYTHING) + 1)}
    encoded = encode_all(EVERYTHING)
    places = [*range(300), *range(300, len(encoded), 997), *range(len(encoded) - 9, len(encoded))]
    for place in places:
        if place in starts:
            assert len(decode_all(encoded[:place])) < len(EVERYTHING)
        else:
            with pytest.raises(ProtocolError, match="the data ends at"):
                decode_all(encoded[:place])


def test_an_ecma_array_is_not_complete_in_the_middle_of_a_property() -> None:
    encoded = encode_all([EcmaArray(first=1.0, second="two")])
    complete = [place for place in range(len(encoded) + 1) if place and not isinstance(tried(encoded[:place]), str)]
    assert complete == [5, 5 + 7 + 9, 5 + 7 + 9 + 8 + 6, len(encoded)]


def tried(data: bytes) -> list[AmfValue] | str:
    try:
        return decode_all(data)
    except ProtocolError as error:
        return str(error)


@given(st.binary(max_size=80))
@settings(max_examples=some_of(1000), deadline=None)
def test_random_bytes_are_values_or_refused(data: bytes) -> None:
    values = tried(data)
    assert isinstance(values, str) or len(values) <= len(data)


@given(data=st.lists(st.sampled_from([b"\x03", b"\x08", b"\x0a", b"\x00", b"\x07", b"\x05", b"\x01", b"\x09"])))
@settings(max_examples=some_of(1000), deadline=None)
def test_bytes_that_are_mostly_structure_are_values_or_refused(data: list[bytes]) -> None:
    values = tried(b"".join(data))
    assert isinstance(values, str) or len(values) <= len(data)


@pytest.mark.parametrize(
    ("wire", "complaint"),
    [
        ("09", "object end at 0"),
        ("0a 00000001 09", "object end at 5"),
        ("04", "0x04 .movie clip."),
        ("0e", "0x0e .record set."),
        ("12", "0x12 .unknown."),
        ("ff", "0xff .unknown."),
        ("03 0000 0a", "the data ends"),
        ("0c ffffffff 61", "needs 4294967295 bytes"),
        ("0a ffffffff 05", "the data ends"),
        ("07 0000", "reference to object 0"),
        ("05 07 ffff", "reference to object 65535"),
    ],
)
def test_the_refusal_says_what_is_wrong(wire: str, complaint: str) -> None:
    with pytest.raises(ProtocolError, match=complaint):
        decode_all(bytes.fromhex(wire))


def test_nesting_is_limited_both_ways() -> None:
    deepest = decode_all(nested(MAX_AMF_DEPTH))
    assert encode_all(deepest) == nested(MAX_AMF_DEPTH)
    with pytest.raises(ProtocolError, match="deeper than 16"):
        decode_all(nested(MAX_AMF_DEPTH + 1))
    with pytest.raises(ProtocolError, match="deeper than 16"):
        encode_all([deepest])


def test_depth_is_counted_along_one_branch_only() -> None:
    assert len(decode_all(nested(MAX_AMF_DEPTH) * 3)) == 3


def test_the_number_of_values_is_limited() -> None:
    assert len(decode_all(b"\x05" * MAX_AMF_ITEMS)) == MAX_AMF_ITEMS
    with pytest.raises(ProtocolError, match=f"more than {MAX_AMF_ITEMS} values"):
        decode_all(b"\x05" * (MAX_AMF_ITEMS + 1))


def test_an_array_that_refers_to_itself_is_refused() -> None:
    with pytest.raises(ProtocolError, match="reference to object 0"):
        decode_all(bytes.fromhex("0a 00000001 07 0000"))


def test_references_to_references_do_not_multiply_values_without_limit() -> None:
    levels = b"\x0a\x00\x00\x00\x08" + b"\x05" * 8
    for level in range(MAX_AMF_DEPTH - 1):
        levels += b"\x0a\x00\x00\x00\x08" + (b"\x07" + level.to_bytes(2, "big")) * 8
    with pytest.raises(ProtocolError, match="values"):
        decode_all(levels)


def test_references_do_not_multiply_bytes_without_limit() -> None:
    text = encode_all([["a" * 60_000]])
    times = MAX_AMF_EXPANSION // 60_000
    assert len(decode_all(text + b"\x07\x00\x00" * times)) == times + 1
    with pytest.raises(ProtocolError, match="stand for more than"):
        decode_all(text + b"\x07\x00\x00" * (times + 1))


def test_references_do_not_go_around_the_nesting_limit() -> None:
    half = nested(MAX_AMF_DEPTH // 2)
    reference = b"\x07\x00\x00"
    within = b"\x0a\x00\x00\x00\x01" * (MAX_AMF_DEPTH // 2)
    values = decode_all(half + within + reference)
    assert decode_all(encode_all(values)) == values
    with pytest.raises(ProtocolError, match="deeper than 16"):
        decode_all(half + b"\x0a\x00\x00\x00\x01" + within + reference)


def test_a_reference_to_a_reference_counts_the_nesting_behind_it() -> None:
    step = b"\x0a\x00\x00\x00\x01"
    first, second = nested(8), step * 6 + b"\x07\x00\x00"
    reference = b"\x07\x00\x08"  # to the second array, 14 high
    assert len(decode_all(first + second + step * 2 + reference)) == 3
    with pytest.raises(ProtocolError, match="deeper than 16"):
        decode_all(first + second + step * 3 + reference)


def test_the_nesting_behind_a_reference_is_that_of_its_deepest_branch() -> None:
    step = b"\x0a\x00\x00\x00\x01"
    both = b"\x0a\x00\x00\x00\x02" + nested(13) + nested(1)
    assert len(decode_all(both + step * 2 + b"\x07\x00\x00")) == 2
    with pytest.raises(ProtocolError, match="deeper than 16"):
        decode_all(both + step * 3 + b"\x07\x00\x00")


def test_a_reference_to_references_counts_the_bytes_behind_them() -> None:
    text = encode_all([["a" * 60_000]])
    four = b"\x0a\x00\x00\x00\x04" + b"\x07\x00\x00" * 4
    assert len(decode_all(text + four + b"\x07\x00\x01" * 3)) == 5
    with pytest.raises(ProtocolError, match="stand for more than"):
        decode_all(text + four + b"\x07\x00\x01" * 4)
