"""One publisher floods the server with small messages; another stream, and the API, go on.

Nothing here measures time: the flood goes on between one packet of the other stream and the next, and every packet of
that stream and every answer of the API arrives.
"""

import re
import signal
import sys
from pathlib import Path
from time import perf_counter

import pytest
import trio

from mmids_trio.net.transport import SocketNetwork
from mmids_trio.testing.clients import RtmpClient
from mmids_trio.testing.media import generate_stream
from tests.support.processes import Child, start
from tests.support.program import ROOT, Launch, Program

pytestmark = pytest.mark.e2e

WORKFLOW = """workflow live {
    rtmp_receive rtmp_app=live stream_key=* port=0
    rtmp_watch rtmp_app=live stream_key=* port=0
}
"""
STREAM = generate_stream(seconds=2)
PACKETS_PER_ROUND = 20


async def flood(nursery: trio.Nursery, program: Program, directory: Path, size: int) -> Child:
    command = [sys.executable, "-m", "tests.support.flooding", str(program.rtmp_port), "flood", str(size)]
    child = await start(nursery, command, name="flooder", directory=directory, environment={"PYTHONPATH": str(ROOT)})
    await child.out.line("flooding")
    return child


async def client(program: Program) -> RtmpClient:
    return await RtmpClient.connected(await SocketNetwork().dial("127.0.0.1", program.rtmp_port))


async def received(program: Program) -> int:
    """Bytes that the server has read from all clients; the API answers in the middle of the flood."""
    answer = await program.get("/metrics")
    assert answer.status == 200
    found = re.search(r"^mmids_rtmp_received_bytes_total (\d+)$", answer.text, re.MULTILINE)
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize("size", [127, 1], ids=["small", "smallest"])
async def test_a_flood_of_small_messages_starves_neither_another_stream_nor_the_api(
    launch: Launch, nursery: trio.Nursery, tmp_path: Path, size: int
) -> None:
    program = await launch(WORKFLOW)
    flooder = await flood(nursery, program, tmp_path, size)
    watcher, publisher = await client(program), await client(program)
    await watcher.watch("calm")
    await publisher.publish("calm")
    began, so_far, delays = perf_counter(), await received(program), list[float]()
    first = so_far
    for start_of_round in range(0, len(STREAM), PACKETS_PER_ROUND):
        for place in range(start_of_round, min(start_of_round + PACKETS_PER_ROUND, len(STREAM))):
            sent_at = perf_counter()
            await publisher.send([STREAM[place]])
            if not STREAM[place].is_sequence_header:  # headers are sent with the first frame
                await watcher.receive(place + 1)
                delays.append(perf_counter() - sent_at)
        assert "live" in (await program.get("/workflows")).text
        before, so_far = so_far, await received(program)
        assert so_far > before  # the flood goes on
    assert [packet.data for packet in watcher.packets] == [packet.data for packet in STREAM]
    assert flooder.is_running
    seconds = perf_counter() - began
    delays.sort()
    print(  # figures for the pages, not a criterion
        f"{size} bytes a message: {(so_far - first) * 8 / seconds / 1e6:.0f} Mbit/s,"
        f" {(so_far - first) / (size + 1) / seconds:.0f} messages/s; the other stream's packets took"
        f" {1000 * delays[len(delays) // 2]:.1f} ms (median), {1000 * delays[len(delays) * 99 // 100]:.1f} ms (p99),"
        f" {1000 * delays[-1]:.1f} ms (longest)"
    )
    publisher.close()
    watcher.close()
    flooder.send(signal.SIGKILL)
