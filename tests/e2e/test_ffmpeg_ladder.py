"""`ffmpeg_ladder` on a real server: one child, qualities that agree on their key frames, and a source left alone."""

import pytest
import trio

from tests.support.children import ffmpegs_of
from tests.support.ffmpeg import FRAMES_PER_SECOND, GOP_FRAMES, Crew, Packet, Recording, place_of, read_probe
from tests.support.ffmpeg_runs import executables
from tests.support.processes import start
from tests.support.program import Launch, Program

pytestmark = pytest.mark.e2e

LADDER = "ffmpeg_ladder renditions=180p:400,64p:200,32p:60 h264_preset=ultrafast"
RECEIVE = "rtmp_receive rtmp_app=live stream_key=* port=0"
WATCH = "rtmp_watch rtmp_app=live stream_key=* port=0"
SIZES = {"180p": "160,90", "64p": "114,64", "32p": "56,32"}
"""The source has 90 lines: what has more shows all of them, and is not blown up."""


def workflow(*steps: str) -> str:
    return "\n    ".join(["workflow live {", RECEIVE, *steps, WATCH]) + "\n}\n"


async def watch(crew: Crew, program: Program, key: str, packets: int) -> list[Packet]:
    """The packets that a player of one quality gets."""
    player = await crew.probe(program.url(key), packets)
    assert await player.end() == 0, player.err.text
    return read_probe(player.out.text)


async def size(nursery: trio.Nursery, program: Program, key: str) -> str:
    """Width and height of a quality."""
    entries = ("-select_streams", "v", "-show_entries", "stream=width,height", "-of", "csv=p=0")
    probe = await start(nursery, ["ffprobe", "-v", "error", *entries, program.url(key)])
    assert await probe.end() == 0, probe.err.text
    return probe.out.text.strip()


@pytest.mark.parametrize("ffmpeg", executables(), ids=["installed", "bundled"])
async def test_one_child_makes_all_qualities_with_the_same_key_frames_beside_the_stream_as_it_came(
    launch: Launch, crew: Crew, show: Recording, nursery: trio.Nursery, ffmpeg: str
) -> None:
    program = await launch(workflow(LADDER), settings=f'ffmpeg_path "{ffmpeg}"')
    source = await crew.play(program.url())
    await crew.publish(show, program.url())

    seconds = 5  # key frames are two seconds apart
    found: dict[str, list[Packet]] = {}

    async def watch_one(label: str) -> None:
        found[label] = await watch(crew, program, f"show_{label}", 74 * seconds)

    async with trio.open_nursery() as watchers:
        for label in SIZES:
            watchers.start_soon(watch_one, label)
    key_frames = {
        label: {packet.pts for packet in packets if packet.is_key_frame and packet.kind == "video"}
        for label, packets in found.items()
    }
    shared = set.intersection(*key_frames.values())
    assert len(shared) >= 2, key_frames
    for label, packets in found.items():
        assert {later for later in key_frames[label] if later >= min(shared)} <= shared | {max(key_frames[label])}
        assert all(packet.pts == packet.dts for packet in packets if packet.kind == "video"), "there are B-frames"
        heard = [packet.hash for packet in packets if packet.kind == "audio"]
        place_of(heard, show.packets.audio)
        assert await size(nursery, program, f"show_{label}") == SIZES[label]
    assert len(ffmpegs_of(program.child.process.pid)) == 1

    await source.gets(seconds * FRAMES_PER_SECOND)
    place_of(source.packets.video, show.packets.video)
    place_of(source.packets.audio, show.packets.audio)
    assert program.count_logged("child ended") == 0


async def test_a_ladder_that_is_put_before_a_watch_step_and_taken_out_again_keeps_who_watches_the_stream(
    launch: Launch, crew: Crew, show: Recording
) -> None:
    program = await launch(workflow())
    await crew.publish(show, program.url())
    kept = await crew.play(program.url())
    await kept.gets(GOP_FRAMES)
    assert (await program.put(workflow(LADDER))).status == 200
    low = await crew.play(program.url("show_32p"))
    await low.gets(GOP_FRAMES)
    await kept.gets_more()
    place_of(kept.packets.video[-GOP_FRAMES // 2 :], show.packets.video)
    assert (await program.put(workflow())).status == 200
    assert ffmpegs_of(program.child.process.pid) == []
    await kept.gets_more(2 * GOP_FRAMES)
    place_of(kept.packets.video[-GOP_FRAMES // 2 :], show.packets.video)
    assert kept.child.is_running
