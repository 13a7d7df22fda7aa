"""The last hour of a server: what is kept of it, for how long, and how much of it at most."""

import json
from typing import Any

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock

from mmids_trio.http_api import timeline as timeline_module
from mmids_trio.http_api.disk_forecast import LEAST_SECONDS, Disks, seconds_left
from mmids_trio.http_api.event_feed import EventFeed
from mmids_trio.http_api.timeline import KEPT_SECONDS, MAX_KIND_BYTES, MAX_MOMENTS, SAMPLE_SECONDS, Timeline
from mmids_trio.media.events import StreamId
from mmids_trio.on_air.directory import ClientSource, OnAir, StreamEntry
from mmids_trio.on_air.views import Asked, ClientNow, Peer, StreamNow
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.workflow.events import ClientJoined, WorkflowEnded, WorkflowStarted
from mmids_trio.workflow.hub import EventHub

MEDIA = generate_stream(seconds=2, audio=False)


class Owner:
    """A step."""

    workflow, step_id = "show", "1"


@define
class Server:
    """What a timeline looks at; the calendar goes with the clock, from second 1,000,000 on."""

    on_air: OnAir = field(factory=lambda: OnAir(nonce="f00", clock=trio.current_time))
    hub: EventHub = field(factory=EventHub)
    feed: EventFeed = field(init=False)
    timeline: Timeline = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.feed = EventFeed(self.hub, trio.Event())
        self.timeline = Timeline(self.on_air, self.hub, self.feed, lambda: 1_000_000 + trio.current_time())

    def begin(self, name: str = "key", state: str = "interrupted") -> StreamEntry:
        return self.on_air.begin(StreamId(name), name, Owner(), lambda: StreamNow(state))  # type: ignore[arg-type]

    def watch(self) -> None:
        source = ClientSource(stream_id=lambda: None, now=lambda: ClientNow("watching", 0), send_away=lambda _: None)
        self.on_air.join(Peer("rtmp", "192.0.2.7", 1, ""), Asked("watcher", "a", "b", None), Owner(), source)

    async def seen(self) -> Any:
        return json.loads(await self.timeline.text())


@pytest.fixture
async def server(nursery: trio.Nursery) -> Server:
    """One whose timeline looks and listens."""
    server = Server()
    await nursery.start(server.feed.run)
    await nursery.start(server.timeline.run)
    await trio.sleep(1)
    return server


async def test_media_and_watchers_are_measured_every_ten_seconds(autojump_clock: MockClock, server: Server) -> None:
    entry = server.begin()
    server.watch()
    entry.meter.note(MEDIA, trio.current_time())
    await trio.sleep(2 * SAMPLE_SECONDS)
    seen = await server.seen()
    assert seen["time"] == [1_000_000 + SAMPLE_SECONDS, 1_000_000 + 2 * SAMPLE_SECONDS]
    assert seen["bitrate"] == [round(8 * sum(len(packet.data) for packet in MEDIA) / SAMPLE_SECONDS), 0]
    assert seen["watchers"] == [1, 1]
    assert seen["publishers"] == [0, 0]


async def test_a_stream_was_what_its_step_said_until_it_ended(autojump_clock: MockClock, server: Server) -> None:
    states = ["interrupted"]
    entry = server.on_air.begin(StreamId("x"), "key", Owner(), lambda: StreamNow(states[0]))  # type: ignore[arg-type]
    await trio.sleep(2 * SAMPLE_SECONDS)
    states[0] = "slate"
    await trio.sleep(SAMPLE_SECONDS)
    server.on_air.end(entry)
    await trio.sleep(SAMPLE_SECONDS)
    [lane] = (await server.seen())["streams"]
    at = [1_000_001, *(1_000_000 + SAMPLE_SECONDS * count for count in (3, 4))]  # it began between two looks
    assert lane["states"] == [{"since": at[0], "state": "interrupted"}, {"since": at[1], "state": "slate"}]
    assert (lane["id"], lane["name"], lane["workflow"], lane["ended"]) == (entry.id, "key", "show", at[2])


async def test_events_have_the_ids_that_the_stream_of_events_gives_them_and_clients_are_a_curve(
    autojump_clock: MockClock, server: Server
) -> None:
    server.hub.publish(WorkflowStarted("show"))
    joined = ClientJoined(*[""] * len(ClientJoined.__attrs_attrs__))
    server.hub.publish(joined)
    server.hub.publish(WorkflowEnded("show"))
    events = (await server.seen())["events"]
    ids = [server.feed.history.id_of(number) for number in (1, 3)]
    assert [(event["id"], event["type"], event["workflow"]) for event in events] == [
        (ids[0], "workflow_started", "show"),
        (ids[1], "workflow_ended", "show"),
    ]
    assert events[0]["time"] == "1970-01-12T13:46:41.000Z"


async def test_what_is_older_than_an_hour_is_forgotten(autojump_clock: MockClock, server: Server) -> None:
    server.hub.publish(WorkflowStarted("show"))
    server.on_air.end(server.begin())
    stays = server.begin("stays")
    await trio.sleep(KEPT_SECONDS + 3 * SAMPLE_SECONDS)
    seen = await server.seen()
    assert seen["events"] == []
    assert [lane["name"] for lane in seen["streams"]] == [stays.name]
    assert len(seen["time"]) == MAX_MOMENTS


async def test_a_flood_of_one_kind_of_event_costs_no_other_and_is_bounded_and_counted(
    autojump_clock: MockClock, server: Server
) -> None:
    server.hub.publish(WorkflowEnded("first"))
    for number in range(1000):
        server.hub.publish(WorkflowStarted(f"workflow {number}"))
    seen = await server.seen()
    assert seen["events"][0]["workflow"] == "first"
    started = [event for event in seen["events"] if event["type"] == "workflow_started"]
    assert started[-1]["workflow"] == "workflow 999"
    assert sum(len(json.dumps(event)) for event in started) <= MAX_KIND_BYTES
    assert seen["left_out"] == 1000 - len(started) > 0


async def test_streams_that_are_over_make_room_for_new_ones(
    autojump_clock: MockClock, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeline_module, "MAX_LANES", 2)
    over = server.begin("over")
    server.begin("stays")
    await trio.sleep(SAMPLE_SECONDS)
    server.begin("one too many")
    await trio.sleep(SAMPLE_SECONDS)
    assert [lane["name"] for lane in (await server.seen())["streams"]] == ["over", "stays"]
    server.on_air.end(over)
    await trio.sleep(2 * SAMPLE_SECONDS)
    seen = await server.seen()
    assert [lane["name"] for lane in seen["streams"]] == ["stays", "one too many"]
    assert seen["left_out"] > 0


async def test_the_hour_is_there_over_the_api(autojump_clock: MockClock) -> None:
    async with Harness("workflow show {\n rtmp_receive rtmp_app=live stream_key=*\n}\n") as h:
        seen = (await h.http.get("/timeline")).json()
        assert (seen["seconds"], seen["events"], seen["time"]) == (3600, [], [])


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ([], None),
        ([(0, 100)], None),
        ([(0, 1000), (LEAST_SECONDS - 1, 0)], None),
        ([(0, 1000), (100, 900)], 900),
        ([(0, 1000), (50, 2000), (100, 500)], 100),
        ([(0, 1000), (100, 1000)], None),
        ([(0, 1000), (100, 2000)], None),
        ([(0, 1000), (100, 0)], 0),
    ],
)
def test_a_disk_is_full_when_its_pace_says_so(looks: list[tuple[float, int]], expected: float | None) -> None:
    assert seconds_left(looks) == expected


async def test_directories_on_one_disk_are_one_and_one_that_is_not_there_is_left_out(autojump_clock: MockClock) -> None:
    free = {"logs": 1000, "hls": 1000, "other": 50}

    def free_bytes(directory: str) -> int:
        if directory not in free:
            raise FileNotFoundError(2, "No such file or directory")
        return free[directory]

    async def at_once(work: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return work()

    disks = Disks(lambda: ["logs", "hls", "logs", "missing", "other"], free_bytes, at_once)
    await disks.look()
    await trio.sleep(LEAST_SECONDS)
    free["logs"] = free["hls"] = 400
    await disks.look()
    assert [(view.directories, view.free, view.seconds_left) for view in disks.views()] == [
        (("logs", "hls"), 400, 40),
        (("other",), 50, None),
    ]
