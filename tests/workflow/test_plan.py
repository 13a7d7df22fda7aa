"""What a change keeps, starts and stops; pure."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.definitions import StepDefinition, step_ids
from mmids_trio.workflow.plan import Plan, changed_segment, make_plan, view
from tests.support.toy_steps import definition

A, B, C = "recorder:a", "recorder:b", "recorder:c"


def plan(running: Sequence[str], wanted: Sequence[str]) -> Plan:
    return make_plan(step_ids(definition("w", *running).steps), definition("w", *wanted))


def actions(running: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Kept steps as `=label`, started ones as `+label`, stopped ones as `-label`."""
    known = definition("w", *running).steps
    labelled = dict(zip(step_ids(known), map(StepDefinition, running), strict=True))
    shown = view(plan(running, wanted), "w", created=False, running=labelled)
    labels = [*wanted, *(step.step_type for step in shown.steps[len(wanted) :])]
    marks = {"keep": "=", "start": "+", "stop": "-"}
    return [marks[step.action] + label[-1] for step, label in zip(shown.steps, labels, strict=True)]


def test_an_equal_definition_is_an_empty_plan() -> None:
    assert plan([A, B], [A, B]).is_empty
    assert actions([A, B], [A, B]) == ["=a", "=b"]


def test_another_order_keeps_every_step_but_is_not_empty() -> None:
    reorder = plan([A, B, C], [C, A, B])
    assert not reorder.is_empty
    assert (reorder.start, reorder.stop) == ((), ())
    assert actions([A, B, C], [C, A, B]) == ["=c", "=a", "=b"]


def test_a_replaced_step_is_started_and_its_predecessor_stopped() -> None:
    assert actions([A, B], [A, C]) == ["=a", "+c", "-b"]


def test_of_equal_steps_the_last_ones_come_and_go() -> None:
    assert actions([A, A, B], [A, B]) == ["=a", "=b", "-a"]
    assert actions([A], [A, A]) == ["=a", "+a"]
    assert plan([A, A], [A]).stop == step_ids(definition("w", A, A).steps)[1:]


def test_from_and_to_nothing() -> None:
    assert actions([], [A]) == ["+a"]
    assert actions([A, B], []) == ["-a", "-b"]
    assert plan([], []).is_empty


def test_a_failed_workflow_is_changed_by_any_plan() -> None:
    assert view(plan([], []), "w", created=False, running={}, has_failed=True).changed


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
    shown = view(make_plan(running, wanted), "w", created=False, running={})
    assert {step.action for step in shown.steps} == {"keep"}
    assert Counted.comparisons < 10 * len(running)


def test_a_view_of_a_creation_says_that_it_changes_something_even_without_steps() -> None:
    shown = view(plan([], []), "w", created=True, running={})
    assert (shown.workflow, shown.created, shown.changed, shown.steps) == ("w", True, True, ())
    assert not view(plan([A], [A]), "w", created=False, running={}).changed


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


def test_a_segment_of_equal_sequences_is_empty() -> None:
    segment = changed_segment("abc", "abc")
    assert (segment.prefix, segment.suffix) == (3, 0)
