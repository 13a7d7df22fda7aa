"""Changes in place as users meet them, over the API: each parameter that can, and what becomes of who is there."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.media.events import MediaPacket
from mmids_trio.rtmp.server.play_tokens import sign
from mmids_trio.testing.clients import ClientRefused, RtmpClient
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.reactors import FakeReactorService
from mmids_trio.workflow.events import StepChanged, StreamInterrupted, StreamStalled, StreamWentOff
from tests.support.publishing import WAIT_FOR_ALL

STREAM = generate_stream(seconds=6)
AGAIN = generate_stream(seconds=2, seed=2)
NOW = 1_800_000_000
HERE, THERE = "10.0.0.1", "10.1.0.1"


def workflow(receive: str = "", watch: str = "", *more: str, name: str = "w") -> str:
    steps = [f"rtmp_receive rtmp_app=live stream_key=* {receive}", f"rtmp_watch rtmp_app=live stream_key=* {watch}"]
    return f"workflow {name} {{\n" + "\n".join([*steps, *more]) + "\n}\n"


async def put(h: Harness, text: str, query: str = "in_place=true") -> Any:
    """The plan of a change that was carried out."""
    done = await h.http.request("PUT", f"/workflows?wait=10&{query}", content=text)
    assert done.status == 200, done.text
    return done.json()


def actions(plan: Any) -> list[str]:
    return [step["action"] for step in plan["steps"]]


def ids(h: Harness, name: str = "w") -> list[str]:
    return [step.step_id for step in h.workflow(name).active_steps]


@asynccontextmanager
async def watching(h: Harness, key: str = "key", host: str = HERE, **how: Any) -> AsyncIterator[RtmpClient]:
    """A watcher that keeps up."""
    client = await h.watch(f"live/{key}", peer_host=host, **how)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.read_until_closed)
        yield client
        nursery.cancel_scope.cancel()


def got(client: RtmpClient) -> list[bytes]:
    return [packet.data for packet in client.packets]


def sent(packets: Sequence[MediaPacket]) -> list[bytes]:
    return [packet.data for packet in packets]


async def pace(client: RtmpClient, packets: Sequence[MediaPacket]) -> None:
    began, start = trio.current_time(), packets[0].timestamp
    for packet in packets:
        await trio.sleep_until(began + max(packet.timestamp - start, 0) / 1000)
        await client.send([packet])


async def test_only_whom_a_new_rule_excludes_is_cut_and_the_plan_says_how_many(autojump_clock: MockClock) -> None:
    async with (
        Harness(workflow("", "allow_ips=10.0.0.0/8")) as h,
        watching(h) as stays,
        watching(h, host=THERE) as goes,
    ):
        publisher = await h.publish("live/key", STREAM[:100], peer_host=THERE)
        await wait_all_tasks_blocked()
        before, text = ids(h), workflow("", "allow_ips=10.0.0.0/16")
        planned = await h.http.request("POST", "/config/plan?take_over=true&in_place=true", content=text)
        [cut] = planned.json()["cuts"]
        assert (cut["step_id"], cut["watchers"], cut["of"]) == (before[1], 1, {"publishers": 0, "watchers": 2})
        assert (planned.json()["publishers"], planned.json()["watchers"]) == (0, 1)
        plan = await put(h, text)
        assert actions(plan) == ["keep", "change"]
        assert plan["steps"][1]["step_id_before"] == before[1]
        assert plan["steps"][1]["changes"] == [{"name": "allow_ips", "before": "10.0.0.0/8", "after": "10.0.0.0/16"}]
        await trio.sleep(2)
        assert (goes.is_disconnected, stays.is_disconnected) == (True, False)
        assert ids(h) == [step["step_id"] for step in plan["steps"]]
        changed = [event for event in h.events() if isinstance(event, StepChanged)]
        assert changed == [StepChanged("w", ids(h)[1], before[1], "rtmp_watch")]
        await publisher.send(STREAM[100:])
        await wait_all_tasks_blocked()
        assert got(stays) == sent(STREAM)
        with pytest.raises(ClientRefused):
            await h.watch("live/key", peer_host=THERE)
        assert actions(await put(h, workflow("", "deny_ips=10.0.0.1"))) == ["keep", "change"]
        await trio.sleep(2)
        assert stays.is_disconnected
    h.assert_quiet()


async def test_a_publisher_is_cut_like_watchers_and_its_stream_keeps_its_grace(autojump_clock: MockClock) -> None:
    async with Harness(WAIT_FOR_ALL + workflow("grace=5")) as h, watching(h) as watcher:
        await h.publish("live/key", STREAM[:100], peer_host=THERE)
        await wait_all_tasks_blocked()
        planned = await h.http.request(
            "POST", "/config/plan?take_over=true&in_place=true", content=workflow("grace=5 deny_ips=10.1.0.0/16")
        )
        assert (planned.json()["publishers"], planned.json()["watchers"]) == (1, 0)
        await put(h, workflow("grace=5 deny_ips=10.1.0.0/16"))
        await h.wait_event(StreamInterrupted, since=0)
        await h.publish("live/key", AGAIN, peer_host=HERE)
        await wait_all_tasks_blocked()
        assert got(watcher) == sent(STREAM[:100]) + sent(AGAIN)
        assert not [event for event in h.events() if isinstance(event, StreamWentOff)]


async def test_a_publish_token_and_a_play_key_are_for_newcomers(autojump_clock: MockClock) -> None:
    async with Harness(workflow(), now=lambda: NOW) as h, watching(h) as watcher:
        publisher = await h.publish("live/key", STREAM[:100])
        plan = await put(h, workflow("publish_token=t0ken", "play_key=secret"))
        assert actions(plan) == ["change", "change"]
        assert plan["steps"][0]["changes"] == [{"name": "publish_token", "before": None, "after": "***"}]
        for join in (h.publish, h.watch):
            with pytest.raises(ClientRefused, match="token is missing or wrong"):
                await join("live/other")
        await h.publish("live/other?token=t0ken")
        await h.watch(f"live/key?expires={NOW + 9}&token={sign('secret', 'key', NOW + 9)}")
        await publisher.send(STREAM[100:])
        await wait_all_tasks_blocked()
        assert got(watcher) == sent(STREAM)


async def test_a_reactor_is_asked_about_newcomers(autojump_clock: MockClock) -> None:
    service = FakeReactorService()
    reactor = "reactor r executor=scripted {\n}\n"
    async with Harness(reactor + workflow(), more_executors=[service.kind()]) as h, watching(h) as watcher:
        publisher = await h.publish("live/key", STREAM[:100])
        assert actions(await put(h, workflow("reactor=r", "reactor=r"))) == ["change", "change"]
        for join in (h.publish, h.watch):
            with pytest.raises(ClientRefused, match="not approved"):
                await join("live/other")
        await publisher.send(STREAM[100:])
        await wait_all_tasks_blocked()
        assert got(watcher) == sent(STREAM)
        refused = await h.http.request("PUT", "/workflows?in_place=true", content=workflow("reactor=nobody"))
        assert refused.status == 400


async def test_a_set_may_bring_the_reactor_that_a_running_step_asks_from_then_on(autojump_clock: MockClock) -> None:
    service = FakeReactorService()
    async with Harness(workflow(), more_executors=[service.kind()]) as h, watching(h) as watcher:
        await h.publish("live/key", STREAM)
        text = "reactor r executor=scripted {\n}\n" + workflow("reactor=r")
        done = await h.http.request("PUT", "/config?wait=10&take_over=true&in_place=true", content=text)
        assert done.status == 200, done.text
        assert actions(done.json()["workflows"][0]) == ["change", "keep"]
        with pytest.raises(ClientRefused, match="not approved"):
            await h.publish("live/other")
        await wait_all_tasks_blocked()
        assert got(watcher) == sent(STREAM)


async def test_what_watchers_are_sent_and_when_changes_at_once(autojump_clock: MockClock) -> None:
    async with Harness(workflow("", "send_interval=1000")) as h, watching(h) as watcher:
        publisher = await h.publish("live/key")
        await wait_all_tasks_blocked()
        await publisher.send(STREAM[:20])
        await wait_all_tasks_blocked()
        assert got(watcher) == []
        await put(h, workflow("", "send_interval=0 gop_cache=false max_lag=2"))
        await wait_all_tasks_blocked()
        assert len(watcher.packets) == 20
        async with watching(h) as late:
            await wait_all_tasks_blocked()
            assert got(late) == []
            await put(h, workflow("", "gop_cache=true"))
        await publisher.send(STREAM[20:])  # what came before is not kept, as nobody was to begin with it
        async with watching(h) as late:
            await wait_all_tasks_blocked()
            assert len(late.packets) > 10


@pytest.mark.thorough
async def test_how_much_is_kept_for_slow_watchers_changes_for_those_who_are_there(autojump_clock: MockClock) -> None:
    async with Harness(workflow("", "max_lag=1")) as h:
        await put(h, workflow("", "max_lag=60"))
        slow = await h.watch("live/key")
        publisher = await h.publish("live/key")
        await pace(publisher, STREAM)
        await slow.receive(len(STREAM))
        assert got(slow) == sent(STREAM)


async def test_who_may_take_a_key_over_changes_at_once(autojump_clock: MockClock) -> None:
    async with Harness(workflow()) as h:
        first = await h.publish("live/key", STREAM[:100])
        with pytest.raises(ClientRefused, match="published already"):
            await h.publish("live/key")
        await put(h, workflow("on_busy=takeover"))
        await h.publish("live/key", STREAM[100:])
        await first.read_until_closed()


async def test_stalls_are_reported_by_the_new_time(autojump_clock: MockClock) -> None:
    async with Harness(workflow("stall_after=100")) as h:
        await h.publish("live/key", STREAM)
        await trio.sleep(8)
        await put(h, workflow("stall_after=10"))
        await trio.sleep(1.9)
        assert not [event for event in h.events() if isinstance(event, StreamStalled)]
        await trio.sleep(0.2)
        assert [event.seconds for event in h.events() if isinstance(event, StreamStalled)] == [10]


async def test_an_interrupted_stream_keeps_the_grace_that_it_has(autojump_clock: MockClock) -> None:
    async with Harness(WAIT_FOR_ALL + workflow("grace=20")) as h:
        first = await h.publish("live/one", STREAM)
        other = await h.publish("live/other", STREAM)
        await wait_all_tasks_blocked()
        first.close()
        await trio.sleep(1)
        await put(h, workflow("grace=2"))
        other.close()
        await trio.sleep(2.1)
        assert [event.name for event in h.events() if isinstance(event, StreamWentOff)] == ["other"]
        assert h.workflow("w").active_steps[0].streams[0].seconds_left == pytest.approx(16.9)
        await trio.sleep(17)
        assert [event.name for event in h.events() if isinstance(event, StreamWentOff)] == ["other", "one"]


def target(port: int) -> str:
    return (
        f"workflow target{port} {{\nrtmp_receive rtmp_app=live stream_key=* port={port}\n"
        f"rtmp_watch rtmp_app=live stream_key=* port={port}\n}}\n"
    )


def pushing(*ports: int) -> str:
    return workflow("", "", f"rtmp_push target={','.join(f'rtmp://t{port}:{port}/live/key' for port in ports)}")


@pytest.mark.thorough
async def test_of_the_targets_of_a_push_only_those_that_went_or_came_notice(autojump_clock: MockClock) -> None:
    async with (
        Harness(pushing(2001, 2002) + "".join(map(target, (2001, 2002, 2003)))) as h,
        watching(h, port=2001) as stays,
        watching(h, port=2003) as comes,
    ):
        publisher = await h.publish("live/show")
        await pace(publisher, STREAM[:100])
        assert actions(await put(h, pushing(2003, 2001))) == ["keep", "keep", "change"]
        await pace(publisher, STREAM[100:])
        await trio.sleep(3)
        assert got(stays) == sent(STREAM)
        frames = [packet.data for packet in comes.packets if not packet.is_sequence_header]
        assert frames == sent(STREAM)[-len(frames) :]
        assert len(frames) >= len(STREAM) - 100
        assert [event.name for event in h.events() if isinstance(event, StreamWentOff)] == ["key"]
        shown = [(stream.target, stream.state) for stream in h.workflow("w").active_steps[2].streams]
        assert shown == [("rtmp://t2001:2001/live/***", "publishing"), ("rtmp://t2003:2003/live/***", "publishing")]
        await publisher.unpublish()
        await trio.sleep(3)
        assert len([event for event in h.events() if isinstance(event, StreamWentOff)]) == 4
    h.assert_quiet()


async def test_the_id_of_a_live_stream_stays(autojump_clock: MockClock) -> None:
    async with Harness(WAIT_FOR_ALL + workflow("grace=5")) as h:
        publisher = await h.publish("live/key", STREAM)
        await put(h, workflow("grace=7"))
        publisher.close()
        event = await h.wait_event(StreamInterrupted, since=0)
        assert (event.step_id, event.seconds) == (ids(h)[0], 7)
        [began] = [each for each in h.events() if getattr(each, "wire_name", "") == "stream_began"]
        assert getattr(began, "stream_id", None) == event.stream_id


@pytest.mark.parametrize("changed", ["port=2000", "rtmp_app=other", "max_streams=5"])
async def test_anything_else_replaces_the_step_as_ever(changed: str, autojump_clock: MockClock) -> None:
    async with Harness(workflow()) as h:
        publisher = await h.publish("live/key", STREAM)
        text = workflow().replace("rtmp_receive rtmp_app=live", "rtmp_receive rtmp_app=live " + changed)
        if "rtmp_app" in changed:
            text = workflow().replace("rtmp_receive rtmp_app=live", f"rtmp_receive {changed}")
        assert actions(await put(h, text)) == ["stop", "start", "keep"]
        await publisher.read_until_closed()


async def test_a_step_that_has_changed_gives_way_to_another_one_later(autojump_clock: MockClock) -> None:
    """What it registered is known to be its own, under its new id."""
    async with Harness(workflow("grace=1")) as h:
        await put(h, workflow("grace=2"))
        assert actions(await put(h, workflow("grace=3"), "in_place=false")) == ["stop", "start", "keep"]
        assert actions(await put(h, workflow("grace=3 max_streams=7"))) == ["stop", "start", "keep"]
        await h.publish("live/key", STREAM)


@pytest.mark.parametrize(
    ("setting", "query", "in_place"),
    [
        ("false", "", False),
        ("false", "in_place=true", True),
        ("true", "", True),
        ("true", "in_place=false", False),
    ],
)
async def test_it_is_off_unless_the_setting_or_the_request_says_otherwise(
    setting: str, query: str, in_place: bool, autojump_clock: MockClock
) -> None:
    wanted = workflow("grace=2")
    async with Harness(f"settings {{\nchanges_in_place {setting}\n}}\n" + workflow("grace=1")) as h:
        action = "change" if in_place else "start"
        planned = await h.http.request("POST", f"/config/plan?take_over=true&{query}", content=wanted)
        assert action in actions(planned.json()["workflows"][0])
        planned = await h.http.request("PUT", f"/workflows?dry_run=true&{query}", content=wanted)
        assert action in actions(planned.json())
        done = await h.http.request("PUT", f"/config?wait=10&take_over=true&{query}", content=wanted)
        assert action in actions(done.json()["workflows"][0])
        assert action in actions(await put(h, workflow("grace=3"), query or "dry_run=false"))


async def test_a_reactor_asks_by_its_new_definition_and_nobody_who_was_let_in_is_cut(
    autojump_clock: MockClock,
) -> None:
    service = FakeReactorService({"key": ""})

    def text(interval: int) -> str:
        return f"reactor r executor=scripted update_interval={interval} {{\n}}\n" + workflow("reactor=r", "reactor=r")

    async with Harness(text(1000), more_executors=[service.kind()]) as h, watching(h) as watcher:
        publisher = await h.publish("live/key", STREAM[:100])
        await trio.sleep(3)
        done = await h.http.request("PUT", "/config?wait=10&take_over=true&in_place=true", content=text(10))
        assert (done.status, done.json()["publishers"], done.json()["watchers"]) == (200, 0, 0)
        assert [(each["name"], each["action"]) for each in done.json()["reactors"]] == [("r", "change")]
        began = trio.current_time()
        await trio.sleep(25)
        asked = {round(call.time - began) for call in service.calls if call.time >= began}
        assert asked == {0, 10, 20}
        await publisher.send(STREAM[100:])
        await wait_all_tasks_blocked()
        assert got(watcher) == sent(STREAM)


async def test_updates_of_reactors_follow_the_setting(autojump_clock: MockClock) -> None:
    service = FakeReactorService()
    for setting in ("false", "true"):
        text = f"settings {{\nchanges_in_place {setting}\n}}\nreactor r executor=scripted update_interval=10 {{\n}}\n"
        asking = "workflow a {\nrtmp_receive rtmp_app=in stream_key=* reactor=r\n}\n"
        async with Harness(text + asking, more_executors=[service.kind()]) as h:
            service.answers["key"] = workflow("", "max_lag=5", name="leased")
            await h.publish("in/key")
            await wait_all_tasks_blocked()
            watcher = await h.watch("live/key")
            service.answers["key"] = workflow("", "max_lag=6", name="leased")
            await trio.sleep(15)
            assert h.workflow("leased").active_steps[1].parameters["max_lag"] == "6"
            assert h.workflow("leased").active_steps[1].clients.watchers == (1 if setting == "true" else 0)
            watcher.close()
