r"""A whole server in memory, for tests of workflows and steps: no sockets, and on trio's mock clock no waiting.

async with Harness("workflow w {\n rtmp_receive rtmp_app=live stream_key=*\n}\n") as h:
    publisher = await h.publish("key", generate_stream(seconds=2))
    assert h.workflow("w").status == "Running"
h.assert_quiet()
"""

import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from tempfile import gettempdir
from time import time
from types import TracebackType
from typing import Self
from uuid import uuid4

import trio
from attrs import define, evolve, field

from mmids_trio.app import Server
from mmids_trio.config.parser import parse, parse_workflow
from mmids_trio.config.settings import Settings
from mmids_trio.definitions import WorkflowDefinition
from mmids_trio.errors import ConfigurationError
from mmids_trio.ffmpeg.process import Spawner
from mmids_trio.media.events import MediaEvent, MediaPacket
from mmids_trio.media.flow import Flow
from mmids_trio.reactors.executor import ExecutorKind
from mmids_trio.rtmp.transport import Transport
from mmids_trio.steps.base import Inbox, Outbox
from mmids_trio.steps.registry import StepType
from mmids_trio.testing.clients import RtmpClient
from mmids_trio.testing.ffmpeg import FakeFfmpeg
from mmids_trio.testing.network import MemoryNetwork
from mmids_trio.workflow.change import Change
from mmids_trio.workflow.status import Outcome, OutcomeKind, WorkflowStatus

RTMP_PORT = 1935


@define(eq=False)
class Recorder:
    """A step that notes what reaches it and passes it on; while it is held, it takes nothing more.

    One object is the step of every workflow that uses `step_type`.
    """

    events: list[MediaEvent] = field(factory=list)
    flow: Flow = field(default=Flow.PASSES_ON, init=False)
    _is_held: bool = field(default=False, init=False)
    _released: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)

    @property
    def packets(self) -> list[MediaPacket]:
        """The media among the events."""
        return [event for event in self.events if isinstance(event, MediaPacket)]

    def step_type(self, name: str = "record") -> StepType:
        """For `Harness(more_steps=...)`: a kind of step without parameters."""
        return StepType(name, (), lambda _values, _context: self)

    def hold(self) -> None:
        """Take nothing more: the workflow backs up to its publishers' sockets."""
        self._is_held = True

    def release(self) -> None:
        """Go on."""
        self._is_held = False
        self._released.unpark_all()

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        """See `steps.base.Step`."""
        task_status.started()
        while True:
            events = await inbox.receive()
            while self._is_held:
                await self._released.park()
            self.events += events
            await outbox.send(events)


@define(eq=False)
class Harness:
    """A server that runs `configuration` as long as the `async with` block does, and is stopped in good order after.

    Every workflow must come up.  `more_steps` and `more_executors` are of one's own.  Children, of whatever ffmpeg the
    settings name, come from `spawner`, and restart without jitter.  Raises `ConfigurationError`.
    """

    configuration: str = ""
    more_steps: Sequence[StepType] = ()
    network: MemoryNetwork = field(factory=MemoryNetwork)
    spawner: Spawner = field(factory=FakeFfmpeg)
    more_executors: Sequence[ExecutorKind] = ()
    now: Callable[[], float] = time
    """The calendar's time, in seconds since 1970 UTC."""
    server: Server = field(init=False)
    _definitions: Sequence[WorkflowDefinition] = field(init=False)
    _transports: list[Transport] = field(factory=list, init=False)
    _block: AbstractAsyncContextManager[None] = field(init=False)
    _scratch: Path = field(factory=lambda: Path(gettempdir()) / f"mmids_trio-{uuid4()}", init=False)
    """For logs of children, where the settings name no other place; only made when there are some."""

    def __attrs_post_init__(self) -> None:
        document = parse(self.configuration, "test")
        if document.problems:
            raise ConfigurationError(document.problems)
        self.server = Server(
            self._settings(document.settings),
            document.reactors,
            network=self.network,
            more_steps=self.more_steps,
            more_executors=self.more_executors,
            spawner=self.spawner,
            random=lambda: 0.0,
            now=self.now,
        )
        executors = self.server.executors
        if problems := [problem for reactor in document.reactors for problem in executors.problems(reactor)]:
            raise ConfigurationError(problems)
        self._definitions = [self.server.workflows.validate(workflow) for workflow in document.workflows]

    def _settings(self, given: Settings) -> Settings:
        """With some program in place of an ffmpeg that is not named: this one is here everywhere, and not started."""
        logs = given.log_path if given.log_path != Settings().log_path else str(self._scratch)
        return evolve(given, ffmpeg_path=given.ffmpeg_path or sys.executable, log_path=logs)

    async def __aenter__(self) -> Self:
        self._block = self._run()
        await self._block.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await self._block.__aexit__(kind, error, traceback)

    @asynccontextmanager
    async def _run(self) -> AsyncIterator[None]:
        try:
            async with trio.open_nursery() as nursery:
                for change in await nursery.start(self.server.run, self._definitions):
                    _require_success(await change.wait())
                yield
                self.server.stop()
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)

    # Workflows.

    def apply(self, text: str, *, rollback: bool = False) -> Change:
        """Start or change the workflow that `text` defines; wait for the change, or do not."""
        workflows = self.server.workflows
        return workflows.apply(workflows.validate(parse_workflow(text, "test")), rollback=rollback)

    async def put(self, text: str, *, rollback: bool = False) -> Outcome:
        """As `apply`; returns when it is known what came of it."""
        return await self.apply(text, rollback=rollback).wait()

    async def stop(self, name: str) -> None:
        """Stop a workflow, as DELETE does."""
        await self.server.workflows.stop(name)

    def workflow(self, name: str) -> WorkflowStatus:
        """What is known of a workflow, which must exist."""
        status = self.server.workflows.status(name)
        assert status is not None, f"there is no workflow {name}"
        return status

    # Clients.

    async def open(self, *, port: int = RTMP_PORT, peer_host: str = "127.0.0.1") -> Transport:
        """A bare connection. Raises `ConnectionRefusedError` where the port is closed."""
        transport = await self.network.connect(port, peer_host=peer_host)
        self._transports.append(transport)
        return transport

    async def connect(self, app: str = "live", *, port: int = RTMP_PORT, peer_host: str = "127.0.0.1") -> RtmpClient:
        """A client whose `connect` was accepted. Raises `clients.ClientRefused`."""
        return await RtmpClient.connected(await self.open(port=port, peer_host=peer_host), app)

    async def publish(
        self,
        key: str,
        packets: Iterable[MediaPacket] = (),
        *,
        app: str = "live",
        port: int = RTMP_PORT,
        peer_host: str = "127.0.0.1",
    ) -> RtmpClient:
        """A client that publishes `key` and has sent `packets`. Raises `clients.ClientRefused`."""
        client = await self.connect(app, port=port, peer_host=peer_host)
        await client.publish(key, packets)
        return client

    async def watch(
        self, key: str, *, app: str = "live", port: int = RTMP_PORT, peer_host: str = "127.0.0.1"
    ) -> RtmpClient:
        """A client that watches `key` and has read nothing yet. Raises `clients.ClientRefused`."""
        client = await self.connect(app, port=port, peer_host=peer_host)
        await client.watch(key)
        return client

    # The end.

    def assert_quiet(self) -> None:
        """Nothing is left: no registration, no port, and of every connection the server has let go."""
        assert self.server.rtmp.is_quiet, "something is still registered, or a port is open"
        assert not self.network.open_ports, f"ports {sorted(self.network.open_ports)} are still open"
        assert not self.server.workflows.names(), f"workflows {self.server.workflows.names()} still run"
        left = [transport for transport in self._transports if not _is_over(transport)]
        assert not left, f"the server still has {len(left)} connections"


def _require_success(outcome: Outcome) -> None:
    assert outcome.kind is OutcomeKind.APPLIED, f"a workflow did not come up: {outcome.message}"


def _is_over(transport: Transport) -> bool:
    """Whether the other side (or this one) has closed the connection."""
    try:
        transport.send_nowait(b"")
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return True
    return False
