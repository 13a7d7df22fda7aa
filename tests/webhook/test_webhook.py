"""The webhook: what is posted, in which order, signed how, and what becomes of events that cannot be posted."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
import trio
from attrs import define, evolve, field
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.cli.commands.events import ServerEvent, as_document
from mmids_trio.config.settings import EVENT_NAMES
from mmids_trio.http_api.event_shapes import EVENT_TYPES, event_json
from mmids_trio.media.events import StreamId
from mmids_trio.testing.cancellation import cancel_everywhere
from mmids_trio.testing.harness import Harness
from mmids_trio.webhook.backlog import JOINED_FROM, MAX_AGE_SECONDS, MAX_NOTICES, Notice
from mmids_trio.webhook.posting import POST_SECONDS, render
from mmids_trio.webhook.webhook import FLUSH_SECONDS, Webhook
from mmids_trio.workflow.event_filter import EventFilter
from mmids_trio.workflow.events import StreamWentLive, StreamWentOff, WorkflowEnded, WorkflowFailed, WorkflowStarted
from mmids_trio.workflow.hub import EventHub

URL = "https://user:pass@hooks.example.org/in?key=hidden"
SECRET = "a long random string"
NOON = 1_800_000_000.0

Answer = Callable[[httpx2.Request], Awaitable[httpx2.Response]]


@define(eq=False)
class Service:
    """A web service in memory; `status` is its answer, or `answer` gives one."""

    status: int = 200
    answer: Answer | None = None
    requests: list[httpx2.Request] = field(factory=list)
    times: list[float] = field(factory=list)

    async def handle(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        self.times.append(trio.current_time())
        if self.answer is not None:
            return await self.answer(request)
        await trio.lowlevel.checkpoint()
        return httpx2.Response(self.status, headers={"Location": "http://elsewhere.example.org/"})

    def client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=httpx2.MockTransport(self.handle), trust_env=False, timeout=None)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(request.content) for request in self.requests]

    @property
    def names(self) -> list[str]:
        return [body["data"]["workflow"] for body in self.bodies]


def webhook(hub: EventHub, service: Service, *types: str, secret: str | None = SECRET) -> Webhook:
    return Webhook(
        hub=hub,
        url=URL,
        secret=secret,
        wanted=EventFilter(types),
        random=lambda: 0.0,
        wall_clock=lambda: NOON + trio.current_time(),
        client=service.client,
    )


@asynccontextmanager
async def hooked(service: Service, *types: str, secret: str | None = SECRET) -> AsyncIterator[EventHub]:
    hub = EventHub()
    async with trio.open_nursery() as nursery:
        await nursery.start(webhook(hub, service, *types, secret=secret).run)
        yield hub
        nursery.cancel_scope.cancel()
    assert hub.subscriptions == 0


async def test_an_event_is_posted_as_json_with_a_signature_that_can_be_checked(autojump_clock: MockClock) -> None:
    service = Service()
    async with hooked(service) as hub:
        await trio.sleep(3)
        hub.publish(WorkflowFailed("show", "no ffmpeg"))
        await trio.sleep(1)
    [request], [body] = service.requests, service.bodies
    assert request.method == "POST"
    assert request.headers["content-type"] == "application/json"
    assert (body["type"], body["data"], body["dropped"]) == (
        "workflow_failed",
        {"workflow": "show", "reason": "no ffmpeg"},
        0,
    )
    timestamp = request.headers["x-mmids-timestamp"]
    assert int(timestamp) == NOON + int(trio.current_time() - 1)
    assert body["time"].startswith("2027-01-15T08:00:")
    expected = hmac.new(SECRET.encode(), timestamp.encode() + b"." + request.content, hashlib.sha256).hexdigest()
    assert request.headers["x-mmids-signature"] == f"sha256={expected}"


async def test_without_a_secret_there_is_no_signature(autojump_clock: MockClock) -> None:
    service = Service()
    async with hooked(service, secret=None) as hub:
        hub.publish(WorkflowStarted("show"))
        await trio.sleep(1)
    assert "x-mmids-signature" not in service.requests[0].headers


async def test_events_come_one_at_a_time_in_order_with_ids_of_their_own(autojump_clock: MockClock) -> None:
    at_once: list[int] = [0]

    async def slow(_: httpx2.Request) -> httpx2.Response:
        at_once.append(at_once[-1] + 1)
        await trio.sleep(0.5)
        at_once.append(at_once[-1] - 1)
        return httpx2.Response(204)

    service = Service(answer=slow)
    async with hooked(service) as hub:
        for number in range(10):
            hub.publish(WorkflowStarted(str(number)))
        await trio.sleep(10)
    assert service.names == [str(number) for number in range(10)]
    assert max(at_once) == 1
    assert len({body["id"] for body in service.bodies}) == 10


async def test_only_the_wanted_types_are_posted(autojump_clock: MockClock) -> None:
    service = Service()
    async with hooked(service, "workflow_ended", "stream_over") as hub:
        hub.publish(WorkflowStarted("a"))
        hub.publish(WorkflowEnded("b"))
        await trio.sleep(1)
    assert service.names == ["b"]


def refuse(status: int) -> Answer:
    async def answer(_: httpx2.Request) -> httpx2.Response:
        await trio.lowlevel.checkpoint()
        return httpx2.Response(status)

    return answer


async def break_off(_: httpx2.Request) -> httpx2.Response:
    await trio.lowlevel.checkpoint()
    raise httpx2.ConnectError("connection refused by hidden")


async def go_wrong(_: httpx2.Request) -> httpx2.Response:
    await trio.lowlevel.checkpoint()
    raise RuntimeError("hidden")


async def hang(_: httpx2.Request) -> httpx2.Response:
    await trio.sleep_forever()


@pytest.mark.parametrize(
    "fault", [refuse(500), refuse(503), refuse(429), break_off, go_wrong, hang], ids=lambda fault: fault.__qualname__
)
async def test_a_post_that_fails_is_tried_again_with_the_same_id(fault: Answer, autojump_clock: MockClock) -> None:
    service = Service(answer=fault)
    with capture_logs() as logs:
        async with hooked(service) as hub:
            hub.publish(WorkflowStarted("a"))
            hub.publish(WorkflowStarted("b"))
            await trio.sleep(45)
            assert set(service.names) == {"a"}
            assert len(service.requests) >= 3
            service.answer = None
            await trio.sleep(40)
    assert service.names[-2:] == ["a", "b"]
    assert len({body["id"] for body in service.bodies}) == 2
    assert service.bodies[-1]["dropped"] == 0
    assert "hidden" not in repr(logs)
    assert "pass" not in repr(logs)
    assert [entry["event"] for entry in logs] == ["webhook fails", "webhook works again"]


async def test_tries_are_further_and_further_apart(autojump_clock: MockClock) -> None:
    service = Service(503)
    async with hooked(service) as hub:
        hub.publish(WorkflowStarted("a"))
        await trio.sleep(100)
    waits = [round(later - time, 2) for time, later in zip(service.times, service.times[1:], strict=False)]
    assert waits[:7] == [0.5, 1, 2, 4, 8, 16, 30]


@pytest.mark.parametrize("status", [400, 404, 410, 301, 302])
async def test_what_a_service_does_not_want_is_not_sent_again_and_is_told(
    status: int, autojump_clock: MockClock
) -> None:
    service = Service(status)
    async with hooked(service) as hub:
        hub.publish(WorkflowStarted("a"))
        await trio.sleep(1)
        service.status = 200
        hub.publish(WorkflowStarted("b"))
        await trio.sleep(1)
        hub.publish(WorkflowStarted("c"))
        await trio.sleep(1)
    assert service.names == ["a", "b", "c"]
    assert [body["dropped"] for body in service.bodies] == [0, 1, 0]


@pytest.mark.thorough
async def test_the_queue_is_bounded_and_what_is_lost_is_told(autojump_clock: MockClock) -> None:
    service = Service(503)
    async with hooked(service) as hub:
        for number in range(MAX_NOTICES + 51):
            hub.publish(WorkflowStarted(str(number)))
            await wait_all_tasks_blocked()
        service.status = 200
        await trio.sleep(60)
    assert service.names[-1] == str(MAX_NOTICES + 50)
    arrived = service.bodies[-MAX_NOTICES - 1 :]
    assert [body["data"]["workflow"] for body in arrived[:2]] == ["0", "51"]
    assert sum(body["dropped"] for body in arrived) == 50


@pytest.mark.thorough
async def test_a_burst_beyond_what_the_hub_keeps_is_counted_as_well(autojump_clock: MockClock) -> None:
    service = Service()
    async with hooked(service) as hub:
        for number in range(5000):
            hub.publish(WorkflowStarted(str(number)))
        await trio.sleep(60)
    assert sum(body["dropped"] for body in service.bodies) + len(service.bodies) == 5000


@pytest.mark.thorough
async def test_streams_that_come_and_go_cost_neither_changes_nor_other_streams(autojump_clock: MockClock) -> None:
    service = Service(503)
    async with hooked(service) as hub:
        hub.publish(WorkflowStarted("honest"))
        hub.publish(live("honest"))
        for _ in range(4_508):
            hub.publish(live("restless"))
            hub.publish(off("restless"))
        hub.publish(WorkflowFailed("honest", "why"))
        await wait_all_tasks_blocked()
        tries = len(service.bodies)
        service.status = 200
        await trio.sleep(60)
    arrived = service.bodies[tries:]
    assert len(arrived) <= JOINED_FROM + 4
    assert [body["type"] for body in arrived[:2]] == ["workflow_started", "stream_began"]
    assert arrived[1]["data"]["name"] == "honest"
    assert arrived[-1]["type"] == "workflow_failed"
    restless = [body for body in arrived if body["data"].get("name") == "restless"]
    assert sum(body.get("count", 1) for body in restless) == 2 * 4_508
    assert [body["type"] for body in restless[-2:]] == ["stream_began", "stream_over"]
    assert sum(body["dropped"] for body in arrived) == 0


@pytest.mark.thorough
async def test_streams_of_ever_new_names_cost_no_changes(autojump_clock: MockClock) -> None:
    service = Service(503)
    async with hooked(service) as hub:
        hub.publish(WorkflowStarted("honest"))
        for number in range(5_000):
            hub.publish(live(str(number)))
        service.status = 200
        await trio.sleep(60)
    names = [body["type"] for body in service.bodies]
    assert "workflow_started" in names
    assert sum(body["dropped"] for body in service.bodies) == 5_000 - MAX_NOTICES


def live(name: str) -> StreamWentLive:
    return StreamWentLive("w", "1", StreamId("w/1/1"), name)


def off(name: str) -> StreamWentOff:
    return StreamWentOff("w", "1", StreamId("w/1/1"), name)


async def test_what_is_too_old_is_dropped_and_told(autojump_clock: MockClock) -> None:
    service = Service(503)
    async with hooked(service) as hub:
        hub.publish(WorkflowStarted("old"))
        hub.publish(WorkflowStarted("old too"))
        await trio.sleep(MAX_AGE_SECONDS + 60)
        service.status = 200
        hub.publish(WorkflowStarted("new"))
        await trio.sleep(60)
    assert service.bodies[-1] == {**service.bodies[-1], "data": {"workflow": "new"}, "dropped": 2}
    assert "old too" not in service.names


async def test_the_last_events_of_a_server_are_posted_when_it_stops(autojump_clock: MockClock) -> None:
    service = Service()
    h = Harness(
        "settings {\nwebhook_url http://hook.example.org/\n}\nworkflow w {\nrtmp_receive rtmp_app=a stream_key=*\n}\n"
    )
    [webhook] = h.server._webhooks
    webhook.client = service.client
    async with h:
        await h.publish("a/key")
    types = [body["type"] for body in service.bodies]
    assert types == ["workflow_started", "stream_began", "stream_over", "workflow_ended"]
    h.assert_quiet()


@pytest.mark.thorough
@pytest.mark.parametrize("fault", [hang, break_off], ids=["hangs", "is down"])
async def test_a_service_that_is_gone_holds_up_neither_media_nor_the_stop(
    fault: Answer, autojump_clock: MockClock
) -> None:
    service = Service(answer=fault)
    h = Harness(
        "settings {\nwebhook_url http://hook.example.org/\n}\nworkflow w {\nrtmp_receive rtmp_app=a stream_key=*\n}\n"
    )
    [webhook] = h.server._webhooks
    webhook.client = service.client
    async with h:
        for number in range(50):
            await (await h.publish(f"a/{number}")).unpublish()
        began = trio.current_time()
    assert trio.current_time() - began <= FLUSH_SECONDS + 0.1
    h.assert_quiet()


async def test_it_is_cancelled_everywhere_and_leaves_nothing(autojump_clock: MockClock) -> None:
    hub = EventHub()

    async def run() -> None:
        service = Service()
        hook = webhook(hub, service)
        async with trio.open_nursery() as nursery:
            await nursery.start(hook.run)
            hub.publish(WorkflowStarted("a"))
            await trio.sleep(1)
            service.answer = break_off
            hub.publish(WorkflowStarted("b"))
            await trio.sleep(POST_SECONDS)
            await hook.flush()
            nursery.cancel_scope.cancel()

    def check() -> None:
        assert hub.subscriptions == 0

    assert await cancel_everywhere(run, check) > 10


def test_the_names_of_events_are_those_of_the_api() -> None:
    assert sorted(EVENT_NAMES) == sorted(EVENT_TYPES)


def test_secrets_are_not_shown() -> None:
    settings = evolve(Harness("settings {\nwebhook_url http://a/\nwebhook_secret hidden\n}\n").server.settings)
    assert "hidden" not in repr(settings)
    assert "http://a/" not in repr(settings)


def test_the_command_the_stream_and_the_webhook_say_the_same_of_an_event() -> None:
    event = WorkflowFailed("show", "no ffmpeg")
    stream = event_json(event, event_id="ab-2", time="now")
    command = as_document(ServerEvent(event.wire_name, stream, "ab-2"))
    post = json.loads(render(Notice("ab-2", event.wire_name, "now", event_json(event), 0.0), 0))
    same = {"id": "ab-2", "type": "workflow_failed", "time": "now", "workflow": "show", "reason": "no ffmpeg"}
    assert json.loads(stream) == same
    assert command == {**same, "event": "workflow_failed"}
    assert post == {**same, "dropped": 0, "data": {"workflow": "show", "reason": "no ffmpeg"}}
