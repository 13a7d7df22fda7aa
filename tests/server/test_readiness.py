"""A server is ready when its file's workflows run, tries taken ports again by itself, or ends where it shall."""

import errno
from typing import Any

import httpx2
import pytest
import trio
from attrs import define, field
from trio.testing import MockClock

from mmids_trio.config.parameters import NoParameters
from mmids_trio.config.settings import Settings
from mmids_trio.errors import StepError
from mmids_trio.server.app import Server, StartFailed
from mmids_trio.server.building import World, build_server
from mmids_trio.server.readiness import MAX_REASONS
from mmids_trio.steps.registry import StepType
from mmids_trio.testing.network import MemoryListener, MemoryNetwork
from mmids_trio.workflow.change import Change
from mmids_trio.workflow.events import HubEvent, WorkflowFailed, WorkflowStarted
from mmids_trio.workflow.status import OutcomeKind, PlanView
from mmids_trio.workflow.step import Step, StepContext
from tests.server.test_app import LIVE, definitions

TOKEN = "s3cret"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


@define
class BusyNetwork(MemoryNetwork):
    """Somebody else has `taken`."""

    taken: set[int] = field(factory=set, init=False)
    tried_at: list[float] = field(factory=list, init=False)

    def __attrs_pre_init__(self) -> None:
        super().__init__()

    def listen(self, host: str | None, port: int) -> MemoryListener:
        self.tried_at.append(trio.current_time())
        if port in self.taken:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        return super().listen(host, port)


def busy(*ports: int) -> BusyNetwork:
    network = BusyNetwork()
    network.taken |= set(ports)
    return network


def broken(tried: list[str]) -> StepType:
    """A step that cannot start; every try is noted."""

    def refuse(_parameters: NoParameters, context: StepContext) -> Step:
        tried.append(context.workflow)
        raise StepError("it cannot work here")

    return StepType("broken", NoParameters, refuse)


def make_server(
    network: MemoryNetwork,
    *,
    token: str | None = None,
    start_errors: str = "continue",
    tried: list[str] | None = None,
) -> Server:
    settings = Settings(http_api_token=token, start_errors=start_errors)
    steps = [broken([] if tried is None else tried)]
    return build_server(settings, world=World(network=network, random=lambda: 0.0), more_steps=steps)


def heard_by(server: Server) -> list[HubEvent]:
    heard: list[HubEvent] = []
    server.hub.listen(heard.append)
    return heard


async def ask(server: Server, **headers: str) -> httpx2.Response:
    app: Any = server.http_app
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.get("/ready", headers=headers)


async def start(nursery: trio.Nursery, server: Server, text: str) -> list[Change[PlanView]]:
    changes: list[Change[PlanView]] = await nursery.start(server.run, definitions(server, text))
    return changes


async def test_a_server_is_ready_when_all_of_its_file_runs(autojump_clock: MockClock) -> None:
    server = make_server(MemoryNetwork())
    assert (await ask(server)).status_code == 503
    async with trio.open_nursery() as nursery:
        [change] = await start(nursery, server, LIVE)
        await change.wait_outcome()
        answer = await ask(server)
        assert (answer.status_code, answer.json()) == (200, {"ready": True})
        server.stop()
        assert (await ask(server)).json() == {"ready": False, "reasons": ["the server is stopping"]}


async def test_a_workflow_in_error_is_named_only_to_who_may_read(autojump_clock: MockClock) -> None:
    server = make_server(MemoryNetwork(), token=TOKEN)
    async with trio.open_nursery() as nursery:
        changes = await start(nursery, server, "workflow bad {\n broken\n}\n" + LIVE)
        for change in changes:
            await change.wait_outcome()
        stranger, reader = await ask(server), await ask(server, **AUTHORIZED)
        assert (stranger.status_code, stranger.json()) == (503, {"ready": False})
        assert reader.status_code == 503
        [reason] = reader.json()["reasons"]
        assert reason.startswith("workflow 'bad': Step id ")
        assert reason.endswith("failed: it cannot work here")
        server.stop()


async def test_what_others_have_put_in_error_does_not_count(autojump_clock: MockClock) -> None:
    server = make_server(MemoryNetwork())
    async with trio.open_nursery() as nursery:
        await start(nursery, server, LIVE)
        [bad] = definitions(server, "workflow bad {\n broken\n}\n")
        assert (await server.workflows.apply(bad).wait_outcome()).kind is OutcomeKind.FAILED
        assert (await ask(server)).status_code == 200
        server.stop()


async def test_more_reasons_than_anybody_reads_are_counted(autojump_clock: MockClock) -> None:
    server = make_server(MemoryNetwork())
    async with trio.open_nursery() as nursery:
        many = "".join(f"workflow w{number} {{\n broken\n}}\n" for number in range(MAX_REASONS + 3))
        for change in await start(nursery, server, many):
            await change.wait_outcome()
        reasons = (await ask(server)).json()["reasons"]
        assert len(reasons) == MAX_REASONS + 1
        assert reasons[-1] == "3 more reasons"
        server.stop()


async def test_a_taken_port_is_tried_again_until_it_is_free_and_told_once(autojump_clock: MockClock) -> None:
    network = busy(1935)
    server = make_server(network)
    heard = heard_by(server)
    async with trio.open_nursery() as nursery:
        [change] = await start(nursery, server, LIVE)
        assert (await change.wait_outcome()).kind is OutcomeKind.FAILED
        await trio.sleep(200)
        assert "Address already in use" in str(server.workflows.status("live"))
        assert (await ask(server)).status_code == 503
        waits = [
            round(after - before, 2) for before, after in zip(network.tried_at, network.tried_at[1:], strict=False)
        ]
        assert waits[:6] == [1.25, 2.5, 5, 10, 20, 30]
        assert all(1 <= wait <= 30 for wait in waits)
        assert [type(event) for event in heard] == [WorkflowFailed]
        network.taken.clear()
        await trio.sleep(30)
        assert [type(event) for event in heard] == [WorkflowFailed, WorkflowStarted]
        assert (await ask(server)).status_code == 200
        tried = len(network.tried_at)
        await trio.sleep(100)
        assert len(network.tried_at) == tried
        server.stop()


async def test_an_update_takes_the_place_of_the_next_try(autojump_clock: MockClock) -> None:
    network = busy(1935)
    server = make_server(network)
    async with trio.open_nursery() as nursery:
        [change] = await start(nursery, server, LIVE)
        await change.wait_outcome()
        [other] = definitions(server, LIVE.replace("=live ", "=live port=1936 "))
        assert (await server.workflows.apply(other).wait_outcome()).kind is OutcomeKind.APPLIED
        tried = len(network.tried_at)
        await trio.sleep(100)
        assert len(network.tried_at) == tried
        server.stop()


async def test_any_other_error_waits_for_somebody(autojump_clock: MockClock) -> None:
    tried: list[str] = []
    server = make_server(MemoryNetwork(), tried=tried)
    heard = heard_by(server)
    async with trio.open_nursery() as nursery:
        await start(nursery, server, "workflow bad {\n broken\n}\n")
        await trio.sleep(100)
        assert tried == ["bad"]
        assert [type(event) for event in heard] == [WorkflowFailed]
        server.stop()


async def test_a_workflow_that_waits_for_its_port_is_stopped_at_once(autojump_clock: MockClock) -> None:
    server = make_server(busy(1935))
    async with trio.open_nursery() as nursery:
        await start(nursery, server, LIVE)
        await server.workflows.stop("live")
        assert server.workflows.is_quiet
        server.stop()


@pytest.mark.parametrize("text", ["workflow bad {\n broken\n}\n", LIVE], ids=["broken", "taken"])
async def test_a_server_that_shall_exit_ends_in_order_when_its_file_fails(autojump_clock: MockClock, text: str) -> None:
    server = make_server(busy(1935), start_errors="exit")
    heard = heard_by(server)
    name = text.split()[1]
    with pytest.raises(StartFailed, match=f"workflow '{name}' cannot start: Step id "):
        await server.run(definitions(server, text))
    assert [event.wire_name for event in heard] == ["workflow_failed", "workflow_ended"]
    assert server.rtmp.is_quiet


async def test_a_server_that_shall_exit_runs_while_its_file_works(autojump_clock: MockClock) -> None:
    server = make_server(MemoryNetwork(), start_errors="exit")
    async with trio.open_nursery() as nursery:
        await start(nursery, server, LIVE)
        [bad] = definitions(server, "workflow bad {\n broken\n}\n")
        await server.workflows.apply(bad).wait_outcome()
        await trio.sleep(100)
        assert not server.is_stopping
        server.stop()
