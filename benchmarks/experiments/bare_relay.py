"""What is left without our code: `python -m benchmarks.experiments.bare_relay [PUBLISHERS WATCHERS [ROUNDS]]`.

The load of `packet_cost`, and in place of the server one task of trio that reads all publishers every 5 ms, where more
than a little sound has arrived, and sends each one's bytes to its watchers as they came.  It knows no RTMP, no streams
and no workflows, and serves nobody who comes late or is slow: what a relay in Python costs at least, and so how far the
server can come.
"""

import socket
import sys
from collections import Counter
from collections.abc import Sequence

import trio
from attrs import define, field
from trio.testing import MockClock

from benchmarks.experiments.packet_cost import (
    COUNTED_MS,
    ROUND_MS,
    ROUNDS,
    SYSTEM_CALLS,
    WARM_UP_MS,
    Source,
    Stand,
    counting,
)
from mmids_trio.net.read_coalescer import SLICE
from mmids_trio.net.transport import SocketTransport
from mmids_trio.rtmp.protocol.message import AUDIO_CHUNK_STREAM, VIDEO, VIDEO_CHUNK_STREAM, Message
from mmids_trio.rtmp.protocol.outgoing import OUTGOING_CHUNK_SIZE, render
from mmids_trio.rtmp.server.session import READ_SIZE, SOUND_BYTES

TURN_SECONDS = 0.005


@define(eq=False)
class _Writing:
    """The `connection` of a client that has nothing to agree on."""

    _data: bytes = field(default=b"", init=False)

    def send_media(self, kind: int, timestamp: int, data: bytes) -> None:
        chunk_stream = VIDEO_CHUNK_STREAM if kind == VIDEO else AUDIO_CHUNK_STREAM
        self._data += render(Message(kind, 1, timestamp, data, chunk_stream), OUTGOING_CHUNK_SIZE)

    def data_to_send(self) -> bytes:
        data, self._data = self._data, b""
        return data


@define(eq=False)
class _Publisher:
    transport: SocketTransport
    connection: _Writing = field(factory=_Writing)


def _connected() -> tuple[SocketTransport, SocketTransport]:
    """Both ends of a connection over the loopback interface."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        near = socket.create_connection(listening.getsockname())
        far, _ = listening.accept()
    return SocketTransport(near), SocketTransport(far)


async def _relay(streams: Sequence[tuple[SocketTransport, Sequence[SocketTransport]]]) -> None:
    while True:
        await trio.sleep(TURN_SECONDS)
        for place, (publisher, watchers) in enumerate(streams):
            if place % SLICE == 0:
                await trio.lowlevel.checkpoint()
            if publisher.has_arrived(SOUND_BYTES) and (data := publisher.receive_nowait(READ_SIZE)):
                for watcher in watchers:
                    assert watcher.send_nowait(data) == len(data)


async def _main(clock: MockClock, publishers: int, watchers: int, rounds: int) -> None:
    stand, streams = Stand(clock), []
    for number in range(publishers):
        near, far = _connected()
        stand.sources.append(Source(_Publisher(near), number * 7 % 33))
        audience = [_connected() for _ in range(watchers)]
        stand.audience += [client for client, _ in audience]
        streams.append((far, [server for _, server in audience]))
    print(f"{publishers} publishers, {watchers} watchers each")
    alone = min([(await Stand(clock).pass_time(ROUND_MS))[1] for _ in range(rounds)])
    seen = Counter[str]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_relay, streams)
        await stand.pass_time(WARM_UP_MS)
        found = [await stand.pass_time(ROUND_MS) for _ in range(rounds)]
        packets, _ = await stand.pass_time(COUNTED_MS, counting(seen))
        nursery.cancel_scope.cancel()
    print(f"{min(1e6 * (used - alone) / packets for packets, used in found):.1f} us a packet")
    system = ", ".join(f"{name} {seen[name] / packets:.2f}" for name in sorted(SYSTEM_CALLS) if seen[name])
    print(f"{seen.total() / packets:.1f} calls a packet, those of the clock included; of the system: {system}")


if __name__ == "__main__":
    arguments = dict(enumerate(map(int, sys.argv[1:])))
    standing = MockClock()
    trio.run(_main, standing, arguments.get(0, 50), arguments.get(1, 2), arguments.get(2, ROUNDS), clock=standing)
