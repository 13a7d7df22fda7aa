"""A publisher of a key that is taken: refused, or let in the other one's place without later steps noticing."""

from collections.abc import Sequence

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.media.events import MediaEvent, MediaPacket, StreamEnded, StreamId, StreamStarted
from mmids_trio.rtmp.server.endpoints import Publication, RequestRefused
from mmids_trio.steps.publishers import OnBusy, Publishers
from mmids_trio.testing.cancellation import cancel_everywhere
from mmids_trio.testing.clients import ClientRefused, RtmpClient
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.recorder import Recorder
from mmids_trio.testing.step_ends import FakeStepContext
from mmids_trio.workflow.events import StreamResumed
from mmids_trio.workflow.hub import Subscription
from tests.support.publishing import Guest, Sink
from tests.support.reactors import ScriptedReactor

FIRST = generate_stream(seconds=2, seed=1)
SECOND = generate_stream(seconds=2, seed=2)
AUDIO_ONLY = generate_stream(seconds=2, seed=3, video=False)


def configuration(options: str) -> str:
    receive = f"rtmp_receive rtmp_app=live stream_key=* {options}"
    return f"workflow w {{\n{receive}\nrtmp_watch rtmp_app=live stream_key=*\nrecord\n}}\n"


async def pace(client: RtmpClient, packets: Sequence[MediaPacket]) -> None:
    """Send packets when they are due."""
    began = trio.current_time()
    for packet in packets:
        await trio.sleep_until(began + packet.timestamp / 1000)
        await client.send([packet])


def frames(events: Sequence[MediaEvent]) -> list[MediaPacket]:
    return [event for event in events if isinstance(event, MediaPacket) and not event.is_sequence_header]


def boundaries(events: Sequence[MediaEvent]) -> list[type[MediaEvent]]:
    return [type(event) for event in events if isinstance(event, (StreamStarted, StreamEnded))]


async def test_by_default_the_one_that_publishes_keeps_its_key(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with Harness(configuration(""), [recorder.step_type()]) as h:
        first = await h.publish("key", FIRST[:10])
        with pytest.raises(ClientRefused) as refused:
            await h.publish("key", SECOND)
        assert refused.value.code == "NetStream.Publish.BadName"
        await first.send(FIRST[10:])
        await wait_all_tasks_blocked()
        assert [packet.data for packet in recorder.packets] == [packet.data for packet in FIRST]


@pytest.mark.thorough
async def test_a_newcomer_goes_on_with_the_same_stream(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with Harness(configuration("on_busy=takeover"), [recorder.step_type()]) as h:
        watcher = await h.watch("key")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watcher.read_until_closed)
            first = await h.publish("key")
            await pace(first, FIRST)
            second = await h.publish("key")
            await first.read_until_closed()
            await pace(second, SECOND)
            await wait_all_tasks_blocked()
            assert boundaries(recorder.events) == [StreamStarted]
            sent = [packet.data for packet in (*FIRST, *SECOND)]
            assert [packet.data for packet in recorder.packets] == sent
            assert [packet.data for packet in watcher.packets] == sent
            await second.unpublish()
            await wait_all_tasks_blocked()
            assert boundaries(recorder.events) == [StreamStarted, StreamEnded]
            nursery.cancel_scope.cancel()


@pytest.mark.thorough
async def test_the_timeline_goes_on_where_it_stood_whatever_the_newcomer_counts_from(
    autojump_clock: MockClock,
) -> None:
    for start in (0, 50_000, 2**32 - 500, 3_000_000_000):
        recorder = Recorder()
        async with Harness(configuration("on_busy=takeover"), [recorder.step_type()]) as h:
            first = await h.publish("key")
            await pace(first, FIRST)
            await trio.sleep(0.5)
            await h.publish("key", generate_stream(seconds=2, seed=2, start_timestamp=start))
            await wait_all_tasks_blocked()
            newest = max(packet.timestamp for packet in FIRST)
            continued = frames(recorder.events)[len(frames(FIRST)) :]
            assert continued[0].timestamp == newest + 500
            expected = [packet.timestamp for packet in frames(SECOND)]
            assert [packet.timestamp - newest - 500 for packet in continued] == expected


@pytest.mark.thorough
async def test_what_comes_before_the_newcomers_key_frame_is_left_out(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with Harness(configuration("on_busy=takeover"), [recorder.step_type()]) as h:
        await h.publish("key", FIRST)
        headers, late = SECOND[:2], SECOND[12:]
        await h.publish("key", [*headers, *late])
        await wait_all_tasks_blocked()
        taken = frames(recorder.events)[len(frames(FIRST)) :]
        from_key_frame = late[next(place for place, packet in enumerate(late) if packet.is_key_frame) :]
        assert [packet.data for packet in taken] == [packet.data for packet in from_key_frame]


async def test_from_the_same_address_only(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with Harness(configuration("on_busy=same_source"), [recorder.step_type()]) as h:
        first = await h.publish("key", FIRST, peer_host="192.0.2.1")
        with pytest.raises(ClientRefused):
            await h.publish("key", peer_host="192.0.2.2")
        await first.send(FIRST[:1])
        await h.publish("key", SECOND, peer_host="192.0.2.1")
        await first.read_until_closed()
        await wait_all_tasks_blocked()
        assert boundaries(recorder.events) == [StreamStarted]


async def test_it_is_told_and_the_old_publisher_is_gone(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with Harness(configuration("on_busy=takeover"), [recorder.step_type()]) as h:
        with h.server.hub.subscribe() as happenings:
            await h.publish("key", FIRST)
            await trio.sleep(1.5)
            await h.publish("key")
            resumed = await first_of(StreamResumed, happenings)
        assert (resumed.name, resumed.gap_ms, resumed.took_over) == ("key", 1500, True)
    h.assert_quiet()


async def first_of(kind: type[StreamResumed], happenings: Subscription) -> StreamResumed:
    async for event in happenings:
        if isinstance(event, kind):
            return event
    raise AssertionError("a subscription does not end")


# The rules alone.


async def test_a_newcomer_that_is_not_approved_changes_nothing() -> None:
    reactor, sink, context = ScriptedReactor({"key": True}), Sink(), FakeStepContext()
    publishers = Publishers(context, sink, reactor, OnBusy.TAKEOVER)
    owner = Guest()
    await publishers.publish("key", owner)
    before = list(sink.events)
    reactor.answers["key"] = False
    with pytest.raises(RequestRefused):
        await publishers.publish("key", Guest())
    assert (sink.events, sink.restarts, context.events, owner.dismissals) == (before, [], [], 0)
    assert len(reactor.held) == 1


async def test_a_newcomer_that_is_withdrawn_while_a_reactor_is_asked_changes_nothing() -> None:
    reactor, sink, owner = ScriptedReactor(), Sink(), Guest()
    publishers = Publishers(FakeStepContext(), sink, reactor, OnBusy.TAKEOVER)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(publishers.publish, "key", owner)
        await wait_all_tasks_blocked()
        reactor.answer("key")
        await wait_all_tasks_blocked()
        del reactor.answers["key"]
        with trio.CancelScope() as scope:
            nursery.start_soon(_cancel_when_blocked, scope)
            await publishers.publish("key", Guest())
    assert (owner.dismissals, sink.restarts, len(reactor.held)) == (0, [], 1)


async def _cancel_when_blocked(scope: trio.CancelScope) -> None:
    await wait_all_tasks_blocked()
    scope.cancel()


async def test_the_stream_never_goes_without_its_approval() -> None:
    reactor = ScriptedReactor({"key": True})
    publishers = Publishers(FakeStepContext(), Sink(), reactor, OnBusy.TAKEOVER)
    first = await publishers.publish("key", Guest())
    second = await publishers.publish("key", Guest())
    assert len(reactor.held) == 1
    first.vanish()
    assert len(reactor.held) == 1
    second.end()
    assert not reactor.held


@define(eq=False)
class Slow(Sink):
    """An outbox that takes nothing until it is opened."""

    open: trio.Event = field(factory=trio.Event)

    async def send(self, events: Sequence[MediaEvent]) -> None:
        await self.open.wait()
        await super().send(events)


async def test_what_the_old_publisher_still_sends_comes_before_the_newcomer_or_not_at_all() -> None:
    sink = Slow()
    publishers = Publishers(FakeStepContext(), sink, None, OnBusy.TAKEOVER)
    sink.open.set()
    first = await publishers.publish("key", Guest())
    sink.open = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(first.send, FIRST[:3])
        await wait_all_tasks_blocked()
        taken: list[Publication] = []

        async def take_over() -> None:
            taken.append(await publishers.publish("key", Guest()))
            await taken[0].send(SECOND[:3])

        nursery.start_soon(take_over)
        await wait_all_tasks_blocked()
        assert not taken
        sink.open.set()
    await first.send(FIRST[3:6])
    assert [event for event in sink.events if isinstance(event, MediaPacket)] == [*FIRST[:3], *SECOND[:3]]


async def test_a_publisher_that_is_displaced_before_its_stream_was_announced_leaves_that_to_the_newcomer() -> None:
    sink = Slow()
    publishers = Publishers(FakeStepContext(), sink, None, OnBusy.TAKEOVER)
    scope_of_first = trio.CancelScope()

    async def begin() -> None:
        with scope_of_first:
            await publishers.publish("key", Guest())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(begin)
        await wait_all_tasks_blocked()
        nursery.start_soon(publishers.publish, "key", Guest())
        await wait_all_tasks_blocked()
        scope_of_first.cancel()  # as the dismissal of its client does
        await wait_all_tasks_blocked()
        sink.open.set()
    assert sink.events == [StreamStarted(StreamId("w/1/1"), "key")]
    assert sink.restarts == []


@pytest.mark.parametrize("end", ["end", "vanish"])
async def test_cancelled_anywhere_a_takeover_leaves_nothing(end: str) -> None:
    reactor, sink = ScriptedReactor({"key": True}), Sink()

    async def run() -> None:
        publishers = Publishers(FakeStepContext(), sink, reactor, OnBusy.TAKEOVER)
        first = await publishers.publish("key", Guest())
        try:
            second = await publishers.publish("key", Guest())
            try:
                await second.send(SECOND[:2])
            finally:
                getattr(second, end)()
        finally:
            first.vanish()

    def check() -> None:
        assert not reactor.held
        assert boundaries(sink.events).count(StreamStarted) <= boundaries(sink.events).count(StreamEnded)

    assert await cancel_everywhere(run, check) > 3
