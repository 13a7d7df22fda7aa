"""What a request of Low-Latency HLS costs: `python -m benchmarks.experiments.hls_cost [VIEWERS [ROUNDS [LISTED]]]`.

One publisher of 2.6 Mbit/s, and viewers that ask by turns for the part that was hinted and for the playlist with it, on
real sockets, in one process and on a clock that stands still while the server works: see `packet_cost`.  Asking and
reading what comes is not counted.
"""

import logging
import sys
import tempfile
import time
from collections import Counter

import structlog
import trio
from attrs import define, field
from trio.testing import MockClock, wait_all_tasks_blocked

from benchmarks.experiments.packet_cost import SYSTEM_CALLS, Profile, Source, counting
from mmids_trio.cli.collecting import while_running
from mmids_trio.config.parser import parse
from mmids_trio.config.settings import Settings
from mmids_trio.net.transport import SocketNetwork, SocketTransport
from mmids_trio.server.building import build_server
from mmids_trio.testing.clients import AnyRtmpClient
from mmids_trio.testing.media import generate_stream

TICK_MS = 10
WARM_UP_MS, ROUND_MS, ROUNDS = 6_000, 1_000, 15
RTMP_PORT, PORT = 19_355, 19_356


@define(eq=False)
class Viewer:
    """Plays as `viewers follow` of the load does, on one connection."""

    transport: SocketTransport
    answers: int = 0
    _next: str = "index.m3u8"
    _media: str = ""
    _answer: bytearray = field(factory=bytearray)
    _size: int = 0

    def ask(self) -> None:
        """For what comes next."""
        request = f"GET /live/show0/{self._next} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        assert self.transport.send_nowait(request) == len(request)
        self._answer, self._size = bytearray(), 0

    def read(self) -> None:
        """Take what came; ask for the next, once it is whole."""
        while data := self.transport.receive_nowait(1 << 20):
            self._answer += data
        if not self._size:
            head, end, _ = self._answer.partition(b"\r\n\r\n")
            if not end:
                return
            assert head.startswith(b"HTTP/1.1 200"), head
            self._size = len(head) + 4 + int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
        if len(self._answer) == self._size:
            self.answers += 1
            self._go_on()
            self.ask()

    def _go_on(self) -> None:
        if self._next.startswith("part-"):
            number, index = self._next.partition(".m4s")[0].removeprefix("part-").split(".")
            self._next = f"{self._media}&_HLS_msn={number}&_HLS_part={index}"
            return
        text = self._answer.decode()
        if self._next == "index.m3u8":
            self._next = self._media = text.split()[-1]
        else:
            self._next = text.rpartition('URI="')[2].partition('"')[0]


@define(eq=False)
class Stand:
    """Both sides of the server."""

    clock: MockClock
    source: Source
    viewers: list[Viewer] = field(factory=list)
    now_ms: int = 0

    async def fill(self, count: int) -> None:
        """Have viewers come."""
        for _ in range(count):
            viewer = Viewer(await SocketNetwork().dial("127.0.0.1", PORT))
            await wait_all_tasks_blocked()
            viewer.ask()
            self.viewers.append(viewer)

    async def pass_time(self, milliseconds: int, profile: Profile | None = None) -> tuple[int, float]:
        """How many requests were answered, and the seconds that the server worked."""
        answers, used = sum(viewer.answers for viewer in self.viewers), 0.0
        for _ in range(0, milliseconds, TICK_MS):
            self.now_ms += TICK_MS
            self.source.send_due(self.now_ms)
            self.clock.jump(TICK_MS / 1000)
            for _ in range(2):  # the part, and the playlist that is there already
                sys.setprofile(profile)
                before = time.process_time()
                await wait_all_tasks_blocked()
                used += time.process_time() - before
                sys.setprofile(None)
                for viewer in self.viewers:
                    viewer.read()
        return sum(viewer.answers for viewer in self.viewers) - answers, used


async def _measure(stand: Stand, count: int, rounds: int, listed: int) -> None:
    """What clock, publisher and this module cost by themselves, with nobody here, is taken off."""
    await stand.pass_time(WARM_UP_MS)
    alone = min([(await stand.pass_time(ROUND_MS))[1] for _ in range(rounds)])
    seen, by_itself = Counter[str](), Counter[str]()
    await stand.pass_time(ROUND_MS, counting(by_itself))
    await stand.fill(count)
    await stand.pass_time(WARM_UP_MS)
    found = [await stand.pass_time(ROUND_MS) for _ in range(rounds)]
    print(f"{min(1e6 * (used - alone) / max(requests, 1) for requests, used in found):.1f} us a request")
    requests, _ = await stand.pass_time(ROUND_MS, counting(seen))
    seen.subtract(by_itself)
    system = ", ".join(f"{name} {seen[name] / requests:.2f}" for name in sorted(SYSTEM_CALLS) if seen[name])
    print(f"{requests} requests, {seen.total() / requests:.1f} calls each, of them of the system: {system}")
    for name, calls in seen.most_common(listed):
        print(f"  {calls / requests:6.2f} {name}")


async def _main(clock: MockClock, count: int, rounds: int, listed: int) -> None:
    with tempfile.TemporaryDirectory() as logs:
        server = build_server(Settings(rtmp_host="127.0.0.1", http_media_host="127.0.0.1", log_path=logs))
        receive = f"rtmp_receive port={RTMP_PORT} rtmp_app=live stream_key=*"
        watch = f"http_watch port={PORT} app=live stream_key=*"
        document = parse(f"workflow w {{\n {receive}\n {watch}\n}}\n", "configuration")
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run, [server.steps.validate(workflow) for workflow in document.workflows])
            client = await AnyRtmpClient.connected(await SocketNetwork().dial("127.0.0.1", RTMP_PORT))
            headers = [packet for packet in generate_stream(seconds=1) if packet.is_sequence_header]
            await client.publish("show0", headers)
            await _measure(Stand(clock, Source(client, 0)), count, rounds, listed)
            nursery.cancel_scope.cancel()


if __name__ == "__main__":
    arguments = dict(enumerate(map(int, sys.argv[1:])))
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    while_running()
    standing = MockClock()
    trio.run(_main, standing, arguments.get(0, 200), arguments.get(1, ROUNDS), arguments.get(2, 0), clock=standing)
