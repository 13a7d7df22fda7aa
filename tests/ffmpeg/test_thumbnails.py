"""Pictures of streams: only when somebody asks, one at a time, seldom, and never without bounds."""

from collections.abc import Sequence

import trio
from attrs import define, evolve, field
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.errors import StepError
from mmids_trio.ffmpeg.thumbnails import (
    FRESH_SECONDS,
    MAX_KEPT,
    MAX_STILL_BYTES,
    MAX_WAITING,
    STALE_SECONDS,
    WAIT_SECONDS,
    ThumbnailResult,
    Thumbnails,
)
from mmids_trio.media.events import MediaKind, MediaPacket, StreamId
from mmids_trio.on_air.directory import OnAir, StreamEntry
from mmids_trio.on_air.views import StreamNow
from mmids_trio.testing.media import generate_stream

STREAM = [packet for packet in generate_stream(seconds=2) if packet.kind is MediaKind.VIDEO]
HEADER = [packet for packet in STREAM if packet.is_sequence_header]
FRAMES = [packet for packet in STREAM if not packet.is_sequence_header]


class Step:
    """Whose streams they are."""

    workflow, step_id = "w", "1"


@define(eq=False)
class Studio:
    """A directory with streams, and a maker of pictures that takes a second for each."""

    on_air: OnAir = field(factory=OnAir)
    stills: list[bytes] = field(factory=list)
    at_once: int = 0
    most_at_once: int = 0
    fails: bool = False
    thumbnails: Thumbnails = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.thumbnails = Thumbnails(self.on_air, self._make)

    async def _make(self, still: bytes) -> bytes:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await trio.sleep(1)
        self.at_once -= 1
        self.stills.append(still)
        if self.fails:
            raise StepError("there is no ffmpeg")
        return b"jpeg %d" % len(self.stills)

    def stream(self, name: str = "x") -> StreamEntry:
        return self.on_air.begin(StreamId(name), name, Step(), lambda: StreamNow("live"))

    def shoot(self, entry: StreamEntry, packets: Sequence[MediaPacket] = STREAM) -> None:
        entry.meter.note(packets, trio.current_time())


async def test_nothing_is_made_of_a_stream_that_nobody_asks_about(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    studio = Studio()
    await nursery.start(studio.thumbnails.run)
    studio.shoot(studio.stream())
    await trio.sleep(60)
    assert studio.stills == []


async def test_a_picture_is_of_the_next_key_frame_and_of_it_alone(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    studio = Studio()
    await nursery.start(studio.thumbnails.run)
    entry = studio.stream()
    studio.shoot(entry, HEADER)
    assert studio.thumbnails.latest(entry) is None
    studio.shoot(entry, FRAMES)
    await trio.sleep(2)
    found = studio.thumbnails.latest(entry)
    assert found is not None
    assert found.jpeg == b"jpeg 1"
    [still] = studio.stills
    key_frame = next(packet for packet in FRAMES if packet.is_key_frame)
    assert key_frame.data[5:] in still
    assert b"moov" in still
    assert len(still) < len(key_frame.data) + 1500


async def test_who_waits_gets_the_picture_and_however_many_ask_it_is_made_once(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    studio = Studio()
    await nursery.start(studio.thumbnails.run)
    entry = studio.stream()
    found = []

    async def ask() -> None:
        found.append(await studio.thumbnails.get(entry))

    async with trio.open_nursery() as asking:
        for _ in range(50):
            asking.start_soon(ask)
        await wait_all_tasks_blocked()
        studio.shoot(entry)
    assert len(found) == 50
    assert {one.jpeg for one in found if one is not None} == {b"jpeg 1"}
    assert len(studio.stills) == 1


async def test_another_one_is_made_only_when_the_last_has_got_old(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    studio = Studio()
    await nursery.start(studio.thumbnails.run)
    entry = studio.stream()
    for _ in range(int(4 * FRESH_SECONDS)):
        studio.thumbnails.latest(entry)
        studio.shoot(entry)
        await trio.sleep(1)
    assert len(studio.stills) == 4
    await trio.sleep(STALE_SECONDS)
    assert studio.thumbnails.latest(entry) is None, "it says nothing of the stream any more"


async def test_pictures_of_many_streams_are_made_one_after_another_and_few_key_frames_wait(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    studio = Studio()
    await nursery.start(studio.thumbnails.run)
    entries = [studio.stream(str(number)) for number in range(3 * MAX_WAITING)]
    for entry in entries:
        studio.thumbnails.latest(entry)
        studio.shoot(entry)
    await trio.sleep(4 * MAX_WAITING)
    assert studio.most_at_once == 1
    assert len(studio.stills) == MAX_WAITING
    counts = studio.thumbnails.counts
    assert counts[ThumbnailResult.MADE] == MAX_WAITING
    assert counts[ThumbnailResult.REFUSED] == len(entries) - MAX_WAITING


async def test_who_waits_for_a_stream_without_pictures_is_told_in_time(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    studio = Studio()
    await nursery.start(studio.thumbnails.run)
    entry = studio.stream()
    began = trio.current_time()
    assert await studio.thumbnails.get(entry) is None
    assert trio.current_time() - began == WAIT_SECONDS
    large = evolve(FRAMES[0], data=FRAMES[0].data + bytes(MAX_STILL_BYTES))
    async with trio.open_nursery() as asking:
        asking.start_soon(studio.thumbnails.get, entry)
        await wait_all_tasks_blocked()
        studio.shoot(entry, [*HEADER, large])
    assert studio.stills == []


async def test_a_maker_that_fails_is_not_asked_again_at_once(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    studio = Studio(fails=True)
    await nursery.start(studio.thumbnails.run)
    entry = studio.stream()
    for _ in range(int(2 * FRESH_SECONDS)):
        assert studio.thumbnails.latest(entry) is None
        studio.shoot(entry)
        await trio.sleep(1)
    assert len(studio.stills) == 2
    assert studio.thumbnails.counts[ThumbnailResult.FAILED] == 2


async def test_little_is_kept_and_nothing_of_streams_that_have_ended(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    studio = Studio()
    await nursery.start(studio.thumbnails.run)
    over = studio.stream("over")
    studio.thumbnails.latest(over)
    studio.on_air.end(over)
    for number in range(MAX_KEPT + 10):
        studio.thumbnails.latest(studio.stream(str(number)))
    assert len(studio.thumbnails._kept) == MAX_KEPT
    assert over.id not in studio.thumbnails._kept
    assert await studio.thumbnails.of_stream(StreamId("over")) is None
