"""Time and size stay in proportion to the text, also for texts that are made to hurt."""

import sys
from types import FrameType

import pytest

from mmids_trio.config.parser import parse
from mmids_trio.config.report import COST_OF_A_PROBLEM, MAX_QUOTED

WORKFLOW = """workflow w{number} {{
    rtmp_receive rtmp_app=in{number} stream_key=* port=1936 allow_ips=192.168.0.1,10.0.0.0/8 rtmps
    ffmpeg_hls path="/var/hls/pre view" duration=2 count=5  # comment
    ffmpeg_transcode vcodec=h264 acodec=aac h264_preset=ultrafast size=640x480 kbps=1000
    rtmp_watch rtmp_app=out{number} stream_key=*
    ffmpeg_push target=rtmp://a.example.com/live2/abcd-efgh?backup=1&key=a=b
    workflow_forwarder target_workflow=fan_out
}}
"""


def calls(text: str) -> int:
    """Calls of functions that reading takes: what time grows with, the same on every machine and at every load."""
    counted = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        parse(text, "test")
    finally:
        sys.setprofile(before)
    return counted


def of_size(count: int) -> str:
    return "".join(WORKFLOW.format(number=number) for number in range(count))


def test_the_work_of_reading_grows_with_the_text_and_not_faster() -> None:
    assert not parse(of_size(2), "test").problems
    few, many = calls(of_size(100)), calls(of_size(1_000))
    assert 9 * few < many < 11 * few


@pytest.mark.parametrize(
    "line", [r"\"", "\\", '"', 'k="', 'a"', "=", "{", "}", " a", "a=", " #", '"" ', "\0", " a=b", "token ", "x"]
)
def test_no_line_takes_more_than_its_share_of_work(line: str) -> None:
    text = "\n".join(["settings {", line * (6_000 // len(line))] * 4)
    longer = "\n".join(["settings {", line * (60_000 // len(line))] * 4)
    assert calls(longer) < 11 * calls(text)


def test_a_report_quotes_no_more_than_so_much() -> None:
    line = " s " + "=x " * 20_000
    document = parse("workflow w {\n" + f"{line}\n" * 10 + "}", "test")
    assert len(document.problems) < 20
    assert sum(len(problem.place.source) for problem in document.problems) < MAX_QUOTED + 3 * len(line)
    assert "too many problems to list" in document.problems[-1].message


def test_a_report_of_short_lines_lists_thousands() -> None:
    document = parse("workflow w {\n" + "=\n" * 20_000 + "}", "test")
    assert len(document.problems) == MAX_QUOTED // (COST_OF_A_PROBLEM + 1) + 2
