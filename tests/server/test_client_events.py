"""`client_joined` and `client_left`: once per client and in order, whatever happens to what it uses."""

from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock

from mmids_trio.testing import Harness, generate_stream
from mmids_trio.workflow.events import ClientJoined, ClientLeft, StreamChanged
from tests.support.reloading import File

SHOW = """workflow show {
    rtmp_receive rtmp_app=live stream_key=*
    rtmp_watch rtmp_app=live stream_key=*
}
"""
FORWARDED = """workflow in {
    rtmp_receive rtmp_app=in stream_key=*
    workflow_forwarder target_workflow=out
}
workflow out {
    rtmp_watch rtmp_app=out stream_key=*
}
"""


def of_clients(h: Harness) -> list[ClientJoined | ClientLeft]:
    return [event for event in h.events() if isinstance(event, ClientJoined | ClientLeft)]


def in_short(h: Harness) -> list[tuple[str, str]]:
    return [(event.wire_name, event.role) for event in of_clients(h)]


def check_once_each(events: Sequence[ClientJoined | ClientLeft], clients: int) -> None:
    """So many clients have joined once and left once, each in this order."""
    assert len({event.client for event in events}) == clients
    for one in {event.client for event in events}:
        assert [event.wire_name for event in events if event.client == one] == ["client_joined", "client_left"]


async def test_who_comes_and_goes_is_told_with_how_long_and_how_much(autojump_clock: MockClock) -> None:
    async with Harness(SHOW) as h:
        packets = list(generate_stream(seconds=2))
        publisher = await h.publish("live/talk", packets)
        watcher = await h.watch("live/talk")
        await watcher.receive(5)
        assert in_short(h) == [("client_joined", "publisher"), ("client_joined", "watcher")]
        await trio.sleep(2)
        watcher.close()
        seen = await h.wait_event(ClientLeft, since=0)
        assert (seen.role, seen.name, seen.workflow, seen.protocol) == ("watcher", "talk", "show", "rtmp")
        assert 2 <= seen.seconds < 3
        assert seen.bytes > 0
        publisher.close()
        sent = await h.wait_event(lambda event: isinstance(event, ClientLeft) and event.role == "publisher", since=0)
        assert isinstance(sent, ClientLeft)
        assert sent.bytes == sum(len(packet.data) for packet in packets)
        check_once_each(of_clients(h), 2)


async def test_who_is_sent_away_is_told_with_the_reason(autojump_clock: MockClock) -> None:
    async with Harness(SHOW) as h:
        await h.publish("live/talk")
        await h.watch("live/talk")
        [_, joined] = of_clients(h)
        assert (await h.http.delete(f"/clients/{joined.client}")).status == 200
        left = await h.wait_event(ClientLeft, since=0)
        assert (left.client, left.reason) == (joined.client, "sent away over the API")


async def test_a_put_that_keeps_the_steps_tells_nothing_and_one_that_replaces_them_tells_each_once(
    autojump_clock: MockClock,
) -> None:
    async with Harness(SHOW) as h:
        await h.publish("live/talk")
        for _ in range(3):
            await h.watch("live/talk")
        before = of_clients(h)
        await h.put(SHOW.replace("}\n", "    rtmp_watch rtmp_app=more stream_key=*\n}\n"))
        assert of_clients(h) == before
        await h.put(SHOW.replace("live stream_key=*\n}", "live stream_key=* gop_cache=false\n}"))
        await h.wait_event(ClientLeft, since=0)
        await h.stop("show")
        check_once_each(of_clients(h), 4)


async def test_a_publisher_that_takes_over_is_another_client(autojump_clock: MockClock) -> None:
    text = SHOW.replace("stream_key=*\n", "stream_key=* on_busy=takeover\n", 1)
    async with Harness(text) as h:
        await h.publish("live/talk")
        second = await h.publish("live/talk")
        await h.wait_event(ClientLeft, since=0)
        second.close()
        await h.stop("show")
        check_once_each(of_clients(h), 2)


async def test_watchers_behind_a_forwarder_are_told_where_they_watch(autojump_clock: MockClock) -> None:
    async with Harness(FORWARDED) as h:
        publisher = await h.publish("in/talk")
        watcher = await h.watch("out/talk")
        publisher.close()
        await h.wait_event(lambda event: isinstance(event, ClientLeft) and event.workflow == "in", since=0)
        assert [(event.wire_name, event.workflow) for event in of_clients(h)] == [
            ("client_joined", "in"),
            ("client_joined", "out"),
            ("client_left", "in"),
        ]
        watcher.close()
        await h.wait_event(lambda event: isinstance(event, ClientLeft) and event.workflow == "out", since=0)
        check_once_each(of_clients(h), 2)


async def test_a_reload_tells_nothing_of_who_stays(autojump_clock: MockClock) -> None:
    file = File(SHOW)
    async with file.harness as h:
        await h.publish("live/talk")
        await h.watch("live/talk")
        before = of_clients(h)
        file.text = SHOW + SHOW.replace("show", "other").replace("live", "other")
        assert await file.signal() == "applied"
        assert of_clients(h) == before
    check_once_each(of_clients(h), 2)


async def test_another_configuration_of_a_stream_is_told_once(autojump_clock: MockClock) -> None:
    async with Harness(SHOW) as h:
        publisher = await h.publish("live/talk", generate_stream(seconds=1))
        await h.wait_event(ClientJoined, since=0)
        await publisher.send(generate_stream(seconds=1, video_codec="hvc1", b_frames=0))
        changed = await h.wait_event(StreamChanged, since=0)
        assert (changed.name, changed.kind, changed.codec) == ("talk", "video", "hvc1")


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("?workflow=out", {"out"}),
        ("?workflow=in&types=client_joined", {"in"}),
        ("?types=client_joined", {"in", "out"}),
    ],
)
async def test_a_stream_of_events_may_be_about_one_workflow(
    query: str, wanted: set[str], autojump_clock: MockClock
) -> None:
    async with Harness(FORWARDED) as h, h.http.stream("GET", f"/events{query}") as stream:
        await h.publish("in/talk")
        await h.watch("out/talk")
        await h.publish("in/last")
        found: list[str] = []
        with trio.move_on_after(5):
            while (line := await stream.read_line()) is not None:
                found.append(line)
        workflows = {name for line in found for name in ("in", "out") if f'"workflow": "{name}"' in line}
        assert workflows == wanted
