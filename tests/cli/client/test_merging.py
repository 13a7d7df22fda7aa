"""Several files as one text, and the server's words about its lines told of theirs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.cli.client.failures import Unusable
from mmids_trio.cli.client.files import merge
from mmids_trio.config.parser import parse
from mmids_trio.reload.source_files import SourceFile

STEP = "rtmp_receive rtmp_app=live stream_key=*"


def workflow(name: str) -> str:
    """The text of a workflow."""
    return f"workflow {name} {{\n    {STEP}\n}}\n"


def test_what_all_files_define_is_sent_in_their_order() -> None:
    merged = merge([SourceFile("b", workflow("b")), SourceFile("a", workflow("a"))])
    document = parse(merged.text, "sent")
    assert document.problems == ()
    assert [item.name for item in document.workflows] == [item.name for item in merged.workflows] == ["b", "a"]


def test_settings_are_left_out_and_all_else_keeps_its_line() -> None:
    text = f"# head\nsettings {{\n    http_api_port 1\n    http_api_token secret\n}}\n{workflow('a')}"
    merged = merge([SourceFile("file", text)])
    assert "secret" not in merged.text
    assert parse(merged.text, "file").workflows[0].place == merged.workflows[0].place
    assert merged.notes == (), "whoever plans the server's own file each day knows"


def test_a_file_of_settings_alone_is_told_of() -> None:
    [note] = merge([SourceFile("a", workflow("a")), SourceFile("b", "settings {\n    gop_cache true\n}\n")]).notes
    assert note.startswith("b: settings are not sent")


def test_every_problem_of_every_file_is_told_with_its_place() -> None:
    with pytest.raises(Unusable) as raised:
        merge([SourceFile("a", "workflow x {\n"), SourceFile("b", "nonsense {\n}\n"), SourceFile("c", workflow("c"))])
    assert [(each["file"], each["line"], each["column"]) for each in raised.value.problems] == [
        ("a", 1, 13),
        ("b", 1, 1),
    ]
    assert str(raised.value).startswith("2 errors, nothing was sent\na:1:13: ")


@pytest.mark.parametrize("node", [workflow("x"), "reactor x executor=simple_http {\n    url http://h/\n}\n"])
def test_a_name_in_two_files_is_an_error_with_both_places(node: str) -> None:
    with pytest.raises(Unusable) as raised:
        merge([SourceFile("a", "\n\n" + node), SourceFile("b", "\n" + node)])
    [problem] = raised.value.problems
    assert (problem["file"], problem["line"]) == ("b", 2)
    assert "'x' is defined twice (first in a:3)" in str(problem["message"])


def test_a_workflow_and_a_reactor_may_share_a_name() -> None:
    reactor = "reactor x executor=simple_http {\n    url http://h/\n}\n"
    assert len(merge([SourceFile("a", workflow("x")), SourceFile("b", reactor)]).reactors) == 1


def test_nothing_at_all_is_still_a_body_and_no_comment_that_would_mean_it() -> None:
    assert merge([SourceFile("a", "")]).text == "\n"
    assert "#" not in merge([SourceFile("a", "settings {\n    gop_cache true\n}\n")]).text


@given(st.lists(st.lists(st.sampled_from(["", "# comment", "\tx"]), max_size=6), min_size=1, max_size=5), st.data())
def test_a_line_of_the_request_is_told_as_the_line_of_its_file(files: list[list[str]], data: st.DataObject) -> None:
    sources = [
        SourceFile(f"file{number}", "\n".join([*filter(lambda line: line != "\tx", lines), workflow(f"w{number}")]))
        for number, lines in enumerate(files)
    ]
    merged = merge(sources)
    number = data.draw(st.integers(0, len(files) - 1))
    local = data.draw(st.integers(1, sources[number].text.count("\n") + 1))
    line = sources[number].text.split("\n")[local - 1]
    before = sum(source.text.count("\n") + 1 for source in sources[:number])
    assert merged.text.split("\n")[before + local - 1] == line
    told = merged.localised(f"<request>:{before + local}:7: wrong\n    {line}\n      ^")
    assert told.splitlines()[1] == f"file{number}:{local}:7: wrong"


def test_a_message_without_places_is_told_as_it_is() -> None:
    assert merge([SourceFile("a", workflow("a"))]).localised("the body is too large") == "the body is too large"
