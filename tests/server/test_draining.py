"""A server that is to be emptied: it takes no publishers, asks those who can to move, and says when nobody is left."""

import os
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.rejections import RejectReason
from mmids_trio.rtmp.protocol.client_connection import ClientConnection
from mmids_trio.rtmp.protocol.events import PlayStarted, StatusReceived
from mmids_trio.testing.clients import ClientRefused, RtmpClient
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.workflow.events import DrainBegan, DrainEnded

STREAM = generate_stream(seconds=1)
SHOW = """
workflow show {
    rtmp_receive rtmp_app=live stream_key=* grace=30
    rtmp_watch rtmp_app=live stream_key=*
}
"""


async def drain(h: Harness, method: str = "post", query: str = "") -> Any:
    answer = await getattr(h.http, method)(f"/cluster/drain{query}")
    assert answer.status == 200, answer.text
    return answer.json()


async def connected(h: Harness, caps_ex: float | None) -> RtmpClient:
    """A client that announces such capabilities."""
    client = RtmpClient(await h.open())
    properties = {} if caps_ex is None else {"capsEx": caps_ex}
    client.connection = ClientConnection(os.urandom, "live", "rtmp://server/live", properties=properties)
    await client.connect()
    return client


async def statuses(client: RtmpClient) -> list[str]:
    await wait_all_tasks_blocked()
    with trio.move_on_after(1):
        await client.read_until_closed()
    return [event.code for event in client.events if isinstance(event, StatusReceived)]


REQUEST = "NetConnection.Connect.ReconnectRequest"


async def test_who_can_reconnect_is_asked_to_and_nobody_else(autojump_clock: MockClock) -> None:
    async with Harness(SHOW) as h:
        able, unable, silent = [await connected(h, caps) for caps in (15.0, 14.0, None)]
        for key, client in (("a", able), ("b", unable), ("c", silent)):
            await client.publish(key, STREAM)
        watcher = await connected(h, 1.0)
        watcher.connection.play("a")
        await watcher.flush()
        await watcher.wait_for(PlayStarted)
        idle = await connected(h, 15.0)
        state = await drain(h)
        assert (state["publishers"], state["watchers"], state["asked_to_move"]) == (3, 1, 2)
        asked = [REQUEST in await statuses(client) for client in (able, unable, silent, watcher, idle)]
        assert asked == [True, False, False, True, False]


async def test_a_server_that_is_being_emptied_takes_no_publishers_and_lets_those_go_on_who_are_here(
    autojump_clock: MockClock,
) -> None:
    async with Harness(SHOW) as h:
        here = await h.publish("here", STREAM)
        waiting = await h.watch("here")
        await drain(h)
        with pytest.raises(ClientRefused, match="being emptied") as refusal:
            await h.publish("new", STREAM)
        assert refusal.value.code == "NetStream.Publish.Denied"
        assert h.server.rejections[RejectReason.DRAINING.value] == 1
        await here.send(STREAM)
        await wait_all_tasks_blocked()
        assert not here.is_disconnected
        assert not waiting.is_disconnected
        await h.watch("here")
        state = await drain(h, "delete")
        assert (state["draining"], state["over"]) == (False, False)
        await h.publish("new", STREAM)


async def test_a_publisher_that_waits_for_its_approval_when_it_begins_is_refused(autojump_clock: MockClock) -> None:
    async with Harness(SHOW) as h:
        client = await h.connect()
        client.connection.publish("late")
        await client.flush()
        h.server.draining.begin()
        with trio.move_on_after(5):
            await client.read_until_closed()
        assert client.is_disconnected
        assert (await h.http.get("/streams")).json()["streams"] == []


async def test_a_server_is_not_ready_while_it_is_emptied(autojump_clock: MockClock) -> None:
    async with Harness(SHOW) as h:
        assert (await h.http.get("/ready")).status == 200
        await drain(h)
        answer = await h.http.get("/ready")
        assert (answer.status, answer.json()["reasons"]) == (503, ["the server is being emptied"])
        await drain(h, "delete")
        assert (await h.http.get("/ready")).status == 200


async def test_it_is_over_when_nobody_is_left_and_at_the_deadline(autojump_clock: MockClock) -> None:
    async with Harness(SHOW) as h:
        publisher = await h.publish("key", STREAM)
        state = await drain(h, query="?deadline=60")
        assert (state["over"], state["seconds_left"]) == (False, 60.0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(leave_after, 10, publisher)
            began = trio.current_time()
            state = await drain(h, "get", "?wait=40")
        assert (state["over"], state["publishers"]) == (True, 0)
        assert 10 <= trio.current_time() - began < 20
        await drain(h, "delete")
        await h.publish("other", STREAM)
        await drain(h, query="?deadline=20")
        state = await drain(h, "get", "?wait=30")
        assert (state["over"], state["publishers"], state["seconds_left"]) == (True, 1, 0.0)


async def leave_after(seconds: float, client: RtmpClient) -> None:
    await trio.sleep(seconds)
    client.close()


async def test_a_server_without_a_cluster_knows_no_other_nodes(autojump_clock: MockClock) -> None:
    async with Harness(SHOW) as h:
        for method in ("get", "post", "delete"):
            answer = await getattr(h.http, method)("/cluster/drain?node=b")
            assert (answer.status, "no node 'b'" in answer.json()["error"]) == (404, True)


@pytest.mark.parametrize(
    "query",
    [
        "?deadline=-1",
        "?deadline=1.5",
        "?deadline=86401",
        "?deadline=",
        "?wait=1",
        "?dead=1",
        "?node=a&node=b",
        "?node=",
    ],
)
async def test_options_that_make_no_sense_are_refused(query: str, autojump_clock: MockClock) -> None:
    async with Harness(SHOW) as h:
        answer = await h.http.post(f"/cluster/drain{query}")
        assert answer.status == 400, answer.text
        assert not h.server.draining.is_draining


async def test_a_second_reason_keeps_it_being_emptied(autojump_clock: MockClock) -> None:
    async with Harness(SHOW) as h:
        draining = h.server.draining
        draining.begin(why="fleet")
        draining.begin(5)
        draining.end()
        assert draining.is_draining
        assert draining.view().seconds_left is None
        draining.end("other")
        draining.end("fleet")
        assert not draining.is_draining
        await h.publish("new", STREAM)


async def test_that_a_drain_begins_and_ends_is_told_once_each_and_how_many_were_asked_to_move(
    autojump_clock: MockClock,
) -> None:
    async with Harness(SHOW) as h:
        await (await connected(h, 15.0)).publish("a", STREAM)
        for method in ("post", "post", "delete", "delete"):
            await drain(h, method)
        events = [event for event in h.events() if isinstance(event, DrainBegan | DrainEnded)]
        assert events == [DrainBegan(None, "asked", 1), DrainEnded(None)]
