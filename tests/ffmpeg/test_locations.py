"""What an operator writes is a path or a URL of a known kind, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.ffmpeg.locations import (
    output_directory,
    plain_path,
    push_target,
    source_arguments,
    source_location,
    target_arguments,
)


def protocols(location: str) -> set[str]:
    arguments = source_arguments(location)
    return set(arguments[arguments.index("-protocol_whitelist") + 1].split(","))


@pytest.mark.parametrize(
    ("location", "argument"),
    [
        ("/media/a.mp4", "file:/media/a.mp4"),
        ("a b.mp4", "file:a b.mp4"),
        ("-y", "file:-y"),
        ("file:a:b.mp4", "file:a:b.mp4"),
        ("FILE:/a", "file:/a"),
        ("file:///a", "file:///a"),
        ("./a:b", "file:./a:b"),
        ("http://h/a?b=c&d", "http://h/a?b=c&d"),
        ("RTMP://h/a", "RTMP://h/a"),
    ],
)
def test_a_location_is_one_argument_behind_the_option_that_it_belongs_to(location: str, argument: str) -> None:
    assert source_arguments(location)[-2:] == ["-i", argument]
    assert source_location(location) == location


@pytest.mark.parametrize(
    "location", ["http://h/a", "https://h/a", "rtmp://h/a/b", "rtsp://h/a", "srt://h:1", "tcp://h:1"]
)
def test_what_comes_from_the_network_cannot_open_files(location: str) -> None:
    opened = protocols(location)
    assert opened.isdisjoint({"file", "pipe", "fd", "concat", "subfile", "unix", "cache", "async", "ftp", "gopher"})
    assert location.partition(":")[0] in opened


def test_a_file_cannot_open_the_network() -> None:
    assert protocols("/a.m3u8") == {"file", "crypto", "data"}


def test_files_are_read_in_real_time_over_and_over_and_live_sources_as_they_come() -> None:
    assert {"-re", "-stream_loop"} <= set(source_arguments("/a.mp4", repeats=True))
    assert "-stream_loop" not in source_arguments("/a.mp4")
    assert {"-re", "-reconnect"} <= set(source_arguments("https://h/a.mp4"))
    assert {"-re", "-stream_loop", "-reconnect"}.isdisjoint(source_arguments("rtmp://h/a/b", repeats=True))


@pytest.mark.parametrize(
    "location",
    [
        *("concat:/etc/passwd|/a", "concatf:/a", "subfile,,start,0,end,9,,:/a", "pipe:0", "fd:0", "lavfi:testsrc"),
        *("data:text/plain,x", "crypto:http://h/a", "unix:/s", "cache:http://h", "async:/a", "hls+http://h/a", "tee:a"),
        *("", "file:", "/a\0b", "file:\0", "http:/h", "http://", "http:///etc/passwd", "http:h", "http://h/\r\nX: y"),
        *("a:b.mp4", "ftp://h/a", "rtmp://h/\0"),
    ],
)
def test_other_locations_are_refused(location: str) -> None:
    if location.startswith("subfile"):
        assert source_arguments(location)[-1] == f"file:{location}"  # a file of this odd name
        return
    with pytest.raises(ValueError, match=r"^expected "):
        source_location(location)


def test_a_path_with_a_colon_is_told_how_to_be_written() -> None:
    with pytest.raises(ValueError, match=r"expected the path of a file \(file:\.\.\. if there is a colon in it\)"):
        source_location("a:b.mp4")


@pytest.mark.parametrize(
    ("target", "container"),
    [
        ("rtmp://a.example.com/live2/abcd-efgh?backup=1&key=a=b", "flv"),
        ("rtmps://h:443/app/key", "flv"),
        ("srt://h:9000?streamid=x", "mpegts"),
        ("udp://239.0.0.1:1234?pkt_size=1316", "mpegts"),
        ("https://h/up", "mpegts"),
        ("rtp://h:5004", "rtp_mpegts"),
        ("rtsp://h/live", "rtsp"),
    ],
)
def test_the_scheme_of_a_target_says_what_is_written(target: str, container: str) -> None:
    assert target_arguments(target)[-3:] == ["-f", container, target]
    assert push_target(target) == target


@pytest.mark.parametrize(
    "target",
    [
        "/a.flv",
        "-y",
        "file:/a.flv",
        "pipe:1",
        "tee:a|b",
        "out.ts",
        "",
        "rtmp:",
        "rtmp://h/a\0",
        "md5:x",
        "[f=flv]rtmp://h",
    ],
)
def test_other_targets_are_refused(target: str) -> None:
    with pytest.raises(ValueError, match=r"^expected "):
        push_target(target)


@given(st.text(max_size=30))
def test_whatever_is_written_no_argument_becomes_an_option(text: str) -> None:
    for arguments_of in (source_arguments, target_arguments):
        try:
            arguments = arguments_of(text)
        except ValueError:
            continue
        assert not arguments[-1].startswith("-")
        assert "\0" not in arguments[-1]


@pytest.mark.parametrize(("path", "expected"), [("/a/b", "/a/b"), ("hls", "./hls"), ("-y", "./-y"), ("a:b", "./a:b")])
def test_a_path_is_neither_an_option_nor_a_url(path: str, expected: str) -> None:
    assert plain_path(path) == expected


def test_a_directory_whose_name_would_be_a_pattern_is_refused() -> None:
    assert output_directory("/srv/a b") == "/srv/a b"
    for path in ("", "/srv/%d", "a\0b"):
        with pytest.raises(ValueError, match="expected the path of a directory"):
            output_directory(path)
