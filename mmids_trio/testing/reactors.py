"""A reactor's lookup service that a test scripts: which answer for which stream, when, and when it is out of order.

It takes the place of the executor, behind which a reactor asks its service; so everything in front of that (leases,
retries, updates, the workflows that follow the answers) is the server's own.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from math import inf

import trio
from attrs import define, field, frozen

from mmids_trio.config.parameters import NoParameters
from mmids_trio.config.parser import parse
from mmids_trio.errors import ConfigurationError
from mmids_trio.reactors.executor import Answer, ExecutorFailure, ExecutorKind
from mmids_trio.stream_request import StreamRequest
from mmids_trio.testing.fault_words import Faults


@frozen
class Reply:
    """What the service does when it is asked once. Made by `valid`, `invalid`, `fails` and `hangs`."""

    workflows: str | None = None
    """Text of the workflows that shall run; `""` for none, `None` for a stream that is not valid."""
    after: float = 0.0
    """Seconds until the answer."""
    failure: str = ""
    """Why the service cannot say."""


def valid(workflows: str = "", *, after: float = 0.0) -> Reply:
    """The stream is valid, and `workflows` (their text) shall run while it is used."""
    return Reply(workflows, after)


def invalid(*, after: float = 0.0) -> Reply:
    """The stream is not valid."""
    return Reply(None, after)


def fails(reason: str = "the service is down", *, after: float = 0.0) -> Reply:
    """No answer but an error; the reactor tries again."""
    return Reply(failure=reason, after=after)


def hangs() -> Reply:
    """No answer, ever: the reactor waits until it is stopped (a real executor has a timeout of its own)."""
    return Reply(after=inf)


@frozen
class Flapping:
    """Out of order again and again: after `up` seconds in order for `down` seconds, from the first question on."""

    up: float
    down: float

    def is_down(self, seconds: float) -> bool:
        """Whether it is so many seconds after the first question."""
        return seconds % (self.up + self.down) >= self.up


@frozen
class Call:
    """One question: about which stream (by its full name), when (on trio's clock), and what was done."""

    stream: str
    time: float
    reply: Reply
    request: StreamRequest


Script = str | Reply | Sequence[str | Reply]
"""The replies for one stream, one after the other, the last again and again. A text is short for `valid(text)`."""


@define(eq=False)
class FakeReactorService:
    """An executor for `Harness(more_executors=[service.kind()])`, used as `reactor r executor=scripted {`.

    `answers` by stream, and `otherwise` for all others; they may be changed at any time.  While `is_down`, or by
    `flapping`, every question fails.  `seconds` is what every answer takes at least.
    """

    answers: dict[str, Script] = field(factory=dict)
    otherwise: Reply = field(factory=invalid)
    seconds: float = 0.0
    is_down: bool = False
    flapping: Flapping | None = None
    faults: Faults | None = None
    """With what the next questions fail."""
    calls: list[Call] = field(factory=list, init=False)
    """All questions, in order."""
    released: list[str] = field(factory=list, init=False)
    """Full names of the streams of which it was told that they are not used any more, in order."""
    _places: dict[str, tuple[Script, int]] = field(factory=dict, init=False)

    @property
    def asked(self) -> list[str]:
        """The streams that were asked about, in order."""
        return [call.stream for call in self.calls]

    def kind(self, name: str = "scripted") -> ExecutorKind:
        """For `Harness(more_executors=...)`: an executor without parameters."""
        return ExecutorKind(name, NoParameters, lambda _parameters: nullcontext(self))

    async def release(self, request: StreamRequest) -> None:
        """See `reactors.executor.Executor`."""
        self.released.append(request.name)
        await trio.lowlevel.checkpoint()

    async def ask(self, request: StreamRequest) -> Answer:
        """See `reactors.executor.Executor`."""
        stream_name = request.name
        reply = self._failure() or (fails() if self._is_out_of_order() else self._next(stream_name))
        self.calls.append(Call(stream_name, trio.current_time(), reply, request))
        await trio.sleep(max(self.seconds, reply.after))
        if reply.failure:
            raise ExecutorFailure(reply.failure)
        if reply.workflows is None:
            return Answer(False)
        document = parse(reply.workflows, stream_name)
        if document.problems:
            raise ConfigurationError(document.problems)
        return Answer(True, tuple(document.workflows))

    def _failure(self) -> Reply | None:
        failure = None if self.faults is None else self.faults.next_failure()
        return None if failure is None else hangs() if failure == "hangs" else fails(failure)

    def _is_out_of_order(self) -> bool:
        first = self.calls[0].time if self.calls else trio.current_time()
        return self.is_down or (self.flapping is not None and self.flapping.is_down(trio.current_time() - first))

    def _next(self, stream: str) -> Reply:
        script = self.answers.get(stream) or self.answers.get(stream.partition("?")[0], self.otherwise)
        known, place = self._places.get(stream, (script, 0))
        place = place if known is script else 0  # a script that was changed begins anew
        self._places[stream] = (script, place + 1)
        if isinstance(script, str | Reply):
            return _reply(script)
        return _reply(script[min(place, len(script) - 1)])


def _reply(line: str | Reply) -> Reply:
    return valid(line) if isinstance(line, str) else line
