"""Identities of steps: derived from type, parameters and occurrence alone, the same everywhere."""

from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.definitions import ParameterValue, StepDefinition, step_ids

STEPS = st.builds(
    StepDefinition,
    st.sampled_from(["rtmp_receive", "rtmp_watch"]),
    st.dictionaries(st.sampled_from("abc"), st.none() | st.sampled_from(["", "1", "None"]), max_size=2),
)


def test_an_identity_is_this_very_number_on_every_machine() -> None:
    step = StepDefinition("rtmp_receive", {"port": "1935", "rtmp_app": "live", "stream_key": "*"})
    assert step_ids((step, step)) == ("206319495684420872", "18016646750623081180")


def test_an_identity_does_not_depend_on_what_a_python_version_takes_for_printable() -> None:
    # A character of Unicode 15: Python 3.11 holds it for unprintable, 3.12 for printable.
    step = StepDefinition("rtmp_receive", {"stream_key": "\N{SNOWMAN}\U0001fae8"})
    assert step_ids((step,)) == ("10222261003695088073",)


@given(st.permutations(["a", "b", "c"]))
def test_the_order_of_parameters_does_not_matter(order: list[str]) -> None:
    values: dict[str, ParameterValue] = {"a": "1", "b": None, "c": ""}
    step = StepDefinition("rtmp_watch", {name: values[name] for name in order})
    assert step_ids((step,)) == step_ids((StepDefinition("rtmp_watch", values),))


def test_a_flag_and_an_empty_value_are_different() -> None:
    flag, empty = StepDefinition("a", {"b": None}), StepDefinition("a", {"b": ""})
    assert step_ids((flag,)) != step_ids((empty,))


@given(st.lists(STEPS, max_size=8))
def test_identities_are_unique_decimal_strings(steps: list[StepDefinition]) -> None:
    ids = step_ids(tuple(steps))
    assert len(set(ids)) == len(steps)
    assert all(step_id.isdecimal() for step_id in ids)


@given(st.lists(STEPS, max_size=8), STEPS)
def test_a_step_behind_changes_no_identity_before_it(steps: list[StepDefinition], another: StepDefinition) -> None:
    assert step_ids((*steps, another))[:-1] == step_ids(tuple(steps))


@given(st.lists(STEPS, max_size=6).flatmap(lambda steps: st.tuples(st.just(steps), st.permutations(steps))))
def test_an_order_of_steps_has_the_same_identities_as_any_other(orders: tuple[list[StepDefinition], ...]) -> None:
    written, shuffled = orders
    assert set(step_ids(tuple(written))) == set(step_ids(tuple(shuffled)))
