"""Real media from real publishers to real players: every packet, byte for byte, in order."""

from pathlib import Path

import pytest

from tests.support.ffmpeg import (
    AUDIO,
    VIDEO,
    Crew,
    Packets,
    Recording,
    in_order,
    place_of,
    probe,
    read_probe,
)
from tests.support.program import Launch

pytestmark = pytest.mark.e2e

WORKFLOW = """workflow live {
    rtmp_receive rtmp_app=live stream_key=* port=0
    rtmp_watch rtmp_app=live stream_key=* port=0
}
"""


def assert_goes_on_from_a_key_frame(received: Packets, recording: Recording) -> tuple[int, int]:
    """Where video and audio begin in the recording."""
    assert received.video[0] in recording.key_frames
    video = place_of(received.video, recording.packets.video)
    audio = place_of(received.audio, recording.packets.audio)
    seconds = (video / 30, audio * 1024 / 44100)
    assert abs(seconds[0] - seconds[1]) < 0.5, "picture and sound do not begin together"
    return video, audio


def test_the_recordings_have_b_frames_and_no_two_equal_packets(show: Recording) -> None:
    packets = probe(show.path)
    assert sum(packet.pts > packet.dts for packet in packets if packet.kind == "video") > 300
    assert len({packet.hash for packet in packets}) == len(packets)
    assert len(show.key_frames) == 60


@pytest.mark.parametrize("received", ["", "bd", "bbc", "cb", "x", "bx", "deb", "zabcdef"])
def test_the_comparison_sees_what_was_lost_repeated_misplaced_changed_or_invented(received: str) -> None:
    assert place_of("cde", "abcdef") == 2
    with pytest.raises(AssertionError, match="packet"):
        place_of(received, "abcdef")


async def test_two_players_who_join_at_different_times_get_what_is_published_from_a_key_frame_on(
    launch: Launch, crew: Crew, show: Recording
) -> None:
    program = await launch(WORKFLOW)
    await crew.publish(show, program.url())
    await program.logged("publisher joined")
    early = await crew.play(program.url())
    await early.gets(45)
    late = await crew.play(program.url())
    await late.gets(60)
    await early.gets_more()
    begin_early, _ = assert_goes_on_from_a_key_frame(early.packets, show)
    begin_late, _ = assert_goes_on_from_a_key_frame(late.packets, show)
    assert begin_early < begin_late
    for player in (early, late):
        for stream in (VIDEO, AUDIO):
            assert player.times(stream) == sorted(set(player.times(stream)))


async def test_ffprobe_sees_the_codecs_and_the_packets(launch: Launch, crew: Crew, show: Recording) -> None:
    program = await launch(WORKFLOW)
    await crew.publish(show, program.url())
    await program.logged("publisher joined")
    watching = await crew.probe(program.url(), 150)
    assert await watching.end() == 0, watching.err.text
    received = in_order(read_probe(watching.out.text))
    assert_goes_on_from_a_key_frame(received, show)
    assert len(received.video) + len(received.audio) >= 140


async def test_a_player_who_comes_late_sees_picture_and_sound_and_no_third_track(
    launch: Launch, crew: Crew, show: Recording
) -> None:
    program = await launch(WORKFLOW)
    await crew.publish(show, program.url())
    await (await crew.play(program.url())).gets(1)
    late = await crew.list_tracks(program.url())
    assert await late.end() == 0, late.err.text
    assert late.out.lines == ["h264,video", "aac,audio"]


async def test_rtmpdump_stores_the_packets_that_were_published(
    launch: Launch, crew: Crew, clip: Recording, tmp_path: Path
) -> None:
    program = await launch(WORKFLOW)
    dumping = await crew.dump(program.url(), tmp_path / "dump.flv")
    await program.logged("watcher joined")
    publisher = await crew.publish(clip, program.url())
    assert await publisher.end() == 0
    assert (await program.delete("live")).status == 200
    await dumping.end()
    assert in_order(probe(tmp_path / "dump.flv")) == clip.packets
