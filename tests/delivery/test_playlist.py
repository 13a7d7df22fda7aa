"""The playlist of Low-Latency HLS by the rules of RFC 8216bis: what it says, and what a player may wait for."""

import re

import pytest

from mmids_trio.delivery.playlist import LABEL, QUERY, MediaPlaylist, Standing, part_name
from mmids_trio.media.fmp4.fragmenter import Chapter, Fragmenter
from mmids_trio.testing.media import generate_stream

NOW = 1_800_000_000.0


def playlist(seconds: float, *, ended: bool = False, window_ms: float = 0) -> MediaPlaylist:
    """One of a stream with key frames every second, of which so many seconds have come."""
    made = MediaPlaylist(target_ms=1_000, window_ms=window_ms)
    fragmenter = Fragmenter(segment_ms=1_000, part_ms=200)
    for packet in generate_stream(seconds=seconds, fps=25, gop=25):
        for output in fragmenter.packet(packet):
            made.add(output, NOW + packet.timestamp / 1000)
    if ended:
        for output in fragmenter.end():
            made.add(output, NOW + seconds)
        made.end()
    return made


def lines(made: MediaPlaylist, *, skip: bool = False) -> list[str]:
    return made.text(skip=skip).decode().replace(QUERY.decode(), "").replace(LABEL.decode(), "").splitlines()


def test_it_says_what_players_need_before_the_first_segment() -> None:
    head = lines(playlist(3.5))[:6]
    assert head[:3] == ["#EXTM3U", "#EXT-X-VERSION:9", "#EXT-X-TARGETDURATION:1"]
    control = dict(pair.split("=") for pair in head[3].partition(":")[2].split(","))
    assert control["CAN-BLOCK-RELOAD"] == "YES"
    assert float(control["PART-HOLD-BACK"]) == pytest.approx(3 * 0.2)
    assert float(control["HOLD-BACK"]) >= 3
    assert float(control["CAN-SKIP-UNTIL"]) >= 6
    assert head[4] == "#EXT-X-PART-INF:PART-TARGET=0.200"
    assert head[5] == "#EXT-X-MEDIA-SEQUENCE:0"


def test_segments_have_their_parts_and_a_hint_names_the_next() -> None:
    made = playlist(2.5)
    text = lines(made)
    assert [line for line in text if line.startswith("segment")] == ["segment-0.m4s", "segment-1.m4s"]
    assert text.count("#EXTINF:1.00000,") == 2
    number, index = made.last
    assert text[-1] == f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{part_name(number, index + 1)}"'
    assert 'URI="part-0.0.m4s",INDEPENDENT=YES' in "\n".join(text)
    assert "#EXT-X-PROGRAM-DATE-TIME:2027-01-15T08:00:00.000Z" in text or any("DATE-TIME:2027-01-15" in x for x in text)


def test_parts_are_listed_for_three_target_durations_from_the_end() -> None:
    text = lines(playlist(10.5))
    first = next(line for line in text if line.startswith("#EXT-X-PART:"))
    number = int(re.findall(r"part-(\d+)", first)[0])
    assert 10 - number in (3, 4)


def test_parts_of_a_segment_are_its_bytes() -> None:
    made = playlist(4, ended=True)
    for segment in made.segments:
        standing, data = made.segment(segment.number)
        assert standing is Standing.THERE
        assert b"".join(data) == b"".join(made.part(segment.number, index)[1] for index in range(len(segment.parts)))


def test_a_delta_leaves_out_what_is_older_than_may_be_skipped() -> None:
    made = playlist(20.5, window_ms=60_000)
    whole, delta = lines(made), lines(made, skip=True)
    [skip] = [line for line in delta if line.startswith("#EXT-X-SKIP:")]
    skipped = int(skip.rpartition("=")[2])
    assert skipped > 0
    kept = [line for line in whole if line.startswith("segment")][skipped:]
    assert [line for line in delta if line.startswith("segment")] == kept
    assert len(kept) >= 6
    assert not any(line.startswith("#EXT-X-MAP") for line in delta)


def test_old_segments_go_and_the_numbers_stay() -> None:
    made = playlist(30)
    text = lines(made)
    [sequence] = [line for line in text if line.startswith("#EXT-X-MEDIA-SEQUENCE:")]
    first = int(sequence.partition(":")[2])
    assert first > 15
    assert made.segment(0) == (Standing.GONE, ())
    assert made.segments[0].number == first
    assert sum(segment.duration_ms for segment in made.segments) < 9_000


def test_another_chapter_is_a_discontinuity_with_another_map() -> None:
    made = playlist(2, ended=True)
    fragmenter = Fragmenter(segment_ms=1_000, part_ms=200)
    for packet in generate_stream(seconds=2, video_codec="av01"):
        for output in fragmenter.packet(packet):
            made.add(output, NOW)
    text = "\n".join(lines(made))
    assert text.index('#EXT-X-MAP:URI="init-0.mp4"') < text.index("#EXT-X-DISCONTINUITY\n")
    assert '#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI="init-1.mp4"' in text
    assert made.init(1) != made.init(0)
    assert made.init(2) is None


def test_discontinuities_that_have_gone_are_counted() -> None:
    made = MediaPlaylist(target_ms=1_000, window_ms=0)
    for life in range(3):
        fragmenter = Fragmenter(segment_ms=1_000, part_ms=200)
        for packet in generate_stream(seconds=8, seed=life):
            for output in fragmenter.packet(packet):
                made.add(output, NOW)
        for output in fragmenter.end():
            made.add(output, NOW)
    assert "#EXT-X-DISCONTINUITY-SEQUENCE:1" in lines(made) or "#EXT-X-DISCONTINUITY-SEQUENCE:2" in lines(made)
    assert set(made.chapters) == {segment.chapter for segment in made.segments}
    assert all(isinstance(chapter, Chapter) for chapter in made.chapters.values())


@pytest.mark.parametrize(
    ("ahead", "part", "standing"),
    [
        (0, None, Standing.TO_COME),  # the newest segment is not whole yet
        (0, 0, Standing.THERE),
        (0, 4, Standing.TO_COME),
        (-1, None, Standing.THERE),
        (-1, 99, Standing.THERE),  # behind its last part comes the first of the next segment
        (1, 0, Standing.TO_COME),
        (2, 0, Standing.TO_COME),
        (3, 0, Standing.WRONG),
        (-3, None, Standing.THERE),
    ],
)
def test_what_a_player_asks_for_is_there_to_come_or_wrong(ahead: int, part: int | None, standing: Standing) -> None:
    made = playlist(5.5)
    assert made.standing(made.last[0] + ahead, part) is standing


def test_a_part_without_its_segment_is_wrong_and_without_either_it_is_the_playlist() -> None:
    made = playlist(2.5)
    assert made.standing(None, 3) is Standing.WRONG
    assert made.standing() is Standing.THERE
    assert MediaPlaylist(1_000, 0).standing() is Standing.TO_COME


def test_only_the_hinted_part_may_be_waited_for() -> None:
    made = playlist(2.5)
    number, index = made.last
    assert made.part(number, index)[0] is Standing.THERE
    assert made.part(number, index + 1)[0] is Standing.TO_COME
    assert made.part(number, index + 2)[0] is Standing.GONE
    assert made.part(number + 5, 0)[0] is Standing.WRONG


def test_at_the_end_nobody_waits_any_more() -> None:
    made = playlist(3, ended=True)
    assert lines(made)[-1] == "#EXT-X-ENDLIST"
    assert made.standing(made.last[0] + 1, 0) is Standing.THERE
    assert made.part(made.last[0] + 1, 0)[0] is Standing.WRONG


def test_every_address_has_a_place_for_the_query() -> None:
    made = playlist(4)
    for line in made.text().decode().splitlines():
        if "URI=" in line:
            assert '\0"' in line
        elif not line.startswith("#"):
            assert line.endswith("\0")
