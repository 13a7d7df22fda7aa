"""Whatever a packet of Enhanced RTMP v2 is wrapped in, it is known for what it is, and its headers go to its tracks."""

import pytest
from attrs import evolve

from mmids_trio.media.events import MediaKind, MediaPacket
from mmids_trio.media.payload import payload_of
from mmids_trio.media.tracks import TrackKey, is_of_main_track, remember_header, track_of
from tests.support.wrappings import (
    CODED_FRAMES,
    DESCRIPTION,
    EXTENSIONS,
    SEQUENCE_START,
    Form,
    Track,
    Wrapping,
    nanosecond_offset,
    wrappings,
)

VIDEO, AUDIO = MediaKind.VIDEO, MediaKind.AUDIO


def named(wrapping: Wrapping) -> str:
    numbers = "".join(str(track.number) for track in wrapping.tracks)
    chain = EXTENSIONS.index(wrapping.extensions)
    return f"{wrapping.kind.value}-{wrapping.form.name.lower()}-extensions{chain}-tracks{numbers}"


def counts(wrapping: Wrapping) -> Track:
    """The track that everybody plays, or else the first."""
    return next((track for track in wrapping.tracks if track.number == 0), wrapping.tracks[0])


@pytest.mark.parametrize("wrapping", list(wrappings(SEQUENCE_START)), ids=named)
def test_a_sequence_header_is_known_and_is_that_of_its_tracks(wrapping: Wrapping) -> None:
    packet, numbers = wrapping.packet(), [track.number for track in wrapping.tracks]
    assert (packet.codec, packet.is_sequence_header) == (counts(wrapping).four_cc.decode(), True)
    assert not packet.is_key_frame
    assert track_of(packet) == TrackKey(wrapping.kind, bytes(numbers))
    assert is_of_main_track(packet) is (0 in numbers)
    payload = payload_of(packet)
    assert (payload is None) is (0 not in numbers)
    assert payload is None or (payload.data, payload.is_frame) == (b"payload of track 0", False)


@pytest.mark.parametrize("wrapping", list(wrappings(CODED_FRAMES)), ids=named)
def test_a_frame_is_known_by_its_main_track(wrapping: Wrapping) -> None:
    packet, numbers = wrapping.packet(), [track.number for track in wrapping.tracks]
    assert (packet.codec, packet.is_sequence_header) == (counts(wrapping).four_cc.decode(), False)
    assert packet.is_key_frame is (wrapping.kind is VIDEO and 0 in numbers)
    has_offset = wrapping.kind is VIDEO and packet.codec in ("hvc1", "avc1")
    assert packet.composition_offset == (40 if has_offset else 0)
    assert is_of_main_track(packet) is (0 in numbers)
    payload = payload_of(packet)
    assert payload is None or (payload.data, payload.is_frame) == (b"payload of track 0", True)


@pytest.mark.parametrize("wrapping", list(wrappings(DESCRIPTION)), ids=named)
def test_a_description_stands_beside_the_header_of_its_tracks(wrapping: Wrapping) -> None:
    header = evolve(wrapping, packet_type=SEQUENCE_START).packet()
    packet = wrapping.packet()
    assert packet.is_sequence_header
    assert track_of(packet) == evolve_key(track_of(header))
    headers: dict[TrackKey, MediaPacket] = {}
    for one in (header, packet, header, packet):
        assert remember_header(headers, one)
    assert list(headers.values()) == [header, packet]


def evolve_key(key: TrackKey) -> TrackKey:
    return key._replace(is_description=True)


@pytest.mark.parametrize("kind", [VIDEO, AUDIO])
@pytest.mark.parametrize("extensions", EXTENSIONS)
@pytest.mark.parametrize("form", [Form.ONE, Form.MANY, Form.MANY_CODECS])
def test_the_header_of_a_second_track_leaves_that_of_the_main_one(
    form: Form, extensions: tuple[bytes, ...], kind: MediaKind
) -> None:
    main = Wrapping(kind=kind, form=Form.PLAIN, tracks=[Track(0, b"main", b"fake")]).packet()
    beside = Wrapping(kind=kind, form=form, extensions=extensions, tracks=[Track(1, b"beside", b"fake")]).packet()
    headers: dict[TrackKey, MediaPacket] = {}
    for packet in (main, beside, main, beside):
        assert remember_header(headers, packet)
    assert list(headers.values()) == [main, beside]


@pytest.mark.parametrize("kind", [VIDEO, AUDIO])
@pytest.mark.parametrize("form", list(Form))
def test_the_main_track_has_one_header_in_whatever_it_comes(form: Form, kind: MediaKind) -> None:
    headers: dict[TrackKey, MediaPacket] = {}
    tracks = [Track(0, b"new", b"fake")]
    for packet in (
        Wrapping(kind=kind, form=Form.PLAIN, tracks=[Track(0, b"old", b"fake")]).packet(),
        last := Wrapping(kind=kind, form=form, extensions=(nanosecond_offset(5),), tracks=tracks).packet(),
    ):
        assert remember_header(headers, packet)
    assert list(headers.values()) == [last]


def many(*numbers: int, form: Form = Form.MANY) -> MediaPacket:
    tracks = [Track(number, b"of %d" % number, b"hvc1") for number in numbers]
    return Wrapping(kind=VIDEO, form=form, tracks=tracks).packet()


def test_a_header_of_several_tracks_takes_the_place_of_those_of_each() -> None:
    headers: dict[TrackKey, MediaPacket] = {}
    for packet in (many(0), many(1), many(2), together := many(1, 0)):
        remember_header(headers, packet)
    assert list(headers.values()) == [many(2), together]


def test_of_headers_that_share_a_track_the_newest_comes_last() -> None:
    headers: dict[TrackKey, MediaPacket] = {}
    for packet in (together := many(0, 1), alone := many(1)):
        remember_header(headers, packet)
    assert list(headers.values()) == [together, alone]
    remember_header(headers, other := many(1, 2))
    assert list(headers.values()) == [together, other]
    remember_header(headers, together)
    assert list(headers.values()) == [other, together]
