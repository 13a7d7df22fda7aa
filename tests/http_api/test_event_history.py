"""The history of events and their rendering as pure functions: positions, bounds, ids, and what a reader gets."""

import json
from collections import deque
from typing import get_args

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.http_api import event_feed
from mmids_trio.http_api.event_feed import MAX_AGE_SECONDS, EventHistory, HistoryStart
from mmids_trio.http_api.event_shapes import EVENT_TYPES, HEAD, StreamEvent, event_json
from mmids_trio.http_api.event_stream import render_event, render_heartbeat, render_start
from mmids_trio.workflow import events
from mmids_trio.workflow.events import HubEvent, WorkflowStarted
from mmids_trio.workflow.status import WorkflowOwner, of_set


def read(stream: bytes) -> list[tuple[str, str, str]]:
    """The (id, type, data) of each event, as WHATWG HTML §9.2.6 has a client read them."""
    events, last_id, kind, data = [], "", "", list[str]()
    for line in stream.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                events.append((last_id, kind, "\n".join(data)))
            kind, data = "", []
        elif name == "id":
            last_id = value
        elif name == "event":
            kind = value
        elif name == "data":
            data.append(value)
    return events


@given(st.text(st.characters(codec="utf-8")))
def test_a_client_reads_what_was_rendered(data: str) -> None:
    stream = render_start("a-0") + render_event("kind", data, "a-1") + render_heartbeat("a-1")
    assert read(stream) == [("a-1", "kind", data.replace("\r\n", "\n").replace("\r", "\n"))]


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\0b"])
def test_ids_and_types_are_one_line(value: str) -> None:
    with pytest.raises(ValueError, match="one line"):
        render_event("kind", "", value)
    with pytest.raises(ValueError, match="one line"):
        render_event(value, "")


def named(name: str) -> HubEvent:
    return WorkflowStarted(name)


def test_a_client_goes_on_behind_the_last_event_that_it_saw() -> None:
    history = EventHistory("ab")
    for event in "wxyz":
        history.record(named(event), 0.0)
    assert history.start(None) == HistoryStart(4)
    assert history.start("") == HistoryStart(4)
    assert history.start(history.id_of(2)) == HistoryStart(2)
    gone, entries = history.after(2, 10, 0.0)
    assert (gone, [(entry.number, entry.event) for entry in entries]) == (0, [(3, named("y")), (4, named("z"))])
    assert history.after(4, 10, 0.0) == (0, [])


@pytest.mark.parametrize(
    ("last_id", "reset"),
    [("cd-1", "restarted"), ("ab-9", "unknown"), ("ab-x", "unknown"), ("7", "unknown"), ("ab-1\n", "unknown")],
)
def test_an_id_that_is_none_of_this_run_is_told_apart(last_id: str, reset: str) -> None:
    history = EventHistory("ab")
    history.record(named("x"), 0.0)
    start = history.start(last_id)
    assert (start.number, start.reset) == (1, reset)


def test_what_is_too_old_is_gone_and_counted() -> None:
    history = EventHistory("ab")
    history.record(named("old"), 0.0)
    history.record(named("young"), MAX_AGE_SECONDS)
    assert history.after(0, 10, MAX_AGE_SECONDS)[0] == 0
    gone, entries = history.after(0, 10, MAX_AGE_SECONDS + 1)
    assert (gone, [entry.event for entry in entries]) == (1, [named("young")])
    assert history.after(0, 10, 3 * MAX_AGE_SECONDS) == (2, [])


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 4)), max_size=30))
def test_every_reader_gets_or_is_told_of_each_event_once(actions: list[tuple[int, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_feed, "MAX_EVENTS", 10)
        history = EventHistory("ab")
        position, seen, gone_so_far = 0, deque[int](), 0
        for bursts, limit in actions:
            for _ in range(bursts):
                history.record(named("x"), 0.0)
            gone, entries = history.after(position, limit, 0.0)
            assert len(entries) <= limit
            assert [entry.number for entry in entries] == list(
                range(position + gone + 1, position + gone + 1 + len(entries))
            )
            position += gone + len(entries)
            gone_so_far += gone
            seen.extend(entry.number for entry in entries)
        assert gone_so_far + len(seen) == position <= history.newest


def test_the_names_of_events_to_the_outside_are_these() -> None:
    assert {kind.__name__: kind.wire_name for kind in get_args(StreamEvent)} == {
        "WorkflowStarted": "workflow_started",
        "WorkflowFailed": "workflow_failed",
        "WorkflowEnded": "workflow_ended",
        "StreamWentLive": "stream_began",
        "StreamWentOff": "stream_over",
        "StreamInterrupted": "stream_interrupted",
        "StreamResumed": "stream_resumed",
        "StreamStalled": "stream_stalled",
        "StreamSwitched": "stream_switched",
        "TargetUp": "target_up",
        "TargetDown": "target_down",
        "ReactorAnswered": "reactor_answered",
        "ReloadRefused": "reload_refused",
        "HlsPaused": "hls_paused",
        "HlsResumed": "hls_resumed",
        "WorkflowTakenOver": "workflow_taken_over",
        "StepChanged": "step_changed",
        "WorkflowChanged": "workflow_changed",
        "ClientJoined": "client_joined",
        "ClientLeft": "client_left",
        "StreamChanged": "stream_changed",
        "RegistryWentAway": "registry_away",
        "RegistryCameBack": "registry_back",
        "KeyLost": "key_lost",
        "KeyMoved": "key_moved",
        "FleetFailed": "fleet_failed",
        "DrainBegan": "drain_began",
        "DrainEnded": "drain_ended",
        "Reset": "reset",
        "Missed": "missed",
    }
    assert list(EVENT_TYPES) == [kind.wire_name for kind in get_args(HubEvent)]


def test_every_event_may_be_published() -> None:
    kinds = {kind for kind in vars(events).values() if isinstance(kind, type) and attrs.has(kind)}
    assert kinds == set(get_args(HubEvent))


def test_the_data_of_an_event_are_its_fields() -> None:
    assert event_json(events.WorkflowFailed("w", "no\nport")) == '{"workflow": "w", "reason": "no\\nport"}'
    taken = events.WorkflowTakenOver("w", WorkflowOwner("config", "mmids.config"), of_set("team-a"))
    assert json.loads(event_json(taken)) == {
        "workflow": "w",
        "owner_before": {"kind": "config", "name": "mmids.config"},
        "owner": {"kind": "api", "set": "team-a"},
    }
    assert event_json(events.WorkflowEnded("w"), event_id="a-1", time="now", count=2) == (
        '{"id": "a-1", "type": "workflow_ended", "time": "now", "workflow": "w", "count": 2}'
    )


def test_no_event_has_a_field_that_stands_for_something_else_beside_it() -> None:
    names = {attribute.name for kind in get_args(StreamEvent) for attribute in attrs.fields(kind)}
    assert names & set(HEAD) == set()
