"""Nothing of what comes and goes waits for Python's collector: each of its turns holds up everybody on the air."""

import gc
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.network import MemoryTransport
from mmids_trio.testing.state_growth import without_collector
from mmids_trio.testing.web import WebClient
from tests.support.rtmp import PLAIN_HANDSHAKE, command, connect, message

pytestmark = pytest.mark.thorough

WORKFLOW = """
workflow w {{
    rtmp_receive rtmp_app=live stream_key=*
    rtmp_watch rtmp_app=live stream_key=*
    http_watch app=live stream_key=* segment=1s
{}}}
"""
PACKETS = generate_stream(seconds=4)
REST_SECONDS = 12
"""Until nobody who has left is expected back."""

LONG = generate_stream(seconds=120, fps=5, gop=5, audio=False)


async def publisher_that_leaves(h: Harness) -> None:
    publisher = await h.publish("live/other", PACKETS)
    publisher.close()


async def publisher_that_breaks(h: Harness) -> None:
    publisher = await h.publish("live/other", PACKETS)
    reset(publisher.transport)


async def watcher_that_leaves(h: Harness) -> None:
    watcher = await h.watch("live/key")
    await watcher.receive(5)
    watcher.close()


async def watcher_that_is_refused(h: Harness) -> None:
    transport = await h.open()
    await transport.send_all(PLAIN_HANDSHAKE + connect("nothing"))
    await wait_all_tasks_blocked()
    transport.close()


async def nonsense(h: Harness) -> None:
    transport = await h.open()
    await transport.send_all(PLAIN_HANDSHAKE + connect() + command("createStream", 2, None) + message(1, bytes(4)))
    await wait_all_tasks_blocked()


async def a_scan_of_the_port(h: Harness) -> None:
    reset(await h.open())


async def viewer_of_flv(h: Harness) -> None:
    client = WebClient(await h.open(port=8080))
    await client.begin("/live/key.flv")
    await client.head()
    await anext(client)
    client.close()


async def viewer_of_hls(h: Harness) -> None:
    client = WebClient(await h.open(port=8080))
    index = await client.get("/live/key/index.m3u8")
    variant = next(line for line in index.text.splitlines() if line and not line.startswith("#"))
    assert (await client.get(f"/live/key/{variant}")).status == 200
    client.close()
    await trio.sleep(20)  # the session is over when nobody asks for anything


async def reset_at_the_media_listener(h: Harness) -> None:
    client = WebClient(await h.open(port=8080))
    await client.get("/live/other/index.m3u8")
    reset(client.transport)


async def update(h: Harness) -> None:
    receive, *rest = WORKFLOW.format("").splitlines(keepends=True)[2:-1]
    await h.put(f"workflow w {{\n{receive}{''.join(reversed(rest))}}}\n")
    await h.put(WORKFLOW.format(""))


def reset(transport: object) -> None:
    assert isinstance(transport, MemoryTransport)
    transport.reset()


VISITS = [
    publisher_that_leaves,
    publisher_that_breaks,
    watcher_that_leaves,
    watcher_that_is_refused,
    nonsense,
    a_scan_of_the_port,
    viewer_of_flv,
    viewer_of_hls,
    reset_at_the_media_listener,
]


async def publish_on_and_on(h: Harness) -> None:
    publisher = await h.publish("live/key")
    for packet in LONG:
        await trio.sleep_until(packet.timestamp / 1000)
        await publisher.send([packet])


@asynccontextmanager
async def on_air() -> AsyncIterator[Harness]:
    """With a stream that is there all the time."""
    async with Harness(WORKFLOW.format("")) as h, trio.open_nursery() as nursery:
        nursery.start_soon(publish_on_and_on, h)
        await trio.sleep(5)
        yield h
        nursery.cancel_scope.cancel()


def garbage() -> Counter[str]:
    """The classes of ours of which there is something that only the collector takes away."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        found = Counter(f"{type(thing).__module__}.{type(thing).__qualname__}" for thing in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    ours = {name: count for name, count in found.items() if name.startswith("mmids_trio.")}
    return Counter({name: count for name, count in ours.items() if not name.startswith("mmids_trio.testing.")})


@pytest.mark.parametrize("visit", [*VISITS, update])
async def test_who_comes_and_goes_leaves_nothing_to_the_collector(
    visit: Callable[[Harness], Awaitable[None]], autojump_clock: MockClock
) -> None:
    async with on_air() as h:
        await visit(h)
        await trio.sleep(REST_SECONDS)
        with without_collector():
            gc.collect()
            await visit(h)
            await trio.sleep(REST_SECONDS)
            assert garbage() == Counter()
