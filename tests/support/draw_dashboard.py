"""Draws the dashboard for Grafana from a real run, without Grafana: `python -m tests.support.draw_dashboard FILE`.

A real server with real ffmpegs on the air, to which something happens; a real Prometheus that scrapes it each second
and answers every panel's query. Where the panels stand, what they ask, and their names and units are the dashboard's
own; only the strokes are ours.
"""

import json
import math
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import trio
from attrs import frozen

from tests.support.ffmpeg import publish_command
from tests.support.panels import draw, read_panels, read_series
from tests.support.processes import Child, start
from tests.support.program import Program, run_program, serve
from tests.support.prometheus import DASHBOARD, STEP_SECONDS, Prometheus, scrape
from tests.support.sockets import find_free_port
from tests.support.waiting import eventually_answered

LEAD_SECONDS = 65
"""Before what is drawn: rates of the dashboard look back for a minute."""

RUN_SECONDS = 90
CLIPS = {"tonight": ("640x360", "900k"), "spare": ("426x240", "400k"), "camera": ("320x180", "250k")}
WORKFLOWS = """reactor booking executor=simple_http update_interval=3 {{
    url http://127.0.0.1:{asked}/stage
}}
workflow show {{
    rtmp_receive rtmp_app=live stream_key=* port=0 stall_after=3
    failover primary=tonight backup=spare output=programme after=2
    rtmp_push target=rtmp://127.0.0.1:{pushed}/live/ stream_name=programme
    ffmpeg_hls path="{hls}" count=5
    rtmp_watch rtmp_app=live stream_key=programme port=0
}}
workflow rehearsal {{
    rtmp_receive rtmp_app=stage stream_key=* port=0 grace=30 reactor=booking
    rtmp_watch rtmp_app=stage stream_key=* port=0
}}
"""
PLATFORM = "workflow platform {{\n    rtmp_receive rtmp_app=live stream_key=* port={pushed}\n}}\n"


def record(directory: Path, key: str) -> Path:
    """A clip that outlasts the run."""
    size, rate = CLIPS[key]
    path = directory / f"{key}.flv"
    picture = ("-f", "lavfi", "-i", f"testsrc2=size={size}:rate=25", "-f", "lavfi", "-i", "sine=sample_rate=44100")
    video = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p")
    rates = ("-b:v", rate, "-maxrate", rate, "-bufsize", rate, "-c:a", "aac", "-b:a", "64k")
    length = ("-t", str(LEAD_SECONDS + RUN_SECONDS + 30))
    command = ["ffmpeg", "-v", "error", *picture, *video, *rates, *length, str(path)]
    subprocess.run(command, check=True, timeout=300)
    return path


@frozen
class Studio:
    """Everything that runs, and what happens to it."""

    nursery: trio.Nursery
    directory: Path
    program: Program
    asked: int
    pushed: int

    async def publish(self, clip: str, key: str, app: str) -> Child:
        """A publisher."""
        command = publish_command(self.directory / f"{clip}.flv", self.program.url(key, app=app))
        return await start(self.nursery, command, name=key)

    async def watch(self, key: str, app: str) -> Child:
        """A watcher."""
        command = ["ffmpeg", "-v", "error", "-i", self.program.url(key, app=app), "-c", "copy", "-f", "null", "-"]
        return await start(self.nursery, command, name=f"watcher of {key}")

    async def serve_platform(self) -> Program:
        """Another server, which the programme is pushed to."""
        directory = self.directory / "platform"
        directory.mkdir(exist_ok=True)
        return await serve(self.nursery, directory, PLATFORM.format(pushed=self.pushed))

    async def answer(self) -> Child:
        """The service that the reactor asks."""
        answers = self.directory / "answers" / "stage"
        answers.mkdir(parents=True)
        for key in ("backstage", "camera2"):
            (answers / f"{key}.mmids").write_text("")
        options = ("--port", str(self.asked), "--directory", str(answers.parent))
        return await run_program(self.nursery, self.directory, "reactor-test-server", *options)

    async def play(self) -> float:
        """What happens, which the docs tell beside the picture; when what is drawn begins, in seconds since 1970."""
        service, platform = await self.answer(), await self.serve_platform()
        tonight = await self.publish("tonight", "tonight", "live")
        await self.publish("spare", "spare", "live")
        await self.publish("camera", "backstage", "stage")
        camera = await self.publish("camera", "camera2", "stage")
        watchers = [await self.watch("programme", "live")]
        await self.watch("backstage", "stage")
        await trio.sleep(LEAD_SECONDS)
        begin = time.time()
        at = partial(_until, trio.current_time())
        await at(6)
        watchers += [await self.watch("programme", "live") for _ in range(2)]
        await at(14)
        watchers += [await self.watch("programme", "live") for _ in range(2)]
        await at(20)
        tonight.send(signal.SIGSTOP)
        await at(34)
        tonight.send(signal.SIGCONT)
        await at(46)
        platform.child.send(signal.SIGTERM)
        await at(50)
        camera.send(signal.SIGKILL)
        await at(54)
        await self.serve_platform()
        await at(62)
        await self.publish("camera", "camera2", "stage")
        await at(68)
        service.send(signal.SIGSTOP)
        await at(76)
        service.send(signal.SIGCONT)
        await at(82)
        for watcher in watchers[1:]:
            watcher.send(signal.SIGKILL)
        await at(RUN_SECONDS)
        return begin


async def _until(begin: float, seconds: float) -> None:
    await trio.sleep_until(begin + seconds)


async def draw_run(prometheus: Prometheus, begin: int, file: Path) -> None:
    """Ask for everything that the dashboard shows from `begin` on, and draw it."""
    board = json.loads(DASHBOARD.read_text())
    times = range(begin, begin + RUN_SECONDS + 1, STEP_SECONDS)
    shown = []
    for panel in read_panels(board):
        series = []
        for query in panel.queries:
            range_ = {"start": times[0], "end": times[-1], "step": STEP_SECONDS}
            answer = await prometheus.ask("query_range", query=query.expression, **range_)
            series += read_series(query, answer, times)
        assert series, f"{panel.title} is empty"
        shown.append((panel, series))
    await trio.to_thread.run_sync(draw, shown, board["title"], file)


async def main(file: Path) -> None:
    """All of it."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        for key in CLIPS:
            await trio.to_thread.run_sync(record, directory, key)
        async with trio.open_nursery() as nursery:
            asked, pushed, scraping = (find_free_port() for _ in range(3))
            text = WORKFLOWS.format(asked=asked, pushed=pushed, hls=directory / "hls")
            program = await serve(nursery, directory, text)
            prometheus = await scrape(nursery, directory, program.api.removeprefix("http://"), scraping)
            await eventually_answered(partial(_is_scraped, prometheus), "first scrape")
            begin = await Studio(nursery, directory, program, asked, pushed).play()
            await draw_run(prometheus, math.floor(begin), file)
            nursery.cancel_scope.cancel()


async def _is_scraped(prometheus: Prometheus) -> bool:
    found = await prometheus.ask("query", query="mmids_build_info")
    return bool(found and found["result"])


if __name__ == "__main__":
    for needed in ("ffmpeg", "prometheus"):
        if shutil.which(needed) is None:
            sys.exit(f"not installed: {needed}")
    trio.run(main, Path(sys.argv[1]))
