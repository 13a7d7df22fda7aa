"""What is lexically wrong: the column and what was expected there."""

from collections.abc import Callable

import pytest

from mmids_trio.config.parser import parse

Find = Callable[[str], tuple[int, str]]


@pytest.mark.parametrize(
    ("arguments", "column", "message"),
    [
        ('k="abc', 3, "a quote that is not closed; expected a closing quote before the end of the line"),
        ('"', 1, "a quote that is not closed"),
        ('k="a\\"', 3, r"a backslash at its end is written \\"),
        ('k=a"b"', 4, "a quote inside a word"),
        ('flag"x"', 5, "a quote inside a word"),
        ('k=a="b"', 5, "a quote inside a word"),
        ('k="a"b', 6, "expected white space after the closing quote"),
        ('k="a"#b', 6, "expected white space after the closing quote"),
        ("k=a#b", 4, "a '#' inside a word; expected quotes around the value, or white space before a comment"),
        ("k=#b", 3, "a '#' inside a word"),
        ("a#b", 2, "a '#' inside a word"),
        ('a#="b"', 2, "a '#' inside a word"),
        ('k="a""b"', 6, "expected white space after the closing quote"),
        ("k=a\0b", 4, "unexpected character U+0000, which no value can hold"),
        ('k="a\0b"', 5, "unexpected character U+0000, which no value can hold"),
        ('k="\ud800"', 4, "unexpected character U+D800, which no value can hold"),
        ("k=\x1b[31m", 3, "unexpected character U+001B; expected a plain character, or quotes"),
        ("k=a\rb", 4, "unexpected character U+000D"),
        ("k=a\r\r", 4, "unexpected character U+000D"),
        ("k=a\vb", 4, "unexpected character U+000B"),
        ("k=a\x7f", 4, "unexpected character U+007F"),
        ("k=a\u00a0b", 4, "unexpected character U+00A0 (NO-BREAK SPACE); expected a plain character"),
        ("k=\u202eb", 3, "unexpected character U+202E (RIGHT-TO-LEFT OVERRIDE)"),
        ("k=a\u2028b", 4, "unexpected character U+2028 (LINE SEPARATOR)"),
        ("k=\ufeffb", 3, "unexpected character U+FEFF"),
        ("k=“two", 3, 'a typographic quotation mark; expected a plain "'),
        ("k={id}", 3, "a brace inside an argument; expected quotes around a value that holds one"),
        ("k=a}", 4, "a brace inside an argument"),
        ("k=a}b", 4, "a brace inside an argument"),
        ("} k", 1, "a brace inside an argument"),
    ],
)
def test_a_fault_is_reported_with_its_column_and_what_was_expected(
    arguments: str, column: int, message: str, error_in_step: Find
) -> None:
    found = error_in_step(arguments)
    assert found[0] == column
    assert message in found[1]


def test_a_faulty_step_is_left_out_and_the_others_stay() -> None:
    document = parse('workflow w {\n a x=y\n b x="\n c =\n d "bare"\n e\n}', "test")
    assert [step.step_type for step in document.workflows[0].steps] == ["a", "e"]
    assert [problem.place.line for problem in document.problems] == [3, 4, 5]


@pytest.mark.parametrize(
    ("arguments", "column", "message"),
    [
        ("=x", 1, "expected a parameter name before '='"),
        ("=", 1, "expected a parameter name before '='"),
        ('="x"', 1, "expected a parameter name before '='"),
        ('a "two words"', 3, "expected a flag or a pair name=value, found a quoted string without a name"),
        ("port=1 rtmps port=2", 14, "parameter 'port' is given twice (first in column 4)"),
        ("rtmps rtmps=", 7, "parameter 'rtmps' is given twice (first in column 4)"),
    ],
)
def test_an_argument_of_a_step_is_a_flag_or_a_pair_and_given_once(
    arguments: str, column: int, message: str, error_in_step: Find
) -> None:
    assert error_in_step(arguments) == (column, message)


def test_every_bad_argument_of_a_step_is_reported() -> None:
    document = parse('workflow w {\n s "a" b =c b\n}', "test")
    assert [problem.place.column for problem in document.problems] == [4, 10, 13]


def test_of_a_parameter_given_twice_the_first_counts() -> None:
    document = parse("workflow w {\n s a=1 a=2\n}", "test")
    assert document.workflows[0].steps[0].parameters == {"a": "1"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('"s" a=b', "expected a step name, which is a word without quotes; found a quoted string"),
        ("a=b c", "expected a step name, found the pair 'a=b'"),
        ('a="b"', "expected a step name, found the pair 'a='"),
    ],
)
def test_a_step_begins_with_its_name(
    line: str, message: str, errors_of: Callable[[str], list[tuple[int, int, str]]]
) -> None:
    assert errors_of(f"workflow w {{\n  {line}\n}}") == [(2, 3, message)]


def test_the_caret_stands_under_the_column_also_behind_tabs() -> None:
    [problem] = parse('workflow w {\n\ts\tk="\n}', "dir/mmids.config").problems
    first, source, caret = str(problem).split("\n")
    assert first.startswith("dir/mmids.config:2:6: a quote that is not closed")
    assert source == '    \ts\tk="'
    assert caret == "    \t \t  ^"


def test_a_byte_order_mark_does_not_count_as_a_column() -> None:
    [problem] = parse("\ufeffworkflow {\n}", "test").problems
    assert (problem.place.column, problem.place.source) == (10, "workflow {")


def test_the_source_line_of_a_crlf_file_has_no_carriage_return() -> None:
    [problem] = parse("workflow w {\r\n =x\r\n}\r\n", "test").problems
    assert problem.place.source == " =x"
