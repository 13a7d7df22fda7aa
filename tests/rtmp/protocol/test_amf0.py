"""AMF0 written out by hand in both directions, and round trips of everything."""

import struct

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

NESTED: AmfValue = {"a": [EcmaArray(b=None)], "": True}

WRITTEN_OUT: list[tuple[AmfValue, str]] = [
    (1.0, "00 3ff0000000000000"),
    (-0.5, "00 bfe0000000000000"),
    (True, "01 01"),
    (False, "01 00"),
    ("live", "02 0004 6c697665"),
    ("", "02 0000"),
    ("é", "02 0002 c3a9"),
    ("\udcff", "02 0001 ff"),
    ({}, "03 000009"),
    ({"a": 1.0}, "03 0001 61 00 3ff0000000000000 000009"),
    (None, "05"),
    (UNDEFINED, "06"),
    (EcmaArray(), "08 00000000 000009"),
    (EcmaArray(a=None), "08 00000001 0001 61 05 000009"),
    ([], "0a 00000000"),
    ([None, True], "0a 00000002 05 01 01"),
    (Date(0.0, -60), "0b 0000000000000000 ffc4"),
    (XmlDocument("<a/>"), "0f 00000004 3c612f3e"),
    (TypedObject("C", {"a": None}), "10 0001 43 0001 61 05 000009"),
    (NESTED, "03 0001 61 0a 00000001 08 00000001 0001 62 05 000009 0000 01 01 000009"),
]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.binary(max_size=20).map(
    lambda raw: raw.decode("utf-8", "surrogateescape")
)
scalars: st.SearchStrategy[AmfValue] = (
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False)
    | texts
    | st.just(UNDEFINED)
    | st.builds(Date, st.floats(allow_nan=False), st.integers(-(2**15), 2**15 - 1))
    | st.builds(XmlDocument, texts)
)


def containers(values: st.SearchStrategy[AmfValue]) -> st.SearchStrategy[AmfValue]:
    properties = st.dictionaries(texts, values, max_size=4)
    return (
        st.lists(values, max_size=4)
        | properties
        | properties.map(EcmaArray)
        | st.builds(TypedObject, texts, properties)
    )


any_value = st.recursive(scalars, containers, max_leaves=12)


@pytest.mark.parametrize(("value", "encoded"), WRITTEN_OUT, ids=[repr(value) for value, _ in WRITTEN_OUT])
def test_a_value_has_the_encoding_that_the_specification_gives(value: AmfValue, encoded: str) -> None:
    assert encode_all([value]) == bytes.fromhex(encoded)
    (decoded,) = decode_all(bytes.fromhex(encoded))
    assert decoded == value
    assert type(decoded) is type(value)


@given(st.lists(any_value, max_size=3))
@settings(deadline=None)
def test_what_is_encoded_is_decoded_to_equal_values_of_the_same_kinds(values: list[AmfValue]) -> None:
    encoded = encode_all(values)
    decoded = decode_all(memoryview(encoded))
    assert decoded == values
    assert repr(decoded) == repr(values)
    assert encode_all(decoded) == encoded


def test_integers_are_encoded_as_numbers() -> None:
    assert decode_all(encode_all([5, -1, 2**40])) == [5.0, -1.0, float(2**40)]


def test_tuples_are_encoded_as_arrays() -> None:
    assert decode_all(encode_all([(1, "a")])) == [[1.0, "a"]]


def test_numbers_that_are_not_finite_survive() -> None:
    encoded = b"".join(b"\x00" + struct.pack(">d", value) for value in (float("nan"), float("inf"), -0.0))
    assert encode_all(decode_all(encoded)) == encoded


@pytest.mark.parametrize(("size", "marker"), [(65535, 2), (65536, 12), (200_000, 12)])
def test_strings_take_the_long_form_when_they_have_to(size: int, marker: int) -> None:
    encoded = encode_all(["a" * size])
    assert encoded[0] == marker
    assert decode_all(encoded) == ["a" * size]


def test_any_boolean_byte_but_zero_is_true() -> None:
    assert decode_all(b"\x01\x02") == [True]


def test_a_value_that_its_sender_could_not_say_is_undefined() -> None:
    assert decode_all(b"\x0d") == [UNDEFINED]


def test_typed_objects_of_different_classes_differ() -> None:
    assert TypedObject("A", {"a": None}) != TypedObject("B", {"a": None})
    assert TypedObject("A", {"a": None}) != {"a": None}


@pytest.mark.parametrize("count", ["00000000", "00000001", "00000009", "ffffffff"])
def test_the_count_of_an_ecma_array_is_not_believed(count: str) -> None:
    wire = bytes.fromhex(f"08 {count} 0001 61 05 0001 62 05 000009 05")
    assert decode_all(wire) == [EcmaArray(a=None, b=None), None]


@pytest.mark.parametrize(("wire", "value"), [("08 00000001 0001 61 05", {"a": None}), ("08 00000000", {})])
def test_an_ecma_array_may_end_with_the_data(wire: str, value: dict[str, AmfValue]) -> None:
    assert decode_all(bytes.fromhex(wire)) == [EcmaArray(value)]


def test_the_later_of_two_equal_names_counts() -> None:
    assert decode_all(bytes.fromhex("03 0001 61 05 0001 61 0101 000009")) == [{"a": True}]


def test_a_reference_is_the_object_that_it_refers_to() -> None:
    shared, _, again = decode_all(bytes.fromhex("03 0001 61 05 000009 0a 00000000 07 0000"))
    assert shared == {"a": None}
    assert again is shared


def test_references_count_containers_in_the_order_of_their_beginnings() -> None:
    (outer, inner) = decode_all(bytes.fromhex("03 0001 61 0a 00000001 0101 000009 07 0001"))
    assert outer == {"a": [True]}
    assert inner == [True]


def test_nothing_is_no_values() -> None:
    assert decode_all(b"") == []
    assert encode_all([]) == b""


@pytest.mark.parametrize("value", [object(), b"bytes", {1, 2}, 1j])
def test_a_type_that_amf0_has_no_word_for_is_a_mistake_of_ours(value: object) -> None:
    with pytest.raises(TypeError, match=type(value).__name__):
        encode_all([value])


@pytest.mark.parametrize("value", ["\ud800", {"\ud800": 1}, {"a" * 65536: 1}], ids=["text", "name", "long name"])
def test_what_cannot_be_said_in_amf0_is_refused(value: object) -> None:
    with pytest.raises(ProtocolError, match=r"UTF-8|65536 bytes"):
        encode_all([value])


def test_a_value_that_contains_itself_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(ProtocolError, match="nested deeper than 16"):
        encode_all([endless])
