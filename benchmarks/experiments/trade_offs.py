"""What `gop_cache` and `max_watcher_lag` change: how newcomers begin, and what watchers that stand still cost.

    python -m benchmarks.experiments.trade_offs

Prints Markdown tables.  Newcomers come at every moment of a group of pictures, to one stream.  Of watchers that stand
still there is one for each of ten streams: they play, and read nothing any more.
"""

import socket
from collections.abc import Sequence
from statistics import median

import trio

from benchmarks import load, machine, tables
from benchmarks.__main__ import CACHE
from benchmarks.load import APP, KEY, Load
from benchmarks.machine import Cores
from benchmarks.measure import memory
from benchmarks.subjects import Ours, Server, running
from mmids_trio.media.events import MediaKind, MediaPacket
from mmids_trio.net.transport import SocketNetwork, SocketTransport
from mmids_trio.testing.clients import RtmpClient

NEWCOMERS, GROUP_SECONDS = 25, 2.0
"""How many, and how long a group of pictures is, in which each comes later than the one before."""

STREAMS = 10
LAGS = (1, 10, 30)
STILL_SECONDS = 60.0
SMALL_BUFFER = 4096
"""Bytes that the kernel keeps for a watcher that reads nothing; what the server's side keeps is what it is."""


async def player(port: int) -> RtmpClient:
    """A client that is connected."""
    return await RtmpClient.connected(await SocketNetwork().dial("127.0.0.1", port), APP)


def frames(client: RtmpClient) -> list[MediaPacket]:
    """Of video."""
    return [packet for packet in client.packets if packet.kind is MediaKind.VIDEO and not packet.is_sequence_header]


async def join(server: Server, live: RtmpClient) -> tuple[float, float]:
    """Milliseconds until a newcomer has its first picture, and by how many it is then behind who is `live`."""
    newcomer, began = await player(server.ports.rtmp), trio.current_time()
    await newcomer.watch(KEY)
    await newcomer.read_until(lambda: bool(frames(newcomer)))
    waited = trio.current_time() - began
    behind = live.packets[-1].timestamp - frames(newcomer)[0].timestamp
    newcomer.close()
    return 1000 * waited, max(behind, 0)


async def newcomers(tools: Load, cores: Cores, cache: str) -> Sequence[str]:
    """The line of the table for `gop_cache`."""
    subject = Ours(settings=(f"gop_cache {cache}",))
    async with (
        running(subject, cores.server) as server,
        tools.publishing(server.ports.rtmp),
        trio.open_nursery() as nursery,
    ):
        live = await player(server.ports.rtmp)
        await live.watch(KEY)
        nursery.start_soon(live.read_until_closed)
        await trio.sleep(3)
        seen = []
        for number in range(NEWCOMERS):
            seen.append(await join(server, live))
            await trio.sleep(number * GROUP_SECONDS / NEWCOMERS)
        nursery.cancel_scope.cancel()
        live.close()
    waits, behinds = zip(*seen, strict=True)
    return [cache, *(tables.shown(figure) for figure in (median(waits), max(waits), median(behinds), max(behinds)))]


async def standing_still(tools: Load, cores: Cores, lag: int) -> Sequence[str]:
    """The line of the table for `max_watcher_lag`."""
    subject = Ours(settings=(f"max_watcher_lag {lag}",))
    async with running(subject, cores.server) as server, tools.publishing(server.ports.rtmp, count=STREAMS):
        await trio.sleep(5)
        before = memory(server.pid).pss
        clients = []
        for number in range(STREAMS):
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
            connection.connect(("127.0.0.1", server.ports.rtmp))
            client = await RtmpClient.connected(SocketTransport(connection), APP)
            await client.watch(f"{KEY}{number}")
            clients.append(client)
        most = 0.0
        for _ in range(round(STILL_SECONDS)):
            await trio.sleep(1)
            most = max(most, memory(server.pid).pss - before)
        for client in clients:
            client.close()
    return [str(lag), tables.shown(most / 1000 / STREAMS)]


async def main() -> None:
    """Measure, and print."""
    cores, tools = machine.choose_cores(), load.prepare(CACHE)
    described = machine.describe()
    machine.prepare_this_process(cores)
    print(f"{described.date}: {described.processor}, Python {described.python}.\n")
    heads = ["`gop_cache`", "first picture after ms", "at most", "behind live by ms", "at most"]
    print(tables.table(heads, [await newcomers(tools, cores, cache) for cache in ("true", "false")]))
    lines = [await standing_still(tools, cores, lag) for lag in LAGS]
    print("\n" + tables.table(["`max_watcher_lag`, s", "MB for a watcher that stands still, at most"], lines))


if __name__ == "__main__":
    trio.run(main)
