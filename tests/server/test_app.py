"""The whole server in memory: it starts, stops in good order within its bound, and can be ended at once."""

import errno
import socket
from collections.abc import Iterator, Sequence

import httpx2
import pytest
import trio
from structlog.testing import capture_logs
from structlog.typing import EventDict
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.config.parameters import NoParameters
from mmids_trio.config.parser import parse
from mmids_trio.config.settings import Settings
from mmids_trio.definitions import WorkflowDefinition
from mmids_trio.errors import StepError
from mmids_trio.http_api.listening import CannotListen
from mmids_trio.media.flow import Flow
from mmids_trio.server.app import STOP_SECONDS, Server
from mmids_trio.server.building import World, build_server
from mmids_trio.steps.registry import StepType
from mmids_trio.testing.cancellation import cancel_everywhere
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.network import MemoryNetwork
from mmids_trio.workflow.change import Stopping
from mmids_trio.workflow.status import OutcomeKind
from mmids_trio.workflow.step import Inbox, Outbox, Step, StepContext

LIVE = """
workflow live {
    rtmp_receive rtmp_app=live stream_key=*
    rtmp_watch rtmp_app=live stream_key=*
}
"""

BUSY = "\n".join(LIVE.replace("=live", f"=a{number}").replace(" live", f" w{number}") for number in range(20))

LARGE = generate_stream(seconds=30, frame_bytes=8_000)


@pytest.fixture
def logs() -> Iterator[list[EventDict]]:
    with capture_logs() as entries:
        yield entries


def definitions(server: Server, text: str) -> Sequence[WorkflowDefinition]:
    return [server.workflows.validate(workflow) for workflow in parse(text, "test").workflows]


def faults(logs: list[EventDict]) -> list[EventDict]:
    return [entry for entry in logs if entry["log_level"] in ("error", "critical")]


def is_closed(port: int | None) -> bool:
    """Whether nobody listens on the port of an API, if it ever had one."""
    with socket.socket() as probe:
        return port is None or probe.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


class NeverReady:
    """A step that waits for what never comes."""

    flow = Flow.PASSES_ON

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        await trio.sleep_forever()


def refuse(_parameters: NoParameters, _context: StepContext) -> Step:
    raise StepError("it cannot work here")


BROKEN = StepType("broken", NoParameters, refuse)


async def test_an_empty_server_stops_at_once(autojump_clock: MockClock) -> None:
    began = trio.current_time()
    async with Harness() as h:
        assert h.server.api_url is None
    assert trio.current_time() == began
    h.assert_quiet()


async def test_a_server_that_was_stopped_before_it_ran_ends_at_once(autojump_clock: MockClock) -> None:
    server = build_server(Settings(), world=World(network=MemoryNetwork()))
    server.stop()
    await server.run(definitions(server, LIVE))
    assert server.rtmp.is_quiet
    assert server.is_stopping


@pytest.mark.thorough
async def test_an_orderly_stop_says_goodbye_to_every_client(autojump_clock: MockClock, logs: list[EventDict]) -> None:
    began = trio.current_time()
    async with Harness(BUSY) as h:
        publishers = [await h.publish(f"a{n}/key", generate_stream(seconds=1)) for n in range(20)]
        watchers = [await h.watch(f"a{n}/key") for n in range(20)]
        h.server.stop()
        for watcher in watchers:
            await watcher.read_until_closed()
            assert watcher.statuses[-1] == "NetStream.Play.Stop"
        for publisher in publishers:
            await publisher.read_until_closed()
    assert trio.current_time() == began
    h.assert_quiet()
    assert faults(logs) == []


@pytest.mark.thorough
async def test_watchers_that_do_not_read_delay_a_stop_by_a_second(autojump_clock: MockClock) -> None:
    async with Harness(BUSY) as h:
        for number in range(20):
            await h.watch(f"a{number}/key")
            await h.publish(f"a{number}/key", LARGE)
        await wait_all_tasks_blocked()
        began = trio.current_time()
    assert trio.current_time() - began == pytest.approx(1)
    h.assert_quiet()


async def test_a_workflow_that_still_waits_for_a_step_does_not_hold_up_a_stop(
    autojump_clock: MockClock, logs: list[EventDict]
) -> None:
    step = StepType("never", NoParameters, lambda _parameters, _context: NeverReady())
    server = build_server(Settings(), world=World(network=MemoryNetwork()), more_steps=[step])
    text = "workflow w {\n rtmp_receive rtmp_app=live stream_key=*\n never\n}\n"
    async with trio.open_nursery() as nursery:
        [change] = await nursery.start(server.run, definitions(server, text))
        await trio.sleep(100)
        began = trio.current_time()
        server.stop()
        assert (await change.wait_outcome()).kind is OutcomeKind.STOPPED
    assert trio.current_time() == began
    assert server.rtmp.is_quiet
    assert faults(logs) == []


@pytest.mark.thorough
async def test_a_cancelled_server_ends_at_once(autojump_clock: MockClock, logs: list[EventDict]) -> None:
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        h = Harness(BUSY)
        async with h:
            for number in range(20):
                await h.publish(f"a{number}/key", generate_stream(seconds=1))
                await h.watch(f"a{number}/key")
            nursery.cancel_scope.cancel()
    assert trio.current_time() == began
    h.assert_quiet()
    assert faults(logs) == []


async def test_a_workflow_that_fails_does_not_keep_the_others_from_running(autojump_clock: MockClock) -> None:
    server = build_server(Settings(), world=World(network=MemoryNetwork()), more_steps=[BROKEN])
    text = "workflow broken {\n broken\n}\n" + LIVE
    async with trio.open_nursery() as nursery:
        changes = await nursery.start(server.run, definitions(server, text))
        assert [(await change.wait_outcome()).kind for change in changes] == [OutcomeKind.FAILED, OutcomeKind.APPLIED]
        assert server.workflows.names() == ["broken", "live"]
        server.stop()


async def test_an_api_port_in_use_is_an_error_before_anything_runs(logs: list[EventDict]) -> None:
    network = MemoryNetwork()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = build_server(Settings(http_api_port=port), world=World(network=network))
        with pytest.raises(CannotListen, match=f"127.0.0.1 port {port}: the port is in use"):
            await server.run(definitions(server, LIVE))
    assert network.open_ports == frozenset()
    assert logs == []


async def test_the_api_answers_while_the_server_runs() -> None:
    server = build_server(Settings(http_api_port=0), world=World(network=MemoryNetwork()))
    async with trio.open_nursery() as nursery:
        [change] = await nursery.start(server.run, definitions(server, LIVE))
        await change.wait_outcome()
        assert server.api_url is not None
        async with httpx2.AsyncClient(base_url=server.api_url, trust_env=False, verify=False) as client:
            assert (await client.get("/workflows")).json() == [{"name": "live"}]
            assert (await client.delete("/workflows/live")).status_code == 200
            assert server.rtmp.is_quiet
            server.stop()
    assert is_closed(server.api_port)


@pytest.mark.thorough
async def test_a_server_with_an_api_leaves_no_socket_wherever_it_is_cancelled(logs: list[EventDict]) -> None:
    servers: list[Server] = []

    async def run() -> None:
        server = build_server(Settings(http_api_port=0), world=World(network=MemoryNetwork()))
        servers.append(server)
        async with trio.open_nursery() as nursery:
            [change] = await nursery.start(server.run, definitions(server, LIVE))
            await change.wait_outcome()
            server.stop()

    def check() -> None:
        server = servers[-1]
        assert server.rtmp.is_quiet
        assert is_closed(server.api_port)
        assert faults(logs) == []

    assert await cancel_everywhere(run, check) > 5


def test_a_server_that_never_runs_has_no_side_effects() -> None:
    assert build_server(Settings(http_api_port=1, rtmp_host="nowhere.invalid")).rtmp.is_quiet


async def test_names_of_a_proxy_come_from_the_settings() -> None:
    client = build_server(Settings(http_api_hosts=("mmids.internal",))).http_app.test_client()
    statuses = [(await client.get("/", headers={"Host": host})).status_code for host in ("mmids.internal", "a.example")]
    assert statuses == [200, 403]


def test_the_api_url_has_brackets_around_an_ipv6_address() -> None:
    server = build_server(Settings(http_api_host="::1", http_api_port=9011))
    server.api_port = 9011
    assert server.api_url == "http://[::1]:9011"
    assert STOP_SECONDS < 5


async def test_a_harness_notices_what_is_left(autojump_clock: MockClock) -> None:
    async with Harness(LIVE) as h:
        with pytest.raises(AssertionError, match="registered"):
            h.assert_quiet()
        await h.stop("live")
        h.assert_quiet()


async def test_a_harness_fails_where_a_workflow_does_not_come_up(autojump_clock: MockClock) -> None:
    h = Harness("workflow w {\n broken\n}\n", [BROKEN])
    with pytest.raises(AssertionError, match="did not come up"):
        await h.__aenter__()
    h.assert_quiet()


async def test_a_server_that_is_being_stopped_takes_no_changes(autojump_clock: MockClock) -> None:
    async with Harness(LIVE) as h:
        await h.server.workflows.stop_all()
        with pytest.raises(Stopping):
            h.apply("workflow late {\n rtmp_receive rtmp_app=late stream_key=*\n}\n")
        assert h.server.workflows.names() == []
