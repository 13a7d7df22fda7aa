"""`rtmp_pull`: a stream of another server comes in, goes on over lost connections, and ends when it is over."""

from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.errors import ConfigurationError
from mmids_trio.media.events import MediaEvent, StreamEnded, StreamMetadata, StreamStarted
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.recorder import Recorder

STREAM = generate_stream(seconds=3)


def workflow(name: str, *steps: str) -> str:
    return f"workflow {name} {{\n" + "\n".join(steps) + "\n}\n"


ORIGIN = workflow("origin", "rtmp_receive rtmp_app=live stream_key=*", "rtmp_watch rtmp_app=live stream_key=*")


def pulling(options: str = "") -> str:
    return workflow("w", f"rtmp_pull location=rtmp://origin/live/key stream_name=show {options}", "record")


def boundaries(events: Sequence[MediaEvent]) -> list[type[MediaEvent]]:
    return [type(event) for event in events if isinstance(event, (StreamStarted, StreamEnded))]


async def test_what_the_source_sends_comes_in_unchanged(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with Harness(ORIGIN + pulling(), [recorder.step_type()]) as h:
        source = await h.publish("key")
        await source.send_metadata({"width": 640.0})
        await source.send(STREAM)
        await wait_all_tasks_blocked()
        assert [packet.data for packet in recorder.packets] == [packet.data for packet in STREAM]
        assert [packet.timestamp for packet in recorder.packets] == [packet.timestamp for packet in STREAM]
        [started, *_] = recorder.events
        assert isinstance(started, StreamStarted)
        assert started.stream_name == "show"
        assert any(isinstance(event, StreamMetadata) and event.values["width"] == 640 for event in recorder.events)
        await source.unpublish()
        await wait_all_tasks_blocked()
        assert boundaries(recorder.events) == [StreamStarted, StreamEnded]
        await source.publish("key", STREAM)
        await wait_all_tasks_blocked()
        assert boundaries(recorder.events) == [StreamStarted, StreamEnded, StreamStarted]
    h.assert_quiet()


@pytest.mark.parametrize(("options", "expected"), [("", 2), ("grace=20", 1)])
async def test_a_source_that_comes_back_is_another_stream_unless_it_was_waited_for(
    options: str, expected: int, autojump_clock: MockClock
) -> None:
    recorder = Recorder()
    async with Harness(ORIGIN + pulling(options), [recorder.step_type()]) as h:
        source = await h.publish("key", STREAM)
        await wait_all_tasks_blocked()
        await h.stop("origin")
        await source.read_until_closed()
        await trio.sleep(2)
        [status] = h.workflow("w").active_steps[0].streams
        assert status.state == ("interrupted" if options else "waiting")
        await h.put(ORIGIN)
        await h.publish("key", STREAM)
        await trio.sleep(10)
        assert boundaries(recorder.events).count(StreamStarted) == expected
        assert h.workflow("w").active_steps[0].streams[0].state == "playing"


async def test_after_the_grace_it_ends(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with Harness(ORIGIN + pulling("grace=5"), [recorder.step_type()]) as h:
        await h.publish("key", STREAM)
        await wait_all_tasks_blocked()
        await h.stop("origin")
        await trio.sleep(4.9)
        assert boundaries(recorder.events) == [StreamStarted]
        await trio.sleep(0.2)
        assert boundaries(recorder.events) == [StreamStarted, StreamEnded]


async def test_a_source_that_is_silent_is_called_anew(autojump_clock: MockClock) -> None:
    async with Harness(pulling(), [Recorder().step_type()]) as h:
        listener = h.network.listen(None, 1935)
        first = await listener.accept()
        await first.receive_some(10_000)
        first.close()
        await trio.sleep(2)
        [status] = h.workflow("w").active_steps[0].streams
        assert status.last_error == "it has closed the connection"
        await listener.accept()
        await trio.sleep(20)
        [status] = h.workflow("w").active_steps[0].streams
        assert status.last_error == "no answer within 15 s"
        listener.close()
    h.assert_quiet()


@pytest.mark.parametrize("location", ["rtmp://host/live/", "http://host/live/key", "rtmp://host"])
def test_the_location_is_checked_before_anything_runs(location: str) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        Harness(workflow("w", f"rtmp_pull location={location} stream_name=show"))
