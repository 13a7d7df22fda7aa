"""RTMP steps and forwarders with a reactor, in a whole server: who is let in, what runs meanwhile, and its end."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.media.events import StreamId
from mmids_trio.testing.clients import ClientRefused, RtmpClient
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.reactors import FakeReactorService, invalid, valid
from mmids_trio.testing.recorder import Recorder
from mmids_trio.workflow.events import (
    ClientJoined,
    ClientLeft,
    ReactorAnswered,
    StreamWentLive,
    StreamWentOff,
    WorkflowChanged,
    WorkflowEnded,
    WorkflowStarted,
)

PACKETS = generate_stream(seconds=2)

REACTOR = "reactor r executor=scripted update_interval=10 {\n}\n"

GUARDED = f"""{REACTOR}
workflow w {{
    rtmp_receive rtmp_app=live stream_key=* reactor=r
    workflow_forwarder reactor=r
    rtmp_watch rtmp_app=live stream_key=* reactor=r
}}
workflow open {{
    rtmp_receive rtmp_app=open stream_key=*
    rtmp_watch rtmp_app=open stream_key=*
}}
"""


def show(name: str, *, app: str = "show") -> str:
    """A workflow that a lookup answers."""
    return f"workflow {name} routed_by_reactor {{\n rtmp_watch rtmp_app={app} stream_key={name}\n}}\n"


def guarded(lookups: FakeReactorService, text: str = GUARDED) -> Harness:
    return Harness(text, more_executors=[lookups.kind()])


def leases(h: Harness) -> dict[str, int]:
    """Streams that somebody holds, with the number of holders."""
    reactor = h.server.reactors.get("r")
    assert reactor is not None
    held = Counter[str]()
    for lease in reactor.view().leases:
        held[lease.stream] += lease.holders
    return dict(held)


async def quiet() -> None:
    """Let everything happen that happens at once, goodbyes included."""
    await trio.sleep(3)
    await wait_all_tasks_blocked()


async def publish(h: Harness) -> RtmpClient:
    return await h.publish("key", PACKETS)


async def watch(h: Harness) -> RtmpClient:
    return await h.watch("key")


Join = Callable[[Harness], Awaitable[RtmpClient]]
CODES: dict[Join, str] = {publish: "NetStream.Publish.BadName", watch: "NetStream.Play.Failed"}
JOINS = pytest.mark.parametrize("join", CODES)


@JOINS
async def test_an_approved_client_is_let_in(join: Join, autojump_clock: MockClock) -> None:
    async with guarded(FakeReactorService({"key": ""})) as h:
        await join(h)
        assert set(leases(h)) == {"key"}
    h.assert_quiet()


@JOINS
async def test_a_client_whose_stream_is_not_valid_is_refused(join: Join, autojump_clock: MockClock) -> None:
    async with guarded(FakeReactorService()) as h:
        with pytest.raises(ClientRefused) as caught:
            await join(h)
        assert caught.value.code == CODES[join]
        assert "not approved" in caught.value.description
        assert leases(h) == {}
    h.assert_quiet()


@JOINS
async def test_a_client_waits_for_a_slow_answer_longer_than_one_may_be_idle(
    join: Join, autojump_clock: MockClock
) -> None:
    async with guarded(FakeReactorService({"key": ""}, seconds=45)) as h:
        began = trio.current_time()
        await join(h)
        assert trio.current_time() - began == pytest.approx(45)


@JOINS
async def test_a_client_that_nobody_answers_about_is_refused_after_a_minute(
    join: Join, autojump_clock: MockClock
) -> None:
    async with guarded(FakeReactorService({"key": ""}, seconds=600)) as h:
        began = trio.current_time()
        with pytest.raises(ClientRefused, match="not answered within 60 seconds") as caught:
            await join(h)
        assert caught.value.code == CODES[join]
        assert trio.current_time() - began == pytest.approx(60)
        assert leases(h) == {}


@JOINS
async def test_others_are_served_while_a_reactor_is_asked(
    join: Join, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    async with guarded(FakeReactorService({"key": ""}, seconds=45)) as h:
        nursery.start_soon(join, h)
        await wait_all_tasks_blocked()
        began = trio.current_time()
        watcher = await h.watch("open/a")
        await h.publish("open/a", PACKETS)
        await watcher.receive(len(PACKETS))
        assert trio.current_time() == began
        await trio.sleep(50)


@JOINS
async def test_a_client_whose_stream_is_revoked_is_disconnected(join: Join, autojump_clock: MockClock) -> None:
    lookups = FakeReactorService({"key": ""})
    async with guarded(lookups) as h:
        client, other = await join(h), await h.watch("open/a")
        del lookups.answers["key"]
        with trio.fail_after(11):
            await client.read_until_closed()
        await quiet()
        assert leases(h) == {}
        assert not other.is_disconnected
    h.assert_quiet()


@JOINS
async def test_a_service_that_is_down_takes_nobody_off_the_air(join: Join, autojump_clock: MockClock) -> None:
    lookups = FakeReactorService({"key": ""})
    async with guarded(lookups) as h:
        client = await join(h)
        lookups.is_down = True
        with trio.move_on_after(25):  # two updates, but no publisher is silent for that long
            await client.read_until_closed()
        assert not client.is_disconnected
        assert "key" in leases(h)


async def withdraw(client: RtmpClient) -> None:
    await client.command("deleteStream", None, 1.0)


async def leave(client: RtmpClient) -> None:
    client.close()


@pytest.mark.parametrize("end", [withdraw, leave])
@pytest.mark.parametrize("what", ["publish", "play"])
async def test_a_client_that_withdraws_while_the_reactor_is_asked_leaves_nothing(
    end: Callable[[RtmpClient], Awaitable[None]], what: str, autojump_clock: MockClock
) -> None:
    lookups = FakeReactorService({"key": show("one")}, seconds=20)
    async with guarded(lookups) as h:
        client = await h.connect()
        if what == "publish":
            client.connection.publish("key")
        else:
            client.connection.play("key")
        await client.flush()
        with trio.move_on_after(1):  # the stream is created, and the reactor asked
            await client.read_until_closed()
        assert leases(h) == {"key": 1}
        await end(client)
        await quiet()
        assert leases(h) == {}
        await trio.sleep(30)
        assert h.server.workflows.names() == ["w", "open"]
    h.assert_quiet()


async def unpublish(h: Harness, client: RtmpClient) -> None:
    await client.unpublish()


async def close(h: Harness, client: RtmpClient) -> None:
    client.close()


async def remove_steps(h: Harness, client: RtmpClient) -> None:
    await h.put("workflow w {\n rtmp_receive rtmp_app=live stream_key=*\n}\n")


async def stop_workflow(h: Harness, client: RtmpClient) -> None:
    await h.stop("w")


async def fall_silent(h: Harness, client: RtmpClient) -> None:
    await trio.sleep(35)


ENDS = [unpublish, close, remove_steps, stop_workflow, fall_silent]


@pytest.mark.parametrize("end", ENDS)
async def test_whatever_ends_a_publisher_its_lease_is_let_go_and_its_workflows_end(
    end: Callable[[Harness, RtmpClient], Awaitable[None]], autojump_clock: MockClock
) -> None:
    async with guarded(FakeReactorService({"key": show("one")})) as h:
        publisher = await h.publish("key", PACKETS)
        await wait_all_tasks_blocked()
        assert leases(h) == {"key": 2}  # the receiver and the forwarder
        assert "one" in h.server.workflows.names()
        await end(h, publisher)
        await quiet()
        assert leases(h) == {}
        assert "one" not in h.server.workflows.names()
    h.assert_quiet()


@pytest.mark.parametrize("end", [close, remove_steps, stop_workflow])
async def test_whatever_ends_a_watcher_its_lease_is_let_go(
    end: Callable[[Harness, RtmpClient], Awaitable[None]], autojump_clock: MockClock
) -> None:
    async with guarded(FakeReactorService({"key": show("one")})) as h:
        watcher = await h.watch("key")
        assert leases(h) == {"key": 1}
        await end(h, watcher)
        await quiet()
        assert leases(h) == {}
    h.assert_quiet()


async def test_a_publisher_whose_application_is_asked_for_once_shares_the_answer_with_the_forwarder(
    autojump_clock: MockClock,
) -> None:
    lookups = FakeReactorService({"key": show("one")})
    async with guarded(lookups) as h:
        await h.publish("key", PACKETS)
        watcher = await h.watch("show/one")
        await watcher.receive(4)
        assert lookups.asked == ["key"]


TOKENS = GUARDED.replace(
    "rtmp_receive rtmp_app=live stream_key=*", "rtmp_receive rtmp_app=live stream_key=* publish_token=t0ken"
)


@pytest.mark.parametrize(
    ("text", "published", "name"),
    [
        (GUARDED, "key?secret=hunter2&token=x", "key?secret=hunter2&token=x"),
        (TOKENS, "key?token=t0ken&secret=hunter2", "key?secret=hunter2"),
    ],
)
async def test_publisher_and_forwarder_ask_once_by_the_full_name_and_nobody_else_is_told_it(
    text: str, published: str, name: str, autojump_clock: MockClock
) -> None:
    lookups = FakeReactorService({"key": show("one")})
    with capture_logs() as logs:
        async with guarded(lookups, text) as h:
            publisher = await h.publish(published, PACKETS)
            watcher = await h.watch("show/one")
            await watcher.receive(4)
            assert lookups.asked == [name]
            request = lookups.calls[0].request
            assert (request.action, request.app, request.port, request.protocol) == ("publish", "live", 1935, "rtmp")
            assert request.address is not None
            other = await h.watch("key?secret=hunter2")
            assert lookups.asked == [name, "key"]
            assert leases(h) == {"key": 3}
            shown = [await h.http.get(path) for path in ("/workflows/one", "/workflows/w", "/reactors", "/metrics")]
            publisher.close()
            other.close()
            await quiet()
            assert sorted(lookups.released) == ["key", name]
            assert leases(h) == {}
            told = f"{h.events()} {[answer.text for answer in shown]} {logs}"
    assert "hunter2" not in told
    assert "reactor answered" in told


async def test_a_publisher_with_another_query_is_asked_about_by_itself(autojump_clock: MockClock) -> None:
    lookups = FakeReactorService({"key?secret=right": show("one"), "key?secret=wrong": invalid()})
    async with guarded(lookups) as h:
        publisher = await h.publish("key?secret=right", PACKETS)
        publisher.close()
        with pytest.raises(ClientRefused):
            await h.publish("key?secret=wrong")
        assert lookups.asked == ["key?secret=right", "key?secret=wrong"]


@pytest.mark.parametrize("takes", [0.0, 5.0])
async def test_after_a_takeover_with_another_query_the_forwarder_asks_about_the_new_publisher(
    takes: float, autojump_clock: MockClock
) -> None:
    """A platform that gives out a token for each session takes the old one back; the stream goes on all the same."""
    text = GUARDED.replace("stream_key=* reactor=r", "stream_key=* on_busy=takeover grace=60 reactor=r", 1)
    lookups = FakeReactorService({"key?t=1": [show("one"), invalid()], "key?t=2": valid(show("one"), after=takes)})
    async with guarded(lookups, text) as h:
        await h.publish("key?t=1", PACKETS[:20])
        watcher = await h.watch("show/one")
        await watcher.receive(4)
        second = await h.publish("key?t=2")
        await trio.sleep(15)
        assert set(lookups.asked) == {"key?t=1", "key?t=2"}
        assert lookups.asked[-1] == "key?t=2"
        assert lookups.released == ["key?t=1"]
        assert leases(h) == {"key": 2}
        await second.send(PACKETS)
        await watcher.read_until(lambda: PACKETS[-1].data in [packet.data for packet in watcher.packets])
        await second.unpublish()
        second.close()
        await quiet()
        assert leases(h) == {}
        assert h.server.workflows.names() == ["w", "open"]


async def test_the_very_first_frame_gets_to_a_workflow_that_the_reactor_has_started(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    answer = "workflow one routed_by_reactor {\n record\n}\n"
    lookups = FakeReactorService({"key": answer})
    async with Harness(GUARDED, [recorder.step_type()], more_executors=[lookups.kind()]) as h:
        publisher = await h.publish("key")
        await quiet()
        await publisher.send(PACKETS)
        await wait_all_tasks_blocked()
        assert [packet.data for packet in recorder.packets] == [packet.data for packet in PACKETS]


async def test_updates_move_a_stream_from_one_workflow_to_another(autojump_clock: MockClock) -> None:
    lookups = FakeReactorService({"key": show("one")})
    async with guarded(lookups) as h:
        publisher = await h.publish("key", PACKETS[:20])
        first = await h.watch("show/one")
        await first.receive(4)
        lookups.answers["key"] = show("two")
        with trio.fail_after(11):
            await first.read_until_closed()
        await quiet()
        assert h.server.workflows.names() == ["w", "open", "two"]
        second = await h.watch("show/two")
        await publisher.send(PACKETS[20:])
        await second.read_until(lambda: PACKETS[-1].data in [packet.data for packet in second.packets])
        report = second.report(PACKETS)
        assert report.is_flawless_from_join
        assert publisher.is_disconnected is False


async def test_an_answer_that_changes_one_step_keeps_the_clients_of_the_others(autojump_clock: MockClock) -> None:
    steps = " rtmp_watch rtmp_app=kept stream_key=one\n rtmp_watch rtmp_app=gone stream_key=one\n"
    before = f"workflow one routed_by_reactor {{\n{steps}}}\n"
    lookups = FakeReactorService({"key": before})
    async with guarded(lookups) as h:
        publisher = await h.publish("key")
        await quiet()  # until the workflow runs: one that came later would begin with the next key frame
        kept, gone = await h.watch("kept/one"), await h.watch("gone/one")
        await publisher.send(PACKETS[:20])
        await kept.receive(4)
        lookups.answers["key"] = before.replace("gone", "come")
        with trio.fail_after(11):
            await gone.read_until_closed()
        await quiet()
        await publisher.send(PACKETS[20:])
        await kept.read_until(lambda: PACKETS[-1].data in [packet.data for packet in kept.packets])
        assert kept.report(PACKETS).is_flawless_from_join
        assert kept.is_disconnected is publisher.is_disconnected is False


@pytest.mark.thorough
async def test_two_publishers_have_workflows_of_their_own(autojump_clock: MockClock) -> None:
    lookups = FakeReactorService({"a": show("for_a"), "b": show("for_b")})
    async with guarded(lookups) as h:
        a, b = await h.publish("a", PACKETS), await h.publish("b", PACKETS)
        watcher = await h.watch("show/for_b")
        await watcher.receive(4)
        await a.unpublish()
        await quiet()
        assert h.server.workflows.names() == ["w", "open", "for_b"]
        assert not watcher.is_disconnected
        await b.unpublish()
        await quiet()
        assert h.server.workflows.names() == ["w", "open"]


async def test_the_hub_tells_what_happens_once_each_and_in_order(autojump_clock: MockClock) -> None:
    async with guarded(FakeReactorService({"key": show("one")})) as h:
        with h.server.hub.subscribe() as subscription:
            publisher = await h.publish("key", PACKETS)
            await quiet()
            await publisher.unpublish()
            await quiet()
            events = subscription.take()
    assert [type(event) for event in events].count(ReactorAnswered) == 1
    others = (ReactorAnswered, ClientJoined, ClientLeft, WorkflowChanged)
    assert [event for event in events if not isinstance(event, others)] == [
        StreamWentLive("w", step_of(events), StreamId(f"w/{step_of(events)}/1"), "key"),
        WorkflowStarted("one"),
        StreamWentOff("w", step_of(events), StreamId(f"w/{step_of(events)}/1"), "key"),
        WorkflowEnded("one"),
    ]


def step_of(events: Sequence[object]) -> str:
    return next(event.step_id for event in events if isinstance(event, StreamWentLive))
