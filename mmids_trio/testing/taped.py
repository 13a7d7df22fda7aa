"""What a replayed server finds in place of the world that was captured: answers of reactors, and connections.

Apart from the replay, which knows times and tasks; these only know what stands on the tape.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from math import inf

import trio
from attrs import define, evolve, field, frozen

from mmids_trio.capture.records import CANCELLED, FAILED, INVALID, Asked, Loaded, Record, Told
from mmids_trio.cli.configuration_file import Configuration, UnreadableFile
from mmids_trio.config.parser import parse, parse_workflows
from mmids_trio.definitions import ReactorDefinition
from mmids_trio.errors import ConfigurationError, Problem
from mmids_trio.reactors.executor import Answer, ExecutorChoice, ExecutorFailure, ExecutorRegistry
from mmids_trio.rtmp.transport import Transport
from mmids_trio.server.app import Server

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
class TapedFile:
    """The configuration file of a tape, as often as it was read again; each time it says the next thing."""

    _coming: deque[Loaded]
    _server: Callable[[], Server]

    @classmethod
    def on(cls, records: Iterable[Record], server: Callable[[], Server]) -> "TapedFile":
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
        document = parse(text, "tape")
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
class TapedAnswers:
    """The answers of all reactors on a tape. The nth question about a stream gets the nth answer about it."""

    _replies: dict[tuple[str, str], deque[_Reply]] = field(factory=lambda: defaultdict(deque), init=False)

    @classmethod
    def on(cls, records: Iterable[Record]) -> "TapedAnswers":
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


class TapedExecutors(ExecutorRegistry):
    """The kinds of executors of another registry, each of which answers from a tape and asks nobody."""

    def __init__(self, executors: ExecutorRegistry, answers: TapedAnswers, say: Callable[[str], None]) -> None:
        super().__init__(())
        self._executors, self._answers, self._say = executors, answers, say

    def problems(self, definition: ReactorDefinition) -> list[Problem]:
        """See `ExecutorRegistry`."""
        return self._executors.problems(definition)

    def choose(self, definition: ReactorDefinition) -> ExecutorChoice:
        """See `ExecutorRegistry`."""
        executor = _TapedExecutor(definition.name, self._answers, self._say)
        return evolve(self._executors.choose(definition), open=lambda: nullcontext(executor))


@frozen
class _TapedExecutor:
    _reactor: str
    _answers: TapedAnswers
    _say: Callable[[str], None]

    async def ask(self, stream_name: str) -> Answer:
        """See `Executor`."""
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
