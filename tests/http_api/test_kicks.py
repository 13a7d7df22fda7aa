"""Everybody is sent away at any await of anybody: whatever is going on, nothing is left, and each is told once."""

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress

import h11
import pytest
import trio
from attrs import define, field
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.on_air.directory import OnAir
from mmids_trio.testing.clients import ClientRefused, Disconnected
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.web import WebClient
from mmids_trio.workflow.events import ClientJoined, ClientLeft
from tests.support.publishing import WAIT_FOR_ALL
from tests.support.reloading import File

STREAM = generate_stream(seconds=2)
WHY = "kicked"
SHOW = """workflow show {
    rtmp_receive rtmp_app=live stream_key=* grace=30
    rtmp_watch rtmp_app=live stream_key=*
}
"""
TAKEOVER = SHOW.replace("grace=30", "grace=30 on_busy=takeover")
FORWARDED = """workflow in {
    rtmp_receive rtmp_app=live stream_key=* grace=30
    workflow_forwarder target_workflow=out
}
workflow out {
    rtmp_watch rtmp_app=live stream_key=*
}
"""
HTTP = """workflow show {
    rtmp_receive rtmp_app=live stream_key=* grace=30
    http_watch app=live stream_key=* segment=1s
}
"""
GONE = (Disconnected, ClientRefused, h11.RemoteProtocolError, trio.BrokenResourceError, trio.ClosedResourceError)


@define(eq=False)
class KickAt(trio.abc.Instrument):
    """Sends everybody away when tasks have come to a checkpoint for that time, counted from the start."""

    on_air: OnAir
    at: int
    count: int = 0
    kicked: list[str] = field(factory=list)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """See `trio.abc.Instrument`."""
        self.count += 1
        if self.count == self.at:
            for client in self.on_air.clients():
                assert client.live is not None
                self.kicked.append(client.id)
                client.live.send_away(WHY)


async def over_a_put(h: Harness) -> None:
    publisher = await h.publish("live/key", STREAM[:4])
    await h.watch("live/key")
    await h.http.put("/workflows?wait=10", content=SHOW.replace("grace=30", "grace=31"))
    await publisher.send(STREAM[4:8])


async def over_a_takeover(h: Harness) -> None:
    await h.publish("live/key", STREAM[:4])
    await h.watch("live/key")
    second = await h.publish("live/key", STREAM[:4])
    await second.send(STREAM[4:8])


async def over_a_forwarder(h: Harness) -> None:
    publisher = await h.publish("live/key", STREAM[:4])
    await h.watch("live/key")
    await h.http.delete("/workflows/out")
    await publisher.send(STREAM[4:8])


async def over_http(h: Harness) -> None:
    publisher = await h.publish("live/key", STREAM[:60])
    flv, hls = [WebClient(await h.open(port=8080)) for _ in range(2)]
    await flv.begin("/live/key.flv")
    index = await hls.get("/live/key/index.m3u8")
    if index.status == 200 and (media := re.search(r"^[^#\n].*$", index.text, re.MULTILINE)) is not None:
        await hls.get(f"/live/key/{media[0]}")
    await publisher.send(STREAM[60:80])
    flv.close()
    hls.close()


def joined_and_left(h: Harness) -> dict[str, list[tuple[str, str]]]:
    """What was told of each client, in its order, and why it left."""
    told: dict[str, list[tuple[str, str]]] = {}
    for event in h.events():
        if isinstance(event, ClientJoined | ClientLeft):
            why = event.reason if isinstance(event, ClientLeft) else ""
            told.setdefault(event.client, []).append((event.wire_name, why))
    return told


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("text", "happens", "stride"),
    [
        (SHOW, over_a_put, 2),
        (TAKEOVER, over_a_takeover, 3),
        (FORWARDED, over_a_forwarder, 3),
        (HTTP, over_http, 2),
    ],
    ids=["put", "takeover", "forwarder", "viewers over HTTP"],
)
async def test_who_is_kicked_at_any_await_of_anybody_leaves_nothing_has_no_grace_and_is_told_once(
    text: str, happens: Callable[[Harness], Awaitable[None]], stride: int, autojump_clock: MockClock
) -> None:
    at, kicks = 0, 0
    while True:
        at += stride
        async with Harness(WAIT_FOR_ALL + text) as h:
            instrument = KickAt(h.server.on_air, at)
            trio.lowlevel.add_instrument(instrument)
            with suppress(*GONE):
                await happens(h)
                await wait_all_tasks_blocked()
            trio.lowlevel.remove_instrument(instrument)
            await wait_all_tasks_blocked()
            clients = {client.id for client in h.server.on_air.clients()}
            assert clients.isdisjoint(instrument.kicked), at
            if instrument.kicked and not clients:
                assert h.server.on_air.streams() == [], at
        h.assert_quiet()
        told = joined_and_left(h)
        for client, events in told.items():
            assert [name for name, _ in events] == ["client_joined", "client_left"], (at, client)
        kicks += sum(told[client][1][1] == WHY for client in instrument.kicked)  # unless it was on its way out
        if instrument.count < at:
            break
    assert kicks > 15


async def test_a_client_is_told_in_order_over_a_reload_that_ends_its_step(autojump_clock: MockClock) -> None:
    file = File("settings {\n    reload_max_disconnects 1\n}\n" + SHOW)
    async with file.harness as h:
        await h.publish("live/key", STREAM[:4])
        await h.watch("live/key")
        file.text = file.text.replace("    rtmp_watch rtmp_app=live stream_key=*\n", "")
        assert await file.signal() == "applied"
        await h.wait_event(ClientLeft, since=0)
        assert [len(events) for events in joined_and_left(h).values()] == [1, 2]
        [latest] = (await h.http.get("/changes?limit=1")).json()["changes"]
        assert (latest["by"], latest["publishers"], latest["watchers"]) == ("signal", 0, 1)
