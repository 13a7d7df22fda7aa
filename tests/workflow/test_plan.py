"""What a change keeps, starts and stops; pure."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.definitions import StepDefinition, WorkflowDefinition, step_ids
from mmids_trio.workflow.plan import Plan, PlannedReactor, Segment, changed_segment, make_plan, view
from mmids_trio.workflow.status import BY_API, ParameterChange, PlanView
from tests.support.toy_steps import definition

A, B, C = "recorder:a", "recorder:b", "recorder:c"


def plan(running: Sequence[str], wanted: Sequence[str]) -> Plan:
    return make_plan(step_ids(definition("w", *running).steps), definition("w", *wanted))


def actions(running: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Kept steps as `=label`, started ones as `+label`, stopped ones as `-label`."""
    known = definition("w", *running).steps
    labelled = dict(zip(step_ids(known), map(StepDefinition, running), strict=True))
    planned = view(plan(running, wanted), "w", BY_API, created=False, running=labelled)
    labels = dict(zip([*step_ids(known), *step_ids(definition("w", *wanted).steps)], [*running, *wanted], strict=True))
    marks = {"keep": "=", "start": "+", "stop": "-"}
    return [marks[step.action] + labels[step.step_id][-1] for step in planned.steps]


def test_an_equal_definition_is_an_empty_plan() -> None:
    assert plan([A, B], [A, B]).is_empty
    assert actions([A, B], [A, B]) == ["=a", "=b"]


def test_another_order_keeps_every_step_but_is_not_empty() -> None:
    reorder = plan([A, B, C], [C, A, B])
    assert not reorder.is_empty
    assert (reorder.start, reorder.stop) == ((), ())
    assert actions([A, B, C], [C, A, B]) == ["=c", "=a", "=b"]


def test_a_replaced_step_is_started_and_its_predecessor_stopped() -> None:
    assert actions([A, B], [A, C]) == ["=a", "-b", "+c"]


def test_of_equal_steps_the_last_ones_come_and_go() -> None:
    assert actions([A, A, B], [A, B]) == ["=a", "-a", "=b"]
    assert actions([A], [A, A]) == ["=a", "+a"]
    assert plan([A, A], [A]).stop == step_ids(definition("w", A, A).steps)[1:]


def test_from_and_to_nothing() -> None:
    assert actions([], [A]) == ["+a"]
    assert actions([A, B], []) == ["-a", "-b"]
    assert plan([], []).is_empty


def step(step_type: str, *, secrets: str = "", keys: str = "", **parameters: str | None) -> StepDefinition:
    return StepDefinition(step_type, parameters, secrets=frozenset(secrets.split()), keys=frozenset(keys.split()))


def shown(before: Sequence[StepDefinition], after: Sequence[StepDefinition], *, show_keys: bool = False) -> PlanView:
    ids = step_ids(tuple(before))
    made = make_plan(ids, WorkflowDefinition("w", tuple(after)))
    return view(made, "w", BY_API, created=False, running=dict(zip(ids, before, strict=True)), show_keys=show_keys)


def test_what_a_step_has_in_place_of_its_predecessor_is_said_in_its_own_order() -> None:
    old = step("watch", app="a", gone="1", flag=None, lag="3")
    new = step("watch", lag="4", app="a", fresh=None)
    stopped, started = shown([old], [new]).steps
    assert (stopped.action, started.action, started.step_id_before) == ("stop", "start", stopped.step_id)
    assert started.changes == (
        ParameterChange("lag", "3", "4"),
        ParameterChange("fresh", None, True),
        ParameterChange("gone", "1", None),
        ParameterChange("flag", True, None),
    )


def test_a_new_step_stands_in_place_of_the_most_similar_of_its_kind() -> None:
    old = [step("watch", app="a", lag="1"), step("push", app="b"), step("watch", app="b", lag="1")]
    new = [step("watch", app="b", lag="2")]
    plan = shown(old, new)
    assert [(each.action, each.parameters["app"], each.step_type) for each in plan.steps] == [
        ("stop", "a", "watch"),
        ("stop", "b", "push"),
        ("stop", "b", "watch"),
        ("start", "b", "watch"),
    ]
    assert plan.steps[3].step_id_before == plan.steps[2].step_id


def test_each_step_is_replaced_by_one_at_most() -> None:
    old = [step("watch", app="a"), step("watch", app="b")]
    new = [step("watch", app="c"), step("watch", app="d"), step("watch", app="e")]
    started = [each for each in shown(old, new).steps if each.action == "start"]
    assert [each.step_id_before for each in started] == [*step_ids(tuple(old)), None]


def test_a_step_that_only_goes_stands_where_it_stood() -> None:
    assert actions([A, B, C], [A, C]) == ["=a", "-b", "=c"]
    assert actions([A, B], [B]) == ["-a", "=b"]


def test_secrets_and_keys_are_hidden_wherever_they_stand() -> None:
    old = [step("receive", keys="key", secrets="token", key="show", token="one"), step("push", only="show")]
    new = [step("receive", keys="key", secrets="token", key="gala", token="two"), step("push", only="gala")]
    plan = shown(old, new)
    assert [dict(each.parameters) for each in plan.steps] == 2 * [{"key": "***", "token": "***"}] + 2 * [
        {"only": "***"}
    ]
    assert plan.steps[1].changes == (ParameterChange("key", "***", "***"), ParameterChange("token", "***", "***"))
    in_full = shown(old, new, show_keys=True)
    assert in_full.steps[1].changes == (ParameterChange("key", "show", "gala"), ParameterChange("token", "***", "***"))
    assert in_full.steps[3].changes == (ParameterChange("only", "show", "gala"),)


def test_keys_are_hidden_unless_they_are_asked_for() -> None:
    wanted = WorkflowDefinition("w", (step("receive", keys="key", key="show"),))
    [planned] = view(make_plan([], wanted), "w", BY_API, created=True, running={}).steps
    assert planned.parameters == {"key": "***"}


def test_a_failed_workflow_is_changed_by_any_plan() -> None:
    assert view(plan([], []), "w", BY_API, created=False, running={}, has_failed=True).changed


class Counted(str):
    """An id that counts how often any is compared."""

    __slots__ = ()
    comparisons = 0

    def __eq__(self, other: object) -> bool:
        Counted.comparisons += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def test_the_work_of_planning_grows_with_the_steps_and_not_faster() -> None:
    wanted = definition("w", *(f"recorder:{number}" for number in range(1_000)))
    running = [Counted(step_id) for step_id in step_ids(wanted.steps)]
    Counted.comparisons = 0
    planned = view(make_plan(running, wanted), "w", BY_API, created=False, running={})
    assert {step.action for step in planned.steps} == {"keep"}
    assert Counted.comparisons < 10 * len(running)


def test_a_view_of_a_creation_says_that_it_changes_something_even_without_steps() -> None:
    shown = view(plan([], []), "w", BY_API, created=True, running={})
    assert (shown.workflow, shown.created, shown.changed, shown.steps) == ("w", True, True, ())
    assert not view(plan([A], [A]), "w", BY_API, created=False, running={}).changed


@given(st.permutations("abcdef"), st.integers(0, 6), st.permutations("abcdefgh"), st.integers(0, 8))
def test_a_changed_segment_is_framed_by_the_longest_equal_ends(
    before: list[str], shown: int, after: list[str], wanted: int
) -> None:
    left, right = before[:shown], after[:wanted]
    segment = changed_segment(left, right)
    head, tail = segment.prefix, segment.suffix
    assert head + tail <= min(len(left), len(right))
    assert left[:head] == right[:head]
    assert left[len(left) - tail :] == right[len(right) - tail :]
    middle = left[head : len(left) - tail], right[head : len(right) - tail]
    if all(middle):
        assert middle[0][0] != middle[1][0]
        assert middle[0][-1] != middle[1][-1]


def test_what_is_equal_at_both_ends_is_not_touched() -> None:
    assert changed_segment("abcdef", "abxyzdef") == Segment(prefix=2, suffix=3)
    assert changed_segment("abab", "ab") == Segment(prefix=2, suffix=0)


def test_a_segment_of_equal_sequences_is_empty() -> None:
    segment = changed_segment("abc", "abc")
    assert (segment.prefix, segment.suffix) == (3, 0)


@pytest.mark.parametrize(
    ("planned", "is_news"),
    [
        (PlannedReactor("r", "keep"), False),
        (PlannedReactor("r", "change"), True),
        (PlannedReactor("r", "keep", taken_from=BY_API), True),
        (PlannedReactor("r", "stop", taken_from=BY_API), True),
    ],
)
def test_a_reactor_that_changes_or_changes_hands_is_news(planned: PlannedReactor, is_news: bool) -> None:
    assert planned.is_news is is_news
