"""The checker says of one flaw, wherever it is, that very flaw and what follows from it, and no other."""

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.media.events import MediaKind, MediaPacket
from mmids_trio.testing.checker import Report, StreamChecker
from mmids_trio.testing.media import generate_stream

STREAM = generate_stream(seconds=3, gop=20, start_timestamp=2**32 - 1000)  # the timestamps wrap after a second
FRAMES = [place for place, packet in enumerate(STREAM) if not packet.is_sequence_header]
VIDEO = [place for place in FRAMES if STREAM[place].kind is MediaKind.VIDEO]

frames = st.sampled_from(FRAMES)
inner_frames = st.sampled_from(FRAMES[1:-1])


def check(received: list[MediaPacket], sent: list[MediaPacket] = STREAM) -> Report:
    checker = StreamChecker(sent)
    checker.receive_packets(received)
    return checker.report()


def rest_of_group(place: int) -> tuple[int, ...]:
    """The frames that cannot be decoded without this one."""
    if STREAM[place].kind is not MediaKind.VIDEO:
        return ()
    later = [frame for frame in VIDEO if frame > place]
    end = next((number for number, frame in enumerate(later) if STREAM[frame].is_key_frame), len(later))
    return tuple(later[:end])


def altered(packet: MediaPacket, position: int = -1) -> MediaPacket:
    data = bytearray(packet.data)
    data[position] ^= 0x01
    return evolve(packet, data=bytes(data))


@given(inner_frames)
def test_a_packet_that_was_dropped_is_missed_and_nothing_else(place: int) -> None:
    report = check([*STREAM[:place], *STREAM[place + 1 :]])
    assert report == Report(missed=(place,), gaps=(place,), undecodable=rest_of_group(place))
    assert not report.is_flawless_from_join
    assert "1 packet missing: #" in str(report)


@given(frames, st.integers(0, 30))
def test_a_packet_that_came_twice_is_repeated_and_nothing_else(place: int, later: int) -> None:
    report = check([*STREAM[: place + later], STREAM[place], *STREAM[place + later :]])
    assert report == Report(repeated=(place,))


@given(st.integers(0, len(FRAMES) - 2))
def test_neighbours_that_were_swapped_are_out_of_order(number: int) -> None:
    first, second = FRAMES[number], FRAMES[number + 1]
    report = check([*STREAM[:first], STREAM[second], STREAM[first], *STREAM[second + 1 :]])
    assert report.out_of_order == (first,)
    assert report.missed == report.repeated == report.altered == report.shifted == ()
    are_alike = STREAM[first].kind is STREAM[second].kind is MediaKind.VIDEO
    assert report.backwards == ((first,) if STREAM[first].kind is STREAM[second].kind else ())
    if not are_alike:
        assert report.undecodable == ()


@given(frames)
def test_a_packet_that_was_altered_is_named_and_what_needs_it(place: int) -> None:
    report = check([*STREAM[:place], altered(STREAM[place]), *STREAM[place + 1 :]])
    assert report == Report(altered=(place,), undecodable=rest_of_group(place))
    assert f"1 packet altered: #{place} " in str(report)


@pytest.mark.parametrize("kind", [MediaKind.VIDEO, MediaKind.AUDIO])
def test_an_altered_sequence_header_spoils_all_that_needs_it(kind: MediaKind) -> None:
    [place] = [n for n, packet in enumerate(STREAM) if packet.is_sequence_header and packet.kind is kind]
    report = check([*STREAM[:place], altered(STREAM[place]), *STREAM[place + 1 :]])
    assert report == Report(altered=(place,), undecodable=tuple(n for n in FRAMES if STREAM[n].kind is kind))


@given(st.integers(0, len(STREAM)))
def test_a_late_join_at_any_packet_is_flawless_only_from_a_key_frame_on(start: int) -> None:
    report = check([*STREAM[:2], *STREAM[max(start, 2) :]])
    assert report.missed == tuple(place for place in FRAMES if place < start)
    assert report.gaps == report.repeated == report.out_of_order == ()
    first = next((place for place in VIDEO if place >= start), None)
    is_clean = first is None or STREAM[first].is_key_frame
    assert report.is_flawless_from_join == is_clean


@given(st.lists(st.sampled_from(range(2, len(STREAM))), unique=True))
def test_whatever_is_dropped_is_missed(dropped: list[int]) -> None:
    report = check([packet for place, packet in enumerate(STREAM) if place not in dropped])
    assert report.missed == tuple(sorted(dropped))
    assert report.repeated == report.out_of_order == report.backwards == report.altered == ()


def test_a_packet_of_another_stream_is_unknown_although_it_has_the_same_time() -> None:
    stranger = generate_stream(seconds=3, gop=20, start_timestamp=2**32 - 1000, seed=1)[10]
    assert check([*STREAM[:10], stranger, *STREAM[11:]]) == Report(
        missed=(10,), gaps=(10,), undecodable=rest_of_group(10), unknown=1
    )


def test_a_packet_that_was_cut_short_is_altered_and_one_of_which_little_is_left_is_unknown() -> None:
    for size, counts in ((300, (1, 0)), (100, (0, 1))):
        cut = evolve(STREAM[VIDEO[3]], data=STREAM[VIDEO[3]].data[:size])
        report = check([*STREAM[: VIDEO[3]], cut, *STREAM[VIDEO[3] + 1 :]])
        assert (len(report.altered), report.unknown) == counts


def test_a_shift_of_all_timestamps_is_none_and_a_jump_is_named() -> None:
    late = [evolve(packet, timestamp=(packet.timestamp + 500) % 2**32) for packet in STREAM]
    assert check(late) == Report()
    assert check([*STREAM[:50], *late[50:]]) == Report(shifted=(50,))


def test_the_text_names_packets_and_reasons() -> None:
    stream = generate_stream(seconds=2, audio=False)
    report = check([*stream[:20], *stream[22:]], stream)
    assert str(report) == (
        "2 packets missing: #20 inter frame at 760 ms; #21 inter frame at 800 ms\n"
        "4 packets undecodable: #22 inter frame at 840 ms (it needs #21, which has not come); "
        "#23 inter frame at 880 ms (it needs #22, which cannot be decoded); "
        "#24 inter frame at 920 ms (it needs #23, which cannot be decoded); "
        "#25 inter frame at 960 ms (it needs #24, which cannot be decoded)"
    )
    assert str(check(stream, stream)) == "everything came, once and in order"
    headless = check(stream[1:], stream)
    assert "50 packets undecodable: #1 key frame at 0 ms (its sequence header has not come)" in str(headless)
    assert str(headless).endswith("and 45 more")


def test_flaws_are_raised_with_the_text() -> None:
    check(STREAM).require_flawless()
    joined = check([*STREAM[:2], *STREAM[VIDEO[20] :]])
    joined.require_flawless(from_join=True)
    with pytest.raises(AssertionError, match="missing before the first frame"):
        joined.require_flawless()
    with pytest.raises(AssertionError, match="1 packet that was never sent"):
        check([*STREAM, generate_stream(seconds=0.1, seed=9)[-1]]).require_flawless(from_join=True)
