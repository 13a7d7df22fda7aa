"""HLS as a real ffmpeg writes it is what was asked for, and stays where it belongs."""

from collections.abc import Collection
from pathlib import Path

import pytest

from mmids_trio.ffmpeg.hls_output import HlsOutput
from mmids_trio.ffmpeg.output_paths import make_directory
from mmids_trio.ffmpeg.parameters import HlsParameters
from tests.support.ffmpeg_runs import feed_of, probe, run, run_child

pytestmark = pytest.mark.e2e

SECONDS = 6


def written_hls(
    ffmpeg: str, flv: Path, parameters: HlsParameters, name: str = "stream", codecs: Collection[str] = ()
) -> Path:
    output = HlsOutput(parameters, name, make_directory)
    done = run_child(ffmpeg, output.begin(codecs), feed_of(flv))
    assert (done.returncode, done.stderr) == (0, b"")
    output.receive(done.stdout)
    output.end()
    return Path(output.path)


def durations(playlist: str) -> list[float]:
    return [
        float(line.removeprefix("#EXTINF:").rstrip(",")) for line in playlist.splitlines() if line.startswith("#EXTINF")
    ]


def test_hls_keeps_every_segment_if_asked_and_ends_with_the_input(ffmpeg: str, flv: Path, tmp_path: Path) -> None:
    path = written_hls(ffmpeg, flv, HlsParameters(str(tmp_path), duration_s=1, count=0))
    playlist = path.read_text()
    assert durations(playlist) == [1.0] * SECONDS
    assert playlist.endswith("#EXT-X-ENDLIST\n")
    assert "#EXT-X-INDEPENDENT-SEGMENTS" in playlist
    assert str(tmp_path) not in playlist
    assert len(list(tmp_path.glob("*.ts"))) == SECONDS
    assert abs(float(probe(path)["format"]["duration"]) - SECONDS) < 0.2
    assert run("ffmpeg", "-v", "error", "-i", str(path), "-f", "null", "-") == b""


@pytest.mark.parametrize(("count", "listed"), [(3, 3), (None, SECONDS)])
def test_hls_keeps_as_many_segments_as_asked(
    ffmpeg: str, flv: Path, tmp_path: Path, count: int | None, listed: int
) -> None:
    path = written_hls(ffmpeg, flv, HlsParameters(str(tmp_path), duration_s=1, count=count))
    assert len(durations(path.read_text())) == listed
    assert len(list(tmp_path.glob("*.ts"))) <= listed + 1


def test_another_child_goes_on_with_the_playlist(ffmpeg: str, flv: Path, tmp_path: Path) -> None:
    parameters = HlsParameters(str(tmp_path), duration_s=2, count=0)
    written_hls(ffmpeg, flv, parameters)
    playlist = written_hls(ffmpeg, flv, parameters).read_text()
    assert len(durations(playlist)) == 2 * SECONDS // 2
    assert "stream2.ts\n#EXT-X-DISCONTINUITY\n#EXTINF:2.000000,\nstream3.ts\n" in playlist
    assert playlist.count("#EXT-X-ENDLIST") == 1
    assert len(list(tmp_path.glob("*.ts"))) == len(durations(playlist))


@pytest.mark.parametrize("name", ["../x", "a/b", "%2e%2e", "n\0l", "x" * 300, "-y", "%d", "..", "", "ä b?#"])
def test_hostile_names_of_streams_stay_inside_and_play(
    ffmpeg: str, flv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-out: x").mkdir()
    path = written_hls(ffmpeg, flv, HlsParameters("-out: x", duration_s=2, count=0), name)
    assert [entry.name for entry in tmp_path.iterdir()] == ["-out: x"]
    assert len(list((tmp_path / "-out: x").iterdir())) == 1 + SECONDS // 2
    assert abs(float(probe(path)["format"]["duration"]) - SECONDS) < 0.2


def test_segments_are_fragmented_mp4_where_the_codec_wants_it(ffmpeg: str, flv: Path, tmp_path: Path) -> None:
    parameters = HlsParameters(str(tmp_path), duration_s=2, count=0)
    for _ in range(2):
        playlist = written_hls(ffmpeg, flv, parameters, "%d/..", {"av01", "mp4a"})
    assert sorted(entry.suffix for entry in tmp_path.iterdir()) == [".m3u8", *[".m4s"] * SECONDS, ".mp4", ".mp4"]
    text = playlist.read_text()
    assert '#EXT-X-MAP:URI="=25d=2F..0.mp4"\n#EXTINF:2.000000,\n=25d=2F..0.m4s' in text
    assert '#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI="=25d=2F..3.mp4"\n#EXTINF:2.000000,\n=25d=2F..3.m4s' in text
    assert {stream["codec_name"] for stream in probe(playlist)["streams"]} == {"h264", "aac"}
