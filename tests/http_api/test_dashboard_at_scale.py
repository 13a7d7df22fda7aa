"""The dashboard in Chromium at a server with 500 streams and 5,000 clients, by the browser's own trace.

The directory is fed directly: what the page costs the browser depends on what it is told, not on media.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, evolve, field, frozen

from mmids_trio.ffmpeg.thumbnails import Thumbnails
from mmids_trio.http_api.app import create_app
from mmids_trio.http_api.event_feed import EventFeed
from mmids_trio.media.events import MediaPacket, StreamId
from mmids_trio.on_air.directory import ClientEntry, ClientSource, OnAir, StreamEntry
from mmids_trio.on_air.views import Asked, ClientNow, Peer, StreamNow
from mmids_trio.server.on_air_events import OnAirEvents
from mmids_trio.testing.media import generate_stream
from mmids_trio.workflow.hub import EventHub
from mmids_trio.workflow.status import StepStatus, WorkflowStatus
from tests.http_api.conftest import ScriptedWorkflows, Serve
from tests.support.browsers import BROWSERS, Browser, browser
from tests.support.waiting import eventually_answered

pytestmark = [pytest.mark.e2e, pytest.mark.scale]

STREAMS, WATCHERS, WORKFLOWS = 500, 5_000, 50
COMERS_PER_SECOND = 20
"""Watchers who leave, each with another one who comes: two events each."""

WATCHED_SECONDS = 10
LONGEST_MS = 200.0
"""Of a task of the page, in time of its thread: what others take of the machine is not the page's."""

PROTOCOLS = ("rtmp", "hls", "http_flv")
HEADER, *PACKETS = generate_stream(seconds=1, audio=False)
KEY_FRAME = PACKETS[0]


@frozen
class Owner:
    workflow: str
    step_id: str = "1"


@define(eq=False)
class Crowd:
    """Who is on the air: they stay, but for some watchers, who come and leave."""

    on_air: OnAir
    streams: list[StreamEntry] = field(factory=list, init=False)
    watchers: list[ClientEntry] = field(factory=list, init=False)

    def fill(self) -> None:
        for number in range(STREAMS):
            owner, stream_id = Owner(f"show-{number % WORKFLOWS}"), StreamId(f"stream-{number}")
            self.streams.append(self.on_air.begin(stream_id, f"camera-{number}", owner, lambda: StreamNow("live")))
            self.join(number, "publisher")
        for number in range(WATCHERS):
            self.watchers.append(self.join(number % STREAMS, "watcher"))

    def join(self, stream: int, role: Any) -> ClientEntry:
        entry = self.streams[stream]
        source = ClientSource(
            stream_id=lambda: entry.stream_id, now=lambda: ClientNow("watching", 1_000_000), send_away=lambda _: None
        )
        protocol = "rtmp" if role == "publisher" else PROTOCOLS[stream % len(PROTOCOLS)]
        peer = Peer(protocol, f"198.51.100.{stream % 250}", 40_000 + stream, "FMLE/3.0 (compatible; Lavf59)")
        return self.on_air.join(peer, Asked(role, "live", entry.name), entry.owner, source)

    def send(self, at: float, packets: list[MediaPacket]) -> None:
        for entry in self.streams:
            entry.meter.note(packets, at)

    async def run(self) -> None:
        """Media and people come as long as this runs."""
        for turn in count(1):
            await trio.sleep(1 / COMERS_PER_SECOND)
            oldest = self.watchers.pop(0)
            self.on_air.leave(oldest)
            self.watchers.append(self.join(turn % STREAMS, "watcher"))
            if turn % COMERS_PER_SECOND == 0:
                timestamp = 1000 * (turn // COMERS_PER_SECOND)
                self.send(trio.current_time(), [evolve(KEY_FRAME, timestamp=timestamp)])


async def picture() -> bytes:
    source = ("-f", "lavfi", "-i", "testsrc2=s=320x180", "-frames:v", "1", "-f", "mjpeg", "-")
    return bytes((await trio.run_process(["ffmpeg", "-v", "error", *source], capture_stdout=True)).stdout)


@asynccontextmanager
async def crowded(nursery: trio.Nursery, serve_app: Serve, workflows: ScriptedWorkflows) -> AsyncIterator[str]:
    """Where the page of a server is that has all of them."""
    steps = tuple(StepStatus(str(n), kind, {}, "Active") for n, kind in enumerate(("rtmp_receive", "rtmp_watch"), 1))
    for number in range(WORKFLOWS):
        workflows.statuses[f"show-{number}"] = WorkflowStatus("Running", steps, ())
    jpeg = await picture()

    async def make(_: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        return jpeg

    hub, shutdown = EventHub(), trio.Event()
    on_air = OnAir(nonce="f00", clock=trio.current_time, listener=OnAirEvents(hub.publish))
    thumbnails, events, crowd = Thumbnails(on_air, make), EventFeed(hub, shutdown), Crowd(on_air)
    crowd.fill()
    crowd.send(trio.current_time(), [HEADER, *PACKETS])
    app = create_app(
        workflows, workflows, token=None, version="1", on_air=on_air, thumbnails=thumbnails, events=events, ui=True
    )
    await nursery.start(events.run)
    await nursery.start(thumbnails.run)
    nursery.start_soon(crowd.run)
    served = await serve_app(app)
    yield f"http://127.0.0.1:{served.port}/ui"
    shutdown.set()


COUNT = """(() => {
  window.passes = 0;
  new MutationObserver(() => passes++).observe(document.getElementById("app"),
    { childList: true, subtree: true, characterData: true, attributes: true });
  window.heard = 0;
  window.readings = () => performance.getEntriesByType("resource").filter((each) => each.name.endsWith("/overview"));
  window.before = readings().length;
  new EventSource("/ui/api/events?types=client_joined,client_left").onopen = (event) => {
    for (const type of ["client_joined", "client_left"]) event.target.addEventListener(type, () => heard++);
  };
  return true;
})()"""
"""What the page does from now on: passes over its tree, and how often it reads; and what it has heard of."""

PRESS_MORE = """(() => {
  const more = document.querySelector(".cards + button");
  more?.click();
  return more === null;
})()"""


SEEN = "({passes, heard, readings: readings().length - before, bytes: readings().at(-1).encodedBodySize})"
SEARCH = "(field, text) => (field.value = text, field.dispatchEvent(new Event('input', {bubbles: true})))"


async def press_more(driven: Browser) -> None:
    async def look() -> bool:
        return bool(await driven.evaluate(PRESS_MORE))

    await eventually_answered(look, "all cards")


@browser("chromium")
async def test_the_page_stays_usable_and_is_drawn_in_batches(
    serve_app: Serve, workflows: ScriptedWorkflows, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with (
        trio.open_nursery() as nursery,
        crowded(nursery, serve_app, workflows) as page,
        BROWSERS["chromium"](nursery, tmp_path / "profile") as driven,
    ):
        async with driven.traced(page) as opening:
            await driven.go(page)
            await driven.shows(f"document.body?.innerText.includes('{STREAMS} streams')")
        await driven.evaluate(COUNT)
        async with driven.traced(page) as watching:
            await trio.sleep(WATCHED_SECONDS)
        seen = await driven.evaluate(SEEN)
        async with driven.traced(page) as using:
            await driven.evaluate(f"({SEARCH})(document.querySelector('.search'), 'camera-4')")
            await press_more(driven)
            await driven.shows("document.querySelectorAll('.card').length === 111")
            await driven.evaluate(f"({SEARCH})(document.querySelector('.search'), '')")
            for place in ("workflows", "workflows/show-7", "events", "overview"):
                await driven.evaluate(f"(location.hash = '#/{place}')")
                await trio.sleep(1)
        async with driven.traced(page) as all_shown:
            await press_more(driven)
            await driven.shows(f"document.querySelectorAll('.card').length === {STREAMS}")
            await trio.sleep(WATCHED_SECONDS)
        problems = await driven.evaluate("window.problems")
        nursery.cancel_scope.cancel()
    assert problems == []
    figures = {"opened": opening, "watched": watching, "used": using, "all cards": all_shown}
    with capsys.disabled():
        print(f"\nin {WATCHED_SECONDS} s: {seen}; the longest task, as its thread and as the clock has it:")
        for what, tasks in figures.items():
            print(f"{what}: {max(tasks.own_ms):.0f} ms, {max(tasks.wall_ms):.0f} ms")
    assert seen["readings"] > 1, "a crowd of events must not put the reading off"
    assert seen["passes"] <= 2 * seen["readings"] + 2
    assert seen["heard"] > 5 * seen["passes"]
    assert {what: max(tasks.own_ms) for what, tasks in figures.items() if max(tasks.own_ms) > LONGEST_MS} == {}
