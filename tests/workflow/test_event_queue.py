"""What a queue of events keeps, joins and loses: nothing is unaccounted for, and kinds do not push each other out."""

from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.media.events import StreamId
from mmids_trio.workflow.event_queue import EventQueue
from mmids_trio.workflow.events import HubEvent, StreamWentLive, StreamWentOff, WorkflowFailed, WorkflowStarted

ROOM, JOIN_FROM = 5, 8


def live(name: str) -> HubEvent:
    return StreamWentLive("w", "1", StreamId("s"), name)


EVENTS = st.one_of(
    st.sampled_from("ab").map(live),
    st.integers().map(str).map(live),
    st.sampled_from("ab").map(lambda name: StreamWentOff("w", "1", StreamId("s"), name)),
    st.just(WorkflowStarted("w")),
    st.just(WorkflowFailed("w", "why")),
)
ACTIONS = st.lists(st.one_of(EVENTS, st.just("take"), st.integers(0, 20)), max_size=200)


@given(ACTIONS)
def test_each_event_is_kept_taken_stood_for_or_lost(actions: list[HubEvent | str | int]) -> None:
    queue = EventQueue(ROOM, JOIN_FROM)
    taken = 0
    for now, action in enumerate(actions):
        if action == "take":
            entry = queue.take()
            taken += 0 if entry is None else entry.count
        elif isinstance(action, int):
            queue.drop_until(now - action)
        elif not isinstance(action, str):
            queue.put(action, now)
        _, entries = queue.after(0, 1_000)
        assert len(entries) == len(queue)
        assert [entry.number for entry in entries] == sorted({entry.number for entry in entries})
        assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
        assert sum(entry.count for entry in entries) + taken + queue.lost == queue.newest
        assert sum(entry.lost_before for entry in entries) + queue.lost_at_end <= queue.lost
        for kind in (StreamWentLive, StreamWentOff, WorkflowStarted, WorkflowFailed):
            assert sum(isinstance(entry.event, kind) for entry in entries) <= ROOM


def test_a_kind_has_its_room_whatever_others_do() -> None:
    queue = EventQueue(ROOM, JOIN_FROM)
    queue.put(WorkflowFailed("w", "why"), 0)
    for number in range(1_000):
        queue.put(live(str(number)), 0)
    lost, entries = queue.after(0, 1_000)
    assert [entry.event for entry in entries] == [
        WorkflowFailed("w", "why"),
        *(live(str(n)) for n in range(995, 1_000)),
    ]
    assert lost == 995
    assert queue.after(1, 1_000)[0] == 995
    assert queue.after(998, 1_000) == (0, entries[3:])


def test_a_short_queue_joins_nothing() -> None:
    queue = EventQueue(100, JOIN_FROM)
    for number in range(JOIN_FROM + 3):
        queue.put(live("a"), number)
    _, entries = queue.after(0, 100)
    assert [entry.count for entry in entries] == [1] * (JOIN_FROM - 1) + [4]
    assert (queue.joined, queue.lost) == (3, 0)


def test_only_what_is_about_the_same_stream_is_joined() -> None:
    queue = EventQueue(100, 0)
    for event in (live("a"), live("b"), StreamWentOff("w", "1", StreamId("s"), "a"), WorkflowStarted("w")) * 2:
        queue.put(event, 0)
    _, entries = queue.after(0, 100)
    assert [(type(entry.event).__name__, entry.count) for entry in entries] == [
        ("WorkflowStarted", 1),
        ("StreamWentLive", 2),
        ("StreamWentLive", 2),
        ("StreamWentOff", 2),
        ("WorkflowStarted", 1),
    ]
