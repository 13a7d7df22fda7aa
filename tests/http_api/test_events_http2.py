"""`GET /events` over HTTP/2, where a client that does not read is one that opens no window."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trio
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, StreamEnded, StreamReset
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.http_api import connection
from mmids_trio.http_api.app import create_app
from mmids_trio.http_api.event_feed import EventFeed
from mmids_trio.workflow.events import WorkflowEnded, WorkflowFailed
from mmids_trio.workflow.hub import EventHub

HANG_SECONDS = 8
MORE_THAN_THE_WINDOW = "x" * 1_000_000


class StreamResetError(Exception):
    """The server has given the answer up."""


@pytest.fixture
async def feed(nursery: trio.Nursery) -> EventFeed:
    feed = EventFeed(EventHub(), trio.Event())
    await nursery.start(feed.run)
    return feed


@pytest.fixture
async def served(serve_app: Any, workflows: Any, feed: EventFeed) -> Any:
    return await serve_app(create_app(workflows, token=None, version="1", events=feed))


@contextmanager
def closing(stream: trio.SocketStream) -> Iterator[None]:
    try:
        yield
    finally:
        stream.socket.close()


async def ask(served: Any) -> tuple[trio.SocketStream, H2Connection]:
    """Ask for the events on a connection of one's own."""
    client = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    client.initiate_connection()
    head = [(":method", "GET"), (":path", "/events"), (":scheme", "http"), (":authority", "localhost")]
    client.send_headers(1, head, end_stream=True)
    stream: trio.SocketStream = await served.connect(client.data_to_send())
    return stream, client


async def read(stream: trio.SocketStream, client: H2Connection, wanted: str) -> str:
    """Read until `wanted` shows, or (for "") until the stream has ended."""
    text, is_over = "", False
    while not is_over and (not wanted or wanted not in text):
        data = await stream.receive_some()
        assert data, text
        for event in client.receive_data(bytes(data)):
            if isinstance(event, DataReceived):
                text += event.data.decode()
                client.acknowledge_received_data(event.flow_controlled_length, 1)
            if isinstance(event, StreamReset):
                raise StreamResetError
            is_over = is_over or isinstance(event, StreamEnded)
        if out := client.data_to_send():
            await stream.send_all(out)
    return text


async def test_events_come_over_http2_and_a_stop_ends_them_at_once(
    mock_clock: MockClock, served: Any, feed: EventFeed
) -> None:
    stream, client = await ask(served)
    with closing(stream):
        await read(stream, client, "\n\n")
        feed._hub.publish(WorkflowEnded("w"))
        assert '"workflow": "w"' in await read(stream, client, "}\n\n")
        feed._shutdown.set()
        served.shutdown.set()
        await read(stream, client, "")
        assert feed.streams == 0


async def _fill(feed: EventFeed) -> None:
    feed._hub.publish(WorkflowFailed("w", MORE_THAN_THE_WINDOW))
    await wait_all_tasks_blocked(0.05)
    assert feed.streams == 1


async def test_a_client_that_opens_no_window_is_cut(mock_clock: MockClock, served: Any, feed: EventFeed) -> None:
    stream, client = await ask(served)
    with closing(stream):
        await wait_all_tasks_blocked(0.05)
        await _fill(feed)
        mock_clock.jump(connection.SEND_TIMEOUT_SECONDS)
        await wait_all_tasks_blocked(0.05)
        assert feed.streams == 0
        with pytest.raises(StreamResetError):  # so that the client knows that it has not got everything
            await read(stream, client, "")


async def test_a_client_that_opens_its_window_gets_all_of_a_large_event(served: Any, feed: EventFeed) -> None:
    stream, client = await ask(served)
    with closing(stream), trio.fail_after(HANG_SECONDS):
        await read(stream, client, "\n\n")
        feed._hub.publish(WorkflowFailed("w", MORE_THAN_THE_WINDOW))
        assert MORE_THAN_THE_WINDOW in await read(stream, client, "}\n\n")


async def test_a_client_that_opens_no_window_does_not_hold_up_a_stop(
    mock_clock: MockClock, served: Any, feed: EventFeed
) -> None:
    stream, _ = await ask(served)
    with closing(stream):
        await wait_all_tasks_blocked(0.05)
        await _fill(feed)
        feed._shutdown.set()
        served.shutdown.set()
        await wait_all_tasks_blocked(0.05)
        assert feed.streams == 0  # the clock stands still: the stream was cut at once
        mock_clock.jump(connection.LINGER_SECONDS)
        await served.ended.wait()
