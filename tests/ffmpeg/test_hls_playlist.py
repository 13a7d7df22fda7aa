"""A playlist over the segments of several children is one that players can follow, and names what is there."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.ffmpeg.hls_playlist import LINGERING, MAX_LINE, ChildPlaylist, HlsPlaylist, HlsSegment, read_playlist


def said(*numbers: int, duration: str = "2.000000", extension: str = "ts") -> bytes:
    """As a child says its segments: in a short playlist for each."""
    return b"".join(
        f"#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n#EXTINF:{duration},\ns{number}.{extension}\n".encode()
        for number in numbers
    )


def filled(count: int, children: int = 3, segments: int = 4) -> tuple[HlsPlaylist, list[str]]:
    """A playlist in which several children wrote so many segments each, and the names of files that had to go."""
    playlist, gone = HlsPlaylist(count), list[str]()
    for child in range(children):
        for place in range(segments):
            number = playlist.next_number
            segment = HlsSegment(number, f"s{number}.m4s", 1.0, f"s{child}.mp4")
            gone += playlist.add(segment, is_discontinuity=place == 0)
    return playlist, gone


def pieces_of(data: bytes, size: int) -> Iterator[bytes]:
    return (data[place : place + size] for place in range(0, len(data), size))


@given(st.integers(1, 200))
def test_each_segment_is_read_once_however_its_playlist_is_cut(size: int) -> None:
    child = ChildPlaylist("s", "init.mp4", 7)
    data = said(7) + said(7, 8) + said(8, 9, duration="1.5") + b"#EXT-X-ENDLIST\n"
    found = [segment for piece in pieces_of(data, size) for segment in child.receive(piece)]
    assert [(segment.number, segment.name, segment.duration) for segment in found] == [
        (7, "s7.ts", 2.0),
        (8, "s8.ts", 2.0),
        (9, "s9.ts", 1.5),
    ]
    assert {segment.init for segment in found} == {"init.mp4"}


@pytest.mark.parametrize("name", ["../s7.ts", "t7.ts", "s7.mp4", "sx.ts", "s7.ts\\", "s7.ts/../../etc"])
def test_what_a_child_cannot_have_been_told_to_write_is_no_segment(name: str) -> None:
    assert ChildPlaylist("s", None, 0).receive(f"#EXTINF:1.0,\n{name}\n".encode()) == []


def test_a_line_without_an_end_is_not_kept() -> None:
    child = ChildPlaylist("s", None, 0)
    for _ in range(100):
        assert child.receive(bytes(1000)) == []
        assert len(child._rest) <= MAX_LINE
    assert [segment.number for segment in child.receive(b"\n" + said(0))] == [0]


def test_another_child_is_a_discontinuity_with_an_init_segment_of_its_own() -> None:
    playlist, gone = filled(0, children=2, segments=2)
    assert gone == []
    assert playlist.text().splitlines() == [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        "#EXT-X-TARGETDURATION:1",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        '#EXT-X-MAP:URI="s0.mp4"',
        "#EXTINF:1.000000,",
        "s0.m4s",
        "#EXTINF:1.000000,",
        "s1.m4s",
        "#EXT-X-DISCONTINUITY",
        '#EXT-X-MAP:URI="s1.mp4"',
        "#EXTINF:1.000000,",
        "s2.m4s",
        "#EXTINF:1.000000,",
        "s3.m4s",
    ]


@pytest.mark.parametrize("count", [0, 1, 3])
@given(st.lists(st.tuples(st.booleans(), st.sampled_from([None, "s0.mp4", "s1.mp4"]), st.booleans()), max_size=12))
def test_what_is_added_to_a_text_is_what_would_be_written_anew(
    count: int, added: list[tuple[bool, str | None, bool]]
) -> None:
    playlist = HlsPlaylist(count)
    for number, (is_discontinuity, init, is_looked_at) in enumerate(added):
        playlist.add(HlsSegment(number, f"s{number}.m4s", 1.0, init), is_discontinuity=is_discontinuity)
        if is_looked_at:
            playlist.text()
    text = playlist.text()
    playlist._body = None
    assert playlist.text() == text


def test_what_has_left_the_playlist_goes_after_a_while_with_its_init_segment() -> None:
    playlist, gone = filled(3, children=3, segments=4)
    text = playlist.text()
    assert "#EXT-X-MEDIA-SEQUENCE:9\n#EXT-X-DISCONTINUITY-SEQUENCE:2\n" in text
    assert text.count("#EXTINF") == 3
    assert "#EXT-X-DISCONTINUITY\n" not in text
    assert [name for name in gone if name.endswith(".m4s")] == [f"s{number}.m4s" for number in range(9 - LINGERING)]
    assert [name for name in gone if name.endswith(".mp4")] == ["s0.mp4", "s1.mp4"]
    assert gone.index("s3.m4s") < gone.index("s0.mp4")


@pytest.mark.parametrize("count", [0, 2, 5])
def test_a_playlist_is_gone_on_with_from_its_file(count: int) -> None:
    playlist, _ = filled(count)
    playlist.is_ended = True
    again = read_playlist(playlist.text(), "s", count)
    assert again.text() == playlist.text()
    assert again.next_number == playlist.next_number == 12
    again.add(HlsSegment(12, "s12.m4s", 1.0, "s12.mp4"), is_discontinuity=True)
    assert again.text().endswith('#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI="s12.mp4"\n#EXTINF:1.000000,\ns12.m4s\n')


def test_numbers_go_on_when_all_segments_are_gone() -> None:
    playlist, _ = filled(4)
    playlist.forget()
    assert "#EXT-X-MEDIA-SEQUENCE:12\n#EXT-X-DISCONTINUITY-SEQUENCE:2\n" in playlist.text()
    assert read_playlist(playlist.text(), "s", 4).next_number == 12


@given(st.text(max_size=300))
def test_any_file_can_be_read(text: str) -> None:
    playlist = read_playlist(text, "s", 5)
    assert read_playlist(playlist.text(), "s", 5).next_number == playlist.next_number
