"""`ffmpeg_pull` on a real server: files once and over and over, HLS from the web, and sources that are not there."""

import socket
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support.children import ffmpegs_of
from tests.support.ffmpeg import AUDIO, GOP_FRAMES, VIDEO, Crew, Player, Recording
from tests.support.program import Launch, Program
from tests.support.waiting import eventually, eventually_answered
from tests.support.web import web_server

pytestmark = pytest.mark.e2e

WATCH = "rtmp_watch rtmp_app=live stream_key=* port=0"
CLIP_FRAMES = 2 * GOP_FRAMES
PROMPT_SECONDS = 2.0
"""For a DELETE, where a retry may be half a minute away and a child may take five seconds to stop."""


def workflow(*steps: str) -> str:
    """The workflow `pulled` of these steps."""
    return "\n    ".join(["workflow pulled {", *steps]) + "\n}\n"


def pull(location: object, options: str = "") -> str:
    """The step, which makes a stream `show`."""
    return f'ffmpeg_pull location="{location}" stream_name=show {options}'


def convert(recording: Recording, target: Path, *options: str) -> Path:
    """The same packets in another container."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(recording.path), "-c", "copy", *options, str(target)]
    subprocess.run(command, check=True, timeout=30)
    return target


def assert_time_goes_on(player: Player) -> None:
    """Pictures come one after another, and sound never goes back.

    (FFmpeg 5.1 gives the last sound of a file and the first of the next round one timestamp.)
    """
    assert all(before < after for before, after in pairwise(player.times(VIDEO)))
    assert player.times(AUDIO) == sorted(player.times(AUDIO))


async def message_of(program: Program, name: str = "pulled") -> str | None:
    """What the workflow's details say of its only stream."""
    streams: list[dict[str, Any]] = [
        stream for step in (await program.status(name))["active_steps"] for stream in step.get("streams", ())
    ]
    assert [stream["name"] for stream in streams] in ([], ["show"])
    return streams[0]["message"] if streams else None


async def test_an_mp4_file_loops_in_real_time_and_is_watched_for_longer_than_its_length(
    launch: Launch, crew: Crew, clip: Recording, tmp_path: Path
) -> None:
    file = convert(clip, tmp_path / "clip.mp4")
    program = await launch(workflow(pull(file, "loop=true"), WATCH))
    player = await crew.play(program.url())
    await player.gets(1)
    seen, began = len(player.packets.video), trio.current_time()
    await player.gets(2 * CLIP_FRAMES + GOP_FRAMES)
    media_seconds = (2 * CLIP_FRAMES + GOP_FRAMES - seen) / GOP_FRAMES
    # What has been watched faster than real time is what the server and the player had in store.
    assert trio.current_time() - began > media_seconds - 2
    video = player.packets.video
    first = clip.packets.video.index(video[0])
    assert first % GOP_FRAMES == 0
    assert list(video) == [clip.packets.video[(first + n) % CLIP_FRAMES] for n in range(len(video))]
    assert_time_goes_on(player)
    assert len(ffmpegs_of(program.child.process.pid)) == 1
    assert program.count_logged("child ended") == 0
    assert await message_of(program) is None


async def test_a_file_is_played_once_and_its_state_says_so(launch: Launch, clip: Recording, tmp_path: Path) -> None:
    program = await launch(workflow(pull(convert(clip, tmp_path / "clip.mp4")), WATCH))

    async def finished() -> bool:
        [step, _] = (await program.status("pulled"))["active_steps"]
        return [stream.get("state") for stream in step.get("streams", ())] == ["finished"]

    await eventually_answered(finished, "the end of the file")
    assert ffmpegs_of(program.child.process.pid) == []
    await program.logged("source was played to its end")
    assert program.count_logged("source was played to its end") == 1
    assert program.count_logged("child ended") == 0


async def test_hls_is_pulled_from_the_web_and_again_when_it_has_ended(
    launch: Launch, crew: Crew, clip: Recording, tmp_path: Path
) -> None:
    convert(clip, tmp_path / "a.m3u8", "-hls_time", "1", "-hls_list_size", "0")
    with web_server(tmp_path) as url:
        program = await launch(workflow(pull(f"{url}/a.m3u8"), WATCH))
        player = await crew.play(program.url())
        await player.gets(CLIP_FRAMES + GOP_FRAMES)
        await program.logged("child ended")
        assert program.count_logged("watcher left") == 0
    assert set(player.packets.audio) <= set(clip.packets.audio)
    assert len(player.packets.audio) > len(clip.packets.audio)
    assert_time_goes_on(player)


@pytest.fixture
def silence() -> Iterator[int]:
    """The port of somebody who takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


async def test_a_dead_url_is_retried_and_says_why_and_the_workflow_stays_editable(
    launch: Launch, crew: Crew, clip: Recording, tmp_path: Path, free_port: int
) -> None:
    program = await launch(workflow(pull(f"http://127.0.0.1:{free_port}/a.m3u8"), WATCH))
    await program.child.err.until(lambda _: program.count_logged("child ended") == 2, "a second attempt")
    status = await program.status("pulled")
    assert (status["status"], [step["status"] for step in status["active_steps"]]) == ("Running", ["Active"] * 2)
    assert "Connection refused" in (await message_of(program) or "")
    player = await crew.play(program.url())
    await program.logged("watcher joined")
    other = "rtmp_watch rtmp_app=other stream_key=* port=0"
    assert (await program.put(workflow(pull(f"http://127.0.0.1:{free_port}/a.m3u8"), WATCH, other))).status == 200
    assert (await program.put(workflow(pull(convert(clip, tmp_path / "clip.mp4"), "loop=true"), WATCH))).status == 200
    await player.gets(GOP_FRAMES)
    assert await message_of(program) is None


async def test_a_source_that_comes_to_life_is_found_by_a_retry(
    launch: Launch, crew: Crew, clip: Recording, tmp_path: Path
) -> None:
    with web_server(tmp_path) as url:
        program = await launch(workflow(pull(f"{url}/a.m3u8"), WATCH))
        player = await crew.play(program.url())
        await program.logged("child ended")
        assert "404" in (await message_of(program) or "")
        convert(clip, tmp_path / "a.m3u8", "-hls_time", "1", "-hls_list_size", "0")
        await player.gets(GOP_FRAMES)
    assert_time_goes_on(player)


async def test_a_delete_between_two_attempts_returns_at_once(launch: Launch, free_port: int) -> None:
    program = await launch(workflow(pull(f"rtmp://127.0.0.1:{free_port}/live/show")))
    await program.child.err.until(lambda _: program.count_logged("child ended") == 3, "a third attempt")
    with trio.fail_after(PROMPT_SECONDS):
        assert (await program.delete("pulled")).status == 200
    assert ffmpegs_of(program.child.process.pid) == []
    assert (await program.get("/workflows")).json == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:{}/a.ts", "rtmp://127.0.0.1:{}/live/show"])
async def test_a_delete_during_an_attempt_returns_at_once(launch: Launch, silence: int, url: str) -> None:
    program = await launch(workflow(pull(url.format(silence))))
    pid = program.child.process.pid
    await eventually(lambda: ffmpegs_of(pid), "child")
    with trio.fail_after(PROMPT_SECONDS):
        assert (await program.delete("pulled")).status == 200
    assert ffmpegs_of(pid) == []


async def test_two_dead_sources_each_say_why(launch: Launch, free_port: int, tmp_path: Path) -> None:
    nowhere = f'ffmpeg_pull location="{tmp_path}/nowhere.mp4" stream_name=show'
    dead = f'ffmpeg_pull location="tcp://127.0.0.1:{free_port}" stream_name=show'
    program = await launch(f"workflow nowhere {{\n    {nowhere}\n}}\nworkflow dead {{\n    {dead}\n}}\n")
    for name, reason in (("nowhere", "No such file or directory"), ("dead", "Connection refused")):

        async def told(name: str = name) -> str | None:
            return await message_of(program, name)

        assert reason in await eventually_answered(told, f"message of {name}")
