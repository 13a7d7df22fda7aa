"""What viewers see when sources die: the slate, the backup, and the source again; decoded, with real ffmpegs."""

import signal
from itertools import pairwise
from pathlib import Path

import pytest
import trio

from tests.support.pictures import FFMPEG, FPS, GOP_SECONDS, Picture, make_picture, publish_colour, rows, view
from tests.support.program import Launch

pytestmark = pytest.mark.e2e

FRAME = 1 / FPS
TOLERANCE = 0.25
"""Seconds: a busy machine sends, receives and wakes up late. (On timestamps: the viewer's own delay does not count.)"""

SETTINGS = f'ffmpeg_path "{FFMPEG}"\ngrace_after 0'


def workflow(*steps: str) -> str:
    receive = "rtmp_receive rtmp_app=live stream_key=* port=0 grace=30 on_busy=takeover"
    return "\n".join(["workflow show {", receive, *steps, "rtmp_watch rtmp_app=live stream_key=* port=0", "}\n"])


def assert_forward(pictures: list[Picture]) -> None:
    assert all(a.time < b.time for a, b in pairwise(pictures))


@pytest.mark.parametrize("codec", ["h264", "hevc"])
async def test_a_gap_shows_the_slate_and_live_is_back_at_its_key_frame(
    codec: str, launch: Launch, nursery: trio.Nursery, tmp_path: Path
) -> None:
    await make_picture(tmp_path / "slate.png", "blue")
    program = await launch(workflow(f'slate file="{tmp_path}/slate.png" after=1'), settings=SETTINGS)
    publisher = await publish_colour(nursery, program.url(), "red", codec=codec)
    await program.logged("publisher joined")
    viewer = await view(nursery, program.url())
    await program.logged("slate is ready")
    await viewer.sees("red")
    publisher.send(signal.SIGKILL)
    await viewer.sees("red", "blue")
    await publish_colour(nursery, program.url(), "red", codec=codec)
    await viewer.sees("red", "blue", "red")
    assert_forward(viewer.pictures)
    live, slate, again = rows(viewer.pictures)
    assert slate[0].time - live[-1].time == pytest.approx(1 + FRAME, abs=FRAME + TOLERANCE)
    assert {picture.size for picture in viewer.pictures} == {(160, 90)}
    assert slate[0].is_key
    assert again[0].is_key
    steps = [b.time - a.time for a, b in pairwise(slate)]
    assert max(steps) <= FRAME + TOLERANCE
    assert sum(steps) / len(steps) == pytest.approx(FRAME, rel=0.1)
    assert again[0].time - slate[-1].time <= FRAME + TOLERANCE
    assert program.count_logged("watcher left") == 0


async def test_a_backup_of_another_size_is_shown_while_the_primary_is_away(
    launch: Launch, nursery: trio.Nursery
) -> None:
    program = await launch(workflow("failover primary=main backup=spare output=show after=1"), settings=SETTINGS)
    main = await publish_colour(nursery, program.url("main"), "red", size="320x180")
    await program.logged("source switched.*to='main'")
    await publish_colour(nursery, program.url("spare"), "lime")
    viewer = await view(nursery, program.url("show"))
    await program.logged("publisher joined.*stream='spare'")
    await viewer.sees("red")
    main.send(signal.SIGKILL)
    await viewer.sees("red", "lime")
    await publish_colour(nursery, program.url("main"), "red", size="320x180")
    await viewer.sees("red", "lime", "red")
    assert_forward(viewer.pictures)
    live, backup, again = rows(viewer.pictures)
    assert [{picture.size for picture in row} for row in (live, backup, again)] == [
        {(320, 180)},
        {(160, 90)},
        {(320, 180)},
    ]
    assert backup[0].is_key
    assert again[0].is_key
    assert backup[0].time - live[-1].time <= 1 + GOP_SECONDS + FRAME + TOLERANCE
    assert again[0].time - backup[-1].time <= FRAME + TOLERANCE
    assert program.count_logged("watcher left") == 0
