"""What a packet costs in the server: `python -m benchmarks.experiments.packet_cost [PUBLISHERS WATCHERS [ROUNDS]]`.

Publishers of 2.6 Mbit/s (30 frames and 43 packets of sound a second, each sent when it is due), and so many watchers
for each, on real sockets, in one process and on a clock that stands still while the server works.  So a run does the
same work each time, whatever else the machine does: the calls of Python and the system calls a packet are counted
exactly.  The time is that of the processor, the least of some rounds, with warm caches: compare it with another run on
the same machine.  `valgrind --tool=callgrind` around this counts instructions.
"""

import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Protocol

import structlog
import trio
from attrs import define, field
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.cli.collecting import while_running
from mmids_trio.config.parser import parse
from mmids_trio.config.settings import Settings
from mmids_trio.net.transport import SocketNetwork, SocketTransport, Transport
from mmids_trio.rtmp.protocol.message import AUDIO, VIDEO
from mmids_trio.server.building import build_server
from mmids_trio.testing.clients import AnyRtmpClient
from mmids_trio.testing.media import generate_stream

TICK_MS = 4
FPS, SOUNDS = 30, 43
GROUP = 60
"""Frames from one key frame to the next."""

FRAME, SOUND = bytes(10_400), bytes(370)
WARM_UP_MS, ROUND_MS, COUNTED_MS, ROUNDS = 400, 200, 2_000, 25
SYSTEM_CALLS = {"ioctl", "socket.recv", "socket.recv_into", "socket.send", "epoll.poll", "epoll.modify"} | {
    "epoll.register",
    "epoll.unregister",
}
PORT = 19_355

Profile = Callable[[FrameType, str, object], None]


class Writing(Protocol):
    """What makes bytes of media."""

    def send_media(self, kind: int, timestamp: int, data: bytes, /) -> None: ...

    def data_to_send(self) -> bytes: ...


class Sending(Protocol):
    """Who publishes."""

    @property
    def connection(self) -> Writing: ...

    @property
    def transport(self) -> Transport: ...


class Source:
    """One publisher: says at any time what is due."""

    def __init__(self, client: Sending, behind_ms: float) -> None:
        self._client = client
        self._due = self._packets(behind_ms)
        self._next = next(self._due)

    def _packets(self, behind_ms: float) -> Iterator[tuple[float, int, int, bytes]]:
        frame = sound = 0
        while True:
            frame_at, sound_at = 1000 * frame / FPS, 1000 * sound / SOUNDS
            if frame_at <= sound_at:
                start = b"\x17\x01\0\0\0" if frame % GROUP == 0 else b"\x27\x01\0\0\0"
                yield frame_at + behind_ms, VIDEO, round(frame_at), start + FRAME
                frame += 1
            else:
                yield sound_at + behind_ms, AUDIO, round(sound_at), b"\xaf\x01" + SOUND
                sound += 1

    def send_due(self, now_ms: float) -> int:
        """How many packets were due."""
        sent = 0
        while self._next[0] <= now_ms:
            _, kind, timestamp, data = self._next
            self._client.connection.send_media(kind, timestamp, data)
            rendered = self._client.connection.data_to_send()
            assert self._client.transport.send_nowait(rendered) == len(rendered)
            self._next = next(self._due)
            sent += 1
        return sent


@define(eq=False)
class Stand:
    """The server's clients, and the clock that they all go by."""

    clock: MockClock
    sources: list[Source] = field(factory=list)
    audience: list[SocketTransport] = field(factory=list)
    now_ms: int = 0
    received: int = 0

    async def fill(self, publishers: int, watchers: int) -> None:
        """Have everybody connect."""
        headers = [packet for packet in generate_stream(seconds=1) if packet.is_sequence_header]
        for number in range(publishers):
            client = await AnyRtmpClient.connected(await SocketNetwork().dial("127.0.0.1", PORT))
            await client.publish(f"show{number}", headers)
            self.sources.append(Source(client, self.now_ms + number * 7 % 33))
            for _ in range(watchers):
                transport = await SocketNetwork().dial("127.0.0.1", PORT)
                await (await AnyRtmpClient.connected(transport)).watch(f"show{number}")
                self.audience.append(transport)

    async def pass_time(self, milliseconds: int, profile: Profile | None = None) -> tuple[int, float]:
        """How many packets were sent, and the seconds that the server worked."""
        packets, used = 0, 0.0
        for _ in range(0, milliseconds, TICK_MS):
            self.now_ms += TICK_MS
            packets += sum(source.send_due(self.now_ms) for source in self.sources)
            self.clock.jump(TICK_MS / 1000)
            sys.setprofile(profile)
            before = time.process_time()
            await wait_all_tasks_blocked()
            used += time.process_time() - before
            sys.setprofile(None)
            for transport in self.audience:
                while data := transport.receive_nowait(1 << 20):
                    self.received += len(data)
        return packets, used


def counting(seen: Counter[str]) -> Profile:
    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            seen[f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_code.co_qualname}"] += 1
        elif event == "c_call":
            seen[getattr(argument, "__qualname__", "?")] += 1

    return note


async def _measure(stand: Stand, publishers: int, watchers: int, rounds: int, listed: int) -> None:
    """What the clock and this module cost by themselves, with nobody here, is taken off."""
    alone = min([(await stand.pass_time(ROUND_MS))[1] for _ in range(rounds)])
    seen, by_itself = Counter[str](), Counter[str]()
    await stand.pass_time(COUNTED_MS, counting(by_itself))
    await stand.fill(publishers, watchers)
    await stand.pass_time(WARM_UP_MS)
    stand.received = 0
    found = [await stand.pass_time(ROUND_MS) for _ in range(rounds)]
    best = min(1e6 * (used - alone) / packets for packets, used in found)
    print(f"{best:.1f} us a packet, {stand.received / rounds / ROUND_MS * 8e-3:.0f} Mbit/s to watchers")
    packets, _ = await stand.pass_time(COUNTED_MS, counting(seen))
    seen.subtract(by_itself)
    system = ", ".join(f"{name} {seen[name] / packets:.2f}" for name in sorted(SYSTEM_CALLS) if seen[name])
    print(f"{seen.total() / packets:.1f} calls a packet, of them of the system: {system}")
    for name, count in seen.most_common(listed):
        print(f"  {count / packets:6.2f} {name}")


async def _main(clock: MockClock, publishers: int, watchers: int, rounds: int, listed: int) -> None:
    with tempfile.TemporaryDirectory() as logs:
        server = build_server(Settings(rtmp_host="127.0.0.1", log_path=logs))
        step = f"port={PORT} rtmp_app=live stream_key=*"
        document = parse(f"workflow w {{\n rtmp_receive {step}\n rtmp_watch {step}\n}}\n", "configuration")
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run, [server.steps.validate(workflow) for workflow in document.workflows])
            stand = Stand(clock)
            print(f"{publishers} publishers, {watchers} watchers each")
            await _measure(stand, publishers, watchers, rounds, listed)
            nursery.cancel_scope.cancel()


if __name__ == "__main__":
    arguments = dict(enumerate(map(int, sys.argv[1:])))
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    while_running()
    standing = MockClock()
    trio.run(
        _main,
        standing,
        arguments.get(0, 50),
        arguments.get(1, 2),
        arguments.get(2, ROUNDS),
        arguments.get(3, 0),
        clock=standing,
    )
