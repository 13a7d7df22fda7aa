"""What is said to be wrong with a stream: of one that is well nothing, and each fault by its own code."""

import pytest
from attrs import evolve

from mmids_trio.media.events import MediaPacket
from mmids_trio.on_air.meters import StreamMeter
from mmids_trio.on_air.warnings import JUMP_MEMORY_SECONDS, warnings_of
from mmids_trio.testing.media import generate_stream

STREAM = generate_stream(seconds=10)


def metered(packets: list[MediaPacket]) -> StreamMeter:
    meter = StreamMeter()
    for packet in packets:
        meter.note([packet], 100 + packet.timestamp / 1000)
    return meter


def codes(meter: StreamMeter, clock_set_at: float | None = None, now: float = 110.0) -> list[str]:
    found = list(warnings_of(meter, clock_set_at, now))
    assert all(warning.text and warning.remedy for warning in found)
    return [warning.code for warning in found]


def test_a_stream_that_is_well_is_not_warned_of() -> None:
    assert codes(metered(STREAM)) == []
    assert codes(StreamMeter()) == []


@pytest.mark.parametrize(("kind", "ahead"), [("audio", "sound"), ("video", "picture")])
def test_sound_far_from_the_picture_is_said_with_which_of_them_is_ahead(kind: str, ahead: str) -> None:
    meter = metered([evolve(p, timestamp=p.timestamp + 1500) if p.kind.value == kind else p for p in STREAM])
    [warning] = warnings_of(meter, None, 110.0)
    assert warning.code == "sound_far_from_picture"
    assert warning.text.startswith(f"the {ahead} is 1")


def test_key_frames_far_apart_are_said_with_how_far() -> None:
    [warning] = warnings_of(metered(generate_stream(seconds=20, gop=200)), None, 120.0)
    assert (warning.code, warning.text) == ("key_frames_far_apart", "key frames are 8.0 s apart")


def test_a_jumping_clock_is_said_for_a_while_whether_it_was_mended_or_not() -> None:
    leapt = metered([evolve(p, timestamp=p.timestamp + 5000 * (p.timestamp > 5000)) for p in STREAM])
    assert "clock_jumps" in codes(leapt)
    assert codes(metered(STREAM), 105.0) == ["clock_jumps"]
    assert codes(metered(STREAM), 105.0, 105.0 + JUMP_MEMORY_SECONDS) == []


def test_media_that_come_unevenly_are_said() -> None:
    meter = StreamMeter()
    for number, packet in enumerate(packet for packet in STREAM if packet.kind.value == "video"):
        meter.note([packet], 100 + packet.timestamp / 1000 + (number % 2))
    assert codes(meter) == ["comes_unevenly"]


def test_a_codec_that_nobody_knows_is_said() -> None:
    odd = [evolve(packet, codec=None) for packet in STREAM if packet.kind.value == "audio"]
    assert codes(metered(odd)) == ["codec_unknown"]
