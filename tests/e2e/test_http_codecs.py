"""Every codec, and every change of one, through HTTP-FLV and HLS of a server: packets equal the source's, by the rules.

The media are real (ffmpeg makes and reads them); server, network and time are in memory, so that all pairs go quickly.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock

from mmids_trio.media.events import MediaKind, MediaPacket
from mmids_trio.media.flv import FlvReader, TagType
from mmids_trio.media.payload import payload_of
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.hls import HlsChecker, media_of
from mmids_trio.testing.web import WebClient
from tests.delivery.test_hls_listener import Web, send_live
from tests.e2e.test_fmp4 import PAIRS, hashes, make, packets
from tests.e2e.test_http_hls import as_files

pytestmark = pytest.mark.e2e

TEXT = (
    "workflow w {\n rtmp_receive rtmp_app=live stream_key=*\n http_watch app=live stream_key=* segment=1s dvr=60s\n}\n"
)

CHANGES = [
    (("avc", "aac"), ("hevc", "aac")),
    (("avc", "aac"), ("avc with B-frames", "aac")),
    (("avc with B-frames", "aac"), ("av1", "opus")),
    (("avc", "aac"), ("avc", "mp3")),
    (("avc", "mp3"), ("avc", "ac-3")),
    (("av1", "opus"), ("vp9", "aac")),
    (("avc", None), ("avc", "aac")),
    ((None, "aac"), ("avc", "aac")),
]


@asynccontextmanager
async def on_air(sent: Sequence[MediaPacket]) -> AsyncIterator[tuple[Harness, Web, trio.Event]]:
    """A server to which these are sent in time; the event says that all were."""
    h, done = Harness(TEXT, now=lambda: 1_800_000_000 + trio.current_time()), trio.Event()
    async with h, trio.open_nursery() as nursery:
        publisher = await h.publish("live/key")

        async def send() -> None:
            await send_live(publisher, sent)
            await trio.sleep(1)
            done.set()

        yield_to = Web(h)
        nursery.start_soon(send)
        yield h, yield_to, done
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("video", "audio"), PAIRS)
async def test_flv_and_hls_have_the_packets_of_the_source(
    autojump_clock: MockClock, tmp_path: Path, video: str | None, audio: str | None
) -> None:
    sent = list(packets(make(tmp_path / "source.flv", video, audio)))
    async with on_air(sent) as (h, web, done):
        viewer = WebClient(await h.open(port=8080))
        await viewer.begin("/live/key.flv")
        await viewer.head()
        await done.wait()
        data = bytearray()
        with trio.move_on_after(1):
            async for piece in viewer:
                data += piece
        viewer.close()
        tags = [tag.data for tag in FlvReader().receive(bytes(data)) if tag.type is not TagType.SCRIPT]
        for kind in (MediaKind.VIDEO, MediaKind.AUDIO):
            mine = [packet.data for packet in sent if packet.kind is kind and not packet.is_sequence_header]
            assert [tag for tag in tags if tag in mine] == mine
        [entry] = [one for one in (await h.http.get("/clients")).json()["clients"] if one["role"] == "publisher"]
        text = (await web.get("/live/key/index.m3u8")).text
        media = "/live/key/" + next(line for line in text.splitlines() if line and line[0] != "#")
        assert (await h.http.delete(f"/clients/{entry['id']}")).status == 200
        await trio.sleep(0.1)
        listed = (await web.get(media)).text
        names = [line for line in listed.splitlines() if line and line[0] != "#"]
        init = listed.partition('#EXT-X-MAP:URI="')[2].partition('"')[0]
        bodies = [(await web.get(f"/live/key/{name}")).body for name in (init, *names)]
    (tmp_path / "hls.mp4").write_bytes(b"".join(bodies))
    for track in (["0:v"] if video else []) + (["0:a"] if audio else []):
        assert hashes(tmp_path / "hls.mp4", track) == hashes(tmp_path / "source.flv", track)


@pytest.mark.parametrize(("before", "after"), CHANGES, ids=str)
async def test_a_change_is_crossed_by_the_rules_and_without_a_frame_lost(
    autojump_clock: MockClock,
    tmp_path: Path,
    before: tuple[str | None, str | None],
    after: tuple[str | None, str | None],
) -> None:
    one = list(packets(make(tmp_path / "one.flv", *before)))
    two = list(packets(make(tmp_path / "two.flv", *after)))
    sent = list[MediaPacket]()
    for part in (one, two, one, two, one):
        begin = max((packet.timestamp for packet in sent), default=-33) + 33
        sent += [evolve(packet, timestamp=packet.timestamp + begin) for packet in part]
    async with on_air(sent) as (_, web, _done):
        report = await HlsChecker(web.get).play("/live/key/index.m3u8", segments=10)
    assert report.problems == []
    assert len(report.inits) >= 2
    assert len(as_files(report, tmp_path)) >= 2
    whole = media_of([data for _, data in sorted(report.segments.items())])
    for packet in two:
        if packet.kind is MediaKind.VIDEO and not packet.is_sequence_header:
            payload = payload_of(packet)
            assert payload is None or not payload.is_frame or payload.data in whole
