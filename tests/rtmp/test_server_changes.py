"""Claims that move over while a workflow changes: who is served by whom, who waits, who is refused."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.config.parameters import NoParameters
from mmids_trio.errors import StepError
from mmids_trio.media.flow import Flow
from mmids_trio.rtmp.server.registrations import Role
from mmids_trio.steps.registry import StepType
from mmids_trio.testing.clients import ClientRefused, RtmpClient
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.recorder import Recorder
from mmids_trio.workflow.change import Change
from mmids_trio.workflow.status import OutcomeKind, PlanView
from mmids_trio.workflow.step import Inbox, Outbox

Closings = Callable[[], list[str]]
PACKETS = generate_stream(seconds=2)


@define(eq=False)
class Latecomer:
    """A step that is not ready before the test says so; it can fail instead."""

    may_start: trio.Event = field(factory=trio.Event)
    fails: bool = False
    flow: Flow = field(default=Flow.PASSES_ON, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        await self.may_start.wait()
        if self.fails:
            raise StepError("it was not to be")
        task_status.started()
        while True:
            await outbox.send(await inbox.receive())


@define
class Scene:
    h: Harness
    latecomer: Latecomer
    recorder: Recorder

    def change(self, *steps: str, rollback: bool = False) -> Change[PlanView]:
        """Begin a change that waits for the latecomer."""
        return self.h.apply(workflow(*steps, "late"), rollback=rollback)

    def succeed(self) -> None:
        self.latecomer.may_start.set()

    def fail(self) -> None:
        self.latecomer.fails = True
        self.latecomer.may_start.set()


def workflow(*steps: str) -> str:
    return "workflow w {\n" + "\n".join(steps) + "\n}\n"


@asynccontextmanager
async def scene(*steps: str) -> AsyncIterator[Scene]:
    latecomer, recorder = Latecomer(), Recorder()
    types = [recorder.step_type(), StepType("late", NoParameters, lambda _parameters, _context: latecomer)]
    async with Harness(workflow(*steps), types) as h:
        yield Scene(h, latecomer, recorder)
    h.assert_quiet()


RECEIVE = "rtmp_receive rtmp_app=live stream_key=key"
WATCH = "rtmp_watch rtmp_app=live stream_key=key"
RULES = "allow_ips=127.0.0.1"


async def test_the_old_step_serves_until_the_swap_and_the_new_one_after_it(
    autojump_clock: MockClock, closings: Closings
) -> None:
    async with scene(RECEIVE, "record") as s:
        publisher = await s.h.publish("key", PACKETS[:30])
        change = s.change(f"{RECEIVE} {RULES}", "record")
        await publisher.send(PACKETS[30:])
        await wait_all_tasks_blocked()
        assert [packet.data for packet in s.recorder.packets] == [packet.data for packet in PACKETS]
        with pytest.raises(ClientRefused, match="BadName"):
            await s.h.publish("key")  # the old step's publisher has the key
        s.succeed()
        assert (await change.wait_outcome()).kind is OutcomeKind.APPLIED
        await publisher.read_until_closed()
        await s.h.publish("key")
        with pytest.raises(ClientRefused, match="Denied"):
            await s.h.publish("key", peer_host="10.0.0.1")
        assert closings()[1] == "what it used has ended"


@pytest.mark.parametrize("rollback", [True, False])
async def test_a_change_that_fails_leaves_the_old_claim_or_none(rollback: bool, autojump_clock: MockClock) -> None:
    async with scene(RECEIVE, "record") as s:
        publisher = await s.h.publish("key", PACKETS[:30])
        change = s.change(f"{RECEIVE} {RULES}", "record", rollback=rollback)
        await wait_all_tasks_blocked()
        s.fail()
        outcome = await change.wait_outcome()
        assert outcome.kind is (OutcomeKind.ROLLED_BACK if rollback else OutcomeKind.FAILED)
        if rollback:
            await publisher.send(PACKETS[30:])
            await wait_all_tasks_blocked()
            assert len(s.recorder.packets) == len(PACKETS)
        else:
            await publisher.read_until_closed()
            assert s.h.server.rtmp.is_quiet


async def asks_later(s: Scene, role: str, app: str = "live") -> RtmpClient:
    """A client that has asked for `other`, which is only reserved, and has got no answer so far."""
    client = await s.h.connect(app)
    getattr(client.connection, role)("other")
    await client.flush()
    await client.read_some()
    await client.flush()
    await wait_all_tasks_blocked()
    return client


async def answer_to(client: RtmpClient) -> str:
    await client.read_until(lambda: client.connection.phase.value in ("publishing", "playing", "refused"))
    return client.connection.phase.value


@pytest.mark.parametrize(("role", "done", "step"), [("publish", "publishing", RECEIVE), ("play", "playing", WATCH)])
async def test_a_client_that_asks_for_what_is_only_reserved_is_served_after_the_swap(
    role: str, done: str, step: str, autojump_clock: MockClock
) -> None:
    async with scene(RECEIVE, WATCH) as s:
        change = s.change(RECEIVE, WATCH, step.replace("key=key", "key=other"))
        client = await asks_later(s, role)
        began = trio.current_time()
        await trio.sleep(55)
        s.succeed()
        await change.wait_outcome()
        assert await answer_to(client) == done
        assert trio.current_time() - began == 55


@pytest.mark.parametrize("role", ["publish", "play"])
@pytest.mark.parametrize("rollback", [True, False])
async def test_a_client_that_asks_for_what_is_only_reserved_is_refused_when_the_change_is_given_up(
    role: str, rollback: bool, autojump_clock: MockClock
) -> None:
    async with scene(RECEIVE, WATCH) as s:
        steps = [step.replace("key=key", "key=other") for step in (RECEIVE, WATCH)]
        change = s.change(RECEIVE, WATCH, *steps, rollback=rollback)
        client = await asks_later(s, role)
        s.fail()
        await change.wait_outcome()
        assert await answer_to(client) == "refused"
        await client.read_until_closed()


async def test_a_client_that_asks_for_what_is_only_reserved_is_refused_when_the_workflow_is_stopped(
    autojump_clock: MockClock,
) -> None:
    async with scene(RECEIVE) as s:
        s.change(RECEIVE, RECEIVE.replace("key=key", "key=other"))
        client = await asks_later(s, "publish")
        await s.h.stop("w")
        assert client.transport is not None
        await client.read_until_closed()


async def test_a_newer_change_takes_over_what_the_older_one_had_reserved(autojump_clock: MockClock) -> None:
    async with scene(RECEIVE) as s:
        other = RECEIVE.replace("key=key", "key=other")
        first = s.change(RECEIVE, other)
        client = await asks_later(s, "publish")
        second = s.h.apply(workflow(RECEIVE, other))
        assert (await first.wait_outcome()).kind is OutcomeKind.SUPERSEDED
        assert (await second.wait_outcome()).kind is OutcomeKind.APPLIED
        assert await answer_to(client) == "publishing"  # who waited for the first change was served by the second


# What will start, but has not come to reserve anything: a step in front of it takes its time.

ANNOUNCED = [("publish", "publishing", RECEIVE), ("play", "playing", WATCH)]


@pytest.mark.parametrize("app", ["live", "new"])
@pytest.mark.parametrize(("role", "done", "step"), ANNOUNCED)
async def test_a_client_waits_for_a_step_behind_one_that_starts_slowly(
    role: str, done: str, step: str, app: str, autojump_clock: MockClock
) -> None:
    wanted = step.replace("key=key", "key=other").replace("app=live", f"app={app}")
    async with scene(RECEIVE) as s:
        change = s.h.apply(workflow(RECEIVE, "late", wanted))
        client = await asks_later(s, role, app)
        began = trio.current_time()
        await trio.sleep(4)
        s.succeed()
        await change.wait_outcome()
        assert await answer_to(client) == done
        assert trio.current_time() - began == 4


@pytest.mark.parametrize(("role", "_done", "step"), ANNOUNCED)
async def test_a_client_is_refused_when_the_step_that_it_waits_for_does_not_come(
    role: str, _done: str, step: str, autojump_clock: MockClock
) -> None:
    async with scene(RECEIVE) as s:
        change = s.h.apply(workflow(RECEIVE, "late", step.replace("key=key", "key=other")), rollback=True)
        client = await asks_later(s, role)
        s.fail()
        await change.wait_outcome()
        assert await answer_to(client) == "refused"


async def test_nobody_waits_for_a_key_that_nothing_that_starts_will_serve(autojump_clock: MockClock) -> None:
    async with scene(RECEIVE) as s:
        s.h.apply(workflow(RECEIVE, "late", WATCH))
        began = trio.current_time()
        with pytest.raises(ClientRefused, match="has no stream key 'unheard of'"):
            await s.h.watch("unheard of")
        with pytest.raises(ClientRefused, match="has no stream key 'other' for publishers"):
            await s.h.publish("other")
        assert trio.current_time() == began


async def test_while_a_server_starts_players_wait_for_its_last_workflow(autojump_clock: MockClock) -> None:
    latecomer = Latecomer()
    types = [StepType("late", NoParameters, lambda _parameters, _context: latecomer)]
    first, last = f"workflow a {{\n{RECEIVE}\nlate\n}}\n", f"workflow b {{\n{WATCH.replace('live', 'new')}\n}}\n"
    server = Harness(first + last, types, all_must_run=False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.server.run, server._definitions)
        await wait_all_tasks_blocked()
        client = await server.connect("new")  # within the second that the first workflow gets for itself
        client.connection.play("key")
        await client.flush()
        assert await answer_to(client) == "playing"
        server.server.stop()
    assert server.server.rtmp.is_quiet


async def test_nobody_waits_for_a_reservation_longer_than_a_minute(
    autojump_clock: MockClock, closings: Closings
) -> None:
    async with scene(RECEIVE) as s:
        s.change(RECEIVE, RECEIVE.replace("key=key", "key=other"))
        client = await asks_later(s, "publish")
        began = trio.current_time()
        assert await answer_to(client) == "refused"
        assert trio.current_time() - began == 60
        assert client.statuses == ["NetStream.Publish.Denied"]
        s.succeed()


async def test_a_client_may_stop_waiting(autojump_clock: MockClock, closings: Closings) -> None:
    async with scene(RECEIVE) as s:
        change = s.change(RECEIVE, RECEIVE.replace("key=key", "key=other"))
        gone, patient = await asks_later(s, "publish"), await asks_later(s, "publish")
        gone.close()
        await wait_all_tasks_blocked()
        s.succeed()
        await change.wait_outcome()
        assert await answer_to(patient) == "publishing"
        assert closings() == []


async def test_who_asks_and_takes_it_back_again_and_again_leaves_no_trace(autojump_clock: MockClock) -> None:
    async with scene(RECEIVE) as s:
        s.change(RECEIVE, RECEIVE.replace("key=key", "key=other"))
        client = await asks_later(s, "publish")
        for _ in range(100):
            await client.command("FCUnpublish", None, "other")
            await client.command("publish", None, "other", stream=1)
            await wait_all_tasks_blocked()
        claim = s.h.server.rtmp.find(Role.PUBLISH, 1935, "live", "other")
        assert claim is not None
        assert len(claim.on_settled) == 1
        s.succeed()
        assert await answer_to(client) == "publishing"


async def test_a_publisher_that_had_to_wait_is_not_taken_for_a_silent_one(autojump_clock: MockClock) -> None:
    async with scene(RECEIVE) as s:
        change = s.change(RECEIVE, RECEIVE.replace("key=key", "key=other"))
        client = await asks_later(s, "publish")
        await trio.sleep(50)
        s.succeed()
        await change.wait_outcome()
        began = trio.current_time()
        await client.read_until_closed()
        assert trio.current_time() - began == 30
        assert client.statuses == []


async def test_a_rearranged_workflow_keeps_its_clients(autojump_clock: MockClock, closings: Closings) -> None:
    async with scene(RECEIVE, "record", WATCH) as s:
        publisher, watcher = await s.h.publish("key", PACKETS[:30]), await s.h.watch("key")
        assert (await s.h.put(workflow(RECEIVE, WATCH, "record"))).kind is OutcomeKind.APPLIED
        await publisher.send(PACKETS[30:])
        await watcher.read_until(lambda: PACKETS[-1].data in [packet.data for packet in watcher.packets])
        assert watcher.report(PACKETS).is_flawless_from_join
        await wait_all_tasks_blocked()
        assert [packet.data for packet in s.recorder.packets] == [packet.data for packet in PACKETS]
        assert closings() == []
