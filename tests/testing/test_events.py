"""A harness logs every event of its server, in order, and one can wait for any of them."""

import pytest
import trio
from structlog.typing import EventDict
from trio.testing import MockClock

from mmids_trio.testing.events import EventLog
from mmids_trio.testing.harness import Harness
from mmids_trio.workflow.events import (
    ClientJoined,
    ClientLeft,
    StreamWentLive,
    StreamWentOff,
    WorkflowEnded,
    WorkflowStarted,
)
from mmids_trio.workflow.hub import EventHub

LIVE = "workflow live {\n    rtmp_receive rtmp_app=live stream_key=*\n}\n"


async def test_every_event_is_logged_in_order(autojump_clock: MockClock) -> None:
    async with Harness(LIVE) as h:
        assert h.events() == (WorkflowStarted("live"),)
        publisher = await h.publish("live/show")
        began = await h.wait_event(StreamWentLive, since=0)
        await publisher.unpublish()
        await h.wait_event(StreamWentOff, since=0)
    assert began.name == "show"
    over = StreamWentOff("live", began.step_id, began.stream_id, "show")
    joined, left = (event for event in h.events() if isinstance(event, ClientJoined | ClientLeft))
    assert h.events() == (WorkflowStarted("live"), began, joined, left, over, WorkflowEnded("live"))
    h.assert_quiet()


async def test_two_may_wait_for_the_same_event(autojump_clock: MockClock) -> None:
    async with Harness(LIVE) as h, trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(h.wait_event, StreamWentLive)
        await trio.sleep(1)
        await h.publish("live/show")


async def test_a_predicate_finds_the_event_and_what_was_there_before_may_be_left_out(autojump_clock: MockClock) -> None:
    async with Harness(LIVE) as h:
        await h.publish("live/a")
        first = await h.wait_event(StreamWentLive, since=0)
        place = len(h.events())
        await h.publish("live/b")
        second = await h.wait_event(StreamWentLive, since=place)
        assert (first.name, second.name) == ("a", "b")
        assert (
            await h.wait_event(lambda event: isinstance(event, StreamWentLive) and event.name == "b", since=0) == second
        )


async def test_waiting_begins_at_now(autojump_clock: MockClock) -> None:
    async with Harness(LIVE) as h:
        await h.publish("live/a")
        await h.wait_event(StreamWentLive, since=0)
        with trio.move_on_after(1) as scope:
            await h.wait_event(StreamWentLive)
        assert scope.cancelled_caught


async def test_events_and_log_lines_have_their_virtual_time(autojump_clock: MockClock, logs: list[EventDict]) -> None:
    async with Harness(LIVE) as h:
        await trio.sleep(2.5)
        await h.publish("live/a")
        await h.wait_event(StreamWentLive, since=0)
    times = {type(event): time for time, event in h.timed_events()}
    assert times[StreamWentLive] == 2.5
    lines = {line["event"]: line["virtual_s"] for line in logs}
    assert lines["server started"] == 0.0
    assert lines["server stopped"] == 2.5


async def test_lines_of_tests_without_a_server_have_none(logs: list[EventDict]) -> None:
    async with Harness():  # on the real clock
        pass
    assert not [line for line in logs if "virtual_s" in line]


async def test_a_stream_that_began_in_a_forgotten_past_is_still_missed(autojump_clock: MockClock) -> None:
    async with Harness(LIVE) as h:
        publisher = await h.publish("live/show")
        await h.wait_event(StreamWentLive, since=0)
        h.forget_events()
        assert h.events() == ()
        assert any("the stream 'show'" in sentence for sentence in h.what_is_left())
        await publisher.unpublish()
        assert isinstance(await h.wait_event(StreamWentOff, since=0), StreamWentOff)
        assert [type(event) for event in h.events()] == [ClientLeft, StreamWentOff]
    h.assert_quiet()


async def test_events_that_were_not_kept_are_an_error() -> None:
    hub = EventHub()
    log = EventLog(hub, most=2)
    with log.listen():
        hub.publish(WorkflowEnded("a"))
        hub.publish(WorkflowEnded("b"))
        assert log() == (WorkflowEnded("a"), WorkflowEnded("b"))
        hub.publish(WorkflowEnded("c"))
        with pytest.raises(AssertionError, match="1 events more than the 2"):
            log()
