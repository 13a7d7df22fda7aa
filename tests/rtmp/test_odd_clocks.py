"""Publishers whose clocks are set while they publish: watchers see one timeline."""

import pytest
from attrs import evolve
from structlog.typing import EventDict
from trio.testing import MockClock

from mmids_trio.media.events import MediaKind, MediaPacket
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream

LIVE = """
workflow w {
    rtmp_receive rtmp_app=live stream_key=*
    rtmp_watch rtmp_app=live stream_key=*
}
"""


def times(packets: list[MediaPacket], kind: MediaKind) -> list[int]:
    return [packet.timestamp for packet in packets if packet.kind is kind and not packet.is_sequence_header]


@pytest.mark.parametrize("leap", [3_600_000, -20_000])
async def test_a_publisher_whose_clock_leaps_is_watched_without_a_gap(
    leap: int, autojump_clock: MockClock, logs: list[EventDict]
) -> None:
    packets = generate_stream(seconds=4, start_timestamp=100_000)
    said = [evolve(p, timestamp=p.timestamp + leap) if p.timestamp >= 102_000 else p for p in packets]
    async with Harness(LIVE) as h:
        watcher = await h.watch("key")
        publisher = await h.publish("key")
        await publisher.send(said)
        await watcher.read_until(lambda: packets[-1].data in [packet.data for packet in watcher.packets])
        for kind in (MediaKind.VIDEO, MediaKind.AUDIO):
            assert times(watcher.packets, kind) == times(packets, kind)
    odd = [entry["oddity"] for entry in logs if entry["event"] == "client says something odd"]
    assert odd == ["clock_set_anew"]
