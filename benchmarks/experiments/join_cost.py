"""What who comes and goes costs: `python -m benchmarks.experiments.join_cost [WATCHERS [VISITS [LISTED [LINES]]]]`.

Publishers of 2.6 Mbit/s with so many watchers each; then watchers of theirs come and leave, one after the other, and so
do publishers, whose watchers stay.  In one process, on real sockets and on a clock that stands still while the server
works: see `packet_cost`.  What a client does itself is not counted.  Each step of a visit has its own line: calls of
Python, and the processor's time, the median of all visits.  `LISTED` functions follow, by their calls a visit.  Each
line of the log is written, as where clients come from different addresses; with `LINES` 0 all are left out as repeats,
as most are of clients that come from one, which those of the row `churn` do.
"""

import logging
import os
import socket
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio
from attrs import define, field
from trio.testing import MockClock, wait_all_tasks_blocked

from benchmarks.experiments.packet_cost import FRAME, PORT, Source, Stand, counting
from mmids_trio.cli.collecting import while_running
from mmids_trio.config.parser import parse
from mmids_trio.config.settings import Settings
from mmids_trio.media.events import MediaKind
from mmids_trio.net.transport import SocketTransport
from mmids_trio.rtmp.protocol.client_connection import ClientConnection
from mmids_trio.rtmp.protocol.message import AUDIO, VIDEO
from mmids_trio.server import logs
from mmids_trio.server.building import build_server
from mmids_trio.server.log_repeats import LogRepeats
from mmids_trio.testing.media import generate_stream

PUBLISHERS = 20
"""More than are read at once."""

VISITS = 30
BETWEEN_MS = 140
"""From one visit to the next: they find the group of pictures at all its lengths."""

AWAY_MS = 1_000
"""Until a publisher comes back, as in the row `churn`."""

HEADERS = [packet for packet in generate_stream(seconds=1) if packet.is_sequence_header]


@define(eq=False)
class Step:
    """A part of a visit, of all visits."""

    seconds: list[float] = field(factory=list)
    calls: list[int] = field(factory=list)
    seen: Counter[str] = field(factory=Counter)


@define(eq=False)
class Books:
    """What was measured. Each step is done twice: timed in one visit, counted in the next."""

    steps: dict[str, Step] = field(factory=dict)
    is_counting: bool = False
    _alone: float = 0.0
    _alone_calls: Counter[str] = field(factory=Counter)

    async def look(self) -> None:
        """What it costs to look, which is taken off."""
        for _ in range(3):
            self.is_counting = False
            self._alone = min([await self._timed() for _ in range(50)])
            self.is_counting, self._alone_calls = True, Counter()
            self._alone_calls = await self._counted()

    async def work(self, name: str) -> None:
        """Let the server do what is to be done, for the step of that name."""
        step = self.steps.setdefault(name, Step())
        if self.is_counting:
            seen = await self._counted()
            seen.subtract(self._alone_calls)
            step.seen += seen
            step.calls[-1] += seen.total()
        else:
            step.seconds[-1] += await self._timed() - self._alone

    @contextmanager
    def visit(self, names: list[str], *, counted: bool) -> Iterator[None]:
        """One whole visit."""
        self.is_counting = counted
        for name in names:
            step = self.steps.setdefault(name, Step())
            (step.calls if counted else step.seconds).append(0)
        yield

    async def _timed(self) -> float:
        before = time.process_time()
        await wait_all_tasks_blocked()
        return time.process_time() - before

    async def _counted(self) -> Counter[str]:
        seen = Counter[str]()
        sys.setprofile(counting(seen))
        await wait_all_tasks_blocked()
        sys.setprofile(None)
        return seen


@define(eq=False)
class Visitor:
    """A client without a task: `PORT`'s server answers only where `Books.work` lets it."""

    transport: SocketTransport
    connection: ClientConnection
    received: int = 0

    @classmethod
    def come(cls) -> "Visitor":
        """Connect, and begin to shake hands."""
        transport = SocketTransport(socket.create_connection(("127.0.0.1", PORT)))
        visitor = cls(transport, ClientConnection(os.urandom, "live", "rtmp://server/live"))
        visitor.flush()
        return visitor

    def flush(self) -> None:
        """Say what is to be said."""
        data = self.connection.data_to_send()
        assert self.transport.send_nowait(data) == len(data)

    def read(self, *, understands: bool = True) -> bool:
        """Take what came, and answer; whether anything did. Without `understands`: media, which nobody looks at."""
        came = False
        while data := self.transport.receive_nowait(1 << 20):
            came = True
            self.received += len(data)
            if understands:
                self.connection.receive_data(data)
        if understands:
            self.flush()
        return came


WATCHER_STEPS = ["a connection, and its handshake", "connect", "createStream", "play, with the first group", "leave"]
PUBLISHER_STEPS = [
    *("a publisher: its handshake", "a publisher: connect", "a publisher: createStream"),
    *("a publisher: publish", "a publisher: headers and first frame, to its watchers", "a publisher: leave"),
]


async def _visit_of_watcher(stand: Stand, books: Books, key: str) -> None:
    hello, connect, create, play, leave = WATCHER_STEPS
    visitor = Visitor.come()
    await books.work(hello)
    visitor.read()
    await books.work(connect)
    visitor.read()
    visitor.connection.play(key)
    visitor.flush()
    await books.work(create)
    visitor.read()
    await books.work(play)
    while visitor.read(understands=False):
        await books.work(play)
    assert visitor.received > len(FRAME), "it got no group"
    visitor.transport.close()
    await books.work(leave)


async def _visit_of_publisher(stand: Stand, books: Books, number: int) -> None:
    hello, connect, create, publish, begin, leave = PUBLISHER_STEPS
    source = stand.sources.pop(number)
    source._client.transport.close()
    await books.work(leave)
    await stand.pass_time(AWAY_MS)
    visitor = Visitor.come()
    await books.work(hello)
    visitor.read()
    await books.work(connect)
    visitor.read()
    visitor.connection.publish(f"show{number}")
    visitor.flush()
    await books.work(create)
    visitor.read()
    await books.work(publish)
    visitor.read()
    for packet in HEADERS:
        kind = AUDIO if packet.kind is MediaKind.AUDIO else VIDEO
        visitor.connection.send_media(kind, packet.timestamp, packet.data)
    visitor.flush()
    stand.sources.insert(number, Source(visitor, stand.now_ms))
    stand.sources[number].send_due(stand.now_ms)
    await books.work(begin)


async def _measure(stand: Stand, books: Books, watchers: int, visits: int) -> None:
    await stand.fill(PUBLISHERS, watchers)
    await stand.pass_time(2_000)
    await books.look()
    for visit in range(2 * visits):
        await stand.pass_time(BETWEEN_MS)
        with books.visit(WATCHER_STEPS, counted=visit % 2 == 1):
            await _visit_of_watcher(stand, books, f"show{visit % PUBLISHERS}")
    for visit in range(2 * min(visits, PUBLISHERS // 2)):
        await stand.pass_time(BETWEEN_MS)
        with books.visit(PUBLISHER_STEPS, counted=visit % 2 == 1):
            await _visit_of_publisher(stand, books, visit % PUBLISHERS)


def _tell(books: Books, names: list[str], listed: int) -> None:
    seen, visits = Counter[str](), 0
    for name in names:
        step = books.steps[name]
        visits = len(step.calls)
        print(f"{statistics.median(step.calls):7.0f} calls, {1e6 * statistics.median(step.seconds):6.0f} us  {name}")
        seen += step.seen
    in_all = [sum(of_visit) for of_visit in zip(*(books.steps[name].seconds for name in names), strict=True)]
    print(f"{seen.total() / visits:7.0f} calls, {1e6 * statistics.median(in_all):6.0f} us  in all")
    for name, count in seen.most_common(listed):
        print(f"  {count / visits:7.2f} {name}")


async def _main(clock: MockClock, watchers: int, visits: int, listed: int) -> None:
    with tempfile.TemporaryDirectory() as kept:
        server = build_server(Settings(rtmp_host="127.0.0.1", log_path=kept, rtmp_merge_reads=False))
        step = f"port={PORT} rtmp_app=live stream_key=*"
        document = parse(f"workflow w {{\n rtmp_receive {step}\n rtmp_watch {step}\n}}\n", "configuration")
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run, [server.steps.validate(workflow) for workflow in document.workflows])
            stand, books = Stand(clock), Books()
            await _measure(stand, books, watchers, visits)
            for names in (WATCHER_STEPS, PUBLISHER_STEPS):
                _tell(books, names, listed)
            nursery.cancel_scope.cancel()


if __name__ == "__main__":
    arguments = dict(enumerate(map(int, sys.argv[1:])))
    while_running()
    repeats = LogRepeats(1e9 if arguments.get(3, 1) else 0.0)
    standing = MockClock()
    with (
        tempfile.TemporaryDirectory() as directory,
        open(os.devnull, "w", encoding="utf-8") as console,
        logs.configure(
            level=logging.INFO,
            directory=Path(directory),
            console=console,
            bounds=logs.Logging(repeats=repeats),
        ),
    ):
        trio.run(_main, standing, arguments.get(0, 10), arguments.get(1, VISITS), arguments.get(2, 0), clock=standing)
