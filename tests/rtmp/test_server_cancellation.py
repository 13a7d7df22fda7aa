"""Cancelled at any await, server, sessions and steps leave nothing behind: no port, claim, connection or fault."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from structlog.typing import EventDict
from trio.testing import MockClock

from mmids_trio.net.certificates import Certificates
from mmids_trio.net.tls import connect_tls
from mmids_trio.net.transport import Transport
from mmids_trio.rtmp.server.endpoints import PublishHandler, WatchHandler
from mmids_trio.rtmp.server.registrations import Registration, Role
from mmids_trio.rtmp.server.server import RtmpServer
from mmids_trio.steps.publishers import Publishers
from mmids_trio.steps.rtmp_audience import Audience
from mmids_trio.steps.rtmp_watch import Watchers
from mmids_trio.testing.cancellation import cancel_everywhere
from mmids_trio.testing.clients import RtmpClient
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.network import MemoryNetwork
from mmids_trio.testing.recorder import Recorder
from mmids_trio.testing.step_ends import FakeStepContext
from tests.support.certificates import HOST, at_once, make
from tests.support.effort import first_are_fast
from tests.support.publishing import Sink

PACKETS = generate_stream(seconds=1)[:12]

Play = Callable[[Harness], Awaitable[None]]


def workflow(*steps: str) -> str:
    return "workflow w {\n" + "\n".join(steps) + "\n}\n"


RECEIVE, WATCH = "rtmp_receive rtmp_app=live stream_key=*", "rtmp_watch rtmp_app=live stream_key=*"
LIVE = workflow(RECEIVE, "record", WATCH)
CHANGED = workflow(f"{RECEIVE} allow_ips=127.0.0.1", "record", f"{WATCH} allow_ips=127.0.0.1")


async def nothing(h: Harness) -> None:
    """Start and stop alone."""


async def publish_and_leave(h: Harness) -> None:
    client = await h.publish("key", PACKETS)
    await client.unpublish()
    client.close()


async def watch_and_leave(h: Harness) -> None:
    publisher, watcher = await h.publish("key", PACKETS), await h.watch("key")
    await publisher.send(PACKETS[2:])
    await watcher.receive(4)
    watcher.close()


async def stop_with_clients(h: Harness) -> None:
    await h.publish("key", PACKETS)
    await h.watch("key")
    await h.stop("w")


async def change_with_clients(h: Harness) -> None:
    await h.publish("key", PACKETS)
    await h.watch("key")
    await h.put(CHANGED)
    await h.publish("key", PACKETS)


async def be_refused(h: Harness) -> None:
    await h.publish("key")
    client = await h.connect()
    client.connection.publish("key")
    await client.flush()
    await client.read_some()
    await client.flush()
    await client.read_until_closed()


@pytest.mark.parametrize(
    "play",
    first_are_fast(
        1, [nothing, publish_and_leave, watch_and_leave, stop_with_clients, change_with_clients, be_refused]
    ),
    ids=lambda play: str(play.__name__),
)
async def test_a_server_that_is_cancelled_anywhere_leaves_nothing(
    play: Play, autojump_clock: MockClock, logs: list[EventDict]
) -> None:
    harnesses: list[Harness] = []

    async def run() -> None:
        harness = Harness(LIVE, [Recorder().step_type()])
        harnesses.append(harness)
        async with harness as h:
            await play(h)

    def check() -> None:
        harnesses[-1].assert_quiet()
        assert [entry for entry in logs if entry["log_level"] in ("error", "critical")] == []

    assert await cancel_everywhere(run, check) > 20


async def publish(client: RtmpClient) -> None:
    await client.publish("key", PACKETS)


async def watch(client: RtmpClient) -> None:
    await client.watch("key")


HANDLERS: dict[Role, PublishHandler | WatchHandler] = {
    Role.PUBLISH: Publishers(FakeStepContext(), Sink()),
    Role.WATCH: Watchers(Audience("*"), None),
}
USES = {Role.PUBLISH: publish, Role.WATCH: watch}


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("role", Role)
async def test_a_registration_that_is_cancelled_anywhere_leaves_the_server_as_it_was(
    role: Role, tls: bool, *, autojump_clock: MockClock, nursery: trio.Nursery, logs: list[EventDict], tmp_path: Path
) -> None:
    network, made = MemoryNetwork(), make()
    server = RtmpServer(network, certificates=Certificates(made.write(tmp_path / "server.pem"), offload=at_once))
    await nursery.start(server.run)

    async def connect() -> Transport:
        transport = await network.connect(1935)
        return await connect_tls(transport, HOST, made.client_context()) if tls else transport

    async def run() -> None:
        async with server.serve(Registration(role, 1935, "live", "key", tls=tls), FakeStepContext(), HANDLERS[role]):
            client = RtmpClient(await connect())
            await client.connect()
            await USES[role](client)
        await client.read_until_closed()

    def check() -> None:
        assert server.is_quiet
        assert not network.open_ports
        assert [entry for entry in logs if entry["log_level"] in ("error", "critical")] == []

    assert await cancel_everywhere(run, check) > 10
    nursery.cancel_scope.cancel()
