"""Time and size stay in proportion to the text, also for texts that are made to hurt."""

import pytest

from mmids_trio.config.nodes import MAX_ARGUMENTS, MAX_STEPS
from mmids_trio.config.parser import parse
from mmids_trio.config.report import MAX_MESSAGE, MAX_PROBLEMS, TOO_MANY, Findings
from mmids_trio.errors import ConfigurationError, Place
from tests.support.calls import calls

WORKFLOW = """workflow w{number} {{
    rtmp_receive rtmp_app=in{number} stream_key=* port=1936 allow_ips=192.168.0.1,10.0.0.0/8 rtmps
    ffmpeg_hls path="/var/hls/pre view" duration=2 count=5  # comment
    ffmpeg_transcode vcodec=h264 acodec=aac h264_preset=ultrafast size=640x480 kbps=1000
    rtmp_watch rtmp_app=out{number} stream_key=*
    ffmpeg_push target=rtmp://a.example.com/live2/abcd-efgh?backup=1&key=a=b
    workflow_forwarder target_workflow=fan_out
}}
"""


def calls_of_reading(text: str) -> int:
    """What reading takes."""
    parse(text, "test")  # for what the standard library remembers
    return calls(lambda: parse(text, "test")).total()


def of_size(count: int) -> str:
    return "".join(WORKFLOW.format(number=number) for number in range(count))


@pytest.mark.thorough
def test_the_work_of_reading_grows_with_the_text_and_not_faster() -> None:
    assert not parse(of_size(2), "test").problems
    few, many = calls_of_reading(of_size(100)), calls_of_reading(of_size(1_000))
    assert 9 * few < many < 11 * few


@pytest.mark.parametrize(
    "line", [r"\"", "\\", '"', 'k="', 'a"', "=", "{", "}", " a", "a=", " #", '"" ', "\0", " a=b", "token ", "x"]
)
def test_no_line_takes_more_than_its_share_of_work(line: str) -> None:
    text = "\n".join(["settings {", line * (6_000 // len(line))] * 4)
    longer = "\n".join(["settings {", line * (60_000 // len(line))] * 4)
    assert calls_of_reading(longer) < 11 * calls_of_reading(text)


def test_a_report_lists_no_more_than_so_many_problems() -> None:
    problems = parse("workflow w {\n" + "=\n" * 20_000 + "}", "test").problems
    assert len(problems) == MAX_PROBLEMS + 1
    assert [problem.message for problem in problems].count(TOO_MANY) == 1
    assert problems[-1].message == TOO_MANY


@pytest.mark.thorough
def test_nothing_is_read_behind_what_makes_a_report_full() -> None:
    few, many = (calls_of_reading("workflow w {\n" + "=\n" * count + "}") for count in (2_000, 20_000))
    assert few == many


def test_the_last_problem_says_that_there_are_more_in_whatever_order_they_were_found() -> None:
    findings = Findings()
    for line in range(2 * MAX_PROBLEMS, 0, -1):
        findings.add(Place("test", line, 1, ""), str(line))
    assert findings.in_order()[-1].message == TOO_MANY
    assert ConfigurationError(findings.problems).problems[-1].message == TOO_MANY


def test_the_size_of_a_report_does_not_depend_on_that_of_the_lines() -> None:
    line = " s " + "=x " * MAX_ARGUMENTS + "#" + "y" * 60_000 + "\n"
    report = str(ConfigurationError(parse("workflow w {\n" + line * 20 + "}", "test").problems))
    assert report.count("\n") > 2 * MAX_PROBLEMS
    assert len(report) < 500 * MAX_PROBLEMS


def test_a_message_of_any_length_is_shortened() -> None:
    findings = Findings()
    findings.add(Place("test", 1, 1, ""), "x" * 100_000)
    assert len(findings.problems[0].message) == MAX_MESSAGE + 1


def test_a_line_with_a_secret_is_made_unreadable_once_however_much_is_wrong_with_it() -> None:
    problems = parse("workflow w {\n password " + "=x " * 10 + "\n}", "test").problems
    assert len(problems) == 10
    assert all(problem.place.source is problems[0].place.source for problem in problems)


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("settings_node", "settings {\n" + "".join(f"x{number}\n" for number in range(5_000)) + "}"),
        ("nodes", "".join(f"workflow w{number} a b c d e {{\n}}\n" for number in range(1_000))),
    ],
)
def test_what_was_meant_is_not_looked_for_once_a_report_is_full(
    module: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_for: list[str] = []

    def did_you_mean(word: str, _known: object) -> str:
        looked_for.append(word)
        return ""

    monkeypatch.setattr(f"mmids_trio.config.{module}.did_you_mean", did_you_mean)
    document = parse(text, "test")
    assert (len(document.warnings), len(looked_for)) == (MAX_PROBLEMS + 1, MAX_PROBLEMS + 1)


@pytest.mark.parametrize(
    ("head", "column", "expected"),
    [
        ("workflow w {\n s ", 4, f"a step has at most {MAX_ARGUMENTS} parameters"),
        ("workflow w ", 12, f"a workflow node has at most {MAX_ARGUMENTS} arguments"),
    ],
)
def test_a_step_or_node_has_so_many_arguments_and_no_more(head: str, column: int, expected: str) -> None:
    def read(count: int) -> list[tuple[int, str]]:
        arguments = " ".join(f"p{number:03}" for number in range(count))
        end = "\n}" if "{" in head else " {\n}"
        return [(p.place.column, p.message) for p in parse(head + arguments + end, "test").problems]

    assert read(MAX_ARGUMENTS) == []
    message = f"too many arguments (7000); {expected}"
    assert [found[1] for found in read(7_000)] == [message]
    assert read(MAX_ARGUMENTS + 1)[0][0] == column + 5 * MAX_ARGUMENTS


def test_a_workflow_has_so_many_steps_and_no_more() -> None:
    def read(count: int) -> tuple[int, list[tuple[int, str]]]:
        document = parse("workflow w {\n" + " s\n" * count + "}", "test")
        return len(document.workflows[0].steps), [(p.place.line, p.message) for p in document.problems]

    assert read(MAX_STEPS) == (MAX_STEPS, [])
    message = f"too many steps; a workflow has at most {MAX_STEPS}"
    assert read(MAX_STEPS + 10) == (MAX_STEPS, [(MAX_STEPS + 2, message)])
