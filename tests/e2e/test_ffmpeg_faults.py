"""What goes wrong with children: killed, unable to start, orphaned, and started and stopped again and again."""

import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support.children import ChildProcess, children_of, ffmpegs_of, handles, open_files
from tests.support.ffmpeg import AUDIO, FRAMES_PER_SECOND, GOP_FRAMES, VIDEO, Crew, Player, Recording, place_of
from tests.support.program import Launch, Program, serve
from tests.support.waiting import eventually, eventually_answered

pytestmark = pytest.mark.e2e

RECEIVE = "rtmp_receive rtmp_app=live stream_key=* port=0"
WATCH = "rtmp_watch rtmp_app=live stream_key=* port=0"
COPY = "ffmpeg_transcode vcodec=copy acodec=copy"
ORPHAN_SECONDS = 2.0
"""Within which children end after their server."""

ROUNDS = 50

FAILING = """#!/bin/sh
if [ "$*" = -version ]; then
    echo "ffmpeg version 0.0-fake"
    exit 0
fi
echo "start" >> "{starts}"
echo "[fatal] out of film" >&2
exit 3
"""


def workflow(name: str, *steps: str) -> str:
    """The text of a workflow."""
    return "\n    ".join([f"workflow {name} {{", *steps]) + "\n}\n"


def executable(path: Path, text: str) -> Path:
    """A script."""
    path.write_text(text)
    path.chmod(0o755)
    return path


async def streams_of(program: Program, name: str = "live") -> dict[str, str]:
    """What the workflow's details say of each stream."""
    steps: list[dict[str, Any]] = (await program.status(name))["active_steps"]
    return {stream["name"]: stream["message"] for step in steps for stream in step.get("streams", ())}


def never_goes_back(player: Player) -> bool:
    """Whether the timestamps of each kind only grow."""
    return all(player.times(kind) == sorted(player.times(kind)) for kind in (VIDEO, AUDIO))


async def new_child(program: Program, *known: ChildProcess) -> ChildProcess:
    """Wait for an ffmpeg that is none of those."""
    pids = {child.pid for child in known}
    pid = program.child.process.pid
    found = await eventually(lambda: [child for child in ffmpegs_of(pid) if child.pid not in pids], "new child")
    return found[0]


async def test_a_killed_child_is_replaced_and_its_stream_resumes_and_others_feel_nothing(
    launch: Launch, crew: Crew, show: Recording
) -> None:
    program = await launch(workflow("live", RECEIVE, COPY, WATCH))
    await crew.publish(show, program.url("struck"))
    victim = await new_child(program)
    await crew.publish(show, program.url("spared"))
    other = await new_child(program, victim)
    struck, spared = await crew.play(program.url("struck")), await crew.play(program.url("spared"))
    await struck.gets(GOP_FRAMES)
    await spared.gets(GOP_FRAMES)
    os.kill(victim.pid, signal.SIGKILL)
    replacement = await new_child(program, victim, other)
    assert list(await streams_of(program)) == ["struck"]
    assert (await streams_of(program))["struck"].startswith("ffmpeg was killed by SIGKILL")
    await struck.gets_more(2 * GOP_FRAMES)
    await spared.gets_more()
    assert {child.pid for child in children_of(program.child.process.pid)} == {other.pid, replacement.pid}
    assert never_goes_back(struck)
    # What was in the child is lost, up to the next key frame; nothing else is, nor does anything come twice.
    places = [show.packets.video.index(packet) for packet in struck.packets.video]
    assert places == sorted(set(places))
    [gap] = [number for number in range(1, len(places)) if places[number] != places[number - 1] + 1]
    assert struck.packets.video[gap] in show.key_frames
    late = [time - 1000 * place / FRAMES_PER_SECOND for time, place in zip(struck.times(VIDEO), places, strict=False)]
    assert max(late) - min(late) < 100, "what comes after the loss is not at its time"
    place_of(spared.packets.video, show.packets.video)
    place_of(spared.packets.audio, show.packets.audio)
    await program.logged("child ended")
    assert program.count_logged("child ended") == 1
    assert program.count_logged("watcher left|publisher left|connection closes") == 0


async def test_an_ffmpeg_that_exits_at_once_is_started_with_growing_delays_and_says_why(
    launch: Launch, crew: Crew, show: Recording, tmp_path: Path
) -> None:
    starts = tmp_path / "starts"
    fake = executable(tmp_path / "fake-ffmpeg", FAILING.format(starts=starts))
    program = await launch(workflow("live", RECEIVE, WATCH, COPY), settings=f'ffmpeg_path "{fake}"')
    await program.logged("ffmpeg found.*0.0-fake")
    player = await crew.play(program.url())
    await crew.publish(show, program.url())
    await program.logged("child ended")
    began = trio.current_time()
    await program.child.err.until(lambda _: program.count_logged("child ended") == 4, "a fourth attempt")
    # 0.5 + 1 + 2 seconds, each less a fifth at most; no attempt is made in between
    assert trio.current_time() - began > 0.8 * (0.5 + 1 + 2) - 0.1
    assert len(starts.read_text().split()) == 4
    delays = [float(found) for found in re.findall(r"retry_in=([0-9.]+)", program.child.err.text)]
    assert delays == pytest.approx([0.45, 0.9, 1.8, 3.6], rel=0.25)
    assert await streams_of(program) == {"show": "ffmpeg exited with status 3\n[fatal] out of film"}
    status = await program.status("live")
    assert (status["status"], [step["status"] for step in status["active_steps"]]) == ("Running", ["Active"] * 3)
    await player.gets(2 * GOP_FRAMES)
    place_of(player.packets.video, show.packets.video)
    assert (await program.put(workflow("live", RECEIVE, WATCH))).status == 200
    assert await streams_of(program) == {}


@pytest.mark.parametrize(
    ("text", "mode", "reason"),
    [
        (None, 0, "which does not exist"),
        ("#!/bin/sh\n", 0o644, "which is not an executable file"),
        ("#!/bin/sh\nexit 1\n", 0o755, "with -version it exited with status 1"),
        ("#!/bin/sh\necho hello\n", 0o755, "names no version"),
        ("#!/nowhere/sh\n", 0o755, "not a working ffmpeg|cannot run"),
    ],
)
async def test_a_workflow_without_an_ffmpeg_is_in_error_with_the_reason_and_others_run(
    launch: Launch, tmp_path: Path, text: str | None, mode: int, reason: str
) -> None:
    path = tmp_path / "my-ffmpeg"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    lame = workflow("lame", RECEIVE.replace("live", "lame"), COPY)
    program = await launch(workflow("live", RECEIVE, WATCH) + lame, settings=f'ffmpeg_path "{path}"')
    status = (await program.status("lame"))["status"]
    assert re.search(reason, status), status
    assert str(path) in status
    assert (await program.status("live"))["status"] == "Running"
    refused = await program.put(lame.replace("lame {", "new {"))
    assert refused.status == 409
    assert re.search(reason, refused.json["error"])
    executable(path, "#!/bin/sh\necho ffmpeg version 1\n")
    assert (await program.put(lame.replace("lame {", "later {").replace("=lame", "=later"))).status == 200


async def test_no_ffmpeg_is_left_two_seconds_after_the_server_was_killed(
    nursery: trio.Nursery, crew: Crew, show: Recording, tmp_path: Path, free_port: int
) -> None:
    pull = f'ffmpeg_pull location="{show.path}" stream_name=pulled loop=true'
    push = f"ffmpeg_push target=udp://127.0.0.1:{free_port}"
    slow = "ffmpeg_transcode vcodec=h264 acodec=aac h264_preset=ultrafast"
    hls = f'ffmpeg_hls path="{tmp_path}/out"'
    text = workflow("pulled", pull) + workflow("live", RECEIVE, push, slow, hls)
    program = await serve(nursery, tmp_path, text)
    await crew.publish(show, program.url())
    pid = program.child.process.pid
    children = await eventually(lambda: found if len(found := ffmpegs_of(pid)) == 4 else None, "four children")
    os.kill(children[-1].pid, signal.SIGSTOP)  # one that cannot notice anything by itself
    with handles([child.pid for child in children]) as ends:
        program.child.send(signal.SIGKILL)
        await program.child.end()
        with trio.fail_after(ORPHAN_SECONDS):
            for end in ends:
                await trio.lowlevel.wait_readable(end)


async def test_fifty_starts_and_stops_in_a_row_leave_nothing_behind(
    launch: Launch, clip: Recording, tmp_path: Path
) -> None:
    pull = f'ffmpeg_pull location="{clip.path}" stream_name=show loop=true'
    busy = workflow("live", pull, COPY, f'ffmpeg_hls path="{tmp_path}/out" duration=1', WATCH)
    idle = workflow("live", WATCH)
    program = await launch(idle)
    pid = program.child.process.pid
    before: list[str] = []
    for number in range(ROUNDS + 1):
        assert (await program.put(busy)).status == 200
        await eventually(lambda: len(ffmpegs_of(pid)) == 3, "pull, transcode and HLS")
        assert (await program.put(idle)).status == 200
        assert children_of(pid) == [], "what was stopped is gone when that is answered"
        if number == 0:  # from here on everything has been opened that stays open
            before = await quiet_files(program)
    assert await quiet_files(program) == before
    assert program.count_logged("child ended|outlives") == 0


async def quiet_files(program: Program) -> list[str]:
    """Kinds of what the server has open when no request is being served."""

    async def look() -> list[str] | None:
        files = open_files(program.child.process.pid)
        await trio.sleep(0.2)  # the connection of the last request may still be closing
        return files if files == open_files(program.child.process.pid) else None

    files = await eventually_answered(look, "quiet")
    return sorted(re.sub(r":\[\d+\]", "", file) for file in files)
