"""FLV is read the same however it is cut, written so that it can be read, and refused where it is not FLV."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.errors import ProtocolError
from mmids_trio.media.flv import MAX_SCRIPT, MAX_TAG, FlvReader, FlvTag, TagType, flv_header, flv_tag

HEADER = flv_header(audio=True, video=True)

timestamps = st.integers(0, 2**32 - 1) | st.sampled_from((0, 0xFFFFFF, 0x1000000, 2**32 - 1))
tags = st.builds(FlvTag, st.sampled_from(TagType), timestamps, st.binary(max_size=40))
streams = st.lists(tags, max_size=8)


def written(tags: list[FlvTag]) -> bytes:
    return HEADER + b"".join(flv_tag(tag.type, tag.timestamp, tag.data) for tag in tags)


def read(*pieces: bytes) -> list[FlvTag]:
    reader = FlvReader()
    return [tag for piece in pieces for tag in reader.receive(piece)]


def in_pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


SAMPLE = [
    FlvTag(TagType.SCRIPT, 0, b"\x02\x00\x0aonMetaData\x05"),
    FlvTag(TagType.VIDEO, 0, b"\x17\x00\x00\x00\x00\x01\x64"),
    FlvTag(TagType.AUDIO, 0xFFFFFF, b""),
    FlvTag(TagType.VIDEO, 0x01000000, b"\x91hvc1\x00\x00\x00keyframe"),
    FlvTag(TagType.AUDIO, 2**32 - 1, b"\x9fOpus"),
]


def test_the_writer_says_what_the_format_says() -> None:
    assert flv_header(audio=True, video=False) == b"FLV\x01\x04\x00\x00\x00\x09\x00\x00\x00\x00"
    assert flv_header(audio=False, video=True)[4] == 1
    assert flv_tag(TagType.VIDEO, 0x12345678, b"abc") == bytes.fromhex("09 000003 345678 12 000000 616263 0000000e")
    assert flv_tag(TagType.AUDIO, 2**32 + 5, b"") == bytes.fromhex("08 000000 000005 00 000000 0000000b")


def test_a_body_above_24_bits_of_size_is_not_written() -> None:
    with pytest.raises(ValueError, match="up to 16777215 bytes, not 16777216"):
        flv_tag(TagType.VIDEO, 0, bytes(MAX_TAG + 1))


def test_a_body_of_all_that_24_bits_can_say_is_read_back() -> None:
    body = bytes(MAX_TAG)
    [tag] = read(HEADER, flv_tag(TagType.VIDEO, 1, body))
    assert tag.data == body


def test_every_split_gives_the_same_tags() -> None:
    data = written(SAMPLE)
    for cut in range(len(data) + 1):
        assert read(data[:cut], data[cut:]) == SAMPLE
    assert read(*(data[place : place + 1] for place in range(len(data)))) == SAMPLE


def test_a_tag_is_there_with_its_last_byte() -> None:
    reader = FlvReader()
    data = written(SAMPLE[:2])
    assert reader.receive(data[:-5]) == SAMPLE[:1]
    assert reader.receive(data[-5:-4]) == SAMPLE[1:2]
    assert reader.receive(data[-4:]) == []


@given(streams, st.lists(st.integers(min_value=0), max_size=12))
def test_what_was_written_is_read_in_any_pieces(stream: list[FlvTag], cuts: list[int]) -> None:
    assert read(*in_pieces(written(stream), cuts)) == stream


@given(st.lists(st.integers(1, 20_000), min_size=1, max_size=8), st.integers(0, 60_000))
def test_large_and_small_pieces_of_one_body_are_joined_in_order(sizes: list[int], extra: int) -> None:
    body = bytes(place * 7 % 251 for place in range(sum(sizes) + extra))
    data = written([FlvTag(TagType.VIDEO, 3, body)])
    cuts = [sum(sizes[:number]) for number in range(len(sizes))]
    assert read(*in_pieces(data, cuts)) == [FlvTag(TagType.VIDEO, 3, body)]


def test_wrong_sizes_of_previous_tags_are_ignored() -> None:
    first = flv_tag(TagType.VIDEO, 0, b"first")[:-4] + b"\xff\xff\xff\xff"
    assert [tag.data for tag in read(HEADER + first + flv_tag(TagType.VIDEO, 0, b"second"))] == [b"first", b"second"]


def test_a_longer_file_header_is_skipped() -> None:
    header = b"FLV\x01\x05\x00\x00\x00\x0cxyz\x00\x00\x00\x00"
    data = header + flv_tag(TagType.AUDIO, 1, b"a")
    for cut in range(len(data) + 1):
        assert read(data[:cut], data[cut:]) == [FlvTag(TagType.AUDIO, 1, b"a")]


def test_tags_of_unknown_types_are_skipped_and_counted() -> None:
    reader = FlvReader()
    unknown = bytes((15,)) + flv_tag(TagType.VIDEO, 0, bytes(9_000))[1:]
    empty = bytes((0,)) + flv_tag(TagType.VIDEO, 0, b"")[1:]
    data = HEADER + unknown + empty + flv_tag(TagType.AUDIO, 1, b"a")
    received = [tag for place in range(0, len(data), 100) for tag in reader.receive(data[place : place + 100])]
    assert received == [FlvTag(TagType.AUDIO, 1, b"a")]
    assert reader.skipped == 2


def test_an_encrypted_tag_is_refused() -> None:
    with pytest.raises(ProtocolError, match="encrypted FLV tags are not supported"):
        read(HEADER, bytes((0x29,)) + flv_tag(TagType.VIDEO, 0, b"x")[1:])


@pytest.mark.parametrize("kind", [0x49, 0x89, 0xFF])
def test_reserved_bits_mean_that_this_is_not_a_tag(kind: int) -> None:
    with pytest.raises(ProtocolError, match=f"begins with 0x{kind:02x}"):
        read(HEADER, bytes((kind,)) + flv_tag(TagType.VIDEO, 0, b"x")[1:])


def test_too_much_script_data_is_refused_before_it_is_read() -> None:
    head = bytes((18,)) + (MAX_SCRIPT + 1).to_bytes(3, "big") + bytes(7)
    with pytest.raises(ProtocolError, match="script data of 1048577 bytes, more than 1048576"):
        read(HEADER, head)
    assert read(HEADER, flv_tag(TagType.SCRIPT, 0, bytes(MAX_SCRIPT)))[0].data == bytes(MAX_SCRIPT)


@pytest.mark.parametrize(
    "header",
    [
        b"FLW\x01\x05\x00\x00\x00\x09",
        b"FLV\x02\x05\x00\x00\x00\x09",
        b"FLV\x01\x05\x00\x00\x00\x08",
        b"FLV\x01\x05\x00\x00\x04\x01",
        b"\x00\x00\x00\x18ftypm",
    ],
)
def test_what_does_not_begin_like_flv_is_refused(header: bytes) -> None:
    with pytest.raises(ProtocolError, match="expected the header of an FLV file, got"):
        read(header)


def test_after_garbage_nothing_is_taken_for_flv_any_more() -> None:
    reader = FlvReader()
    for _ in range(2):
        with pytest.raises(ProtocolError, match="expected the header"):
            reader.receive(b"garbage! " + written(SAMPLE))


@given(st.lists(st.binary(max_size=60), max_size=8), st.booleans())
def test_hostile_bytes_are_read_or_refused_and_never_anything_else(pieces: list[bytes], with_header: bool) -> None:
    reader = FlvReader()
    received = 0
    try:
        for piece in [HEADER, *pieces] if with_header else pieces:
            received += sum(len(tag.data) for tag in reader.receive(piece))
    except ProtocolError:
        return
    assert received <= sum(map(len, pieces))


@given(streams, st.integers(min_value=0), st.integers(0, 255), st.lists(st.integers(min_value=0), max_size=4))
def test_one_wrong_byte_has_the_same_outcome_in_any_pieces(
    stream: list[FlvTag], place: int, value: int, cuts: list[int]
) -> None:
    data = bytearray(written(stream))
    data[place % len(data)] = value

    def outcome(*pieces: bytes) -> list[FlvTag] | str:
        try:
            return read(*pieces)
        except ProtocolError as error:
            return str(error)

    assert outcome(*in_pieces(bytes(data), cuts)) == outcome(bytes(data))
