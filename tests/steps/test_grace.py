"""A stream whose publisher has vanished: it waits, goes on, or ends, and nobody behind it is cut meanwhile."""

from collections.abc import Sequence

import pytest
import trio
from attrs import define, evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.media.events import MediaEvent, MediaPacket, StreamEnded, StreamStarted
from mmids_trio.rtmp.server.endpoints import Publication
from mmids_trio.steps.publishers import Publishers
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.recorder import Recorder
from mmids_trio.testing.step_ends import FakeStepContext
from mmids_trio.workflow.events import StreamInterrupted, StreamResumed
from tests.support.effort import some_of
from tests.support.publishing import WAIT_FOR_ALL, Guest, Sink
from tests.support.reactors import ScriptedReactor

FIRST = generate_stream(seconds=2, seed=1)
SECOND = generate_stream(seconds=2, seed=2)
RECEIVE = "rtmp_receive rtmp_app=live stream_key=* grace=5"
WATCH = "rtmp_watch rtmp_app=live stream_key=*"


def workflow(*steps: str) -> str:
    return "workflow w {\n" + "\n".join(steps) + "\n}\n"


def boundaries(events: Sequence[MediaEvent]) -> list[type[MediaEvent]]:
    return [type(event) for event in events if isinstance(event, (StreamStarted, StreamEnded))]


async def test_a_publisher_that_comes_back_in_time_goes_on_for_the_same_watchers(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with Harness(WAIT_FOR_ALL + workflow(RECEIVE, WATCH, "record"), [recorder.step_type()]) as h:
        watcher = await h.watch("key")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watcher.read_until_closed)
            first = await h.publish("key", FIRST)
            await wait_all_tasks_blocked()
            first.close()
            await trio.sleep(4.9)
            [step, *_] = h.workflow("w").active_steps
            [stream] = step.streams
            assert (stream.name, stream.state) == ("key", "interrupted")
            assert stream.seconds_left == pytest.approx(0.1)
            await h.publish("key", SECOND)
            await wait_all_tasks_blocked()
            assert h.workflow("w").active_steps[0].streams == ()
            await trio.sleep(20)
            assert boundaries(recorder.events) == [StreamStarted]
            assert [packet.data for packet in watcher.packets] == [packet.data for packet in (*FIRST, *SECOND)]
            assert not watcher.is_disconnected
            nursery.cancel_scope.cancel()
    h.assert_quiet()


async def test_what_the_log_says_of_it_names_the_workflow(autojump_clock: MockClock) -> None:
    with capture_logs() as logs:
        async with Harness(WAIT_FOR_ALL + workflow(RECEIVE)) as h:
            first = await h.publish("key", FIRST)
            await wait_all_tasks_blocked()
            first.close()
            await trio.sleep(1)
            await h.publish("key", SECOND)
            await wait_all_tasks_blocked()
    told = {line["event"]: (line.get("workflow"), line.get("stream")) for line in logs}
    assert told["stream interrupted"] == told["stream goes on"] == ("w", "key")


async def test_after_the_grace_it_ends_everywhere(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with Harness(WAIT_FOR_ALL + workflow(RECEIVE, WATCH, "record"), [recorder.step_type()]) as h:
        first = await h.publish("key", FIRST)
        await wait_all_tasks_blocked()
        first.close()
        await trio.sleep(4.999)
        assert boundaries(recorder.events) == [StreamStarted]
        await trio.sleep(0.002)
        assert boundaries(recorder.events) == [StreamStarted, StreamEnded]
        await h.publish("key", SECOND)
        await wait_all_tasks_blocked()
        assert boundaries(recorder.events) == [StreamStarted, StreamEnded, StreamStarted]


async def test_one_that_says_goodbye_ends_it_at_once(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with Harness(WAIT_FOR_ALL + workflow(RECEIVE, "record"), [recorder.step_type()]) as h:
        first = await h.publish("key", FIRST)
        await first.unpublish()
        await wait_all_tasks_blocked()
        assert boundaries(recorder.events) == [StreamStarted, StreamEnded]


async def test_one_whose_network_is_gone_is_noticed_by_its_silence(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    text = "settings {\npublisher_timeout 10\ngrace_after 0\n}\n" + workflow(RECEIVE, "record")
    async with Harness(text, [recorder.step_type()]) as h:
        await h.publish("key", FIRST)
        await trio.sleep(9.9)
        assert h.workflow("w").active_steps[0].streams == ()
        await trio.sleep(0.2)
        assert [stream.state for stream in h.workflow("w").active_steps[0].streams] == ["interrupted"]
        await trio.sleep(5)
        assert boundaries(recorder.events) == [StreamStarted, StreamEnded]


@pytest.mark.parametrize("change", ["delete", "put"])
async def test_the_end_of_the_step_waits_for_nobody(change: str, autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with Harness(WAIT_FOR_ALL + workflow(RECEIVE, "record"), [recorder.step_type()]) as h:
        first = await h.publish("key", FIRST)
        await wait_all_tasks_blocked()
        first.close()
        await wait_all_tasks_blocked()
        await h.publish("other", FIRST)
        began = trio.current_time()
        if change == "delete":
            await h.stop("w")
        else:
            await h.put(workflow(RECEIVE.replace("grace=5", "grace=6"), "record"))
            await wait_all_tasks_blocked()
            assert boundaries(recorder.events) == 2 * [StreamStarted] + 2 * [StreamEnded]
        assert trio.current_time() - began < 2
    h.assert_quiet()


# The rules alone.


async def test_the_approval_is_kept_while_the_stream_waits_and_released_with_it(autojump_clock: MockClock) -> None:
    reactor, sink = ScriptedReactor({"key": True}), Sink()
    publishers = Publishers(FakeStepContext(), sink, reactor, grace=5)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(publishers.end_overdue)
        publication = await publishers.publish("key", Guest())
        publication.vanish()
        assert len(reactor.held) == 1
        await trio.sleep(6)
        assert not reactor.held
        nursery.cancel_scope.cancel()
    assert boundaries(sink.events) == [StreamStarted, StreamEnded]


async def test_an_approval_that_is_taken_back_meanwhile_ends_it() -> None:
    reactor, sink = ScriptedReactor({"key": True}), Sink()
    publication = await Publishers(FakeStepContext(), sink, reactor, grace=5).publish("key", Guest())
    publication.vanish()
    reactor.answer("key", is_valid=False)
    assert boundaries(sink.events) == [StreamStarted, StreamEnded]
    assert not reactor.held


async def test_a_live_stream_whose_approval_is_taken_back_is_not_waited_for() -> None:
    reactor, sink, guest = ScriptedReactor({"key": True}), Sink(), Guest()
    publication = await Publishers(FakeStepContext(), sink, reactor, grace=5).publish("key", guest)
    reactor.answer("key", is_valid=False)
    publication.vanish()  # as its session does when it is dismissed
    assert guest.dismissals == 1
    assert boundaries(sink.events) == [StreamStarted, StreamEnded]
    assert not reactor.held


@define(eq=False)
class BusySink(Sink):
    """An outbox that takes nothing, as that of a workflow that stands still."""

    async def send(self, events: Sequence[MediaEvent]) -> None:
        """Waits for good."""
        await trio.sleep_forever()


async def test_a_publisher_that_leaves_before_its_stream_was_announced_is_not_waited_for_and_ended_once(
    autojump_clock: MockClock,
) -> None:
    reactor, sink, context = ScriptedReactor({"key": True}), BusySink(), FakeStepContext()
    publishers = Publishers(context, sink, reactor, grace=5)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(publishers.end_overdue)
        with trio.move_on_after(1):
            await publishers.publish("key", Guest())
        assert publishers.describe() == []
        assert not reactor.held
        await trio.sleep(50)
        nursery.cancel_scope.cancel()
    publishers.close()
    assert context.events == []
    assert boundaries(sink.events) == [StreamEnded]


async def test_a_publisher_whose_approval_is_taken_back_before_its_stream_was_announced_is_ended_once(
    autojump_clock: MockClock,
) -> None:
    reactor, sink, context, guest = ScriptedReactor({"key": True}), BusySink(), FakeStepContext(), Guest()
    publishers = Publishers(context, sink, reactor, grace=5)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(publishers.publish, "key", guest)
        await wait_all_tasks_blocked()
        reactor.answer("key", is_valid=False)
        assert guest.dismissals == 1
        nursery.cancel_scope.cancel()  # as its session does when it is dismissed
    publishers.close()
    assert context.events == []
    assert boundaries(sink.events) == [StreamEnded]


async def test_nothing_is_said_of_a_stream_that_was_over_before_its_publisher_left() -> None:
    reactor, sink, context = ScriptedReactor({"key": True}), Sink(), FakeStepContext()
    publishers = Publishers(context, sink, reactor, grace=5)
    publication = await publishers.publish("key", Guest())
    reactor.answer("key", is_valid=False)
    publication.vanish()
    assert context.events == []
    assert boundaries(sink.events) == [StreamStarted, StreamEnded]


async def test_word_that_comes_late_of_a_stream_that_is_over_ends_no_later_stream_of_its_key() -> None:
    reactor, sink, guest = ScriptedReactor({"key": True}), Sink(), Guest()
    publishers = Publishers(FakeStepContext(), sink, reactor, grace=5)
    former = await publishers.publish("key", Guest())
    [hold] = reactor.held
    former.end()
    await publishers.publish("key", guest)
    hold.answer(False)
    assert guest.dismissals == 0
    assert boundaries(sink.events) == [StreamStarted, StreamEnded, StreamStarted]
    assert publishers.count().publishers == 1


async def test_one_that_returns_in_the_instant_in_which_the_grace_ends_goes_on_or_starts_anew(
    autojump_clock: MockClock,
) -> None:
    for _ in range(20):
        sink, context = Sink(), FakeStepContext()
        publishers = Publishers(context, sink, grace=5)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(publishers.end_overdue)
            (await publishers.publish("key", Guest())).vanish()
            await trio.sleep(5)
            publication = await publishers.publish("key", Guest())
            await wait_all_tasks_blocked()
            await trio.sleep(50)
            resumed = any(isinstance(event, StreamResumed) for event in context.events)
            expected = [StreamStarted] if resumed else [StreamStarted, StreamEnded, StreamStarted]
            assert boundaries(sink.events) == expected
            assert bool(sink.restarts) is resumed
            publication.end()
            assert boundaries(sink.events) == [*expected, StreamEnded]
            nursery.cancel_scope.cancel()


@settings(max_examples=some_of(60), deadline=None)
@given(
    script=st.lists(
        st.one_of(
            st.tuples(st.sampled_from(["publish", "send", "end", "vanish", "revoke"]), st.integers(0, 1)),
            st.tuples(st.just("sleep"), st.sampled_from([1, 3, 5, 6])),
        ),
        max_size=25,
    )
)
def test_whatever_happens_each_stream_is_legal_and_as_a_simple_model_says(script: list[tuple[str, int]]) -> None:
    trio.run(_follow, script, clock=MockClock(autojump_threshold=0))


async def _follow(script: list[tuple[str, int]]) -> None:
    """The model: a key is `gone`, `live` or waiting until a time; what ends when follows from that alone."""
    reactor, sink, context = ScriptedReactor({"0": True, "1": True}), Sink(), FakeStepContext()
    publishers = Publishers(context, sink, reactor, grace=5)
    sources: dict[str, Publication] = {}
    model: dict[str, float | None] = {}
    expected = {"0": list[type[MediaEvent]](), "1": list[type[MediaEvent]]()}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(publishers.end_overdue)
        for action, number in script:
            key = str(number)
            if action == "sleep":
                await trio.sleep(number - 0.5)
                for waiting, until in list(model.items()):
                    if until is not None and until <= trio.current_time():
                        del model[waiting]
                        expected[waiting].append(StreamEnded)
            elif action == "publish" and model.get(key, 0) is not None:
                reactor.answers[key] = True
                sources[key] = await publishers.publish(key, Guest())
                expected[key] += [] if key in model else [StreamStarted]
                model[key] = None
            elif action == "send" and key in sources:
                stream_id = sources[key].stream_id
                await sources[key].send([evolve(packet, stream_id=stream_id) for packet in FIRST[:2]])
            elif action == "revoke" and key in model:
                reactor.answer(key, is_valid=False)
                del model[key]
                expected[key].append(StreamEnded)
            elif action in ("end", "vanish") and key in sources:
                getattr(sources.pop(key), action)()
                if key in model and model[key] is None:
                    if action == "vanish":
                        model[key] = trio.current_time() + 5
                    else:
                        del model[key]
                        expected[key].append(StreamEnded)
        await wait_all_tasks_blocked()
        names = {event.stream_id: event.stream_name for event in sink.events if isinstance(event, StreamStarted)}
        told = {key: boundaries([e for e in sink.events if names[e.stream_id] == key]) for key in ("0", "1")}
        assert told == expected
        shown = {stream.name for stream in publishers.describe()}
        assert shown == {key for key, until in model.items() if until is not None}
        assert {hold.stream_name for hold in reactor.held} == set(model)
        nursery.cancel_scope.cancel()
    is_live = dict.fromkeys(names, False)
    for event in sink.events:
        assert is_live[event.stream_id] or isinstance(event, StreamStarted)
        is_live[event.stream_id] = not isinstance(event, StreamEnded)
    assert all(isinstance(event, (StreamInterrupted, StreamResumed)) for event in context.events)
    assert sum(isinstance(event, MediaPacket) for event in sink.events) % 2 == 0
