"""Slate, failover, native push and pull, cancelled at every await: no task, child or connection is left."""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from attrs import define, evolve, field
from trio.testing import MockClock

from mmids_trio.config.parser import parse_workflow
from mmids_trio.ffmpeg.executable import Places
from mmids_trio.ffmpeg.tools import FfmpegTools
from mmids_trio.media.events import MediaEvent, StreamEnded, StreamId, StreamStarted
from mmids_trio.media_memory import MediaMemory
from mmids_trio.net.transport import Transport
from mmids_trio.on_air.directory import OnAir
from mmids_trio.rejections import RejectCounters
from mmids_trio.steps.failover import failover
from mmids_trio.steps.registry import StepRegistry
from mmids_trio.steps.rtmp_pull import rtmp_pull
from mmids_trio.steps.rtmp_push import rtmp_push
from mmids_trio.steps.slate import slate
from mmids_trio.testing.cancellation import cancel_everywhere
from mmids_trio.testing.ffmpeg import FakeFfmpeg, Script
from mmids_trio.testing.harness import Harness, inline
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.network import MemoryNetwork, MemoryTransport
from mmids_trio.workflow.running_step import RunningStep

pytestmark = pytest.mark.thorough

FEWEST_AWAITS = 10
"""Of a life like those below; a sanity check that the test covers something."""

LIVE = generate_stream("x", seconds=2, audio=False)
BARS = generate_stream("slate", seconds=1, fps=5, gop=5, b_frames=0, audio=False)
SERVER = """
settings {
    publisher_timeout 86400
}
workflow far {
    rtmp_receive rtmp_app=live stream_key=* on_busy=takeover
    rtmp_watch rtmp_app=live stream_key=*
}
"""


@define
class Dialer:
    """Connections to a server in memory, all of them noted."""

    network: MemoryNetwork
    transports: list[MemoryTransport] = field(factory=list)

    async def dial(self, host: str, port: int, *, tls: bool) -> Transport:
        transport = await self.network.dial(host, port)
        self.transports.append(transport)
        return transport


@define(eq=False)
class Life:
    """One step, run as a workflow runs it."""

    directory: Path
    dialer: Dialer
    ffmpeg: FakeFfmpeg = field(init=False)

    def __attrs_post_init__(self) -> None:
        made = Script().brings(BARS).exits(at=1.0)
        self.ffmpeg = FakeFfmpeg(script=[Script().exits(1, at=0.1), made])

    async def run(self, line: str, script: Callable[[RunningStep], Awaitable[None]]) -> None:
        tools = FfmpegTools(
            self.ffmpeg, Places(sys.executable), self.directory / "logs", random=lambda: 0.0, offload=inline
        )
        own = (self.dialer, lambda: 0.0, RejectCounters())
        kinds = [slate(tools, OnAir()), failover(), rtmp_push(*own, MediaMemory()), rtmp_pull(*own)]
        [definition] = parse_workflow(f"workflow w {{\n{line}\n}}\n", "test").steps
        cell = RunningStep("w", "1", definition, lambda _w, _s: True, lambda _c: None, lambda _e: None)
        async with trio.open_nursery() as nursery:
            await cell.start(nursery, StepRegistry(kinds).factory)
            assert cell.error is None
            await script(cell)
            nursery.cancel_scope.cancel()

    def check(self) -> None:
        """Nothing is left of it."""
        self.ffmpeg.check_nothing_is_left()
        assert all(transport.is_over for transport in self.dialer.transports)


def stream(name: str, packets: list[MediaEvent]) -> list[MediaEvent]:
    return [StreamStarted(StreamId(name), name), *packets]


async def a_gap_comes_and_goes(cell: RunningStep) -> None:
    cell.inbox.put(stream("x", [*LIVE]))
    await trio.sleep(5)
    cell.inbox.put([*LIVE])
    await trio.sleep(0.1)
    cell.inbox.put([StreamEnded(StreamId("x"))])
    await trio.sleep(0.1)


async def two_sources_come_and_go(cell: RunningStep) -> None:
    cell.inbox.put(stream("x", [*LIVE]))
    await trio.sleep(0.1)
    cell.inbox.put(stream("y", [evolve(packet, stream_id=StreamId("y")) for packet in LIVE]))
    for number in range(12):
        await trio.sleep(0.2)
        cell.inbox.put([evolve(LIVE[1], stream_id=StreamId("y")), *(() if number < 9 else LIVE[:3])])
    cell.inbox.put([StreamEnded(StreamId("x")), StreamEnded(StreamId("y"))])
    await trio.sleep(0.1)


async def a_while_passes(cell: RunningStep) -> None:
    await trio.sleep(3)


@pytest.mark.parametrize(
    ("line", "script"),
    [
        ("slate after=1", a_gap_comes_and_goes),
        ("failover primary=x backup=y output=z after=1", two_sources_come_and_go),
        ("rtmp_push target=rtmp://far/live/a,rtmp://far:1/live/b", a_gap_comes_and_goes),
        ("rtmp_pull location=rtmp://far/live/source stream_name=x grace=5", a_while_passes),
        ("rtmp_pull location=rtmp://far:1/live/source stream_name=x", a_while_passes),
    ],
)
async def test_a_step_cancelled_anywhere_leaves_nothing(
    line: str, script: Callable[[RunningStep], Awaitable[None]], tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with Harness(SERVER) as far:
        source = await far.publish("live/source", LIVE[:20])
        life = Life(tmp_path, Dialer(far.network))

        async def once() -> None:
            nonlocal life
            life = Life(tmp_path, Dialer(far.network))
            await life.run(line, script)

        def check() -> None:
            life.check()

        assert await cancel_everywhere(once, check) > FEWEST_AWAITS
        await source.unpublish()
