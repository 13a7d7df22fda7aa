"""`${NAME}`, `${NAME:-default}`, `${file:PATH}`: what they are read as, where they cannot stand, how they are shown."""

from collections.abc import Mapping

import pytest

from mmids_trio.config.parser import Document, parse, parse_workflow
from mmids_trio.config.references import MAX_RESOLVED, References, given_in_the_text
from mmids_trio.config.scanner import MAX_LINE_LENGTH
from mmids_trio.config.writer import with_secrets, write_complete, write_reactor, write_workflow
from mmids_trio.definitions import ParameterValue, Resolved, step_ids

OUTSIDE = {"KEY": "s3cret", "EMPTY": "", "TWO": "two words", "LINES": "a\nb", "HALF": "\udcff", "LONG": "x" * 65_537}


def read(path: str) -> str:
    if path == "absent":
        raise ValueError("cannot read the file 'absent': No such file or directory")
    return f"content of {path}"


def parsed(arguments: str) -> Document:
    return parse(f"workflow w {{\n s {arguments}\n}}\n", "test", References(variable=OUTSIDE.get, read=read))


def parameters(arguments: str) -> Mapping[str, ParameterValue]:
    document = parsed(arguments)
    assert document.problems == ()
    return document.workflows[0].steps[0].parameters


def error(arguments: str) -> tuple[int, str]:
    """The column within the arguments, from 1, and the message of the one error."""
    [problem] = parsed(arguments).problems
    assert problem.place.line == 2
    return problem.place.column - 3, problem.message


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("${KEY}", "s3cret"),
        ("rtmp://host/app/${KEY}?a=${KEY}", "rtmp://host/app/s3cret?a=s3cret"),
        ("${TWO}", "two words"),
        ("${EMPTY}", ""),
        ("${EMPTY:-default}", "default"),
        ("${UNSET:-default}", "default"),
        ("${UNSET:-}", ""),
        ("${KEY:-default}", "s3cret"),
        ("${UNSET:-a=b:-c}", "a=b:-c"),
        ("${file:/run/secrets/key}", "content of /run/secrets/key"),
        ("${file:a:-b}", "content of a:-b"),
        ("$", "$"),
        ("a$1$$", "a$1$$"),
    ],
)
def test_a_reference_stands_for_its_value(written: str, value: str) -> None:
    assert parameters(f"k={written}") == {"k": value}


@pytest.mark.parametrize(
    ("quoted", "value"),
    [
        ("Authorization: Bearer ${KEY}", "Authorization: Bearer s3cret"),
        ("${UNSET:-two words}", "two words"),
        ("${file:/a path}", "content of /a path"),
        (r"\"${KEY}\" \\", '"s3cret" \\'),
    ],
)
def test_a_reference_in_quotes_is_one_as_well(quoted: str, value: str) -> None:
    assert parameters(f'k="{quoted}"') == {"k": value}


@pytest.mark.parametrize("quoted", ["$KEY", "pa$$word", "$", "{KEY}"])
def test_quotes_make_all_else_literal(quoted: str) -> None:
    value = parameters(f'k="{quoted}"')["k"]
    assert value == quoted
    assert not isinstance(value, Resolved)


@pytest.mark.parametrize(("written", "value"), [("$${KEY}", "${KEY}"), ("a$$${KEY", "a$${KEY"), ("$${ $${", "${ ${")])
def test_two_dollars_stand_for_a_literal_one_before_a_brace(written: str, value: str) -> None:
    assert parameters(f'k="{written}"') == {"k": value}
    workflow = parsed(f'k="{written}"').workflows[0]
    assert parse(write_workflow(workflow), "again").workflows == (workflow,)


@pytest.mark.parametrize(
    ("arguments", "column", "message"),
    [
        ("k=a${UNSET}", 4, "the environment variable 'UNSET' is not set; ${UNSET:-default} has a default"),
        ("k=$KEY", 3, "a variable is written ${KEY}; quotes around the value make a $ literal"),
        ("k=a/$key/b", 5, "a variable is written ${key}; quotes around the value make a $ literal"),
        ("k=${}", 3, "expected ${NAME}, ${NAME:-default} or ${file:PATH}, found '${}'"),
        ("k=${A-B}", 3, "expected ${NAME}, ${NAME:-default} or ${file:PATH}, found '${A-B}'"),
        ("k=${file:}", 3, "expected ${NAME}, ${NAME:-default} or ${file:PATH}, found '${file:}'"),
        ("k=${file:absent}", 3, "cannot read the file 'absent': No such file or directory"),
        (
            "k=x${LINES}",
            4,
            "the value of 'LINES' cannot be one; expected one line of text, of at most 65536 characters",
        ),
        ("k=${HALF}", 3, "the value of 'HALF' cannot be one; expected one line of text, of at most 65536 characters"),
        ("k=${LONG}", 3, "the value of 'LONG' cannot be one; expected one line of text, of at most 65536 characters"),
        ('k="a ${UNSET}"', 6, "the environment variable 'UNSET' is not set"),
        ('k="a ${KEY"', 6, "a variable that does not end; expected ${NAME}, ${NAME:-default} or ${file:PATH}"),
        ("${KEY}=v", 1, "a variable stands for a value, or a part of one, and nothing else"),
        ("${KEY}", 1, "a variable stands for a value, or a part of one, and nothing else"),
        ("stream_key=cam*", 15, "'*' alone stands for any stream key, and a key with a '*' inside for itself alone"),
    ],
)
def test_what_cannot_be_one_is_an_error_with_its_place(arguments: str, column: int, message: str) -> None:
    found, said = error(arguments)
    assert (found, said[: len(message)]) == (column, message)


@pytest.mark.parametrize("written", ["${KEY", "${KEY }", "a${K{EY}", '${"KEY"}', "${"])
def test_a_reference_that_does_not_end_is_an_error_of_its_own(written: str) -> None:
    document = parsed(f"k={written}")
    assert any("a variable that does not end" in problem.message for problem in document.problems)


def test_a_star_inside_a_key_is_literal_in_quotes_and_stands_alone_for_any() -> None:
    assert parameters('stream_key="cam*"') == {"stream_key": "cam*"}
    assert parameters("stream_key=*") == {"stream_key": "*"}
    assert parameters("target=a*b") == {"target": "a*b"}
    workflow = parsed('stream_key="cam*" k="$KEY" l="$${KEY}"').workflows[0]
    assert parse(write_workflow(workflow), "again").workflows == (workflow,)


def test_names_of_nodes_and_steps_hold_no_variables() -> None:
    text = "workflow ${KEY} {\n ${KEY}\n}\n"
    places = [problem.place.position for problem in parse(text, "f", References(variable=OUTSIDE.get)).problems]
    assert places == [("f", 1, 10), ("f", 2, 2)]


def test_what_all_values_have_together_is_bounded() -> None:
    count = MAX_RESOLVED // MAX_LINE_LENGTH + 1
    step = " s k=${BIG}\n"
    text = f"workflow w {{\n{step * count}}}\n"
    [problem] = parse(text, "f", References(variable={"BIG": "x" * MAX_LINE_LENGTH}.get)).problems
    assert problem.place.line == count + 1
    assert problem.message == f"too many values from outside; they have at most {MAX_RESOLVED} characters"


def test_no_message_shows_a_value() -> None:
    variables = {"PORT": "portSecret", "TOKEN": "tokenSecret"}
    text = "settings {\n    http_api_port ${PORT}\n    gop_cache ${TOKEN}\n}\n"
    problems = parse(text, "f", References(variable=variables.get)).problems
    assert len(problems) == 2
    assert "Secret" not in "".join(map(str, problems))


def test_the_identity_of_a_step_is_that_of_its_value() -> None:
    written, literal = parsed("k=${KEY} l=1").workflows[0], parsed("l=1 k=s3cret").workflows[0]
    assert step_ids(written.steps) == step_ids(literal.steps)
    assert written.steps == literal.steps


def test_a_value_is_shown_as_it_was_written_or_not_at_all() -> None:
    workflow = parsed("k=a${KEY}/${UNSET:-x}/${file:p} l=1").workflows[0]
    assert write_workflow(workflow) == "workflow w {\n    s k=a${KEY}/${UNSET}/${file:p} l=1\n}\n"
    assert write_workflow(workflow, with_secrets) == 'workflow w {\n    s k="as3cret/x/content of p" l=1\n}\n'
    assert workflow.steps[0].shown_parameters() == {"k": "***", "l": "1"}
    reactor = parse("reactor r executor=e {\n url http://${KEY}\n}\n", "f", References(variable=OUTSIDE.get)).reactors[
        0
    ]
    assert write_reactor(reactor) == "reactor r executor=e {\n    url http://${KEY}\n}\n"


def test_what_is_sent_says_its_values_and_is_read_as_the_same() -> None:
    arguments = 'k=a${KEY} l=${P:-one} m=${P:-two} n=${file:p}/${TWO} o="$${KEY}" p="x ${KEY} $Y" q="${file:a b}"'
    workflow = parsed(arguments).workflows[0]
    sent = write_complete([workflow])
    assert sent.startswith('values {\n    KEY "s3cret"\n    P "one"\n    P~2 "two"\n    file:p "content of p"\n')
    read_again = parse_workflow(sent, "<request>", takes_values=True)
    assert read_again == workflow
    assert write_workflow(read_again) == write_workflow(workflow)
    assert 'o="$${KEY}" p="x ${KEY} $Y" q="${file:a b}"' in write_workflow(workflow)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ('values {\n A "x"\n}\nworkflow w {\n s k=${B}\n}\n', (5, 6), "'B' is not among the values of this text"),
        ('workflow w {\n s\n}\nvalues {\n A "x"\n}\n', (4, 1), "expected values before all other nodes"),
        ("values {\n}\nvalues {\n}\nworkflow w {\n s\n}\n", (3, 1), "a second values node (first on line 1)"),
        ("values {\n A x\n}\nworkflow w {\n s\n}\n", (2, 2), 'expected a line NAME "VALUE"'),
        ("values x {\n}\nworkflow w {\n s\n}\n", (1, 8), "expected '{': values takes no arguments"),
        ("include x\nworkflow w {\n s\n}\n", (1, 1), "other files cannot be included here: only a file"),
    ],
)
def test_faults_of_what_is_sent_have_their_places(text: str, place: tuple[int, int], message: str) -> None:
    [problem] = parse(text, "f", given_in_the_text()).problems
    assert problem.place.position == ("f", *place)
    assert problem.message.startswith(message)
    assert '"x"' not in problem.place.source


def test_values_stand_only_in_what_is_sent() -> None:
    for references in (None, References(variable=OUTSIDE.get)):
        [problem] = parse('values {\n KEY "x"\n}\n', "f", references).problems
        assert problem.message == "values stand only in what a client sends"
