"""What HLS holds is charged and bounded, whatever window an operator asks for."""

import pytest
from trio.testing import MockClock

from mmids_trio.delivery.hls_channel import HlsChannel
from mmids_trio.media_memory import MediaMemory, MediaOwner
from mmids_trio.rejections import RejectCounters
from mmids_trio.testing.media import generate_stream

HOUR = 3_600_000
LIMIT = 1_000_000


def channel(memory: MediaMemory) -> HlsChannel:
    made = HlsChannel(2_000, 200, HOUR, lambda: 1_800_000_000.0)
    made.charge_to(memory)
    made.begin_stream(MediaOwner("192.0.2.1", object()))
    return made


@pytest.mark.thorough
async def test_a_window_takes_no_more_than_media_may(mock_clock: MockClock) -> None:
    rejections = RejectCounters()
    memory = MediaMemory(4 * LIMIT, rejections)
    hls = channel(memory)
    for packet in generate_stream(seconds=400):
        hls.packet(packet)
        assert memory.held <= LIMIT
        assert hls.playlist.size <= LIMIT + 100_000
    assert rejections.raised()["logs_let_go_for_media_bytes"] > 0
    assert hls.playlist.last[0] > 1_800_000_150


async def test_what_is_held_is_what_is_charged(mock_clock: MockClock) -> None:
    memory = MediaMemory()
    hls = channel(memory)
    for packet in generate_stream(seconds=60):
        hls.packet(packet)
    inits = sum(len(chapter.init) for chapter in hls.playlist.chapters.values())
    assert (
        memory.held
        == hls.playlist.size
        == inits + sum(len(part.data) for segment in hls.playlist.segments for part in segment.parts)
    )
    hls.end_stream()
    hls.let_go()
    assert memory.held == 0


async def test_without_a_window_little_is_kept(mock_clock: MockClock) -> None:
    hls = HlsChannel(2_000, 200, 0, lambda: 1_800_000_000.0)
    hls.begin_stream()
    for packet in generate_stream(seconds=120):
        hls.packet(packet)
    assert 12_000 <= hls.playlist.length_ms <= 18_000
