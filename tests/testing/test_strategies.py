"""Strategies of schedules and streams: what they make is legal, and what fails shrinks."""

from itertools import pairwise

import pytest
from hypothesis import find, given

from mmids_trio.media.events import MediaEvent, MediaPacket, StreamEnded, StreamStarted
from mmids_trio.testing.event_sequences import events_of_odd
from mmids_trio.testing.odd_streams import OddStream
from mmids_trio.testing.strategies import any_events, any_odd_stream, any_schedule
from mmids_trio.workflow.replay import Ledger


def is_legal(events: list[MediaEvent]) -> bool:
    ledger = Ledger()
    return list(ledger.admit(events)) == events and not ledger.streams


@given(any_events())
def test_events_are_legal_and_no_two_are_equal(events: list[MediaEvent]) -> None:
    assert is_legal(events)
    packets = [event.data for event in events if isinstance(event, MediaPacket) and not event.is_sequence_header]
    assert len(set(packets)) == len(packets)


@given(any_events(all_end=False))
def test_streams_may_go_on_at_the_end(events: list[MediaEvent]) -> None:
    ledger = Ledger()
    assert list(ledger.admit(events)) == events


@given(any_odd_stream())
def test_a_stream_of_the_zoo_is_a_legal_sequence(odd: OddStream) -> None:
    events = events_of_odd(odd)
    assert is_legal(events)
    assert len(events) == len(odd.packets) + 2


@pytest.mark.thorough
def test_events_shrink_to_those_that_matter() -> None:
    def has_a_stream_that_comes_again(events: list[MediaEvent]) -> bool:
        return any(isinstance(a, StreamEnded) and isinstance(b, StreamStarted) for a, b in pairwise(events))

    events = find(any_events(), has_a_stream_that_comes_again)
    assert [type(event).__name__ for event in events if not isinstance(event, MediaPacket)] == [
        "StreamStarted",
        "StreamEnded",
        "StreamStarted",
        "StreamEnded",
    ]


@pytest.mark.thorough
def test_schedules_shrink_to_few_switches() -> None:
    found = find(any_schedule(), lambda order: len(order.switches) >= 2)
    assert [(switch.first, switch.rounds) for switch in found.switches] == [((0,), 0)] * 2
