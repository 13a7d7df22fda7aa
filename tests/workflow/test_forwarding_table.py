"""Routes by the names of workflows: circles, targets that come and go, and nothing that stays behind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.errors import StepError
from mmids_trio.workflow.forwarding import ForwardingTable, Inlet, Route
from mmids_trio.workflow.links import ChannelInbox, Outlet
from tests.support.numbered_events import Footage


def inlet() -> Inlet:
    made, outlet = Inlet(), Outlet()
    outlet.connect(ChannelInbox())
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
    forwarding = ForwardingTable()
    for way in ways.split():
        forwarding.connect(way[0], way[1])
    with pytest.raises(StepError, match=f"^forwarding in a circle: {path}$"):
        forwarding.connect(source, target)


def test_several_ways_to_one_target_are_no_circle() -> None:
    forwarding = ForwardingTable()
    for source, target in ("ab", "ab", "ac", "bd", "cd", "ad"):
        forwarding.connect(source, target)


NAMES = "abcde"
WAYS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES), st.booleans()), max_size=25)


@given(WAYS)
def test_whatever_comes_and_goes_there_is_never_a_circle_and_nothing_else_is_refused(
    ways: list[tuple[str, str, bool]],
) -> None:
    forwarding, routes = ForwardingTable(), list[Route]()
    for source, target, closes in ways:
        known = [(route.source, route.target) for route in routes]
        if closes and routes:
            routes.pop(0).close()
        elif source in reachable(known, target):
            with pytest.raises(StepError):
                forwarding.connect(source, target)
        else:
            routes.append(forwarding.connect(source, target))
    for route in routes:
        route.close()
        route.close()
    assert not forwarding._routes
    assert not forwarding._departures


def reachable(ways: list[tuple[str, str]], start: str) -> set[str]:
    found = {start}
    for _ in NAMES:
        found |= {target for source, target in ways if source in found}
    return found


def test_only_the_inlet_that_was_opened_can_be_closed() -> None:
    forwarding, old, new = ForwardingTable(), inlet(), inlet()
    route = forwarding.connect("a", "b")
    forwarding.open("b", old)
    assert route.inlet is old
    forwarding.close("b", old)
    assert route.inlet is None
    forwarding.open("b", new)
    forwarding.close("b", old)
    assert route.inlet is new


def test_opening_again_announces_nothing_again() -> None:
    forwarding, target, stream = ForwardingTable(), inlet(), Footage()
    forwarding.open("b", target)
    route = forwarding.connect("a", "b", stream.start())
    assert list(target.streams) == ["x"]
    forwarding.open("b", target)
    route.close()
    route.close()
    assert not target.streams
    assert route.inlet is None
