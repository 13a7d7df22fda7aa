"""Routes by the names of workflows: circles, targets that come and go, and nothing that stays behind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.errors import StepError
from mmids_trio.workflow.inlet import Inlet, Route
from mmids_trio.workflow.junctions import Junctions
from mmids_trio.workflow.links import Inbox, Outlet
from tests.support.footage import Footage


def inlet() -> Inlet:
    made, outlet = Inlet(), Outlet()
    outlet.connect(Inbox())
    made.enter_through(outlet)
    return made


@pytest.mark.parametrize(
    ("ways", "source", "target", "path"),
    [
        ("", "a", "a", "a -> a"),
        ("ab", "b", "a", "b -> a -> b"),
        ("ab bc", "c", "a", "c -> a -> b -> c"),
        ("ab ac cd", "d", "a", "d -> a -> c -> d"),
    ],
)
def test_a_circle_is_refused_with_its_path(ways: str, source: str, target: str, path: str) -> None:
    junctions = Junctions()
    for way in ways.split():
        junctions.connect(way[0], way[1])
    with pytest.raises(StepError, match=f"^forwarding in a circle: {path}$"):
        junctions.connect(source, target)


def test_several_ways_to_one_target_are_no_circle() -> None:
    junctions = Junctions()
    for source, target in ("ab", "ab", "ac", "bd", "cd", "ad"):
        junctions.connect(source, target)


NAMES = "abcde"
WAYS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES), st.booleans()), max_size=25)


@given(WAYS)
def test_whatever_comes_and_goes_there_is_never_a_circle_and_nothing_else_is_refused(
    ways: list[tuple[str, str, bool]],
) -> None:
    junctions, routes = Junctions(), list[Route]()
    for source, target, closes in ways:
        known = [(route.source, route.target) for route in routes]
        if closes and routes:
            routes.pop(0).close()
        elif source in reachable(known, target):
            with pytest.raises(StepError):
                junctions.connect(source, target)
        else:
            routes.append(junctions.connect(source, target))
    for route in routes:
        route.close()
        route.close()
    assert not junctions._routes
    assert not junctions._departures


def reachable(ways: list[tuple[str, str]], start: str) -> set[str]:
    found = {start}
    for _ in NAMES:
        found |= {target for source, target in ways if source in found}
    return found


def test_only_the_inlet_that_was_opened_can_be_closed() -> None:
    junctions, old, new = Junctions(), inlet(), inlet()
    route = junctions.connect("a", "b")
    junctions.open("b", old)
    assert route.inlet is old
    junctions.close("b", old)
    assert route.inlet is None
    junctions.open("b", new)
    junctions.close("b", old)
    assert route.inlet is new


def test_opening_again_announces_nothing_again() -> None:
    junctions, target, stream = Junctions(), inlet(), Footage()
    junctions.open("b", target)
    route = junctions.connect("a", "b", stream.start())
    assert list(target.streams) == ["x"]
    junctions.open("b", target)
    route.close()
    route.close()
    assert not target.streams
    assert route.inlet is None
