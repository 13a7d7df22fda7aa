"""Each lexical rule of the language by itself, on texts that are right."""

from collections.abc import Callable, Mapping

import pytest

from mmids_trio.config.parser import parse
from mmids_trio.config.scanner import MAX_LINE_LENGTH
from mmids_trio.definitions import ParameterValue

Parameters = Callable[[str], Mapping[str, ParameterValue]]
NO_PARAMETERS: dict[str, ParameterValue] = {}


def test_an_argument_without_an_equals_sign_is_a_flag(parameters_of: Parameters) -> None:
    assert parameters_of("rtmps") == {"rtmps": None}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("k=v", "v"),
        ("k=", ""),
        ('k=""', ""),
        ("k==v", "=v"),
        ("k=rtmp://h/app/key?a=b&c=d", "rtmp://h/app/key?a=b&c=d"),
        ('k="a#b"', "a#b"),
        ("k=a # b", "a"),
        ("k=C:\\video\\new", "C:\\video\\new"),
        ("k=ends\\", "ends\\"),
        ("k=it's", "it's"),
        ("k=*", "*"),
        ("k=größe/日本語/हिन्दी", "größe/日本語/हिन्दी"),
        ("k=e\N{COMBINING ACUTE ACCENT}", "e\N{COMBINING ACUTE ACCENT}"),
    ],
)
def test_only_the_first_equals_sign_splits_a_pair(written: str, value: str, parameters_of: Parameters) -> None:
    assert parameters_of(written) == {"k": value}


@pytest.mark.parametrize("character", "?=&:/\\*%@+~;!$()[]',.-_|<>^`")
def test_punctuation_is_plain_in_a_word(character: str, parameters_of: Parameters) -> None:
    assert parameters_of(f"k=a{character}1") == {"k": f"a{character}1"}
    if character != "=":
        assert parameters_of(f"a{character}b") == {f"a{character}b": None}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ('"two words"', "two words"),
        ('"a # b"', "a # b"),
        ('"{braces}"', "{braces}"),
        ('"a=b"', "a=b"),
        (r'"say \"hi\""', 'say "hi"'),
        (r'"a\\b"', r"a\b"),
        (r'"C:\new\table"', r"C:\new\table"),
        (r'"C:\dir\\"', "C:\\dir\\"),
        (r'"\\\"\x"', '\\"\\x'),
        ('"tab\there"', "tab\there"),
        ('"\x01\x7f\r\u2028"', "\x01\x7f\r\u2028"),
        ('"“curly” \u00a0 🎬"', "“curly” \u00a0 🎬"),
        ('"  edges  "', "  edges  "),
    ],
)
def test_in_quotes_every_character_stands_for_itself_but_the_two_escapes(
    written: str, value: str, parameters_of: Parameters
) -> None:
    assert parameters_of(f"k={written}") == {"k": value}


@pytest.mark.parametrize(
    "comment",
    ["# plain", "#", "#no space", '# "quotes', "# {braces}", "# }", "# a=b \0 \x01 “ \r x", "# # #", "\t# tab"],
)
def test_a_comment_after_white_space_may_hold_anything(comment: str) -> None:
    text = f"{comment}\nworkflow w {{ {comment}\n  s k=v {comment}\n {comment}\n}} {comment}\n{comment}"
    document = parse(text, "test")
    assert document.problems == ()
    assert [step.parameters for step in document.workflows[0].steps] == [{"k": "v"}]


def test_a_comment_ends_with_its_line() -> None:
    document = parse("workflow w { # {\n# s a\n s b # c\n}", "test")
    assert document.problems == ()
    assert [step.parameters for step in document.workflows[0].steps] == [{"b": None}]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("final", [True, False])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_line_ends_final_line_end_and_byte_order_mark_do_not_matter(line_end: str, final: bool, start: str) -> None:
    lines = ["workflow w {", "", "   ", "\ts key=value flag", "}"]
    document = parse(start + line_end.join(lines) + (line_end if final else ""), "test")
    assert document.problems == ()
    assert document.workflows[0].steps[0].parameters == {"key": "value", "flag": None}


@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff", "  \t ", "# only a comment", "\r\n\r\n"])
def test_a_text_with_nothing_in_it_is_an_empty_configuration(text: str) -> None:
    document = parse(text, "test")
    assert (document.problems, document.warnings) == ((), ())
    assert (document.workflows, document.reactors) == ((), ())


@pytest.mark.parametrize(
    "header", ["workflow w {", "WORKFLOW w {", "WorkFlow\tw\t{", "  workflow   w{  ", "workflow w {#"]
)
def test_node_names_do_not_mind_case_nor_white_space(header: str) -> None:
    document = parse(f"{header}\n}}# end", "test")
    assert document.problems == ()
    assert document.workflows[0].name == "w"


def test_names_other_than_those_of_nodes_mind_case() -> None:
    document = parse("workflow A {\n S K=V k=v\n s\n}\nworkflow a {\n}", "test")
    assert document.problems == ()
    assert [workflow.name for workflow in document.workflows] == ["A", "a"]
    assert [step.step_type for step in document.workflows[0].steps] == ["S", "s"]
    assert document.workflows[0].steps[0].parameters == {"K": "V", "k": "v"}


@pytest.mark.parametrize("padding", [0, 1])
def test_a_line_may_have_so_many_characters_and_no_more(padding: int) -> None:
    line = " s k=" + "x" * (MAX_LINE_LENGTH - 5 + padding)
    document = parse(f"workflow w {{\n{line}\n}}", "test")
    assert len(document.problems) == padding
    assert all(p.place.line == 2 and "expected at most 65536" in p.message for p in document.problems)


def test_a_comment_may_be_longer_than_any_line() -> None:
    assert parse("  # " + "x" * MAX_LINE_LENGTH, "test").problems == ()
