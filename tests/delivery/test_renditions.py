"""Several qualities of one stream in one multivariant playlist: on one clock, cut alike, with the same numbers."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import trio
from attrs import evolve, field, frozen
from trio.testing import MockClock

from mmids_trio.media.events import MediaEvent, MediaPacket, Rendition, StreamEnded, StreamId, StreamStarted
from mmids_trio.media.flow import Flow
from mmids_trio.steps.registry import StepType
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.hls import HlsChecker, attributes, read_fragments, read_playlist
from mmids_trio.testing.media import generate_stream
from mmids_trio.workflow.step import Inbox, Outbox, StepContext
from tests.delivery.test_hls_listener import Web, send_live, uri

pytestmark = pytest.mark.thorough

DELAY = 3.3
"""Seconds after which the rendition comes, in the middle of a segment of its source."""


@frozen
class Nothing:
    """Parameters of a step without any."""


@frozen
class HalfLadder:
    """Passes all on, and beside each stream another one that says that it is a rendition of it, some seconds later."""

    flow: Flow = field(default=Flow.PASSES_ON, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        first: dict[StreamId, int] = {}
        begun: set[StreamId] = set()
        headers: list[MediaPacket] = []
        while True:
            events = list[MediaEvent]()
            for event in await inbox.receive():
                events.append(event)
                other = StreamId(f"{event.stream_id}_360p")
                if isinstance(event, StreamEnded):
                    if event.stream_id in begun:
                        events.append(StreamEnded(other))
                elif isinstance(event, MediaPacket):
                    copy = evolve(event, stream_id=other)
                    if event.is_sequence_header:
                        headers.append(copy)
                        continue
                    began = first.setdefault(event.stream_id, event.timestamp)
                    is_due = event.timestamp - began >= DELAY * 1000 and event.is_key_frame
                    if event.stream_id not in begun and is_due:
                        begun.add(event.stream_id)
                        of = Rendition(event.stream_id, "360p", 600)
                        events += [StreamStarted(other, "key_360p", rendition=of), *headers]
                    if event.stream_id in begun:
                        events.append(copy)
            await outbox.send(events)


def ladder() -> StepType:
    def build(_parameters: Nothing, _context: StepContext) -> HalfLadder:
        return HalfLadder()

    return StepType("half_ladder", Nothing, build)


@asynccontextmanager
async def on_air(key: str, packets: Sequence[MediaPacket]) -> AsyncIterator[tuple[Harness, Web]]:
    text = (
        "workflow w {\n rtmp_receive rtmp_app=live stream_key=*\n half_ladder\n"
        f" http_watch app=live stream_key={key} segment=2s dvr=20s\n}}\n"
    )
    h = Harness(text, [ladder()], now=lambda: 1_800_000_000 + trio.current_time())
    async with h, trio.open_nursery() as nursery:
        nursery.start_soon(send_live, await h.publish("live/key"), packets)
        yield h, Web(h)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("key", ["*", "key"])
async def test_renditions_are_listed_cut_alike_and_reported(autojump_clock: MockClock, key: str) -> None:
    async with on_air(key, generate_stream(seconds=60)) as (_, web):
        await trio.sleep(15)
        master = await web.get("/live/key/index.m3u8?a=b")
        lines = master.text.splitlines()
        found = [attributes(line.partition(":")[2]) for line in lines if line.startswith("#EXT-X-STREAM-INF")]
        assert len(found) == 2
        assert all(one["CODECS"] and int(one["BANDWIDTH"]) and float(one["FRAME-RATE"]) == 25 for one in found)
        own, other = (f"/live/key/{line}" for line in lines if line and line[0] != "#")
        assert other == own.replace("media.m3u8", "360p-media.m3u8")
        texts = [(await web.get(target)).text for target in (own, other)]
        one, two = map(read_playlist, texts)
        shared = {segment.number: segment for segment in one.segments if segment.uri is not None}
        behind = [segment for segment in two.segments if segment.uri is not None]
        assert len(behind) >= 4
        for segment in behind[1:]:
            same = shared[segment.number]
            assert (segment.duration, segment.date) == (same.duration, same.date)
            assert segment.uri == f"360p-{same.uri}"
            mine, theirs = [
                read_fragments((await web.get(f"/live/key/{name}")).body)[0].tracks for name in (segment.uri, same.uri)
            ]
            assert mine[1] == theirs[1]
            assert mine[2][0] == pytest.approx(theirs[2][0], abs=44)  # a millisecond: its sound began elsewhere
        reports = [[line for line in text.splitlines() if "RENDITION-REPORT" in line] for text in texts]
        assert len(reports[0]) == len(reports[1]) == 1
        assert '"360p-media.m3u8?session=' in reports[0][0]
        assert '"media.m3u8?session=' in reports[1][0]
        assert f"LAST-MSN={one.next[0]}" in reports[1][0] or f"LAST-MSN={one.next[0] - 1}" in reports[1][0]


@pytest.mark.parametrize("variant", [0, 1])
async def test_the_checker_finds_nothing_in_either(autojump_clock: MockClock, variant: int) -> None:
    async with on_air("*", generate_stream(seconds=60)) as (_, web):
        await trio.sleep(12)
        report = await HlsChecker(web.get).play("/live/key/index.m3u8", segments=4, variant=variant)
        assert report.problems == []
        assert len(report.variants) == 2


async def test_a_rendition_is_watched_by_its_own_name_too_and_a_namesake_is_none(autojump_clock: MockClock) -> None:
    async with on_air("*", generate_stream(seconds=60)) as (h, web):
        await trio.sleep(12)
        alone = await web.get("/live/key_360p/index.m3u8")
        assert alone.text.count("#EXT-X-STREAM-INF") == 1
        assert "RENDITION-REPORT" not in (await web.get(uri(alone).replace("/key/", "/key_360p/"))).text
    async with (
        Harness(
            "workflow w {\n rtmp_receive rtmp_app=live stream_key=*\n http_watch app=live stream_key=* segment=1s\n}\n"
        ) as h,
        trio.open_nursery() as nursery,
    ):
        for key in ("key", "key_360p"):
            nursery.start_soon(send_live, await h.publish(f"live/{key}"), generate_stream(seconds=20))
        await trio.sleep(4)
        assert (await Web(h).get("/live/key/index.m3u8")).text.count("#EXT-X-STREAM-INF") == 1
        nursery.cancel_scope.cancel()
