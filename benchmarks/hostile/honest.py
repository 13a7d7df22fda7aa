"""Who must notice nothing: a publisher, ten watchers, an operator, a reactor's guests, and the service that they need.

Frames carry their number and the time when they were sent, so a watcher knows at once, and for any length of a run,
whether one is missing and how long it took.
"""

import struct
import time
from collections import Counter
from collections.abc import Callable

import httpx2
import trio
from attrs import define, field

from benchmarks.hostile.stage import Stage
from mmids_trio.errors import MmidsError
from mmids_trio.media.codecs import parse_audio, parse_video
from mmids_trio.media.events import MediaKind, MediaPacket, StreamId
from mmids_trio.net.transport import SocketNetwork
from mmids_trio.testing.clients import RtmpClient
from mmids_trio.testing.media import AUDIO_HEADER, VIDEO_HEADER

WATCHERS = 10
KEY = "honest"

FRAME_SECONDS = 0.04
GOP = 50
KEY_FRAME_BYTES, FRAME_BYTES, AUDIO_BYTES = 20_000, 4_000, 200

PLAN_SECONDS = 1.0
"""From one plan that the operator applies to the next."""
GUEST_SECONDS = 3.0
"""From one publisher that a reactor must approve to the next."""

_STAMP = struct.Struct(">QQ")
_VIDEO_HEAD, _AUDIO_HEAD = 5, 2
"""Bytes of a packet in front of its stamp."""


def stamped(kind: MediaKind, number: int, moment: int, timestamp: int) -> MediaPacket:
    """The `number`th packet of its kind, sent at `moment` (nanoseconds)."""
    stamp = _STAMP.pack(number, moment)
    if kind is MediaKind.AUDIO:
        return parse_audio(StreamId(KEY), timestamp, b"\xaf\x01" + stamp + bytes(AUDIO_BYTES))
    size = FRAME_BYTES if number % GOP else KEY_FRAME_BYTES
    return parse_video(
        StreamId(KEY), timestamp, bytes((0x27 if number % GOP else 0x17, 1, 0, 0, 0)) + stamp + bytes(size)
    )


@define
class Reception:
    """What one watcher got. Pure."""

    frames: int = field(default=0, init=False)
    lost: int = field(default=0, init=False)
    """Packets that did not come although a later one did, and such that came again or late."""
    delays: Counter[int] = field(factory=Counter, init=False)
    """Of those that were sent while it watched: how many took so many tenths of a millisecond."""
    _expected: dict[MediaKind, int] = field(factory=dict, init=False)

    def take(self, packet: MediaPacket, since: int, now: int) -> None:
        """The next packet, of a watcher that joined at `since` (nanoseconds, as `now`)."""
        if packet.is_sequence_header:
            return
        head = _AUDIO_HEAD if packet.kind is MediaKind.AUDIO else _VIDEO_HEAD
        number, moment = _STAMP.unpack_from(packet.data, head)
        expected = self._expected.get(packet.kind, number)
        self.lost += max(number - expected, 1 if number < expected else 0)
        self._expected[packet.kind] = max(number, expected - 1) + 1
        self.frames += 1
        if moment >= since:
            self.delays[(now - moment) // 100_000] += 1


def percentile(delays: Counter[int], part: float) -> float:
    """Milliseconds that this part of the packets took at most; 0 without any."""
    left = part * delays.total()
    for tenths, count in sorted(delays.items()):
        left -= count
        if left <= 0:
            return tenths / 10
    return 0.0


@define(eq=False)
class Honest:
    """All of them; they go on until `run` is cancelled."""

    stage: Stage
    receptions: list[Reception] = field(factory=lambda: [Reception() for _ in range(WATCHERS)], init=False)
    counts: Counter[str] = field(factory=Counter, init=False)
    faults: list[str] = field(factory=list, init=False)
    longest: dict[str, float] = field(factory=dict, init=False)
    """Seconds that one of a kind took at most; for the page, not a criterion."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Go on until cancelled; has started when everybody watches."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._publish)
            for reception in self.receptions:
                await nursery.start(self._watch, reception)
            nursery.start_soon(self._operate)
            nursery.start_soon(self._be_guests)
            task_status.started()

    def delays(self) -> Counter[int]:
        """Of all watchers since it was asked for last."""
        found: Counter[int] = Counter()
        for reception in self.receptions:
            found += reception.delays
            reception.delays.clear()
        return found

    async def _client(self, app: str) -> RtmpClient:
        return await RtmpClient.connected(await SocketNetwork().dial("127.0.0.1", self.stage.ports.rtmp), app)

    async def _publish(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        client = await self._client("live")
        try:
            headers = [parse_video(StreamId(KEY), 0, VIDEO_HEADER), parse_audio(StreamId(KEY), 0, AUDIO_HEADER)]
            await client.publish(KEY, headers)
            task_status.started()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read, client)
                await self._send(client)
        except* (MmidsError, OSError) as group:
            self.faults.append(f"the publisher was cut off: {group.exceptions[0]}")
        finally:
            client.close()

    async def _send(self, client: RtmpClient) -> None:
        begin, number = trio.current_time(), 0
        while True:
            at = number * 40
            for kind in (MediaKind.VIDEO, MediaKind.AUDIO):
                await client.send([stamped(kind, number, time.perf_counter_ns(), at)])
            number += 1
            self.counts["frames sent"] = number
            await trio.sleep_until(begin + number * FRAME_SECONDS)

    async def _read(self, client: RtmpClient, take: Callable[[MediaPacket], None] = lambda packet: None) -> None:
        while not client.is_disconnected:
            await client.read_some()
            for packet in client.packets:
                take(packet)
            client.packets.clear()
            client.events.clear()
        raise MmidsError("the server closed the connection")

    async def _watch(
        self, reception: Reception, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        client = await self._client("live")
        try:
            await client.watch(KEY)
            task_status.started()
            since = time.perf_counter_ns()
            await self._read(client, lambda packet: reception.take(packet, since, time.perf_counter_ns()))
        except (MmidsError, OSError) as error:
            self.faults.append(f"a watcher was cut off after {reception.frames} frames: {error}")
        finally:
            client.close()

    async def _operate(self) -> None:
        """A plan every second: a workflow comes, and goes again."""
        number = 0
        while True:
            began, number = trio.current_time(), number + 1
            body = self.stage.workflows(with_spare=bool(number % 2))
            try:
                answer = await self.stage.ask("PUT", "/config?prune=true&take_over=true&wait=30", body)
            except httpx2.HTTPError as error:
                self.faults.append(f"a plan got no answer: {error!r}")
            else:
                self.counts["plans applied"] += answer.is_success
                if not answer.is_success:
                    self.faults.append(f"a plan was answered with {answer.status_code}: {answer.text[:300]}")
                elif number % 2:
                    self.counts["workflows started"] += 1
            self._note("a plan", trio.current_time() - began)
            await trio.sleep_until(began + PLAN_SECONDS)

    async def _be_guests(self) -> None:
        """Publishers that a reactor must approve, one after the other."""
        number = 0
        while True:
            began, number = trio.current_time(), number + 1
            try:
                client = await self._client("asked")
                try:
                    await client.publish(f"invited{number}")
                    self.counts["guests let in"] += 1
                finally:
                    client.close()
            except (MmidsError, OSError) as error:
                self.faults.append(f"a guest was refused: {error}")
            self._note("a guest", trio.current_time() - began)
            await trio.sleep(GUEST_SECONDS)

    def _note(self, what: str, seconds: float) -> None:
        self.longest[what] = round(max(seconds, self.longest.get(what, 0.0)), 3)
