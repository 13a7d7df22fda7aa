"""A server with a hundred publishers that come and go, watchers, changes and a failing service, for hours.

Everything random is drawn from one seed. What the watchers get is checked as it comes: packets carry their stream's
and their own number, and none may be missing between the first and the last one that a watcher saw of a publication.
"""

import gc
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from itertools import pairwise
from random import Random

import structlog
import trio
from attrs import define, evolve, field

from mmids_trio.config.parameters import NoParameters
from mmids_trio.media.events import MediaPacket
from mmids_trio.reactors.executor import Answer, ExecutorFailure, ExecutorKind
from mmids_trio.steps.registry import StepType
from mmids_trio.stream_request import StreamRequest
from mmids_trio.testing.clients import ClientRefused, Disconnected, RtmpClient
from mmids_trio.testing.harness import RTMP_PORT, Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.workflow.status import OutcomeKind

PACKET_SECONDS = 10.0
PUT_SECONDS = 600.0
FLAP_SECONDS = 97.0
"""Between two failures, or recoveries, of the service that the reactor asks."""

LULL_SECONDS = 300.0
"""What takes longest to be let go of is a lease that the reactor asks about again and again."""

STREAMS, VETTED = 100, 20
"""Publishers, and how many of them the reactor is asked about."""

WATCHERS = 10

OTHERS = """
reactor lookup executor=scripted update_interval=60 {
}
workflow vetted {
    rtmp_receive rtmp_app=vetted stream_key=* reactor=lookup
    rtmp_watch rtmp_app=vetted stream_key=*
}
workflow elsewhere {
    rtmp_watch rtmp_app=elsewhere stream_key=*
}
"""
"""What stays as it is."""

CHANGES = [
    "rtmp_watch rtmp_app=more stream_key=*",
    "rtmp_watch rtmp_app=other stream_key=*",
    "workflow_forwarder target_workflow=elsewhere",
]
"""Any of them may stand behind the steps of the workflow `live`."""


def live(*more_steps: str) -> str:
    """The workflow that most streams are in, and that changes."""
    steps = ["rtmp_receive rtmp_app=live stream_key=*", "rtmp_watch rtmp_app=live stream_key=*", *more_steps]
    return "workflow live {\n" + "\n".join(steps) + "\n}\n"


HEADER, FRAME = generate_stream(seconds=1, fps=1, gop=1, audio=False, key_frame_bytes=200)


def packet(publication: int, number: int) -> MediaPacket:
    """A key frame that carries its numbers."""
    identity = publication.to_bytes(4, "big") + number.to_bytes(4, "big")
    return evolve(FRAME, timestamp=round(number * PACKET_SECONDS * 1000), data=FRAME.data[:-8] + identity)


@define(eq=False)
class Service:
    """What the reactor asks: every stream is valid, where it answers at all. It remembers nothing."""

    is_down: bool = False

    async def release(self, request: StreamRequest) -> None:
        """See `reactors.executor.Executor`."""

    async def ask(self, _request: StreamRequest) -> Answer:
        """See `reactors.executor.Executor`."""
        await trio.sleep(1)
        if self.is_down:
            raise ExecutorFailure("the service is down")
        return Answer(True)


@define(eq=False)
class World:
    """What happens to a server. `sent`, `seen` and `publications` say how much that was."""

    harness: Harness
    service: "Service"
    random: Random
    always: Sequence[str] = ()
    """Steps that stand behind those of `live` whatever else does."""
    sent: int = field(default=0, init=False)
    seen: int = field(default=0, init=False)
    publications: int = field(default=0, init=False)
    changes: int = field(default=0, init=False)
    flaps: int = field(default=0, init=False)

    async def run_for(self, seconds: float) -> None:
        """Let all come, live for a while, and leave."""
        async with trio.open_nursery() as nursery:
            for number in range(STREAMS):
                app = "vetted" if number < VETTED else "live"
                nursery.start_soon(self._stream, app, f"s{number}")
            for _ in range(WATCHERS):
                nursery.start_soon(self._watcher)
            nursery.start_soon(self._change_now_and_then)
            nursery.start_soon(self._flap)
            await trio.sleep(seconds)
            nursery.cancel_scope.cancel()

    async def lull(self) -> int:
        """Let the server come to rest, with the workflows of the beginning, and return `blocks` then."""
        self.service.is_down = False
        await self._change([])
        await trio.sleep(LULL_SECONDS)
        self.harness.forget_events()  # what a harness remembers, for tests, is no leak of the server's
        return blocks()

    async def _stream(self, app: str, key: str) -> None:
        """Publishers of one key, one after the other."""
        while True:
            await trio.sleep(self.random.uniform(0, 120))
            with trio.move_on_after(self.random.uniform(300, 3600)):
                try:
                    await self._publish(app, key)
                except (ClientRefused, Disconnected):  # the service was down, or has thrown it out
                    continue

    async def _publish(self, app: str, key: str) -> None:
        self.publications += 1
        publication = self.publications
        client = await self._connect(app)
        try:
            await client.publish(key, [HEADER])
            number = 0
            while True:
                await client.send([packet(publication, number)])
                self.sent += 1
                number += 1
                await trio.sleep(PACKET_SECONDS)
        finally:
            client.close()

    async def _watcher(self) -> None:
        """Watchers of any stream, one after the other."""
        while True:
            await trio.sleep(self.random.uniform(0, 60))
            client = await self._connect("live")
            try:
                await client.watch(f"s{self.random.randrange(VETTED, STREAMS)}")
                with trio.move_on_after(self.random.uniform(60, 1800)):
                    await client.read_until_closed()
                self._check(client)
            finally:
                client.close()

    async def _connect(self, app: str) -> RtmpClient:
        """Past the harness, which remembers every connection."""
        return await RtmpClient.connected(await self.harness.network.connect(RTMP_PORT), app)

    def _check(self, client: RtmpClient) -> None:
        frames = [packet.data[-8:] for packet in client.packets if not packet.is_sequence_header]
        numbers = [(int.from_bytes(data[:4], "big"), int.from_bytes(data[4:], "big")) for data in frames]
        self.seen += len(numbers)
        for (before, earlier), (after, later) in pairwise(numbers):
            assert later == earlier + 1 if before == after else before < after and later == 0, numbers

    async def _change_now_and_then(self) -> None:
        while True:
            await trio.sleep(PUT_SECONDS)
            await self._change(self.random.sample(CHANGES, self.random.randrange(len(CHANGES) + 1)))

    async def _change(self, steps: Sequence[str]) -> None:
        outcome = await self.harness.put(live(*self.always, *steps))
        assert outcome.kind is OutcomeKind.APPLIED
        self.changes += 1

    async def _flap(self) -> None:
        while True:
            await trio.sleep(self.random.uniform(0, 2 * FLAP_SECONDS))
            self.service.is_down = not self.service.is_down
            self.flaps += 1


@asynccontextmanager
async def world(seed: int, always: Sequence[str] = (), more_steps: Sequence[StepType] = ()) -> AsyncIterator[World]:
    """A server that lives in interesting times; afterwards nothing may be left of it."""
    service = Service()
    h = Harness(
        OTHERS + live(*always),
        more_steps,
        more_executors=[ExecutorKind("scripted", NoParameters, lambda _parameters: nullcontext(service))],
    )
    with quiet_logs() as errors:
        async with h:
            yield World(h, service, Random(seed), always)
        h.assert_quiet()
    assert set(errors) <= {"reactor request given up"}


@contextmanager
def quiet_logs() -> Iterator[list[str]]:
    """Logs are dropped, but for errors: a list of a day's lines would grow as a leak does."""
    errors: list[str] = []

    def keep(_logger: object, method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
        if method in ("error", "exception", "critical"):
            errors.append(str(line["event"]))
        raise structlog.DropEvent

    before = structlog.get_config()["processors"]
    structlog.configure(processors=[keep])
    try:
        yield errors
    finally:
        structlog.configure(processors=before)


def blocks() -> int:
    """Blocks of memory in use: all objects of up to 512 bytes, so at least one for any that is held."""
    gc.collect()
    return sys.getallocatedblocks()
