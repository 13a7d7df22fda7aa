"""Asking about a client's stream: every answer, none, a later one, and what becomes of what is held."""

from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.media.events import StreamEnded, StreamId, StreamStarted
from mmids_trio.rtmp.server.endpoints import RequestRefused
from mmids_trio.steps.approval import ANSWER_SECONDS, approved
from mmids_trio.steps.publishers import Publishers
from mmids_trio.steps.rtmp_audience import Audience
from mmids_trio.steps.rtmp_watch import Watchers
from mmids_trio.stream_request import StreamRequest
from mmids_trio.testing.cancellation import cancel_everywhere
from mmids_trio.testing.step_ends import FakeStepContext
from tests.support.publishing import Guest, Sink
from tests.support.reactors import ScriptedReactor

BAD_NAME = "NetStream.Publish.BadName"


KEY = StreamRequest(key="key")


async def test_without_a_reactor_everything_is_approved_at_once() -> None:
    release = await approved(None, KEY, Guest(), Guest().dismiss, BAD_NAME)
    release()
    release()


async def test_an_approved_stream_is_held_until_it_is_released() -> None:
    reactor = ScriptedReactor({"key": True})
    release = await approved(reactor, KEY, Guest(), Guest().dismiss, BAD_NAME)
    assert [hold.stream_name for hold in reactor.held] == ["key"]
    release()
    release()
    assert not reactor.held


async def test_a_stream_that_is_not_valid_is_refused_and_let_go() -> None:
    reactor = ScriptedReactor({"key": False})
    with pytest.raises(RequestRefused, match=r"^the stream is not approved$") as caught:
        await approved(reactor, KEY, Guest(), Guest().dismiss, BAD_NAME)
    assert caught.value.code == BAD_NAME
    assert not reactor.held


async def test_an_answer_that_does_not_come_is_waited_for_for_a_minute(autojump_clock: MockClock) -> None:
    reactor, began = ScriptedReactor(), trio.current_time()
    with pytest.raises(RequestRefused, match=r"^the stream is not answered within 60 seconds$"):
        await approved(reactor, KEY, Guest(), Guest().dismiss, BAD_NAME)
    assert trio.current_time() - began == ANSWER_SECONDS == 60
    assert not reactor.held


async def test_an_answer_in_the_last_second_counts(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    reactor = ScriptedReactor()

    async def answer() -> None:
        await trio.sleep(59)
        reactor.answer("key")

    nursery.start_soon(answer)
    await approved(reactor, KEY, Guest(), Guest().dismiss, BAD_NAME)
    assert reactor.held


async def test_a_client_is_dismissed_when_its_stream_is_not_valid_any_more() -> None:
    reactor, guest = ScriptedReactor({"key": True}), Guest()
    await approved(reactor, KEY, guest, guest.dismiss, BAD_NAME)
    reactor.answer("key", "somewhere")
    assert guest.dismissals == 0
    reactor.answer("key", is_valid=False)
    assert guest.dismissals == 1


# Publishers and watchers.


async def test_a_publisher_lets_go_when_it_ends_however_often_it_says_so() -> None:
    reactor, sink = ScriptedReactor({"key": True}), Sink()
    publication = await Publishers(FakeStepContext(), sink, reactor).publish("key", Guest())
    [hold] = reactor.held
    publication.end()
    publication.end()
    assert hold.releases == 1
    assert sink.events == [StreamStarted(StreamId("w/1/1"), "key"), StreamEnded(StreamId("w/1/1"))]


async def test_a_publisher_of_a_key_that_is_live_is_not_even_asked_about() -> None:
    reactor = ScriptedReactor({"key": True})
    publishers = Publishers(FakeStepContext(), Sink(), reactor)
    await publishers.publish("key", Guest())
    with pytest.raises(RequestRefused, match="is being published already"):
        await publishers.publish("key", Guest())
    assert reactor.asked == ["key"]
    assert len(reactor.held) == 1


async def test_of_two_publishers_that_are_asked_about_at_once_the_second_is_refused_and_let_go(
    nursery: trio.Nursery,
) -> None:
    reactor, refusals = ScriptedReactor(), list[str]()
    publishers = Publishers(FakeStepContext(), Sink(), reactor)

    async def publish() -> None:
        try:
            await publishers.publish("key", Guest())
        except RequestRefused as refusal:
            refusals.append(str(refusal))

    nursery.start_soon(publish)
    nursery.start_soon(publish)
    await wait_all_tasks_blocked()
    assert len(reactor.held) == 2
    reactor.answer("key")
    await wait_all_tasks_blocked()
    assert refusals == ["stream key 'key' is being published already"]
    assert len(reactor.held) == 1


async def test_a_refused_key_is_free_for_the_next() -> None:
    reactor, sink = ScriptedReactor({"key": False}), Sink()
    publishers = Publishers(FakeStepContext(), sink, reactor)
    with pytest.raises(RequestRefused):
        await publishers.publish("key", Guest())
    reactor.answer("key")
    await publishers.publish("key", Guest())
    assert sink.events == [StreamStarted(StreamId("w/1/1"), "key")]


async def test_a_watcher_lets_go_when_it_ends() -> None:
    reactor = ScriptedReactor({"key": True})
    audience = Audience("*")
    viewing = await Watchers(audience, reactor).watch("key", Guest())
    assert viewing.channel is audience.channel("key")
    viewing.end()
    viewing.end()
    assert not reactor.held


async def test_a_watcher_of_a_key_that_is_not_valid_is_refused() -> None:
    with pytest.raises(RequestRefused) as caught:
        await Watchers(Audience("*"), ScriptedReactor({"key": False})).watch("key", Guest())
    assert caught.value.code == "NetStream.Play.Failed"


async def publish(reactor: ScriptedReactor, sink: Sink) -> None:
    publication = await Publishers(FakeStepContext(), sink, reactor).publish("key", Guest())
    publication.end()


async def watch(reactor: ScriptedReactor, _sink: Sink) -> None:
    viewing = await Watchers(Audience("*"), reactor).watch("key", Guest())
    viewing.end()


@pytest.mark.parametrize("valid", [True, False])
@pytest.mark.parametrize("use", [publish, watch])
async def test_whatever_await_is_cancelled_nothing_is_held_and_no_stream_is_left(
    use: Callable[[ScriptedReactor, Sink], Awaitable[None]], valid: bool
) -> None:
    reactor, sink = ScriptedReactor(), Sink()

    async def run() -> None:
        reactor.answers.clear()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_later)
            with suppress(RequestRefused):
                await use(reactor, sink)

    async def answer_later() -> None:
        for _ in range(3):
            await trio.lowlevel.checkpoint()
        reactor.answer("key", is_valid=valid)

    def check() -> None:
        assert not reactor.held
        live = [type(event) for event in sink.events]
        assert live.count(StreamStarted) <= live.count(StreamEnded)

    assert await cancel_everywhere(run, check) > 3
