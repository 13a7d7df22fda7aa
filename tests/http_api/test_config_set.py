"""What a body asks for as a set, what runs as a text, and that large ones leave others their turns."""

from typing import Any

import pytest
import trio
from attrs import define, field, frozen
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.config.parser import DefinitionSet, parse_set
from mmids_trio.config.writer import write_reactor
from mmids_trio.definitions import ReactorDefinition, WorkflowDefinition
from mmids_trio.errors import ConfigurationError
from mmids_trio.http_api.canonical import DefinitionTags, RunningConfig
from mmids_trio.http_api.options import PlanOptions
from mmids_trio.http_api.routes.config import as_set, parse_in_turns
from mmids_trio.http_api.tokens import ADMIN, Caller
from mmids_trio.workflow.plan import SetPlan, WorkflowSet
from mmids_trio.workflow.status import BY_API, Outcome, OutcomeKind, WorkflowOwner


def reactor(name: str, executor: str = "x", of_set: str | None = "default") -> ReactorDefinition:
    return ReactorDefinition(name, executor, set=of_set)


OLD, OTHER, FOREIGN = reactor("old"), reactor("other"), reactor("foreign", of_set=None)
NEW, CHANGED = reactor("new"), reactor("old", "y")
ANYBODY = Caller("anybody", ADMIN)
A, B = WorkflowDefinition("a"), WorkflowDefinition("b")


class Running:
    """Two workflows, one of which a reactor has."""

    def prunable(self, kept: Any, owner: WorkflowOwner) -> tuple[str, ...]:
        assert owner == BY_API
        return tuple(name for name in ("a", "z") if name not in kept)

    def names(self) -> list[str]:
        return ["a", "b"]

    def owner(self, name: str) -> WorkflowOwner | None:
        return WorkflowOwner("reactor", "r", "s") if name == "b" else BY_API

    def definition(self, name: str) -> WorkflowDefinition | None:
        return WorkflowDefinition(name)


@pytest.mark.parametrize(
    ("reactors", "prune", "deleted", "wanted"),
    [
        ((), False, (), None),
        ((), True, ("z",), (FOREIGN,)),
        ((NEW,), True, ("z",), (FOREIGN, NEW)),
        ((NEW,), False, (), (OLD, OTHER, FOREIGN, NEW)),
        ((NEW, CHANGED), False, (), (CHANGED, OTHER, FOREIGN, NEW)),
    ],
)
def test_what_is_not_named_stays_or_goes(
    reactors: tuple[ReactorDefinition, ...],
    prune: bool,
    deleted: tuple[str, ...],
    wanted: tuple[ReactorDefinition, ...] | None,
) -> None:
    sets: Any = Running()
    asked = as_set(DefinitionSet((A, B), reactors), sets, (OLD, OTHER, FOREIGN), PlanOptions(prune))
    assert asked == WorkflowSet((A, B), deleted, wanted)


@frozen
class SomeReactors:
    """One reactor."""

    definitions: tuple[ReactorDefinition, ...] = (OLD,)


@define
class Change:
    """A change of everything."""

    plan: SetPlan = field(factory=SetPlan)
    outcome: Outcome | None = None


def test_reactors_that_are_on_their_way_count_until_their_change_has_ended() -> None:
    running: Any = Running()
    some: Any = SomeReactors()
    config = RunningConfig(running, DefinitionTags(running), some)
    before = config.tag(ANYBODY)
    change: Any = Change()
    config.accepted(change, (OLD, NEW))
    assert config.reactors() == (OLD, NEW)
    assert config.tag(ANYBODY) != before
    later: Any = Change()
    config.accepted(later, None)
    assert config.reactors() == (OLD, NEW)
    change.outcome = Outcome(OutcomeKind.ROLLED_BACK, "")
    assert config.reactors() == (OLD,)
    assert config.tag(ANYBODY) == before


def test_what_runs_is_reactors_and_workflows_without_those_of_reactors() -> None:
    running: Any = Running()
    some: Any = SomeReactors((ReactorDefinition("r", "simple_http", 5, {"url": "http://x/?a=b c", "a": None}),))
    text = RunningConfig(running, DefinitionTags(running), some).text(ANYBODY)
    assert text.partition("\n\n")[2] == (
        'reactor r executor=simple_http update_interval=5 {\n    a\n    url "http://x/?a=b c"\n}\n\nworkflow a {\n}\n'
    )


def parsed(text: str) -> DefinitionSet:
    """What a text defines."""
    work = parse_set(text, "test")
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: DefinitionSet = end.value
            return result


WORDS = st.text("abcxyz_-.*", min_size=1, max_size=5).filter(lambda name: name not in (".", ".."))
VALUES = st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\n\0"), max_size=5)
REACTORS = st.builds(
    ReactorDefinition, WORDS, WORDS, st.integers(0, 31_536_000), st.dictionaries(WORDS, VALUES, max_size=3)
)


@given(REACTORS)
def test_a_reactor_is_read_as_it_was_written(reactor: ReactorDefinition) -> None:
    [read] = parsed(write_reactor(reactor)).reactors
    assert (read.name, read.executor, read.update_interval) == (reactor.name, reactor.executor, reactor.update_interval)
    assert dict(read.parameters) == dict(reactor.parameters)


@pytest.mark.parametrize("value", ["#", "#x", "a b", "", '"', "\\"])
def test_values_that_mean_something_else_bare_are_quoted(value: str) -> None:
    [read] = parsed(write_reactor(ReactorDefinition("r", "x", 0, {"key": value}))).reactors
    assert read.parameters == {"key": value}


def test_what_a_reactor_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="line feeds"):
        write_reactor(ReactorDefinition("r", "x", 0, {"key": "a\nb"}))


def test_settings_are_no_part_of_a_set() -> None:
    with pytest.raises(ConfigurationError, match="settings belong in the server's own file"):
        parsed("workflow a {\n}\nsettings {\n}\n")


async def test_others_have_their_turns_while_a_large_text_is_read() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    text = "".join(
        f"workflow w{number} {{\n    rtmp_watch rtmp_app=a stream_key={number}\n}}\n" for number in range(1000)
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        assert len((await parse_in_turns(text.encode())).workflows) == 1000
        nursery.cancel_scope.cancel()
    assert turns > 20
