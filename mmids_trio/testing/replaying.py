"""Replaying a tape: a server in memory gets, on a virtual clock, what a live one got, and its events are written down.

Apart from the capture, with which it shares the tape alone.  The same tape and seed give the same lines, byte for
byte, whatever the machine does meanwhile; see docs/capture.md for what is on a tape, and what is not.
"""

import json
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from functools import partial
from math import inf
from random import Random

import trio
from attrs import define, evolve, field, frozen
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.capture.records import (
    BY_SERVER,
    CANCELLED,
    ENDED,
    FAILED,
    INVALID,
    RESET,
    Asked,
    Belongs,
    Closed,
    HungUp,
    Loaded,
    Lost,
    Opened,
    Received,
    Record,
    Requested,
    Responded,
    Told,
)
from mmids_trio.capture.running import running_text
from mmids_trio.capture.tape import Tape, read_tape
from mmids_trio.config.parser import Document, parse, parse_workflows
from mmids_trio.config.references import given_in_the_text
from mmids_trio.definitions import ReactorDefinition
from mmids_trio.errors import ConfigurationError, Problem
from mmids_trio.net.transport import Transport
from mmids_trio.reactors.executor import Answer, ExecutorChoice, ExecutorFailure, ExecutorKind, ExecutorRegistry
from mmids_trio.reload.configuration_file import Configuration, UnreadableFile
from mmids_trio.server.app import Server
from mmids_trio.server.building import Hooks
from mmids_trio.steps.registry import StepType
from mmids_trio.stream_request import StreamRequest
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.http import HttpFailed, HttpStream
from mmids_trio.testing.network import MemoryTransport
from mmids_trio.testing.schedules import schedule
from mmids_trio.testing.watchdog import Limits
from mmids_trio.workflow.events import HubEvent
from mmids_trio.workflow.hub import Subscription
from mmids_trio.workflow.plan import WorkflowSet
from mmids_trio.workflow.status import of_set

# What a replayed server finds in place of the world that was captured.

UNLIMITED = Limits(steps=inf, most_steps=inf, idle_s=inf, real_s=inf, blocking_s=inf)
"""A tape may be as long and as dense as it likes; only a deadlock is an error."""

MICROSECONDS = 1_000_000
"""In a second; times on a tape are in them."""


class PlainDoorman:
    """Lets everybody in as they come, also on ports of RTMPS: what was captured had been decrypted before."""

    async def require_tls(self) -> None:
        """See `Doorman`."""
        await trio.lowlevel.checkpoint()

    async def admit(self, transport: Transport, port: int, tls: bool) -> Transport:
        """See `Doorman`."""
        return transport


@define(eq=False)
class ReplayedFile:
    """The configuration file of a tape, as often as it was read again; each time it says the next thing."""

    _coming: deque[Loaded]
    _server: Callable[[], Server]

    @classmethod
    def on(cls, records: Iterable[Record], server: Callable[[], Server]) -> "ReplayedFile":
        """That among `records`, for a server that is asked for when something is read."""
        return cls(deque(record for record in records if isinstance(record, Loaded)), server)

    def is_next(self, loaded: Loaded) -> bool:
        """Whether it would be read now, and was not before."""
        return bool(self._coming) and self._coming[0] is loaded

    def load(self) -> Configuration:
        """Read it, with the settings of the replayed server but for those that count. Raises `MmidsError`."""
        if not self._coming:
            raise UnreadableFile("this reload is not on the tape")
        text = self._coming.popleft().configuration.decode("utf-8", "replace")
        document = parse(text, "tape", given_in_the_text())
        if document.problems:
            raise ConfigurationError(document.problems)
        server, given = self._server(), document.settings
        settings = evolve(
            server.settings, publisher_timeout=given.publisher_timeout, http_api_token=given.http_api_token
        )
        workflows = tuple(server.steps.validate(workflow) for workflow in document.workflows)
        return Configuration("tape", evolve(document, workflows=workflows), settings, text)


@frozen
class _Reply:
    """What came of one question, after so many seconds; `None`: nothing, as long as it was captured."""

    seconds: float
    told: Told | None


@define(eq=False)
class ReplayedAnswers:
    """The answers of all reactors on a tape. The nth question about a stream gets the nth answer about it."""

    _replies: dict[tuple[str, str], deque[_Reply]] = field(factory=lambda: defaultdict(deque), init=False)

    @classmethod
    def on(cls, records: Iterable[Record]) -> "ReplayedAnswers":
        """Those among `records`."""
        records = list(records)
        told = {record.question: record for record in records if isinstance(record, Told)}
        answers = cls()
        for record in records:
            if isinstance(record, Asked):
                answers._add(record, told.get(record.question))
        return answers

    def _add(self, asked: Asked, told: Told | None) -> None:
        is_over = told is not None and told.outcome != CANCELLED
        reply = _Reply((told.time - asked.time) / MICROSECONDS, told) if told and is_over else _Reply(inf, None)
        self._replies[asked.reactor, asked.stream].append(reply)

    def take(self, reactor: str, stream: str) -> _Reply | None:
        """The next reply to a question; `None` where that was asked less often."""
        replies = self._replies.get((reactor, stream))
        return replies.popleft() if replies else None


class ReplayedExecutors(ExecutorRegistry):
    """The kinds of executors of another registry, each of which answers from a tape and asks nobody."""

    def __init__(self, executors: ExecutorRegistry, answers: ReplayedAnswers, say: Callable[[str], None]) -> None:
        super().__init__(())
        self._executors, self._answers, self._say = executors, answers, say

    def problems(self, definition: ReactorDefinition) -> list[Problem]:
        """See `ExecutorRegistry`."""
        return self._executors.problems(definition)

    def choose(self, definition: ReactorDefinition) -> ExecutorChoice:
        """See `ExecutorRegistry`."""
        executor = _ReplayedExecutor(definition.name, self._answers, self._say)
        return evolve(self._executors.choose(definition), open=lambda: nullcontext(executor))


@frozen
class _ReplayedExecutor:
    _reactor: str
    _answers: ReplayedAnswers
    _say: Callable[[str], None]

    async def release(self, request: StreamRequest) -> None:
        """See `Executor`."""
        await trio.lowlevel.checkpoint()

    async def ask(self, request: StreamRequest) -> Answer:
        """See `Executor`."""
        stream_name = request.key
        reply = self._answers.take(self._reactor, stream_name)
        if reply is None:
            self._say(f"question of reactor {self._reactor} about {stream_name!r}: not on the tape")
            await trio.lowlevel.checkpoint()
            raise ExecutorFailure("this question is not on the tape")
        await trio.sleep(reply.seconds)
        assert reply.told is not None, "who waits for ever gets no answer"
        text = reply.told.text.decode("utf-8", "replace")
        if reply.told.outcome == FAILED:
            raise ExecutorFailure(text)
        if reply.told.outcome == INVALID:
            return Answer(False)
        return Answer(True, parse_workflows(text, stream_name))


# The clients of a tape: one task for each connection and each request to the API.

READ_BYTES = 64 * 1024
"""Per read of what the server sends, which nobody looks at."""

_CONDITIONS = ("if-match", "if-none-match")
_REFUSED_BY_CONDITION = (304, 412)
_FIRST_ERROR = 400


@define(eq=False)
class Playback:
    """Where and when clients act: times of records count from `began`; `say` writes a line of the log."""

    harness: Harness
    began: float
    say: Callable[[str], None]

    async def wait_for(self, record: Record) -> None:
        """Wait until it is time for a record."""
        await trio.sleep_until(self.time_of(record))

    def time_of(self, record: Record) -> float:
        """When it is time for it, on trio's clock."""
        return self.began + record.time / MICROSECONDS


async def play_connection(playback: Playback, opened: Opened, records: Sequence[Received | Closed | Lost]) -> None:
    """One RTMP client: sends what it sent, when it sent it, and reads whatever comes."""
    number = playback.harness.server.rtmp.bound_port(opened.port)
    name = f"connection {opened.connection}"
    if number is None:
        playback.say(f"{name} from {opened.host}: refused, port {opened.port} is closed")
        return
    transport = await playback.harness.open(port=number, peer_host=opened.host, peer_port=opened.peer_port)
    playback.say(f"{name} from {opened.host}: open")
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_read, playback, transport, name, nursery.cancel_scope)
            how = await _send(playback, transport, records)
            if how in (ENDED, RESET):
                playback.say(f"{name}: {'closed' if how == ENDED else 'reset'} by the client")
                nursery.cancel_scope.cancel()
    finally:
        transport.close()


async def _send(playback: Playback, transport: MemoryTransport, records: Sequence[Received | Closed | Lost]) -> str:
    """How the client ended."""
    for record in records:
        await playback.wait_for(record)
        match record:
            case Received(data=data):
                await _send_some(transport, data)
            case Closed(how=how):
                if how == RESET:
                    transport.reset()
                return how
            case Lost():
                transport.reset()
                return RESET
    return BY_SERVER


async def _send_some(transport: MemoryTransport, data: bytes) -> None:
    try:
        await transport.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        await trio.lowlevel.checkpoint()  # who reads notices as well, and says so


async def _read(playback: Playback, transport: MemoryTransport, name: str, life: trio.CancelScope) -> None:
    try:
        while await transport.receive_some(READ_BYTES):
            pass
    except trio.BrokenResourceError:
        pass
    playback.say(f"{name}: closed by the server")
    life.cancel()


async def play_request(playback: Playback, requested: Requested, captured: int | None, hung_up: HungUp | None) -> None:
    """One request to the API; `captured` is the status of the answer then, and `hung_up` when its client went."""
    with trio.CancelScope() as patience:
        if hung_up is not None:
            patience.deadline = playback.time_of(hung_up)
        await _ask(playback, requested, captured)
    if patience.cancelled_caught:
        playback.say(f"request {requested.request}: the client hung up")


async def _ask(playback: Playback, requested: Requested, captured: int | None) -> None:
    lines = (line.partition(": ") for line in requested.headers.splitlines())
    headers = {name: value for name, _, value in lines}
    if captured not in _REFUSED_BY_CONDITION:  # it held, and a tag of masked definitions would be another one
        headers = {name: value for name, value in headers.items() if name not in _CONDITIONS}
    name = f"request {requested.request} {requested.method} {requested.target}"
    note = f" (captured: {captured or 'no answer'})"
    http = playback.harness.http
    try:
        async with http.stream(requested.method, requested.target, content=requested.body, headers=headers) as answer:
            reason = await _reason(answer)
            playback.say(f"{name}: {answer.status}{note if answer.status != captured else ''}{reason}")
            async for _ in answer:
                pass
    except HttpFailed:
        playback.say(f"{name}: no answer{note}")


async def _reason(answer: HttpStream) -> str:
    """Why a request was refused."""
    if answer.status < _FIRST_ERROR:
        return ""
    body = b"".join([piece async for piece in answer])
    try:
        return f" {json.loads(body)['error']}"
    except (ValueError, KeyError, TypeError):
        return ""


# The replay itself.

MOST_AT_ONCE = 100_000
"""Events of one instant of virtual time, which the log is written in."""


@frozen
class Replayed:
    """What a replay gave. `events` are those of the hub; `left` is what should not be left of the server's."""

    lines: tuple[str, ...]
    events: tuple[HubEvent, ...]
    left: tuple[str, ...]

    @property
    def text(self) -> str:
        """The lines, as a file has them."""
        return "".join(f"{line}\n" for line in self.lines)


def run_replay(
    tape: Tape | bytes,
    *,
    seed: int = 0,
    configuration: str | None = None,
    more_steps: Sequence[StepType] = (),
    more_executors: Sequence[ExecutorKind] = (),
) -> Replayed:
    """`replay` in a run of trio's own, on a virtual clock, whose schedule follows from `seed`."""
    tape = read_tape(tape) if isinstance(tape, bytes) else tape
    main = partial(
        replay, tape, seed=seed, configuration=configuration, more_steps=more_steps, more_executors=more_executors
    )
    with schedule(seed, takes_notes=False):
        return trio.run(main, clock=MockClock(autojump_threshold=0))


async def replay(
    tape: Tape,
    *,
    seed: int = 0,
    configuration: str | None = None,
    more_steps: Sequence[StepType] = (),
    more_executors: Sequence[ExecutorKind] = (),
) -> Replayed:
    """Replay `tape` on the clock of the caller, which ought to be a mock clock that jumps.

    `configuration` takes the place of the captured one.  `more_steps` and `more_executors` are of one's own: a tape
    has no module imported, even if its configuration names some.  Executors are asked nothing.

    Raises `ConfigurationError` where the configuration has mistakes.
    """
    document = parse(
        tape.start.configuration.decode("utf-8", "replace") if configuration is None else configuration,
        "tape",
        given_in_the_text(),
    )
    if document.problems:
        raise ConfigurationError(document.problems)
    return await _Replay(tape, document, seed, more_steps, more_executors).run()


@define(eq=False)
class _Replay:
    _tape: Tape
    _document: Document
    _seed: int
    _more_steps: Sequence[StepType]
    _more_executors: Sequence[ExecutorKind]
    _began: float = field(factory=trio.current_time, init=False)
    _harness: Harness = field(init=False)
    _file: ReplayedFile = field(init=False)
    _lines: list[str] = field(factory=list, init=False)
    _events: list[HubEvent] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        document = self._document
        self._file = ReplayedFile.on(self._tape.records, lambda: self._harness.server)
        self._harness = Harness(
            running_text(document.settings, document.reactors, document.workflows),
            self._more_steps,
            more_executors=self._more_executors,
            all_must_run=False,
            load_again=self._file.load,
            now=lambda: self._tape.start.clock + trio.current_time() - self._began,
            hooks=Hooks(
                gate=lambda _: PlainDoorman(),
                executors=lambda real: ReplayedExecutors(real, ReplayedAnswers.on(self._tape.records), self._say),
            ),
            in_world=lambda world: evolve(
                world,
                entropy=Random(self._seed).randbytes,
                make_directory=lambda _path: None,
            ),
            limits=UNLIMITED,
        )
        self._harness.http.headers.clear()  # a request has those that were captured

    async def run(self) -> Replayed:
        with self._harness.server.hub.subscribe(MOST_AT_ONCE) as subscription:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._follow, subscription)
                async with self._harness, trio.open_nursery() as clients:
                    await self._play(clients)
                self._note(subscription)
                nursery.cancel_scope.cancel()
        self._say("the server has stopped")
        return Replayed(tuple(self._lines), tuple(self._events), tuple(self._harness.what_is_left()))

    def _say(self, text: str) -> None:
        self._lines.append(f"{trio.current_time() - self._began:.6f} {text}")

    async def _follow(self, subscription: Subscription) -> None:
        while True:
            self._note(subscription)
            await subscription.arrival()

    def _note(self, subscription: Subscription) -> None:
        for event in subscription.take():
            self._events.append(event)
            self._say(f"event {event.wire_name}{repr(event).removeprefix(type(event).__name__)}")
        self._harness.forget_events()

    async def _play(self, clients: trio.Nursery) -> None:
        """Do what the tape says, each thing in its time."""
        server = self._harness.server
        playback = Playback(self._harness, self._began, self._say)
        answers = {record.request: record.status for record in self._tape.records if isinstance(record, Responded)}
        hang_ups = {record.request: record for record in self._tape.records if isinstance(record, HungUp)}
        reads = _by_connection(self._tape.records)
        reload_asked = False
        await wait_all_tasks_blocked()  # who came in the first moment came when the ports were open
        for record in self._tape.records:
            await playback.wait_for(record)
            if isinstance(record, Loaded) and reload_asked:
                await wait_all_tasks_blocked()  # the request that has just come reads the file itself
                reload_asked = False
            match record:
                case Opened():
                    clients.start_soon(play_connection, playback, record, reads.get(record.connection, []))
                case Requested():
                    reload_asked = reload_asked or record.target.startswith("/config/reload")
                    answer, hang_up = answers.get(record.request), hang_ups.get(record.request)
                    clients.start_soon(play_request, playback, record, answer, hang_up)
                case Loaded() if self._file.is_next(record):  # else the API was asked for it, and has read it
                    assert server.reloader is not None
                    self._say("reload of the configuration")
                    server.reloader.request("signal")
                case Belongs(node=node, name=name, set=of):
                    await wait_all_tasks_blocked()  # what has just been read is put in place first
                    give_to_set(server, node, name, of)
                case Lost(connection=None, records=count):
                    self._say(f"gap: {count} records were lost by now")
        await wait_all_tasks_blocked()
        self._say(f"the tape ends{f' early: {self._tape.damage}' if self._tape.damage else ''}")
        clients.cancel_scope.cancel()


def give_to_set(server: Server, node: str, name: str, of: str) -> None:
    """Have a set take over what runs already, as it had in an earlier life of the captured server."""
    workflow = server.workflows.definition(name) if node == "workflow" else None
    reactors = tuple(evolve(one, set=of) if one.name == name else one for one in server.workflows.reactor_definitions)
    workflows = () if workflow is None else (workflow,)
    server.recorded.apply_all(
        WorkflowSet(workflows, reactors=reactors if node == "reactor" else None, owner=of_set(of), take_over=True)
    )


def _by_connection(records: Sequence[Record]) -> dict[int, list[Received | Closed | Lost]]:
    found: dict[int, list[Received | Closed | Lost]] = {}
    for record in records:
        if isinstance(record, Received | Closed | Lost) and record.connection is not None:
            found.setdefault(record.connection, []).append(record)
    return found
