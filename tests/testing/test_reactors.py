"""The scripted lookup service answers what it was told, when it was told, and a real reactor lives with its faults."""

import pytest
import trio
from trio.testing import MockClock

from mmids_trio.errors import ConfigurationError
from mmids_trio.reactors.executor import ExecutorFailure
from mmids_trio.stream_request import StreamRequest
from mmids_trio.testing.clients import ClientRefused, Disconnected
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.reactors import FakeReactorService, Flapping, fails, hangs, invalid, valid
from mmids_trio.workflow.events import ReactorAnswered

GUARDED = """
reactor r executor=scripted update_interval=10 {
}
workflow w {
    rtmp_receive rtmp_app=live stream_key=* reactor=r
}
"""
FRAMES = generate_stream(seconds=0.1)
EXTRA = "workflow extra {\n    rtmp_watch rtmp_app=extra stream_key=*\n}\n"


def guarded(service: FakeReactorService) -> Harness:
    return Harness(GUARDED, more_executors=[service.kind()])


async def test_replies_come_one_after_the_other_and_the_last_again_and_again(autojump_clock: MockClock) -> None:
    service = FakeReactorService({"a": [fails("no idea"), invalid(after=3), valid(EXTRA)]})
    with pytest.raises(ExecutorFailure, match="no idea"):
        await service.ask(StreamRequest(key="a"))
    began = trio.current_time()
    assert not (await service.ask(StreamRequest(key="a"))).valid
    assert trio.current_time() - began == 3
    for _ in range(3):
        answer = await service.ask(StreamRequest(key="a"))
        assert [workflow.name for workflow in answer.workflows] == ["extra"]
    assert not (await service.ask(StreamRequest(key="b"))).valid
    assert [(call.stream, call.time - began) for call in service.calls] == [
        *(("a", 0), ("a", 0), ("a", 3), ("a", 3), ("a", 3), ("b", 3))
    ]


async def test_a_script_that_is_changed_begins_anew(autojump_clock: MockClock) -> None:
    service = FakeReactorService({"a": [invalid(), valid()]})
    assert [(await service.ask(StreamRequest(key="a"))).valid for _ in range(2)] == [False, True]
    service.answers["a"] = [invalid(), valid()]
    assert [(await service.ask(StreamRequest(key="a"))).valid for _ in range(2)] == [False, True]
    del service.answers["a"]
    service.otherwise = valid()
    assert (await service.ask(StreamRequest(key="a"))).valid


async def test_a_text_that_is_no_workflow_is_an_error_of_the_configuration() -> None:
    with pytest.raises(ConfigurationError):
        await FakeReactorService({"a": "workflow {"}).ask(StreamRequest(key="a"))


async def test_a_service_that_hangs_never_answers(autojump_clock: MockClock) -> None:
    with trio.move_on_after(10_000) as scope:
        await FakeReactorService({"a": hangs()}).ask(StreamRequest(key="a"))
    assert scope.cancelled_caught


async def test_a_server_starts_what_the_service_says_and_stops_it_again(autojump_clock: MockClock) -> None:
    service = FakeReactorService({"show": [valid(EXTRA, after=1), valid(EXTRA), invalid()]})
    async with guarded(service) as h:
        began = trio.current_time()
        publisher = await h.publish("live/show")
        assert trio.current_time() - began == 1
        await h.watch("extra/show")
        await publisher.read_until_closed()
        assert trio.current_time() - began == pytest.approx(20, abs=1.5)
        with pytest.raises(ClientRefused):
            await h.publish("live/nobody")
    assert [call.stream for call in service.calls] == ["show", "show", "show", "nobody"]
    h.assert_quiet()


async def test_a_server_outlives_a_service_that_flaps(autojump_clock: MockClock) -> None:
    service = FakeReactorService({"show": valid(EXTRA)}, flapping=Flapping(up=25, down=40))
    async with guarded(service) as h:
        publisher = await h.publish("live/show")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(publisher.read_until_closed)
            for _ in range(60):
                await publisher.send(FRAMES)
                await trio.sleep(10)
            assert not publisher.is_disconnected
            assert h.workflow("extra").status == "Running"
            nursery.cancel_scope.cancel()
        errors = [event.error for event in h.events() if isinstance(event, ReactorAnswered)]
        assert None in errors
        assert "the service is down" in errors
    assert {bool(call.reply.failure) for call in service.calls} == {True, False}
    h.assert_quiet()


async def test_a_client_that_leaves_while_the_service_hangs_leaves_nothing(autojump_clock: MockClock) -> None:
    service = FakeReactorService(otherwise=hangs())
    async with guarded(service) as h:
        with trio.move_on_after(5):
            await h.publish("live/show")
        for transport in h.transports:
            transport.close()
        await trio.sleep(1)
        await h.stop("w")
        h.assert_quiet()


async def test_a_service_that_is_down_from_the_beginning_lets_nobody_in(autojump_clock: MockClock) -> None:
    async with guarded(FakeReactorService({"show": ""}, is_down=True)) as h:
        with pytest.raises((ClientRefused, Disconnected)):
            await h.publish("live/show")
