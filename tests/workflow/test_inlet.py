"""Where streams of other workflows enter: room, gates, and routes that come and go, without a workflow around."""

import pytest

from mmids_trio.media.events import MediaKind, StreamEnded, StreamId
from mmids_trio.workflow.forwarding import MAX_HELD, Route
from mmids_trio.workflow.links import INBOX_BATCHES
from tests.support.inlet_end import Entry
from tests.support.numbered_events import Footage, legality
from tests.support.toy_steps import is_frame

PROLOGUE = 4
"""Events before the frames of `Footage`."""


def numbers(*those: int, stream: str = "x") -> list[str]:
    return [f"{stream}{number}" for number in those]


@pytest.fixture
def entry() -> Entry:
    return Entry()


def test_media_that_finds_no_room_is_left_out_up_to_a_key_frame_with_room(entry: Entry) -> None:
    stream, route = Footage(), entry.route()
    route.forward(stream.start())
    for _ in range(INBOX_BATCHES + 3):  # frames 15 to 18 find no room
        route.forward(stream.frames(1))
    assert entry.inlet.dropped_groups == 1
    assert entry.frames() == numbers(*range(INBOX_BATCHES - 1))
    route.forward(stream.frames(8))
    assert entry.frames() == numbers(*range(20, 27))
    assert entry.inlet.dropped_groups == 1


def test_starts_headers_metadata_and_ends_always_fit(entry: Entry) -> None:
    stream, other, route = Footage(), Footage(StreamId("y")), entry.route()
    for event in [*stream.start(), *stream.frames(30)]:
        route.forward([event])
    route.forward([stream.start()[1], stream.header(MediaKind.AUDIO), *stream.frames(2), stream.end()])
    route.forward([*other.start(), *other.frames(6), other.end()])
    events = entry.take()
    assert len([event for event in events if not is_frame(event)]) == PROLOGUE + 3 + PROLOGUE + 1
    assert legality(events) is None
    assert not entry.inlet.streams


def test_streams_are_left_out_one_by_one(entry: Entry) -> None:
    one, other, route = Footage(), Footage(StreamId("y")), entry.route()
    route.forward([*one.start(), *other.start(), *other.frames(2)])
    for _ in range(INBOX_BATCHES):
        route.forward(one.frames(1))
    assert entry.inlet.dropped_groups == 1
    entry.take()
    route.forward([*other.frames(1), *one.frames(1)])
    assert entry.frames() == numbers(2, stream="y")


def test_at_a_closed_gate_everything_waits_in_order(entry: Entry) -> None:
    stream, late, route = Footage(), Footage(StreamId("y")), entry.route()
    route.forward([*stream.start(), *stream.frames(1)])
    entry.outlet.close_gate()
    for _ in range(3 * INBOX_BATCHES):
        route.forward(stream.frames(1))
    second = entry.route()
    second.forward([*late.start(), *late.frames(2)])
    route.close()
    assert len(entry.take()) == PROLOGUE + 1
    assert set(entry.inlet.streams) == {"x"}
    entry.open()
    events = entry.take()
    assert [event.data for event in events if is_frame(event)] == [
        *(f"x{number}".encode() for number in range(1, 3 * INBOX_BATCHES + 1)),
        *(b"y0", b"y1"),
    ]
    assert events[-1] == StreamEnded(stream.stream_id)
    assert legality(entry.seen) is None
    assert set(entry.inlet.streams) == {"y"}


def test_what_waits_at_a_closed_gate_is_bounded_and_is_left_out_in_whole_groups(entry: Entry) -> None:
    stream, route = Footage(gop=50), entry.route()
    route.forward(stream.start())
    entry.outlet.close_gate()
    for _ in range(2 * MAX_HELD // 10):
        route.forward(stream.frames(10))
    assert entry.frames() == []
    assert entry.inlet._held_events < 1.2 * MAX_HELD  # of each batch that finds no room one frame is noted
    entry.open()
    frames = entry.frames()
    assert frames == numbers(*range(len(frames)))
    assert MAX_HELD <= len(frames) < MAX_HELD + 10
    assert entry.inlet.dropped_groups == 1
    route.forward([*stream.frames(stream.gop - stream.number % stream.gop), *stream.frames(2)])
    assert len(entry.frames()) >= 2


def test_a_route_that_joins_and_leaves_while_the_gate_is_closed_leaves_nothing(entry: Entry) -> None:
    stream = Footage()
    entry.outlet.close_gate()
    route = entry.route()
    route.forward([*stream.start(), *stream.frames(2)])
    route.close()
    route.forward(stream.frames(2))
    entry.open()
    assert legality(entry.take()) is None
    assert isinstance(entry.seen[-1], StreamEnded)
    assert not entry.inlet.streams


def test_when_the_workflow_goes_all_routes_lead_nowhere_and_may_join_again(entry: Entry) -> None:
    stream, route = Footage(), entry.route()
    route.forward([*stream.start(), *stream.frames(2)])
    entry.outlet.close_gate()
    route.forward(stream.frames(1))
    entry.outlet.open_gate()
    entry.inlet.leave_all()
    assert route.inlet is None
    route.forward(stream.frames(3))
    entry.inlet.let_go_on()
    assert isinstance(entry.take()[-1], StreamEnded)
    entry.inlet.enter_through(entry.outlet)
    entry.inlet.join(route)
    route.forward(stream.frames(6))
    assert entry.frames() == numbers(10, 11)
    assert legality(entry.seen) is None


def test_a_stream_without_headers_waits_for_a_key_frame_once_it_had_video(entry: Entry) -> None:
    stream = Footage()
    route = Route("source", "target", entry.inlet.leave)
    route.forward([stream.start()[0], *stream.frames(3)])
    entry.inlet.join(route)
    route.forward([*stream.frames(1, MediaKind.AUDIO), *stream.frames(3)])
    assert entry.frames() == numbers(5, 6)


def test_a_successor_on_another_clock_goes_on_with_any_key_frame(entry: Entry) -> None:
    stream, copy = Footage(origin=3_600_000), Footage()
    first, second = entry.route(), entry.route()
    first.forward([*stream.start(), *stream.frames(3)])
    second.forward([*copy.start(), *copy.frames(3)])
    first.close()
    second.forward(copy.frames(4))
    assert entry.frames() == [*numbers(0, 1, 2), *numbers(5, 6)]
    assert legality(entry.seen) is None
