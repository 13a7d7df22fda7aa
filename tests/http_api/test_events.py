"""`GET /events` as clients see it over a socket: what comes, going on after a loss, filters, bounds, the end.

Deadlines are reached by moving a mock clock; `HANG_SECONDS` (of the real clock) only turns a hang into a failure.
"""

import json
import re
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import httpx2
import pytest
import trio
from attrs import define, field
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.http_api import connection, counts, event_feed, event_stream
from mmids_trio.http_api.app import create_app
from mmids_trio.http_api.event_feed import EventFeed
from mmids_trio.workflow.events import StreamWentLive, WorkflowEnded, WorkflowFailed, WorkflowStarted
from mmids_trio.workflow.hub import EventHub

HANG_SECONDS = 8
LARGE = 4 * 1024 * 1024
"""A few events of this size are more than all buffers between two loopback sockets can hold."""


@define
class Reader:
    """A client with one stream open."""

    stream: trio.SocketStream
    text: str = field(default="", init=False)

    async def until(self, pattern: str) -> re.Match[str]:
        """Read on until the pattern shows, and give up what was read up to its end."""
        while (found := re.search(pattern, self.text, re.DOTALL)) is None:
            data = await self.stream.receive_some(65536)
            assert data, f"the stream ended: {self.text}"
            self.text += data.decode()
        self.text = self.text[found.end() :]
        return found

    async def event(self) -> tuple[str, str, Any]:
        """Id and type of the next event, and what its data say beside id, type and time."""
        found = await self.until(r"id: ([^\n]*)\nevent: ([^\n]*)\ndata: ([^\n]*)\n\n")
        data = json.loads(found[3])
        assert (data.pop("id"), data.pop("type")) == (found[1], found[2])
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", data.pop("time"))
        return found[1], found[2], data

    async def rest(self) -> str:
        """All that comes until the end."""
        return self.text + b"".join([data async for data in self.stream]).decode()


@define
class Events:
    """An API with events."""

    hub: EventHub
    feed: EventFeed
    served: Any
    readers: list[Reader] = field(factory=list, init=False)

    async def connect(self, query: str = "", last: str | None = None) -> trio.SocketStream:
        head = "" if last is None else f"Last-Event-ID: {last}\r\n"
        stream: trio.SocketStream = await self.served.connect(
            f"GET /events{query} HTTP/1.1\r\nHost: localhost\r\n{head}\r\n".encode()
        )
        return stream

    async def read(self, query: str = "", last: str | None = None) -> Reader:
        """A client whose stream has begun."""
        reader = Reader(await self.connect(query, last))
        self.readers.append(reader)
        await reader.until(r"HTTP/1.1 200 .*retry: \d+\nid: [0-9a-f]+-\d+\n\n")
        return reader

    async def settle(self) -> None:
        await wait_all_tasks_blocked(0.05)


@pytest.fixture
async def events(serve_app: Any, workflows: Any, nursery: trio.Nursery) -> AsyncIterator[Events]:
    """The API over a hub of its own."""
    hub, shutdown = EventHub(), trio.Event()
    feed = EventFeed(hub, shutdown)
    await nursery.start(feed.run)
    served = await serve_app(create_app(workflows, workflows, token=None, version="1", events=feed))
    events = Events(hub, feed, served)
    nursery.start_soon(_pass_on, served.shutdown, shutdown)
    yield events
    for reader in events.readers:
        trio.lowlevel.notify_closing(reader.stream.socket)
        reader.stream.socket.close()


async def _pass_on(stopping: trio.Event, shutdown: trio.Event) -> None:
    """In the program both are one event."""
    await stopping.wait()
    shutdown.set()


async def test_what_happens_comes_with_id_type_time_and_data(events: Events) -> None:
    reader = await events.read()
    events.hub.publish(WorkflowStarted("w"))
    events.hub.publish(WorkflowFailed("w", "no port"))
    first, second = await reader.event(), await reader.event()
    assert [first[1], second[1]] == ["workflow_started", "workflow_failed"]
    assert second[2] == {"workflow": "w", "reason": "no port"}
    boot = events.feed.history.boot
    assert (first[0], second[0]) == (f"{boot}-1", f"{boot}-2")


async def test_the_head_of_the_answer_is_that_of_a_stream(events: Events) -> None:
    stream = await events.connect()
    head = (await Reader(stream).until(r"HTTP/1.1 200 .*?\r\n\r\n"))[0].lower()
    assert "content-type: text/event-stream\r\n" in head
    assert "cache-control: no-store\r\n" in head
    assert "x-request-id: " in head
    assert "content-length" not in head
    await stream.aclose()


async def test_a_client_goes_on_where_it_was(events: Events) -> None:
    reader = await events.read()
    for name in "abc":
        events.hub.publish(WorkflowEnded(name))
    last, _, _ = await reader.event()
    await reader.stream.aclose()
    events.readers.remove(reader)
    again = await events.read(last=last)
    assert [(await again.event())[2]["workflow"] for _ in "bc"] == ["b", "c"]


async def test_the_start_of_a_stream_has_an_id_to_come_again_with(events: Events) -> None:
    reader = Reader(await events.connect())
    events.readers.append(reader)
    start = (await reader.until(r"id: ([^\n]*)\n\n"))[1]
    events.hub.publish(WorkflowEnded("w"))
    again = await events.read(last=start)
    assert (await again.event())[2]["workflow"] == "w"


@pytest.mark.parametrize(("last", "reason"), [("0123-4", "restarted"), ("nonsense", "unknown")])
async def test_an_id_of_another_run_is_answered_with_a_reset(events: Events, last: str, reason: str) -> None:
    events.hub.publish(WorkflowEnded("before"))
    await events.settle()
    reader = Reader(await events.connect(last=last))
    events.readers.append(reader)
    event_id, kind, data = await reader.event()
    assert (kind, data) == ("reset", {"reason": reason})
    assert event_id == f"{events.feed.history.boot}-1"
    events.hub.publish(WorkflowEnded("after"))
    assert (await reader.event())[2]["workflow"] == "after"


async def test_a_client_that_was_away_for_too_long_is_told_how_much_it_missed(
    events: Events,
) -> None:
    events.feed.history.queue.room = 3
    start = events.feed.history.id_of(0)
    for number in range(10):
        events.hub.publish(WorkflowEnded(str(number)))
    await events.settle()
    reader = await events.read(last=start)
    assert (await reader.event())[1:] == ("missed", {"events": 7})
    assert [(await reader.event())[2]["workflow"] for _ in range(3)] == ["7", "8", "9"]


async def test_only_the_types_that_were_asked_for_come(events: Events) -> None:
    reader = await events.read("?types=stream_began,workflow_ended")
    events.hub.publish(WorkflowStarted("w"))
    events.hub.publish(StreamWentLive("w", "1", event_id := "s", "show"))  # type: ignore[arg-type]  # a NewType
    events.hub.publish(WorkflowFailed("w", ""))
    events.hub.publish(WorkflowEnded("w"))
    _, kind, data = await reader.event()
    assert (kind, data) == (
        "stream_began",
        {"workflow": "w", "step_id": "1", "stream_id": event_id, "name": "show"},
    )
    assert (await reader.event())[1] == "workflow_ended"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("?types=workflow_startet", "did you mean 'workflow_started'?"),
        ("?types=", "known are"),
        ("?types=workflow_ended&types=stream_over", "2 times"),
    ],
)
async def test_a_filter_that_makes_no_sense_is_refused(events: Events, query: str, said: str) -> None:
    async with httpx2.AsyncClient(
        base_url=f"http://127.0.0.1:{events.served.port}", trust_env=False, verify=False
    ) as client:
        response = await client.get(f"/events{query}")
    assert response.status_code == 400
    assert said in response.json()["error"]


async def test_a_head_request_is_answered_without_a_stream(events: Events) -> None:
    stream = await events.served.connect(b"HEAD /events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert "text/event-stream" in await Reader(stream).rest()
    await stream.aclose()


async def test_silence_is_broken_by_comments_with_the_newest_id(mock_clock: MockClock, events: Events) -> None:
    reader = await events.read("?types=workflow_ended")
    events.hub.publish(WorkflowStarted("w"))
    for _ in range(3):
        await events.settle()
        mock_clock.jump(event_stream.HEARTBEAT_SECONDS)
        assert (await reader.until(r": heartbeat\nid: (\S+)\n\n"))[1] == events.feed.history.id_of(1)


async def test_a_stream_outlives_the_keep_alive_time_but_not_its_own(mock_clock: MockClock, events: Events) -> None:
    reader = await events.read()
    mock_clock.jump(connection.KEEP_ALIVE_SECONDS * 5)
    await events.settle()
    events.hub.publish(WorkflowEnded("w"))
    await reader.event()
    await events.settle()
    mock_clock.jump(event_stream.MAX_STREAM_SECONDS)
    await reader.until(r"0\r\n\r\n")  # the end of the body, in good order
    assert events.feed.streams == 0


async def test_there_are_as_many_streams_as_there_may_be(events: Events, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_feed, "MAX_STREAMS", 2)
    first, _ = await events.read(), await events.read()
    refused = Reader(await events.connect())
    head = (await refused.until(r"HTTP/1.1 503 .*\}"))[0].lower()
    assert "retry-after: 2\r\n" in head
    await refused.stream.aclose()
    await first.stream.aclose()
    events.readers.remove(first)
    with trio.fail_after(HANG_SECONDS):
        while events.feed.streams == 2:
            await trio.lowlevel.checkpoint()
    await events.read()


async def test_a_stop_ends_open_streams_at_once_and_in_good_order(mock_clock: MockClock, events: Events) -> None:
    readers = [await events.read() for _ in range(3)]
    events.served.shutdown.set()
    for reader in readers:
        await reader.until(r"0\r\n\r\n")
        assert await reader.stream.receive_some() == b""
        await reader.stream.aclose()
    events.readers.clear()
    await events.served.ended.wait()  # the clock stands still: nothing waited for a deadline


async def _fill(events: Events) -> None:
    """Publish until nothing more fits between the server and a client that does not read."""
    for _ in range(4):
        events.hub.publish(WorkflowFailed("w", "x" * LARGE))
    await events.settle()
    assert events.feed.streams == 1


async def test_a_client_that_does_not_read_is_cut(mock_clock: MockClock, events: Events) -> None:
    stream = await events.connect()
    await events.settle()
    await _fill(events)
    mock_clock.jump(counts.SEND_TIMEOUT_SECONDS)
    await events.settle()
    assert events.feed.streams == 0
    received = 0
    with pytest.raises(trio.BrokenResourceError):  # noqa: PT012  (a reset, or an early end)
        while data := await stream.receive_some():
            received += len(data)
        raise trio.BrokenResourceError
    assert received < 4 * LARGE
    await stream.aclose()


async def test_a_client_that_does_not_read_does_not_hold_up_a_stop(mock_clock: MockClock, events: Events) -> None:
    stream = await events.connect()
    await events.settle()
    await _fill(events)
    events.served.shutdown.set()
    await events.settle()
    assert events.feed.streams == 0  # the clock stands still: the stream was cut at once
    mock_clock.jump(connection.LINGER_SECONDS)
    await events.served.ended.wait()
    await stream.aclose()


async def test_a_client_of_a_quiet_stream_that_does_not_read_is_gone_one_day(
    mock_clock: MockClock, events: Events
) -> None:
    stream = await events.connect()
    await events.settle()
    assert events.feed.streams == 1
    mock_clock.jump(event_stream.MAX_STREAM_SECONDS)
    await events.settle()
    assert events.feed.streams == 0
    await stream.aclose()


async def test_a_slow_client_does_not_hold_up_the_others(events: Events) -> None:
    stream = await events.connect()
    await events.settle()
    await _fill(events)
    reader = await events.read()
    events.hub.publish(WorkflowEnded("w"))
    assert (await reader.event())[1] == "workflow_ended"
    await stream.aclose()


async def test_cancelling_ends_everything_at_once(events: Events) -> None:
    stream = await events.connect()
    await events.settle()
    await _fill(events)
    events.served.scope.cancel()
    with trio.fail_after(HANG_SECONDS):
        await events.served.ended.wait()
    assert events.feed.streams == 0
    await stream.aclose()


async def test_a_recording_that_is_cancelled_leaves_no_subscription(nursery: trio.Nursery) -> None:
    hub = EventHub()
    feed = EventFeed(hub, trio.Event())
    async with trio.open_nursery() as inner:
        await inner.start(partial(feed.run))
        hub.publish(WorkflowEnded("w"))
        await wait_all_tasks_blocked()
        inner.cancel_scope.cancel()
    hub.publish(WorkflowEnded("x"))
    assert feed.history.newest == 1
