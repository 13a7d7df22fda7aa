"""`rtmp_receive` and `rtmp_watch` as steps of a workflow: what they emit, and what they let pass."""

import pytest
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.errors import ConfigurationError
from mmids_trio.media.events import MediaEvent, StreamEnded, StreamMetadata, StreamStarted
from mmids_trio.steps.registry import StepRegistry
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.network import MemoryNetwork
from mmids_trio.testing.recorder import Recorder
from tests.support.numbered_events import legality

PACKETS = generate_stream(seconds=2)


def workflow(*steps: str) -> str:
    return "workflow w {\n" + "\n".join(steps) + "\n}\n"


RECEIVE = "rtmp_receive rtmp_app=live stream_key=*"
WATCH = "rtmp_watch rtmp_app=live stream_key=*"


async def two_publishers(h: Harness) -> None:
    for key in ("a", "b", "a"):
        client = await h.publish(key, PACKETS[:10])
        await client.unpublish()
        await wait_all_tasks_blocked()


async def test_the_same_publishers_give_the_same_events(autojump_clock: MockClock) -> None:
    runs: list[list[MediaEvent]] = []
    for _ in range(2):
        recorder = Recorder()
        async with Harness(workflow(RECEIVE, "record"), [recorder.step_type()]) as h:
            await two_publishers(h)
        runs.append(recorder.events)
    assert runs[0] == runs[1]
    started = [event for event in runs[0] if isinstance(event, StreamStarted)]
    assert [event.stream_name for event in started] == ["a", "b", "a"]
    assert [event.stream_id.rpartition("/")[2] for event in started] == ["1", "2", "3"]
    assert all(event.stream_id.startswith("w/") for event in started)


async def test_the_name_of_a_stream_is_its_key_without_the_query(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with Harness(workflow(RECEIVE, "record"), [recorder.step_type()]) as h:
        await h.publish("live/a/b?token=secret")
        await wait_all_tasks_blocked()
        [started] = recorder.events
        assert isinstance(started, StreamStarted)
        assert started.stream_name == "a/b"


async def test_what_comes_before_a_receiving_step_does_not_get_past_it(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    steps = (RECEIVE, "rtmp_receive rtmp_app=other stream_key=*", "record")
    async with Harness(workflow(*steps), [recorder.step_type()]) as h:
        await h.publish("a", PACKETS)
        await h.publish("other/b", PACKETS)
        await wait_all_tasks_blocked()
        assert [event.stream_name for event in recorder.events if isinstance(event, StreamStarted)] == ["b"]


async def test_a_watch_step_passes_everything_on_unchanged_and_in_order(autojump_clock: MockClock) -> None:
    before, after = Recorder(), Recorder()
    types = [before.step_type("before"), after.step_type("after")]
    async with Harness(workflow(RECEIVE, "before", WATCH, "after"), types) as h:
        await h.watch("a")
        a, b = await h.publish("a"), await h.publish("b")
        await a.send_metadata({"width": 1.0})
        for place in range(0, len(PACKETS), 10):
            await a.send(PACKETS[place : place + 10])
            await b.send(PACKETS[place : place + 10])
        await a.unpublish()
        await wait_all_tasks_blocked()
        assert len(before.events) == 2 * len(PACKETS) + 4
        assert {type(event) for event in before.events} >= {StreamEnded, StreamMetadata}
        assert all(one is other for one, other in zip(before.events, after.events, strict=True))
        assert legality(after.events) is None


async def test_what_comes_in_a_burst_after_a_standstill_reaches_every_watcher_that_can_take_it(
    autojump_clock: MockClock,
) -> None:
    """More than the log of a channel keeps: it has to be sent before it is forgotten."""
    recorder, packets = Recorder(), generate_stream(seconds=60, fps=10, gop=20)
    network = MemoryNetwork(buffer_size=4 * 1024 * 1024)
    async with Harness(workflow(RECEIVE, "record", WATCH), [recorder.step_type()], network) as h:
        watcher = await h.watch("key")
        recorder.hold()
        publisher = await h.publish("key")
        await publisher.send(packets)
        await wait_all_tasks_blocked()
        recorder.release()
        await watcher.read_until(lambda: watcher.packets[-1:] != [] and watcher.packets[-1].data == packets[-1].data)
        assert watcher.report(packets).is_flawless_from_join
        assert watcher.report(packets).missed == ()


async def test_an_exact_key_serves_the_first_stream_under_that_key(autojump_clock: MockClock) -> None:
    async with Harness(workflow(RECEIVE, "rtmp_watch rtmp_app=live stream_key=show")) as h:
        watcher = await h.watch("show")
        await h.publish("studio", PACKETS)
        await watcher.read_until(lambda: PACKETS[-1].data in [packet.data for packet in watcher.packets])
        assert watcher.report(PACKETS).missed == ()


async def test_two_watch_steps_serve_the_same_stream(autojump_clock: MockClock) -> None:
    async with Harness(workflow(RECEIVE, WATCH, "rtmp_watch rtmp_app=copy stream_key=*")) as h:
        watchers = [await h.watch("a"), await h.watch("copy/a")]
        await h.publish("a", PACKETS)
        for watcher in watchers:
            await watcher.receive(len(PACKETS))
            assert watcher.report(PACKETS).missed == ()


@pytest.mark.parametrize("step", [RECEIVE, WATCH, "workflow_forwarder"])
def test_a_reactor_that_is_not_there_is_an_error_that_says_so(step: str) -> None:
    with pytest.raises(ConfigurationError, match="there is no reactor 'lookups'; there is none"):
        Harness(workflow(f"{step} reactor=lookups"))


async def test_an_application_with_slashes_around_it_is_the_same_to_clients(autojump_clock: MockClock) -> None:
    async with Harness(workflow("rtmp_receive rtmp_app=/live/room/ stream_key=*")) as h:
        await (await h.connect("live/room")).publish("a")
        await (await h.connect("/live/room/")).publish("b")


def test_the_registry_knows_every_kind_of_step_of_the_specification(registry: StepRegistry) -> None:
    assert set(registry._types) >= {
        "basic_transcode",
        "ffmpeg_hls",
        "ffmpeg_pull",
        "ffmpeg_push",
        "ffmpeg_transcode",
        "forward_to_workflow",
        "rtmp_receive",
        "rtmp_watch",
        "workflow_forwarder",
    }
