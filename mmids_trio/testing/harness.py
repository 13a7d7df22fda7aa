r"""A whole server in memory, for tests of workflows and steps: no sockets, and on trio's mock clock no waiting.

async with Harness("workflow w {\n rtmp_receive rtmp_app=live stream_key=*\n}\n") as h:
    publisher = await h.publish("live/key", generate_stream(seconds=2))
    assert h.workflow("w").status == "Running"
h.assert_quiet()
"""

import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import gettempdir
from time import time
from types import TracebackType
from typing import Self, TypedDict, TypeVar, Unpack, overload
from uuid import uuid4

import trio
from attrs import define, evolve, field

from mmids_trio.config.parser import parse, parse_workflow
from mmids_trio.config.references import given_in_the_text
from mmids_trio.config.settings import Settings
from mmids_trio.definitions import WorkflowDefinition
from mmids_trio.errors import ConfigurationError, leaves
from mmids_trio.ffmpeg.process import Spawner
from mmids_trio.media.events import MediaPacket
from mmids_trio.reactors.executor import ExecutorKind
from mmids_trio.reload.configuration_file import Configuration
from mmids_trio.server.app import Server
from mmids_trio.server.building import NO_HOOKS, Hooks, World, build_server
from mmids_trio.steps.registry import StepType
from mmids_trio.testing import quiet
from mmids_trio.testing.clients import RtmpClient
from mmids_trio.testing.events import EventLog
from mmids_trio.testing.fault_words import Faults
from mmids_trio.testing.ffmpeg import FakeFfmpeg
from mmids_trio.testing.http import HttpClient
from mmids_trio.testing.links import Link
from mmids_trio.testing.network import MemoryNetwork, MemoryTransport
from mmids_trio.testing.virtual_lines import in_virtual_time_lines
from mmids_trio.testing.watchdog import Limits, is_of_a_step, watched
from mmids_trio.workflow.change import Change
from mmids_trio.workflow.events import HubEvent
from mmids_trio.workflow.status import Outcome, OutcomeKind, PlanView, WorkflowStatus

NONCE = "0" * 10
"""Of the ids of clients and streams: the same in every run, so that what happens can be compared."""

RTMP_PORT = 1935
"""Where clients connect to that name no port."""

OWN_SUBSCRIPTIONS = 2
"""To the events of a running server: the harness's, and that of the API's history."""

E = TypeVar("E")
Result = TypeVar("Result")

PRUNE_EVERY = 256
"""Connections after which those that are over are forgotten: a simulated day has tens of thousands."""


class Dialling(TypedDict, total=False):
    """How a client connects: to which port (1935), from which address (127.0.0.1) and port (one of its own), over which
    link (the network's)."""

    port: int
    peer_host: str
    peer_port: int
    link: Link


def split_address(address: str) -> tuple[str, str]:
    """The application and the stream key of `app/key`. A key alone is one of the application `live`."""
    app, slash, key = address.lstrip("/").partition("/")
    return (app, key) if slash else ("live", app)


async def inline(work: Callable[[], Result]) -> Result:
    """An `offload.Offload` without a thread: a mock clock would jump to the next deadline while one works."""
    await trio.lowlevel.checkpoint()
    return work()


@define(eq=False)
class _ServerTask:
    """The task above the server's: whatever the server starts, from its first step on, has this one above it."""

    server: Server
    definitions: Sequence[WorkflowDefinition]
    changes: Sequence[Change[PlanView]] = ()
    up: trio.Event = field(factory=trio.Event)
    ended: trio.Event = field(factory=trio.Event)

    async def run(self) -> None:
        """Run the server to its end."""
        try:
            async with trio.open_nursery() as nursery:
                self.changes = await nursery.start(self.server.run, self.definitions)
                self.up.set()
        finally:
            self.ended.set()


@define(eq=False)
class Harness:
    """A server that runs `configuration` as long as the `async with` block does, and is stopped in good order after.

    Every workflow must come up (`all_must_run`).  `more_steps` and `more_executors` are of one's own.  Children, of
    whatever ffmpeg the settings name, come from `spawner`, and restart without jitter.  Raises `ConfigurationError`.
    """

    configuration: str = ""
    more_steps: Sequence[StepType] = ()
    network: MemoryNetwork = field(factory=MemoryNetwork)
    spawner: Spawner = field(factory=FakeFfmpeg)
    more_executors: Sequence[ExecutorKind] = ()
    all_must_run: bool = True
    """Whether a workflow that does not come up is an error."""
    load_again: Callable[[], Configuration] | None = None
    """What a reload reads; without it there are no reloads."""
    now: Callable[[], float] = time
    """The calendar's time, in seconds since 1970 UTC."""
    hooks: Hooks = NO_HOOKS
    """What is put around the ways into the server."""
    faults: Faults | None = None
    """What goes wrong with links, calendar and disk."""
    limits: Limits | None = None
    """When it does not go on, and is ended by an error; without them, those of the test (see `Limits`)."""
    in_world: Callable[[World], World] = lambda world: world
    """What else of the machine's is replaced, besides network, children, threads, jitter and calendar."""
    server: Server = field(init=False)
    _definitions: Sequence[WorkflowDefinition] = field(init=False)
    _log: EventLog = field(init=False)
    _http: HttpClient = field(init=False)
    _nursery: trio.Nursery | None = field(default=None, init=False)
    """While the block runs."""
    _tasks: quiet.TaskWatch = field(factory=quiet.TaskWatch, init=False)
    transports: list[MemoryTransport] = field(factory=list, init=False)
    """The clients' ends of connections, oldest first; of those that are over, only the latest."""
    _block: AbstractAsyncContextManager[None] = field(init=False)
    _scratch: Path = field(factory=lambda: Path(gettempdir()) / f"mmids_trio-{uuid4()}", init=False)
    """For logs of children, where the settings name no other place; only made when there are some."""

    def __attrs_post_init__(self) -> None:
        document = parse(self.configuration, "test", given_in_the_text())
        if document.problems:
            raise ConfigurationError(document.problems)
        self.server = build_server(
            self._settings(document.settings),
            document.reactors,
            webhooks=document.webhooks,
            cluster=document.cluster,
            more_steps=self.more_steps,
            more_executors=self.more_executors,
            load_again=self.load_again,
            world=self.in_world(self._world()),
            hooks=self.hooks,
        )
        _ = self.server.steps.types  # imported here, so that no step of a test is blamed for the time
        executors = self.server.executors
        if problems := [problem for reactor in document.reactors for problem in executors.problems(reactor)]:
            raise ConfigurationError(problems)
        self._log = EventLog(self.server.hub)
        self._http = HttpClient(lambda: self.server.api, self._tasks_of_clients)
        if token := document.settings.http_api_token:
            self._http.headers["authorization"] = f"Bearer {token}"
        self._definitions = [self.server.workflows.validate(workflow) for workflow in document.workflows]

    def _world(self) -> World:
        """Nothing of this machine, and no jitter."""
        broken = self.faults or Faults()
        if self.faults is not None:
            self.network.choose_link = broken.link
        return World(
            network=self.network,
            spawner=self.spawner,
            offload=inline,
            random=lambda: 0.0,
            nonce=NONCE,
            now=broken.calendar(self.now),
            free_bytes=broken.free_bytes(lambda _directory: 1024**5),
        )

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
        raised: list[BaseException] = []
        try:
            with self._log.listen(), self._tasks, in_virtual_time_lines(), self._watched():
                async with self._serve(raised):
                    yield
        except BaseExceptionGroup as group:
            if (plain := _plain(raised, group)) is None:
                raise
            for note in getattr(group, "__notes__", ()):
                plain.add_note(note)
        else:
            return
        finally:
            self._nursery = None
            shutil.rmtree(self._scratch, ignore_errors=True)
        raise plain  # here, where the group is not its context

    @asynccontextmanager
    async def _serve(self, raised: list[BaseException]) -> AsyncIterator[None]:
        """Start the server and stop it. What the block raises is put into `raised`, as it was raised."""
        async with trio.open_nursery() as nursery:
            self._tasks.nursery = self._nursery = nursery
            serving = _ServerTask(self.server, self._definitions)
            nursery.start_soon(serving.run)
            try:
                await serving.up.wait()
                for change in serving.changes:
                    if self.all_must_run:
                        _require_success(await change.wait_outcome())
                yield
                self.server.stop()
                await serving.ended.wait()
            except BaseException as error:
                raised.append(error)
                raise
            nursery.cancel_scope.cancel()  # requests that the server does not wait for any longer

    @contextmanager
    def _watched(self) -> Iterator[None]:
        with watched(self.limits) as watchdog, watchdog.judging(self._is_of_a_step):
            watchdog.progress.append(self._bytes_moved)
            watchdog.of_servers.append(self._tasks)
            watchdog.news.append(self._things_so_far)
            try:
                yield
            finally:
                watchdog.of_servers.remove(self._tasks)
                watchdog.news.remove(self._things_so_far)
                watchdog.progress.remove(self._bytes_moved)

    def _is_of_a_step(self, task: trio.lowlevel.Task) -> bool:
        """Whether a step of this server runs in it, or has started it."""
        return task in self._tasks and is_of_a_step(task)

    def _things_so_far(self) -> tuple[int, int]:
        return len(self._log.times), len(self.transports)

    def _bytes_moved(self) -> tuple[int, int]:
        return len(self.transports), sum(transport.moved for transport in self.transports)

    def _tasks_of_clients(self) -> trio.Nursery:
        assert self._nursery is not None, "the server does not run: enter the harness first, with `async with`"
        return self._nursery

    # Workflows.

    def apply(self, text: str, *, rollback: bool = False, in_place: bool | None = None) -> Change[PlanView]:
        """Start or change the workflow that `text` defines; wait for the change, or do not.

        `in_place`: whether steps take the parameters that they can while they run; `None`: as the settings say.
        """
        workflows = self.server.workflows
        definition = workflows.validate(parse_workflow(text, "test", takes_values=True))
        return workflows.apply(definition, rollback=rollback, in_place=in_place)

    async def put(self, text: str, *, rollback: bool = False, in_place: bool | None = None) -> Outcome:
        """As `apply`; returns when it is known what came of it."""
        return await self.apply(text, rollback=rollback, in_place=in_place).wait_outcome()

    async def stop(self, name: str) -> None:
        """Stop a workflow, as DELETE does."""
        await self.server.workflows.stop(name)

    def workflow(self, name: str) -> WorkflowStatus:
        """What is known of a workflow, which must exist."""
        status = self.server.workflows.status(name)
        assert status is not None, f"there is no workflow {name}"
        return status

    # Clients.

    async def open(self, **how: Unpack[Dialling]) -> MemoryTransport:
        """A bare connection. Raises `ConnectionRefusedError` where the port is closed."""
        transport = await self.network.connect(
            how.get("port", RTMP_PORT),
            peer_host=how.get("peer_host", "127.0.0.1"),
            peer_port=how.get("peer_port"),
            link=how.get("link"),
        )
        self.transports.append(transport)
        if len(self.transports) % PRUNE_EVERY == 0:
            self.transports[:] = [open_one for open_one in self.transports if not open_one.is_over]
        return transport

    async def connect(self, app: str = "live", **how: Unpack[Dialling]) -> RtmpClient:
        """A client whose `connect` was accepted. Raises `clients.ClientRefused`."""
        return await RtmpClient.connected(await self.open(**how), app)

    async def publish(self, address: str, packets: Iterable[MediaPacket] = (), **how: Unpack[Dialling]) -> RtmpClient:
        """A client that publishes to `address` and has sent `packets`. Raises `clients.ClientRefused`.

        All packets are sent in one instant of virtual time, whatever their timestamps say: as from a file, and not as
        an encoder would.  `await client.play(packets)` sends each in its time.

        An address is `app/key`; the application ends at the first slash, and the key may have more of them.  (For an
        application with a slash in it, `connect` to it, and have that client publish.)
        """
        app, key = split_address(address)
        client = await self.connect(app, **how)
        await client.publish(key, packets)
        return client

    async def watch(self, address: str, **how: Unpack[Dialling]) -> RtmpClient:
        """A client that watches `address` (see `publish`) and has read nothing yet. Raises `clients.ClientRefused`."""
        app, key = split_address(address)
        client = await self.connect(app, **how)
        await client.watch(key)
        return client

    @property
    def http(self) -> HttpClient:
        """The HTTP API. Requests carry the token of the settings, unless they (or `http.headers`) have another."""
        return self._http

    # What has happened.

    def events(self) -> tuple[HubEvent, ...]:
        """Every event of the server's hub so far, oldest first. See `EventLog`."""
        return self._log()

    def timed_events(self) -> tuple[tuple[float, HubEvent], ...]:
        """The same, each with its time on trio's clock in seconds."""
        return tuple(zip(self._log.times, self._log(), strict=True))

    def forget_events(self) -> None:
        """Begin anew with an empty log; a simulated day has more events than are kept."""
        self._log.forget()

    @overload
    async def wait_event(self, wanted: type[E], *, since: int | None = None) -> E: ...
    @overload
    async def wait_event(self, wanted: Callable[[HubEvent], bool], *, since: int | None = None) -> object: ...
    async def wait_event(
        self, wanted: type[object] | Callable[[HubEvent], bool], *, since: int | None = None
    ) -> object:
        """The next event that is a `wanted` one, or that `wanted` is true of.

        It begins at now.  `since=0` begins at the start of the server: for what a call before has brought about;
        `since=place`, with an earlier `place = len(h.events())`, at that time.
        """
        return await self._log.wait(wanted, since=since)

    # The end.

    def assert_quiet(self) -> None:
        """Nothing is left of the server's, once its workflows have been stopped, or the block has ended.

        That is: no workflow, registration, open port, stream, connection, lease or child; no task that the server has
        started elsewhere, and no subscription to its events but the harness's and the API's.  After the block: no task
        at all.
        Raises `AssertionError`, which names everything that is left.
        """
        left = "\n".join(self.what_is_left())
        assert not left, f"something is left:\n{left}"

    def what_is_left(self) -> list[str]:
        """What `assert_quiet` finds, a sentence each."""
        tasks = self._tasks.strays if self._nursery is not None else self._tasks.living
        subscriptions = self.server.hub.subscriptions - (OWN_SUBSCRIPTIONS if self._nursery is not None else 0)
        return [
            *quiet.what_is_left(self.server),
            *quiet.open_ports(self.network),
            *quiet.open_streams(self._log),
            *quiet.open_connections(self.transports),
            *quiet.living_children(self.spawner),
            *(f"the task {quiet.describe_task(task)} still runs" for task in tasks),
            *([f"{subscriptions} subscriptions to events have not ended"] if subscriptions else []),
        ]


def _plain(raised: list[BaseException], group: BaseExceptionGroup[BaseException]) -> BaseException | None:
    """What the block has raised, which nurseries put into `group`; or what the server has, if that is one thing.

    If the server failed too, a note says how: it may be the reason of the other.
    """
    told = [error for error in raised if not isinstance(error, trio.Cancelled)]
    failed = [error for error in leaves(group) if not isinstance(error, trio.Cancelled)]
    if not told:
        return failed[0] if len(failed) == 1 else None if failed else next(leaves(group))
    own = set(leaves(told[0]))
    for other in failed:
        if other not in own:
            told[0].add_note(f"the server failed as well: {other!r}")
    return told[0]


def _require_success(outcome: Outcome) -> None:
    assert outcome.kind is OutcomeKind.APPLIED, f"a workflow did not come up: {outcome.message}"
