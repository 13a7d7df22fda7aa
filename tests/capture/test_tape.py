"""The bytes of a tape: whatever is written is read again, and whatever is read raises nothing but `TapeError`."""

import pytest
from attrs import fields
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.capture import records
from mmids_trio.capture.records import KINDS, Record, Start
from mmids_trio.capture.tape import FIRST_LINE, WORTH_PACKING, TapeError, TapeReader, encode, read_tape

times = st.integers(0, 2**53)
numbers = st.integers(1, 2**31)
words = st.text(max_size=20)
blobs = st.one_of(st.binary(max_size=40), st.integers(WORTH_PACKING, 5_000).map(bytes))

any_record: st.SearchStrategy[Record] = st.one_of(
    st.builds(records.Start, times, words, words, words, times, blobs),
    st.builds(records.Opened, times, numbers, st.integers(0, 65_535), words, st.integers(0, 65_535)),
    st.builds(records.Received, times, numbers, blobs),
    st.builds(records.Closed, times, numbers, st.sampled_from([records.ENDED, records.RESET, records.BY_SERVER])),
    st.builds(records.Lost, times, st.none() | numbers, numbers),
    st.builds(records.Requested, times, numbers, words, words, words, blobs),
    st.builds(records.Responded, times, numbers, st.none() | st.integers(100, 599)),
    st.builds(records.HungUp, times, numbers),
    st.builds(records.Loaded, times, blobs),
    st.builds(records.Belongs, times, st.sampled_from(["workflow", "reactor"]), words, words),
    st.builds(records.Asked, times, numbers, words, words),
    st.builds(records.Told, times, numbers, words, blobs),
    st.builds(records.End, times, words),
)
some_records = st.lists(any_record, max_size=8)

START = Start(0, "1.0", "headers", "mask", 0, b"workflow w {\n}\n")


def written(items: list[Record]) -> bytes:
    return FIRST_LINE + b"".join(map(encode, items))


def read(data: bytes) -> tuple[list[Record], str | None]:
    reader = TapeReader()
    found = list(reader.receive(data))
    reader.finish()
    return found, reader.damage


@given(some_records)
def test_what_is_written_is_read_again(items: list[Record]) -> None:
    assert read(written(items)) == (items, None)


@given(some_records, st.integers(1, 50))
def test_pieces_of_any_size_give_the_same_records(items: list[Record], size: int) -> None:
    data, reader = written(items), TapeReader()
    found: list[Record] = []
    for place in range(0, len(data), size):
        found += reader.receive(data[place : place + size])
    reader.finish()
    assert (found, reader.damage) == (items, None)


@given(some_records, st.data())
def test_a_tape_that_is_cut_anywhere_has_all_records_before_the_cut(items: list[Record], data: st.DataObject) -> None:
    tape = written(items)
    cut = data.draw(st.integers(len(FIRST_LINE), len(tape)))
    found, damage = read(tape[:cut])
    assert found == items[: len(found)]
    whole = len(written(found))
    assert whole <= cut
    assert (damage is None) == (whole == cut)
    if len(found) < len(items):
        assert cut < whole + len(encode(items[len(found)]))


@given(some_records, st.data())
def test_changed_bytes_are_damage_and_no_crash(items: list[Record], data: st.DataObject) -> None:
    tape = bytearray(written([START, *items]))
    place = data.draw(st.integers(0, len(tape) - 1))
    tape[place] ^= data.draw(st.integers(1, 255))
    try:
        read_tape(bytes(tape))
    except TapeError as error:
        assert str(error)  # noqa: PT017 - whether it is raised depends on what was changed


@given(st.binary(max_size=200))
def test_any_bytes_behind_the_first_line_are_read_or_refused(rest: bytes) -> None:
    found, damage = read(FIRST_LINE + rest)
    assert found == [] or damage is None or len(damage) > 0


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"kind":"data","time":1,"connection":1,"size":99999999999}\n', "expected a size from 0"),
        (b'{"kind":"data","time":1,"connection":1,"size":-1}\n', "expected a size from 0"),
        (b'{"kind":"data","time":"1","connection":1,"size":0}\n\n', "without a proper 'time'"),
        (b'{"kind":"data","time":true,"connection":1,"size":0}\n\n', "without a proper 'time'"),
        (b'{"kind":"data","time":1,"connection":1}\n', "without a proper 'data'"),
        (b'{"kind":"data","time":1,"connection":1,"size":2}\nabc', "expected a line end"),
        (b'{"kind":"data","time":1,"connection":1,"size":3,"packed":9}\nabc\n', "unreadable from byte"),
        (b"[1]\n", "expected an object"),
        (b"x" * 600_000, "a line of more than"),
    ],
)
def test_a_record_that_makes_no_sense_ends_the_tape_with_a_reason(line: bytes, why: str) -> None:
    tape = read_tape(written([START]) + line + encode(records.End(9, "x")))
    assert tape.records == []
    assert tape.damage is not None
    assert why in tape.damage


def test_a_packed_record_never_gets_larger_than_it_says() -> None:
    lie = encode(records.Received(1, 1, bytes(100_000))).replace(b'"packed":100000', b'"packed":10')
    assert read_tape(written([START]) + lie).damage == f"unreadable from byte {len(written([START]))} on: " + (
        "expected 10 bytes, packed"
    )


def test_records_of_kinds_that_are_not_known_are_passed_over() -> None:
    novelty = b'{"kind":"weather","time":3,"size":4}\nrain\n'
    tape = read_tape(written([START]) + novelty + encode(records.End(9, "x")))
    assert (tape.records, tape.damage) == ([records.End(9, "x")], None)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "this is no tape"),
        (b"mmt", "this is no tape"),
        (b"RIFF", "this is no tape"),
        (b"mmtape 2\n", "a tape of another version; this program reads version 1"),
        (FIRST_LINE, "without its first record"),
        (FIRST_LINE + encode(records.End(0, "x")), "without its first record"),
    ],
)
def test_what_is_no_tape_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(TapeError, match=why):
        read_tape(data)


def test_records_come_in_the_order_of_their_times() -> None:
    late, early = records.End(9, "x"), records.Asked(3, 1, "r", "s")
    assert read_tape(written([START, late, early])).records == [early, late]


def test_blanked_media_takes_hardly_any_room() -> None:
    assert len(encode(records.Received(1, 1, bytes(60_000)))) < 600


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_kind_has_a_time_and_no_more_than_one_field_of_bytes(kind: type[Record]) -> None:
    attributes = fields(kind)
    assert attributes[0].name == "time"
    assert sum(attribute.type is bytes for attribute in attributes) <= 1


def test_json_that_nests_without_end_is_damage() -> None:
    tape = read_tape(written([START]) + b"[" * 100_000 + b"\n")
    assert tape.damage is not None
    assert "unreadable" in tape.damage
