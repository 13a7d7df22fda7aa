"""Entity tags and conditions as pure functions: what is read, what is refused, what matches what."""

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.definitions import StepDefinition, WorkflowDefinition
from mmids_trio.http_api.canonical import canonical_text, text_tag
from mmids_trio.http_api.etags import (
    Condition,
    Conditions,
    Tag,
    check_change,
    check_reading,
    parse_condition,
    parse_conditions,
)
from mmids_trio.http_api.refusals import BadRequest, NotModified, PreconditionFailed

OPAQUE = st.text(st.characters(codec="latin-1", exclude_characters='"', exclude_categories=("Cc", "Zs")))
TAGS = st.builds(Tag, OPAQUE, st.booleans())


@frozen
class Headers:
    """Headers with several values each."""

    values: dict[str, list[str]]

    def getlist(self, key: str) -> list[str]:
        return self.values.get(key, [])


@pytest.mark.parametrize(
    ("values", "condition"),
    [
        ([], None),
        (["*"], "*"),
        ([" * "], "*"),
        (['"a"'], (Tag("a"),)),
        (['""'], (Tag(""),)),
        (['W/"a"'], (Tag("a", is_weak=True),)),
        (['"a", W/"b" ,"c,d"'], (Tag("a"), Tag("b", is_weak=True), Tag("c,d"))),
        (['"a"', '"b"'], (Tag("a"), Tag("b"))),
        ([',"a",, ,'], (Tag("a"),)),
        (['"\\"'], (Tag("\\"),)),
        (['"\xe9"'], (Tag("\xe9"),)),
    ],
)
def test_what_stands_in_a_condition_is_read(values: list[str], condition: Condition) -> None:
    assert parse_condition("If-Match", values) == condition


@pytest.mark.parametrize(
    "values",
    [
        [""],
        [",,"],
        ["a"],
        ["'a'"],
        ['"a'],
        ['a"'],
        ['w/"a"'],
        ['W/ "a"'],
        ['"a" "b"'],
        ['"a""b"'],
        ['"a";x'],
        ['*, "a"'],
        ["*", "*"],
        ['"a b"'],
        ['"a\x00"'],
        [",".join(['"a"'] * 65)],
    ],
)
def test_what_is_no_condition_is_refused_by_name(values: list[str]) -> None:
    with pytest.raises(BadRequest, match="malformed If-None-Match; expected"):
        parse_condition("If-None-Match", values)


@given(st.lists(TAGS, min_size=1, max_size=64))
def test_every_list_of_tags_is_read_as_it_was_written(tags: list[Tag]) -> None:
    assert parse_condition("If-Match", [", ".join(map(str, tags))]) == tuple(tags)
    assert parse_condition("If-Match", [str(tag) for tag in tags]) == tuple(tags)


@given(st.lists(st.text(st.characters(codec="latin-1"), max_size=20), max_size=3))
def test_any_header_is_a_condition_or_refused(values: list[str]) -> None:
    try:
        conditions = parse_conditions(Headers({"If-Match": values}))
    except BadRequest:
        return
    assert (conditions.match is None) == (values == [])


CURRENT = '"now"'


@pytest.mark.parametrize(
    ("match", "none_match", "current"),
    [
        (None, None, None),
        (None, None, CURRENT),
        ("*", None, CURRENT),
        ((Tag("old"), Tag("now")), None, CURRENT),
        (None, "*", None),
        (None, (Tag("now"),), None),
        (None, (Tag("old"),), CURRENT),
        ((Tag("now"),), (Tag("old"),), CURRENT),
    ],
)
def test_a_change_whose_conditions_hold_goes_on(match: Condition, none_match: Condition, current: str | None) -> None:
    check_change(Conditions(match, none_match), current, "it")


@pytest.mark.parametrize(
    ("match", "none_match", "current", "said"),
    [
        ("*", None, None, "there is no it"),
        ((Tag("now"),), None, None, "there is no it"),
        ((Tag("old"),), None, CURRENT, 'its ETag is now "now"'),
        ((Tag("now", is_weak=True),), None, CURRENT, 'its ETag is now "now"'),
        (None, "*", CURRENT, 'it exists with the ETag "now"'),
        (None, (Tag("now"),), CURRENT, "exists"),
        (None, (Tag("now", is_weak=True),), CURRENT, "exists"),
        ((Tag("now"),), "*", CURRENT, "exists"),
    ],
)
def test_a_change_whose_conditions_do_not_hold_is_refused_with_the_current_tag(
    match: Condition, none_match: Condition, current: str | None, said: str
) -> None:
    with pytest.raises(PreconditionFailed) as refused:
        check_change(Conditions(match, none_match), current, "it")
    assert said in refused.value.message
    assert refused.value.etag == current


def test_a_reader_that_has_the_current_state_is_told_so() -> None:
    for known in ("*", (Tag("now"),), (Tag("now", is_weak=True),)):
        with pytest.raises(NotModified):
            check_reading(Conditions(None, known), CURRENT, "it")
    check_reading(Conditions(None, (Tag("old"),)), CURRENT, "it")
    with pytest.raises(PreconditionFailed):
        check_reading(Conditions((Tag("old"),), None), CURRENT, "it")


WORDS = st.text("abcxyz_-.*", min_size=1, max_size=5)
STEPS = st.builds(
    StepDefinition, WORDS, st.dictionaries(WORDS, st.none() | st.text(st.characters(codec="utf-8"), max_size=5))
)
WORKFLOWS = st.builds(WorkflowDefinition, WORDS, st.lists(STEPS, max_size=3).map(tuple), st.booleans())


def _tag(definition: WorkflowDefinition) -> str:
    return text_tag(canonical_text(definition))


@given(WORKFLOWS, WORKFLOWS)
def test_tags_are_equal_exactly_where_definitions_are(one: WorkflowDefinition, other: WorkflowDefinition) -> None:
    assert (_tag(one) == _tag(other)) == (one == other)


def test_a_tag_is_the_same_after_a_restart_and_on_another_machine() -> None:
    first = WorkflowDefinition("show", (StepDefinition("rtmp_receive", {"rtmp_app": "live", "stream_key": "*"}),))
    second = WorkflowDefinition("show", (StepDefinition("rtmp_receive", {"stream_key": "*", "rtmp_app": "live"}),))
    assert _tag(first) == _tag(second) == text_tag("workflow show {\n    rtmp_receive rtmp_app=live stream_key=*\n}\n")
    assert _tag(first) == '"8a509a70ece91494428152ba0858ba0d"'  # b2sum -l 128 of that text
