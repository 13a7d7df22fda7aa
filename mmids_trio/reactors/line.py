"""Who may ask a reactor's service next: a bounded number at once, and nobody holds up those who come from elsewhere.

The line has an entry for each address, and that one for each connection; both are served in turns, one question each.
So who has a thousand questions waits for itself, and a newcomer for one question of each of the others at most.  The
wait is the reactor's: the time that the service is given begins behind it.
"""

from collections import Counter
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import TypeVar

import trio
from attrs import define, field

from mmids_trio.errors import TooManyQuestions
from mmids_trio.reactors.asker import Asker

K = TypeVar("K", bound=Hashable)

MAX_AT_ONCE = 100
"""Questions that one service is asked at the same time: each has a connection of its own."""

MAX_AT_ONCE_OF_ADDRESS = 75
"""Those of them that may be of one address, so that who comes from another one is asked about at once."""

MAX_OPEN_OF_CONNECTION = 8
"""Streams that one connection may have asked about without an answer yet."""

MAX_OPEN_OF_ADDRESS = 1_000
"""The same for an address: a crowd behind one router that joins within seconds."""


@define(eq=False)
class _Question:
    """One that waits, or is being asked."""

    may_be_asked: trio.Event = field(factory=trio.Event, init=False)


@define(eq=False)
class QuestionLine:
    """The line of one reactor."""

    at_once: int = field(default=0, init=False)
    """Questions that are being asked."""
    _of_address: Counter[str] = field(factory=Counter, init=False)
    """The same by address."""
    _line: dict[str, dict[object, dict[_Question, None]]] = field(factory=dict, init=False)
    """Who waits: by address, then by connection, those whose turn is next first."""
    _open: Counter[str] = field(factory=Counter, init=False)
    _open_of_connection: Counter[Asker] = field(factory=Counter, init=False)

    @property
    def waiting(self) -> int:
        """Questions that nobody has begun to ask."""
        return sum(len(questions) for connections in self._line.values() for questions in connections.values())

    def place(self, asker: Asker) -> "LinePlace":
        """A place for a stream, to ask about it again and again. Raises `TooManyQuestions`.

        It counts as open until it is told that there is an answer.
        """
        if asker.is_client:
            if self._open_of_connection[asker] >= MAX_OPEN_OF_CONNECTION:
                raise TooManyQuestions(f"more than {MAX_OPEN_OF_CONNECTION} streams of one connection await approval")
            if self._open[asker.address] >= MAX_OPEN_OF_ADDRESS:
                raise TooManyQuestions(f"more than {MAX_OPEN_OF_ADDRESS} streams of one address await approval")
        self._open[asker.address] += 1
        self._open_of_connection[asker] += 1
        return LinePlace(self, asker)

    def settle(self, asker: Asker) -> None:
        """One that was open has its answer, or needs none any more."""
        _take_one(self._open, asker.address)
        _take_one(self._open_of_connection, asker)

    @asynccontextmanager
    async def turn(self, asker: Asker) -> AsyncIterator[None]:
        """Wait until it is this one's turn; others have theirs when the block is left."""
        question = _Question()
        self._line.setdefault(asker.address, {}).setdefault(asker.connection, {})[question] = None
        self._let_in()
        try:
            await question.may_be_asked.wait()
            yield
        finally:
            self._leave(question, asker)

    def _leave(self, question: _Question, asker: Asker) -> None:
        if question.may_be_asked.is_set():
            self.at_once -= 1
            _take_one(self._of_address, asker.address)
            self._let_in()
            return
        connections = self._line[asker.address]
        del connections[asker.connection][question]
        if not connections[asker.connection]:
            del connections[asker.connection]
        if not connections:
            del self._line[asker.address]

    def _let_in(self) -> None:
        while self.at_once < MAX_AT_ONCE:
            address = next((a for a in self._line if self._of_address[a] < MAX_AT_ONCE_OF_ADDRESS), None)
            if address is None:
                return
            self._take_next(address).may_be_asked.set()
            self.at_once += 1
            self._of_address[address] += 1

    def _take_next(self, address: str) -> _Question:
        """Out of the line, whose ends both the address and the connection go to."""
        connections = self._line.pop(address)
        connection = next(iter(connections))
        questions = connections.pop(connection)
        question = next(iter(questions))
        del questions[question]
        if questions:
            connections[connection] = questions
        if connections:
            self._line[address] = connections
        return question


@define(eq=False)
class LinePlace:
    """Of one stream, from its first question on."""

    _line: QuestionLine
    _asker: Asker
    _is_settled: bool = field(default=False, init=False)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """See `QuestionLine.turn`."""
        async with self._line.turn(self._asker):
            yield

    def settle(self) -> None:
        """There is an answer, or nobody wants one. Repeating it does nothing."""
        if not self._is_settled:
            self._is_settled = True
            self._line.settle(self._asker)


def _take_one(counter: Counter[K], key: K) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
