"""The files of an HLS playlist: written as a whole, made again when they were removed, ended at last."""

import shutil
from pathlib import Path

import pytest

from mmids_trio.errors import StepError
from mmids_trio.ffmpeg.hls_output import HlsOutput
from mmids_trio.ffmpeg.output_paths import make_directory
from mmids_trio.ffmpeg.parameters import HlsParameters


def output(directory: Path, count: int | None = None, *, delete: bool | None = None) -> HlsOutput:
    return HlsOutput(HlsParameters(str(directory), count=count, delete=delete), "s", make_directory)


def writes(out: HlsOutput, directory: Path, *numbers: int, extension: str = "ts") -> None:
    """What a child does for each segment."""
    for number in numbers:
        (directory / f"s{number}.{extension}").write_bytes(b"media")
        out.receive(f"#EXTM3U\n#EXTINF:2.000000,\ns{number}.{extension}\n".encode())


def files(directory: Path) -> set[str]:
    return {entry.name for entry in directory.iterdir()}


def text(directory: Path) -> str:
    return (directory / "s.m3u8").read_text()


def value(arguments: object, option: str) -> str:
    assert isinstance(arguments, list)
    found = arguments[arguments.index(option) + 1]
    assert isinstance(found, str)
    return found


def test_a_later_child_goes_on_behind_a_discontinuity_and_the_end_is_said_once(tmp_path: Path) -> None:
    out = output(tmp_path)
    out.begin({"avc1"})
    writes(out, tmp_path, 0, 1)
    assert "#EXT-X-ENDLIST" not in text(tmp_path)
    assert value(out.begin({"avc1"}), "-start_number") == "2"
    writes(out, tmp_path, 2)
    out.end()
    out.end()
    assert text(tmp_path).endswith("s1.ts\n#EXT-X-DISCONTINUITY\n#EXTINF:2.000000,\ns2.ts\n#EXT-X-ENDLIST\n")
    assert files(tmp_path) == {"s0.ts", "s1.ts", "s2.ts", "s.m3u8"}


def test_another_run_goes_on_with_the_file(tmp_path: Path) -> None:
    first = output(tmp_path)
    first.begin({"avc1"})
    writes(first, tmp_path, 0, 1)
    first.end()
    second = output(tmp_path)
    assert value(second.begin({"avc1"}), "-start_number") == "2"
    assert text(tmp_path).endswith("#EXT-X-ENDLIST\n")
    writes(second, tmp_path, 2)
    assert "s1.ts\n#EXT-X-DISCONTINUITY\n#EXTINF:2.000000,\ns2.ts\n" in text(tmp_path)
    assert "#EXT-X-ENDLIST" not in text(tmp_path)


def test_all_segments_are_listed_and_kept_unless_a_count_is_given(tmp_path: Path) -> None:
    out = output(tmp_path)
    out.begin({"avc1"})
    writes(out, tmp_path, *range(20))
    assert files(tmp_path) == {*(f"s{number}.ts" for number in range(20)), "s.m3u8"}
    assert text(tmp_path).count(".ts") == 20


def test_segments_that_are_not_to_be_deleted_stay_when_they_have_left_the_playlist(tmp_path: Path) -> None:
    out = output(tmp_path, 2, delete=False)
    out.begin({"avc1"})
    writes(out, tmp_path, *range(6))
    assert {f"s{number}.ts" for number in range(6)} < files(tmp_path)
    assert text(tmp_path).count(".ts") == 2


def test_a_playlist_of_0_1_goes_on_with_other_names(tmp_path: Path) -> None:
    """Its segments were called `s-7.ts`; whoever watches goes on, and they are deleted in their turn."""
    (tmp_path / "s-7.ts").write_bytes(b"media")
    (tmp_path / "s.m3u8").write_text("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:2.000000,\ns-7.ts\n")
    out = output(tmp_path, 2)
    assert value(out.begin({"avc1"}), "-start_number") == "8"
    writes(out, tmp_path, 8)
    assert "\ns-7.ts\n#EXT-X-DISCONTINUITY\n#EXTINF:2.000000,\ns8.ts\n" in text(tmp_path)
    writes(out, tmp_path, 9, 10)
    assert files(tmp_path) == {"s8.ts", "s9.ts", "s10.ts", "s.m3u8"}


def test_old_segments_are_deleted(tmp_path: Path) -> None:
    out = output(tmp_path, 2)
    out.begin({"avc1"})
    writes(out, tmp_path, *range(6))
    assert files(tmp_path) == {"s3.ts", "s4.ts", "s5.ts", "s.m3u8"}


def test_once_there_was_an_init_segment_every_child_has_one(tmp_path: Path) -> None:
    out = output(tmp_path)
    assert "-hls_segment_type" not in out.begin({"avc1", "mp4a"})
    writes(out, tmp_path, 0)
    assert value(out.begin({"hvc1", "mp4a"}), "-hls_fmp4_init_filename") == f"{tmp_path}/s1.mp4"
    writes(out, tmp_path, 1, extension="m4s")
    assert value(out.begin({"avc1", "mp4a"}), "-hls_fmp4_init_filename") == f"{tmp_path}/s2.mp4"
    writes(out, tmp_path, 2, extension="m4s")
    again = output(tmp_path)
    assert value(again.begin({"avc1", "mp4a"}), "-hls_fmp4_init_filename") == f"{tmp_path}/s3.mp4"


def test_a_directory_that_was_removed_while_a_child_lives_is_made_again(tmp_path: Path) -> None:
    """R15."""
    directory = tmp_path / "out"
    out = output(directory)
    out.begin({"avc1"})
    writes(out, directory, 0, 1)
    shutil.rmtree(directory)
    out.receive(b"#EXTINF:2.0,\ns2.ts\n")  # which is gone as well
    assert "s-" not in text(directory)
    assert "#EXT-X-MEDIA-SEQUENCE:3\n" in text(directory)
    writes(out, directory, 3)
    assert text(directory).endswith("#EXT-X-INDEPENDENT-SEGMENTS\n#EXTINF:2.000000,\ns3.ts\n")


def test_a_directory_that_was_removed_is_there_for_the_next_child_and_numbers_go_on(tmp_path: Path) -> None:
    directory = tmp_path / "out"
    out = output(directory)
    out.begin({"avc1"})
    writes(out, directory, 0, 1)
    shutil.rmtree(directory)
    assert value(out.begin({"avc1"}), "-start_number") == "2"
    writes(out, directory, 2)
    assert "#EXT-X-MEDIA-SEQUENCE:2\n" in text(directory)
    assert "s0.ts" not in text(directory)


def test_a_playlist_that_cannot_be_written_is_an_error_and_its_end_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = output(tmp_path)
    out.begin({"avc1"})
    writes(out, tmp_path, 0)
    (tmp_path / "s.m3u8.tmp").mkdir()
    with pytest.raises(StepError, match=r"the playlist '.*s\.m3u8' cannot be written: Is a directory"):
        writes(out, tmp_path, 1)
    out.end()


def test_without_a_segment_nothing_is_written(tmp_path: Path) -> None:
    out = output(tmp_path)
    out.end()
    out.begin({"avc1"})
    out.end()
    assert files(tmp_path) == set()
