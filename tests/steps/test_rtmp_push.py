"""`rtmp_push`: what targets get, what becomes of those that fail or stall, and what is left: nothing."""

import gc
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.errors import ConfigurationError
from mmids_trio.fanout.channel import Channel
from mmids_trio.media.events import MediaPacket, StreamEnded, StreamStarted
from mmids_trio.rtmp.protocol.events import PublishRequested
from mmids_trio.rtmp.protocol.server_connection import ServerConnection
from mmids_trio.steps.rtmp_push import MAX_TARGETS
from mmids_trio.testing.checker import StreamChecker
from mmids_trio.testing.clients import RtmpClient
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.recorder import Recorder
from mmids_trio.workflow.events import TargetDown, TargetUp
from mmids_trio.workflow.hub import Subscription
from mmids_trio.workflow.status import StreamStatus
from tests.support.publishing import WAIT_FOR_ALL
from tests.support.rtmp import zeros

STREAM = generate_stream(seconds=4)
RECEIVE = "rtmp_receive rtmp_app=live stream_key=*"


def workflow(name: str, *steps: str) -> str:
    return f"workflow {name} {{\n" + "\n".join(steps) + "\n}\n"


def pushing(*targets: str) -> str:
    return workflow("w", RECEIVE, f"rtmp_push target={','.join(targets)}", "record")


def target(port: int, app: str = "in") -> str:
    return workflow(
        f"target{port}",
        f"rtmp_receive rtmp_app={app} stream_key=* port={port}",
        f"rtmp_watch rtmp_app={app} stream_key=* port={port}",
    )


async def pace(client: RtmpClient, packets: Sequence[MediaPacket]) -> None:
    began, start = trio.current_time(), packets[0].timestamp
    for packet in packets:
        await trio.sleep_until(began + max(packet.timestamp - start, 0) / 1000)
        await client.send([packet])


async def all_of(happenings: Subscription) -> list[object]:
    """Those that have been published so far."""
    events: list[object] = []
    with trio.move_on_after(0.001):
        async for event in happenings:
            events.append(event)
    return events


def statuses(h: Harness) -> dict[str, StreamStatus]:
    return {stream.target: stream for stream in h.workflow("w").active_steps[1].streams if stream.target}


def living(kind: type[object]) -> int:
    """How many objects of a class somebody still refers to."""
    gc.collect()
    return sum(isinstance(each, kind) for each in gc.get_objects())


@asynccontextmanager
async def watching(h: Harness, key: str, port: int) -> AsyncIterator[RtmpClient]:
    client = await h.watch(f"in/{key}", port=port)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.read_until_closed)
        yield client
        nursery.cancel_scope.cancel()


@pytest.mark.thorough
async def test_only_the_named_stream_is_pushed_and_all_are_passed_on(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    push = "rtmp_push target=rtmp://t1:2001/in/key stream_name=two"
    async with (
        Harness(workflow("w", RECEIVE, push, "record") + target(2001), [recorder.step_type()]) as h,
        watching(h, "key", 2001) as watcher,
    ):
        await h.publish("one", STREAM[:20])
        await trio.sleep(1)
        assert h.workflow("w").active_steps[1].streams == ()
        await pace(await h.publish("two"), STREAM)
        await wait_all_tasks_blocked()
        assert [packet.data for packet in watcher.packets] == [packet.data for packet in STREAM]
        assert [stream.name for stream in h.workflow("w").active_steps[1].streams] == ["two"]
        assert len(recorder.packets) == 20 + len(STREAM)


@pytest.mark.thorough
async def test_every_target_gets_every_packet(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    text = pushing("rtmp://t1:2001/in/one", "rtmp://t2:2002/in/two?x=1") + target(2001) + target(2002)
    async with Harness(text, [recorder.step_type()]) as h, AsyncExitStack() as stack:
        one = await stack.enter_async_context(watching(h, "one", 2001))
        two = await stack.enter_async_context(watching(h, "two", 2002))
        source = await h.publish("key")
        await pace(source, STREAM)
        await source.send_metadata({"title": "show"})
        await source.unpublish()
        await wait_all_tasks_blocked()
        sent = [packet.data for packet in STREAM]
        assert [packet.data for packet in recorder.packets] == sent
        for client in (one, two):
            assert [packet.data for packet in client.packets] == sent
            assert [packet.timestamp for packet in client.packets] == [packet.timestamp for packet in STREAM]
            assert client.metadata[-1]["title"] == "show"
        assert statuses(h) == {}
    h.assert_quiet()


async def test_a_target_without_a_key_gets_the_streams_own_name(autojump_clock: MockClock) -> None:
    text = pushing("rtmp://t:2001/in/") + target(2001)
    async with Harness(text, [Recorder().step_type()]) as h, AsyncExitStack() as stack:
        a = await stack.enter_async_context(watching(h, "a", 2001))
        b = await stack.enter_async_context(watching(h, "b", 2001))
        for key in ("a", "b"):
            await h.publish(key, generate_stream(key, seconds=1))
        await trio.sleep(1)
        for key, client in (("a", a), ("b", b)):
            assert [p.data for p in client.packets] == [p.data for p in generate_stream(key, seconds=1)]


@pytest.mark.thorough
async def test_one_dead_and_one_stalled_target_do_not_harm_the_good_one(autojump_clock: MockClock) -> None:
    text = pushing("rtmp://good:2001/in/k", "rtmp://dead:2002/in/k", "rtmp://stalled:2003/in/k") + target(2001)
    stream = generate_stream(seconds=64, fps=10, gop=20)
    half = len(stream) // 2
    minute, later = stream[:half], stream[half:]
    async with Harness(text, [Recorder().step_type()]) as h:
        stalled = h.network.listen(None, 2003)
        with h.server.hub.subscribe() as happenings:
            async with watching(h, "k", 2001) as watcher:
                source = await h.publish("key")
                await pace(source, minute)
                await wait_all_tasks_blocked()
                assert [packet.data for packet in watcher.packets] == [packet.data for packet in minute]
                shown = statuses(h)
                assert shown["rtmp://good:2001/in/***"].state == "publishing"
                assert shown["rtmp://good:2001/in/***"].last_error is None
                assert (shown["rtmp://good:2001/in/***"].bitrate or 0) > 50_000
                assert "nobody listens" in (shown["rtmp://dead:2002/in/***"].last_error or "")
                assert "no answer within 15 s" in (shown["rtmp://stalled:2003/in/***"].last_error or "")
            await h.put(target(2002))  # it returns
            await pace(source, later)
            assert statuses(h)["rtmp://dead:2002/in/***"].state == "publishing"
            told = await all_of(happenings)
        downs = [event.target for event in told if isinstance(event, TargetDown)]
        ups = [event.target for event in told if isinstance(event, TargetUp)]
        assert sorted(downs) == ["rtmp://dead:2002/in/***", "rtmp://stalled:2003/in/***"]
        assert ups == ["rtmp://good:2001/in/***", "rtmp://dead:2002/in/***"]
        stalled.close()
    h.assert_quiet()


@pytest.mark.thorough
async def test_a_target_that_goes_away_is_called_again_and_begins_with_a_key_frame(autojump_clock: MockClock) -> None:
    async with Harness(pushing("rtmp://t:2001/in/k") + target(2001), [Recorder().step_type()]) as h:
        source = await h.publish("key")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pace, source, generate_stream(seconds=20))
            await trio.sleep(5)
            await h.stop("target2001")
            await trio.sleep(5)
            assert statuses(h)["rtmp://t:2001/in/***"].state == "waiting"
            await h.put(target(2001))
            async with watching(h, "k", 2001) as watcher:
                await trio.sleep(10)
                assert statuses(h)["rtmp://t:2001/in/***"].state == "publishing"
                report = watcher.report(generate_stream(seconds=20))
                assert watcher.packets
                assert (report.gaps, report.undecodable, report.repeated) == ((), (), ())


@pytest.mark.thorough
async def test_the_session_stays_open_over_an_interruption_and_a_change_beside_it(autojump_clock: MockClock) -> None:
    keep = f"{RECEIVE} grace=10"
    push = "rtmp_push target=rtmp://t:2001/in/k"
    recorder = Recorder()
    text = WAIT_FOR_ALL + workflow("w", keep, push, "record") + target(2001)
    async with Harness(text, [recorder.step_type()]) as h:
        with h.server.hub.subscribe() as happenings:
            async with watching(h, "k", 2001) as watcher:
                first = await h.publish("key")
                await pace(first, STREAM)
                first.close()
                await trio.sleep(3)
                await h.put(workflow("w", keep, push))
                second = await h.publish("key")
                await pace(second, generate_stream(seconds=2, seed=2))
                await wait_all_tasks_blocked()
                received = [p.data for p in watcher.packets]
                assert received == [p.data for p in (*STREAM, *generate_stream(seconds=2, seed=2))]
            told = await all_of(happenings)
        assert sum(isinstance(event, TargetUp) for event in told) == 1
        assert not any(isinstance(event, TargetDown) for event in told)


async def test_a_refusal_is_shown_without_the_key(autojump_clock: MockClock) -> None:
    async with Harness(pushing("rtmp://t:2001/in/secret") + target(2001, "other"), [Recorder().step_type()]) as h:
        await h.publish("key", STREAM)
        await trio.sleep(1)
        [shown] = statuses(h).values()
        assert shown.last_error is not None
        assert shown.last_error.startswith("it refuses")
        assert "secret" not in str(shown)


async def answer_publishers(h: Harness, code: str, *, closes: bool) -> None:
    """A target that says something with level "status" to who wants to publish, and no more."""
    listener = h.network.listen(None, 2001)
    transport = await listener.accept()
    server = ServerConnection(zeros)
    while data := await transport.receive_some(65_536):
        asked = any(isinstance(event, PublishRequested) for event in server.receive_data(data))
        if asked:
            server.send_status(1, "status", code, f"secret is {'x' * 400}")
        await transport.send_all(server.data_to_send())
        if asked and closes:
            transport.close()
            return


@pytest.mark.parametrize(
    ("code", "closes", "error"),
    [
        ("NetStream.Publish.BadName", False, "it refuses: NetStream.Publish.BadName: *** is xxx"),
        ("NetStream.Publish.Later", False, "no answer within 15 s; it said NetStream.Publish.Later: *** is xxx"),
        ("NetStream.Publish.Later", True, "it has closed the connection; it said NetStream.Publish.Later: *** is xxx"),
    ],
)
async def test_what_a_target_says_with_a_mere_status_is_shown_in_its_own_words(
    code: str, closes: bool, error: str, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    async with Harness(pushing("rtmp://t:2001/in/secret"), [Recorder().step_type()]) as h:
        nursery.start_soon(partial(answer_publishers, h, code, closes=closes))
        await wait_all_tasks_blocked()
        await h.publish("key", STREAM)
        await trio.sleep(15.1)
        [shown] = statuses(h).values()
        assert shown.last_error is not None
        assert shown.last_error.startswith(error)
        assert len(shown.last_error) < 400
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "value", ["http://a/b/c", "rtmp://a/b", ",".join(f"rtmp://h{n}/a/k" for n in range(MAX_TARGETS + 1))]
)
def test_targets_are_checked_before_anything_runs(value: str) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        Harness(pushing(value), [Recorder().step_type()])


async def test_nothing_is_left_when_the_workflow_stops_in_the_middle(autojump_clock: MockClock) -> None:
    text = pushing("rtmp://t1:2001/in/k", "rtmp://dead:9/in/k") + target(2001)
    async with Harness(text, [Recorder().step_type()]) as h:
        await h.publish("key", STREAM)
        await trio.sleep(0.2)
        began = trio.current_time()
        await h.stop("w")
        assert trio.current_time() - began < 3
    h.assert_quiet()


@pytest.mark.thorough
async def test_a_stream_that_is_over_is_forgotten_though_it_never_had_a_frame(autojump_clock: MockClock) -> None:
    """No target was called for it, so none that goes can take it along."""
    headers = [packet for packet in STREAM if packet.is_sequence_header]
    async with Harness(pushing("rtmp://t:2001/in/k") + target(2001), [Recorder().step_type()]) as h:
        before = living(Channel)
        for number in range(3):
            source = await h.publish(f"key{number}", headers)
            await wait_all_tasks_blocked()
            assert living(Channel) == before + 1
            await source.unpublish()
            await wait_all_tasks_blocked()
        assert statuses(h) == {}
        assert living(Channel) == before


@pytest.mark.thorough
async def test_a_stream_that_is_over_is_forgotten_once_its_targets_have_gone(autojump_clock: MockClock) -> None:
    async with Harness(pushing("rtmp://dead:9/in/k"), [Recorder().step_type()]) as h:
        before = living(Channel)
        source = await h.publish("key", STREAM)
        await wait_all_tasks_blocked()
        assert living(Channel) == before + 1
        await source.unpublish()
        await wait_all_tasks_blocked()
        assert living(Channel) == before


@pytest.mark.thorough
async def test_the_rest_for_a_target_that_takes_nothing_is_given_up_after_two_seconds(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    busy = workflow("busy", "rtmp_receive rtmp_app=in stream_key=* port=2001", "busy")
    packets = generate_stream(seconds=10, frame_bytes=20_000)
    async with Harness(pushing("rtmp://t:2001/in/k") + busy, [Recorder().step_type(), recorder.step_type("busy")]) as h:
        source = await h.publish("key", packets[:10])
        await wait_all_tasks_blocked()
        recorder.hold()
        await pace(source, packets[10:])
        assert statuses(h)["rtmp://t:2001/in/***"].state == "publishing"
        await source.unpublish()
        await trio.sleep(1.9)
        assert statuses(h)["rtmp://t:2001/in/***"].state == "publishing"
        await trio.sleep(0.2)
        assert statuses(h) == {}
        recorder.release()


@pytest.mark.thorough
async def test_the_end_of_the_workflow_waits_two_seconds_for_a_target_that_takes_nothing(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    busy = workflow("busy", "rtmp_receive rtmp_app=in stream_key=* port=2001", "busy")
    async with Harness(pushing("rtmp://t:2001/in/k") + busy, [Recorder().step_type(), recorder.step_type("busy")]) as h:
        source = await h.publish("key", STREAM[:10])
        await wait_all_tasks_blocked()
        recorder.hold()
        await pace(source, generate_stream(seconds=10, frame_bytes=20_000))
        began = trio.current_time()
        await h.stop("w")
        assert trio.current_time() - began <= 2
        recorder.release()


@pytest.mark.thorough
async def test_a_target_that_takes_the_rest_in_time_hears_goodbye_at_the_end_of_the_workflow(
    autojump_clock: MockClock,
) -> None:
    """One that has heard it does not wait for its publisher to come back."""
    recorder = Recorder()
    busy = workflow("busy", "rtmp_receive rtmp_app=in stream_key=* port=2001 grace=60", "busy")
    async with Harness(pushing("rtmp://t:2001/in/k") + busy, [Recorder().step_type(), recorder.step_type("busy")]) as h:
        source = await h.publish("key", STREAM[:10])
        await wait_all_tasks_blocked()
        recorder.hold()
        await pace(source, generate_stream(seconds=10, frame_bytes=20_000))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(h.stop, "w")
            await trio.sleep(1)
            recorder.release()
        await wait_all_tasks_blocked()
        assert [type(event) for event in recorder.events].count(StreamEnded) == 1
        assert h.workflow("busy").active_steps[0].streams == ()


HEVC = generate_stream(seconds=4, video_codec="hvc1", seed=1)
BOTH = [*STREAM, *(evolve(packet, timestamp=packet.timestamp + 4_000) for packet in HEVC)]


def streams_of(recorder: Recorder) -> list[str]:
    return [event.stream_id for event in recorder.events if isinstance(event, StreamStarted)]


@pytest.mark.thorough
async def test_another_codec_is_another_session_for_targets_and_the_same_one_for_watchers(
    autojump_clock: MockClock,
) -> None:
    """R2: a server decides on the codec when a session begins."""
    at_target, passed_on = Recorder(), Recorder()
    text = workflow("w", RECEIVE, "rtmp_push target=rtmp://t:2001/in/key", "passed_on")
    receiving = workflow("target", "rtmp_receive rtmp_app=in stream_key=* port=2001", "record")
    async with Harness(text + receiving, [at_target.step_type(), passed_on.step_type("passed_on")]) as h:
        publisher = await h.publish("live/show")
        await pace(publisher, BOTH)
        publisher.close()
        await trio.sleep(5)
        assert len(streams_of(passed_on)) == 1
        first, second = (
            [event for event in at_target.events if event.stream_id == stream_id and isinstance(event, MediaPacket)]
            for stream_id in streams_of(at_target)
        )
        for session, sent in ((first, STREAM), (second, HEVC)):
            checker = StreamChecker(sent)
            checker.receive_packets(session)
            report = checker.report()
            assert (report.missed, report.unknown) == ((), 0)


@pytest.mark.thorough
async def test_a_stream_that_changes_its_codec_without_end_costs_a_session_a_second(autojump_clock: MockClock) -> None:
    at_target, text = Recorder(), workflow("w", RECEIVE, "rtmp_push target=rtmp://t:2001/in/key")
    receiving = workflow("target", "rtmp_receive rtmp_app=in stream_key=* port=2001", "record")
    async with Harness(text + receiving, [at_target.step_type()]) as h:
        publisher = await h.publish("live/show")
        for number in range(100):
            await pace(publisher, (STREAM if number % 2 else HEVC)[:5])
            assert living(Channel) <= 4
        publisher.close()
        await trio.sleep(5)
        assert 1 < len(streams_of(at_target)) <= trio.current_time()


async def test_what_waits_for_targets_is_charged_to_the_publisher_until_it_goes(autojump_clock: MockClock) -> None:
    async with Harness(workflow("w", RECEIVE, "rtmp_push target=rtmp://dead:2002/in/k")) as h:
        source = await h.publish("key", generate_stream(seconds=4))
        await trio.sleep(1)
        [address] = h.server.memory._of_source
        assert h.server.memory.held == h.server.memory.of_source(address) > 10_000
        assert "mmids_media_held_bytes 0" not in (await h.http.get("/metrics")).text
        source.close()
        await trio.sleep(60)
        assert h.server.memory.held == 0
    h.assert_quiet()
