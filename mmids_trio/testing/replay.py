"""Replaying a tape: a server in memory gets, on a virtual clock, what a live one got, and its events are written down.

Apart from the capture, with which it shares the tape alone.  The same tape and seed give the same lines, byte for
byte, whatever the machine does meanwhile; see docs/capture.md for what is on a tape, and what is not.
"""

from collections.abc import Sequence
from functools import partial
from random import Random

import trio
from attrs import define, evolve, field, frozen
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.capture.records import Closed, HungUp, Loaded, Lost, Opened, Received, Record, Requested, Responded
from mmids_trio.capture.running import running_text
from mmids_trio.capture.tape import Tape, read_tape
from mmids_trio.config.parser import Document, parse
from mmids_trio.errors import ConfigurationError
from mmids_trio.server.building import Hooks
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.replayed_clients import Scene, play_connection, play_request
from mmids_trio.testing.schedules import schedule
from mmids_trio.testing.taped import PlainDoorman, TapedAnswers, TapedExecutors, TapedFile
from mmids_trio.workflow.events import HubEvent
from mmids_trio.workflow.hub import Subscription

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


def run_replay(tape: Tape | bytes, *, seed: int = 0, configuration: str | None = None) -> Replayed:
    """`replay` in a run of trio's own, on a virtual clock, whose schedule follows from `seed`."""
    tape = read_tape(tape) if isinstance(tape, bytes) else tape
    main = partial(replay, tape, seed=seed, configuration=configuration)
    with schedule(seed):
        return trio.run(main, clock=MockClock(autojump_threshold=0))


async def replay(tape: Tape, *, seed: int = 0, configuration: str | None = None) -> Replayed:
    """Replay `tape` on the clock of the caller, which ought to be a mock clock that jumps.

    `configuration` takes the place of the captured one.  Raises `ConfigurationError` where that has mistakes.
    """
    document = parse(
        tape.start.configuration.decode("utf-8", "replace") if configuration is None else configuration, "tape"
    )
    if document.problems:
        raise ConfigurationError(document.problems)
    return await _Replay(tape, document, seed).run()


@define(eq=False)
class _Replay:
    _tape: Tape
    _document: Document
    _seed: int
    _began: float = field(factory=trio.current_time, init=False)
    _harness: Harness = field(init=False)
    _file: TapedFile = field(init=False)
    _lines: list[str] = field(factory=list, init=False)
    _events: list[HubEvent] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        document = self._document
        self._file = TapedFile.on(self._tape.records, lambda: self._harness.server)
        self._harness = Harness(
            running_text(document.settings, document.reactors, document.workflows),
            all_must_run=False,
            load_again=self._file.load,
            now=lambda: self._tape.start.clock + trio.current_time() - self._began,
            hooks=Hooks(
                doorman=lambda _: PlainDoorman(),
                executors=lambda real: TapedExecutors(real, TapedAnswers.on(self._tape.records), self._say),
            ),
            in_world=lambda world: evolve(
                world, entropy=Random(self._seed).randbytes, make_directory=lambda _path: None
            ),
        )
        self._harness.http.headers.clear()  # a request has those that were captured

    async def run(self) -> Replayed:
        with self._harness.server.hub.subscribe(MOST_AT_ONCE) as happenings:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._follow, happenings)
                async with self._harness, trio.open_nursery() as clients:
                    await self._play(clients)
                self._note(happenings)
                nursery.cancel_scope.cancel()
        self._say("the server has stopped")
        return Replayed(tuple(self._lines), tuple(self._events), tuple(self._harness.what_is_left()))

    def _say(self, text: str) -> None:
        self._lines.append(f"{trio.current_time() - self._began:.6f} {text}")

    async def _follow(self, happenings: Subscription) -> None:
        while True:
            self._note(happenings)
            await happenings.arrival()

    def _note(self, happenings: Subscription) -> None:
        for event in happenings.take():
            self._events.append(event)
            self._say(f"event {event.wire_name}{repr(event).removeprefix(type(event).__name__)}")
        self._harness.forget_events()

    async def _play(self, clients: trio.Nursery) -> None:
        """Do what the tape says, each thing in its time."""
        server = self._harness.server
        scene = Scene(self._harness, self._began, self._say)
        answers = {record.request: record.status for record in self._tape.records if isinstance(record, Responded)}
        hang_ups = {record.request: record for record in self._tape.records if isinstance(record, HungUp)}
        reads = _by_connection(self._tape.records)
        await wait_all_tasks_blocked()  # who came in the first moment came when the ports were open
        for record in self._tape.records:
            await scene.wait_for(record)
            match record:
                case Opened():
                    clients.start_soon(play_connection, scene, record, reads.get(record.connection, []))
                case Requested():
                    answer, hang_up = answers.get(record.request), hang_ups.get(record.request)
                    clients.start_soon(play_request, scene, record, answer, hang_up)
                case Loaded() if self._file.is_next(record):  # else the API was asked for it, and has read it
                    assert server.reloader is not None
                    self._say("reload of the configuration")
                    server.reloader.request()
                case Lost(connection=None, records=count):
                    self._say(f"gap: {count} records were lost by now")
        await wait_all_tasks_blocked()
        self._say(f"the tape ends{f' early: {self._tape.damage}' if self._tape.damage else ''}")
        clients.cancel_scope.cancel()


def _by_connection(records: Sequence[Record]) -> dict[int, list[Received | Closed | Lost]]:
    found: dict[int, list[Received | Closed | Lost]] = {}
    for record in records:
        if isinstance(record, Received | Closed | Lost) and record.connection is not None:
            found.setdefault(record.connection, []).append(record)
    return found
