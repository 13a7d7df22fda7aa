"""When passes happen: video at once, sound with the next video where passes take long.

Time is what the sends make of it: each moves the mock clock on.
"""

from collections.abc import Sequence

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock

from mmids_trio.fanout.output import Output
from mmids_trio.fanout.subscriber import Subscriber
from mmids_trio.media.events import MediaEvent, MediaKind, MediaPacket, StreamId, StreamStarted
from mmids_trio.steps.rtmp_audience import Audience
from mmids_trio.steps.send_scheduler import EVENTS_PER_PASS, LONGEST_REST, REST, SendScheduler
from mmids_trio.testing.media import generate_stream
from tests.support.memory_channels import Wire

FRAMES = [packet for packet in generate_stream("s", seconds=10) if not packet.is_sequence_header]
VIDEO = [packet for packet in FRAMES if packet.kind is MediaKind.VIDEO]
SOUND = [packet for packet in FRAMES if packet.kind is MediaKind.AUDIO]


@define(eq=False)
class SlowWire(Wire):
    """Each send takes `seconds` of the clock's time."""

    clock: MockClock = field(kw_only=True)
    seconds: float = field(kw_only=True)
    sent_bytes: int = 0

    def send_nowait(self, data: bytes | memoryview) -> int:
        self.clock.jump(self.seconds)
        self.sent_bytes += len(data)
        return super().send_nowait(data)


class EmptyInbox:
    async def receive(self) -> Sequence[MediaEvent]:
        await trio.sleep_forever()
        raise AssertionError


@define(eq=False)
class Stage:
    """Passes to one watcher, who has had the first frame of a stream."""

    scheduler: SendScheduler
    wire: SlowWire

    async def take(self, *packets: MediaPacket) -> int:
        """How many sends that makes."""
        before = self.wire.sends
        await self.scheduler.feed_and_send(packets)
        return self.wire.sends - before

    async def until_next(self) -> float:
        """Seconds until the next pass; it is made."""
        began, before = trio.current_time(), self.wire.sends
        assert await self.scheduler.next_events(EmptyInbox()) == ()
        waited = trio.current_time() - began
        await self.scheduler.feed_and_send(())
        assert self.wire.sends == before + 1
        return waited


async def on_stage(clock: MockClock, seconds: float, interval: float = 0.0) -> Stage:
    """`seconds`: that each send takes, and so each pass."""
    wire = SlowWire(clock=clock, seconds=seconds)
    audience = Audience("*")
    scheduler = SendScheduler(audience, interval)
    audience.channel("key").add(Subscriber(Output(wire)))
    await scheduler.feed_and_send([StreamStarted(StreamId("s"), "key"), VIDEO[0]])
    assert wire.sends == 1
    return Stage(scheduler, wire)


async def test_video_is_sent_at_once_however_long_passes_take(mock_clock: MockClock) -> None:
    stage = await on_stage(mock_clock, 0.5)
    assert [await stage.take(frame) for frame in VIDEO[1:4]] == [1, 1, 1]


async def test_sound_is_sent_at_once_where_passes_take_no_time(mock_clock: MockClock) -> None:
    stage = await on_stage(mock_clock, 0)
    assert [await stage.take(packet) for packet in SOUND[:3]] == [1, 1, 1]


async def test_sound_comes_along_with_the_next_frame_of_video(mock_clock: MockClock) -> None:
    stage = await on_stage(mock_clock, 0.004)
    before = stage.wire.sent_bytes
    assert [await stage.take(SOUND[0]), await stage.take(SOUND[1]), await stage.take(VIDEO[1])] == [0, 0, 1]
    assert stage.wire.sent_bytes - before > sum(len(packet.data) for packet in (SOUND[0], SOUND[1], VIDEO[1]))


@pytest.mark.parametrize(("seconds", "rest"), [(0.001, 0.008), (0.004, REST * 0.004), (0.02, LONGEST_REST)])
async def test_sound_alone_rests_in_proportion_and_within_a_bound(
    seconds: float, rest: float, autojump_clock: MockClock
) -> None:
    stage = await on_stage(autojump_clock, seconds)
    assert await stage.take(SOUND[0]) == 0
    assert await stage.until_next() == pytest.approx(rest)


async def test_once_it_has_rested_sound_is_sent_when_it_comes(autojump_clock: MockClock) -> None:
    stage = await on_stage(autojump_clock, 0.02)
    await trio.sleep(LONGEST_REST)
    assert await stage.take(SOUND[0]) == 1


async def test_an_interval_holds_for_video_too(autojump_clock: MockClock) -> None:
    stage = await on_stage(autojump_clock, 0.002, interval=0.2)
    assert await stage.take(VIDEO[1]) == 0
    assert await stage.take(SOUND[0]) == 0
    assert await stage.until_next() == pytest.approx(0.198)


async def test_a_burst_is_sent_piece_by_piece_also_with_an_interval(autojump_clock: MockClock) -> None:
    stage = await on_stage(autojump_clock, 0, interval=0.2)
    assert await stage.take(*FRAMES[1 : 1 + 3 * EVENTS_PER_PASS]) == 2
    assert await stage.until_next() == pytest.approx(0.2)


async def test_a_cancelled_wait_for_the_next_pass_loses_nothing(autojump_clock: MockClock) -> None:
    stage = await on_stage(autojump_clock, 0, interval=0.2)
    assert await stage.take(VIDEO[1]) == 0
    with trio.move_on_after(0.1) as scope:
        await stage.until_next()
    assert scope.cancelled_caught
    assert await stage.until_next() == pytest.approx(0.1)
