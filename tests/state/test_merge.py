"""The rules of start-up and reload, one by one and for whatever files and states there are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.definitions import StepDefinition, WorkflowDefinition
from mmids_trio.state.record import State, StateEntry, difference, merge

NAMES = ("one", "two", "three")


def workflow(name: str, key: str) -> WorkflowDefinition:
    return WorkflowDefinition(name, (StepDefinition("rtmp_receive", {"rtmp_app": "live", "stream_key": key}),))


def state_of(*entries: StateEntry | None) -> State:
    return State({entry.name: entry for entry in entries if entry is not None})


A, B, C = (workflow("live", key) for key in "abc")
MADE = difference("live", A, None)
CHANGED = difference("live", B, A)
DELETED = difference("live", None, A)


@pytest.mark.parametrize(
    ("file", "entry", "runs", "is_kept", "reason"),
    [
        ([A], None, [A], False, None),
        ([], MADE, [A], True, None),
        ([A], MADE, [A], False, None),
        ([B], MADE, [B], False, "was made over the API, but is now in the configuration file since, which counts"),
        ([A], CHANGED, [B], True, None),
        ([B], CHANGED, [B], False, None),
        ([C], CHANGED, [C], False, "was changed over the API, but has changed in"),
        ([], CHANGED, [], False, "was changed over the API, but has been removed from"),
        ([A], DELETED, [], True, None),
        ([B], DELETED, [B], False, "was deleted over the API, but has changed in"),
        ([], DELETED, [], False, None),
    ],
)
def test_every_rule(
    file: list[WorkflowDefinition],
    entry: StateEntry | None,
    runs: list[WorkflowDefinition],
    is_kept: bool,
    reason: str | None,
) -> None:
    merged = merge(file, state_of(entry))
    assert list(merged.workflows) == runs
    assert (merged.state.get("live") is not None) == is_kept
    assert [drop.workflow for drop in merged.dropped] == ([] if reason is None else ["live"])
    for drop in merged.dropped:
        assert drop.reason.startswith(str(reason))


def test_the_order_of_parameters_is_no_change() -> None:
    step = StepDefinition("rtmp_receive", {"stream_key": "a", "rtmp_app": "live"})
    assert WorkflowDefinition("live", (step,)).digest == A.digest
    assert WorkflowDefinition("live", (step,), routed_by_reactor=True).digest != A.digest


keys = st.sampled_from("abc")
files = st.dictionaries(st.sampled_from(NAMES), keys).map(
    lambda chosen: {name: workflow(name, key) for name, key in chosen.items()}
)
Files = dict[str, WorkflowDefinition]


def state_between(before: Files, after: Files) -> State:
    return state_of(*(difference(name, after.get(name), before.get(name)) for name in NAMES))


@given(files, files)
def test_with_the_same_file_everything_is_as_the_api_left_it(file: Files, wanted: Files) -> None:
    state = state_between(file, wanted)
    merged = merge(list(file.values()), state)
    assert {definition.name: definition for definition in merged.workflows} == wanted
    assert (merged.state, merged.dropped) == (state, ())
    assert merged.sets == dict.fromkeys(wanted.keys() - file.keys(), "default")


@given(files, files, files)
def test_what_the_file_says_anew_counts_and_nothing_else_changes(old: Files, wanted: Files, new: Files) -> None:
    merged = merge(list(new.values()), state_between(old, wanted))
    running = {definition.name: definition for definition in merged.workflows}
    for name in NAMES:
        expected = wanted if old.get(name) == new.get(name) else new
        assert running.get(name) == expected.get(name)
        is_lost = wanted.get(name) not in (old.get(name), running.get(name))
        assert (name in {drop.workflow for drop in merged.dropped}) == is_lost


@given(files, files, files)
def test_merging_again_changes_nothing(old: Files, wanted: Files, new: Files) -> None:
    merged = merge(list(new.values()), state_between(old, wanted))
    again = merge(list(new.values()), merged.state)
    assert (again.workflows, again.state, again.dropped) == (merged.workflows, merged.state, ())
