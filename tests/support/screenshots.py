"""Takes the pictures of the dashboard that README and docs show: `python -m tests.support.screenshots DIRECTORY`.

A real server with a real ffmpeg on the air, in Chromium, on a desk and on a phone in the dark.
"""

import signal
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import trio

from tests.support.dashboard import Page, open_browser
from tests.support.ffmpeg import Crew
from tests.support.processes import Child, start
from tests.support.program import Program, serve

RECORDED_SECONDS = 20
PICTURES = {
    "tonight": "mandelbrot=s=640x360:r=25:start_scale=0.8:end_scale=0.01",
    "backstage": "smptehdbars=s=640x360:r=25",
    "camera2": "testsrc2=s=640x360:r=25",
    "spare": "gradients=s=640x360:r=25:speed=0.02:nb_colors=4:seed=7",
}
"""What each key shows, as a source of ffmpeg's."""

HISTORY_SECONDS = 30
"""Of the timeline: a failover, its way back, and a change of a workflow."""

WORKFLOWS = """workflow show {
    rtmp_receive rtmp_app=live stream_key=* port=0
    failover primary=tonight backup=spare output=programme after=2
    rtmp_watch rtmp_app=live stream_key=programme port=0
}
workflow rehearsal {
    rtmp_receive rtmp_app=stage stream_key=* port=0
    rtmp_watch rtmp_app=stage stream_key=* port=0
}
"""
REHEARSAL = "workflow" + WORKFLOWS.rpartition("workflow")[2].replace(
    "stream_key=* port=0\n}", "stream_key=* port=0 max_lag=5\n}"
)
CHANGED = WORKFLOWS.replace("rtmp_watch rtmp_app=stage", "rtmp_watch rtmp_app=backstage")


def record(path: Path, picture: str) -> None:
    """A file to publish, of a picture that is worth one."""
    encoding = ("-c:v", "libx264", "-preset", "ultrafast", "-b:v", "600k", "-g", "50", "-pix_fmt", "yuv420p")
    sound = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100")
    source = ("-v", "error", "-f", "lavfi", "-i", picture)
    ends = ("-c:a", "aac", "-t", str(RECORDED_SECONDS), "-f", "flv", str(path))
    subprocess.run(["ffmpeg", *source, *sound, *encoding, *ends], check=True)


def take(directory: Path, program: Program, name: str, width: int, height: int, *, dark: bool) -> None:
    """One picture of each place that is worth one."""
    with open_browser("chromium", width, height, dark=dark) as driver:
        driver.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
        page = Page(driver, program.api).open()
        page.link("Overview")
        page.says("backstage", "On the air")
        loaded = "return [...document.querySelectorAll('.picture img')].filter((each) => each.naturalWidth).length >= 5"
        page.until(lambda: driver.execute_script(loaded), "pictures of the streams")
        driver.save_screenshot(str(directory / f"dashboard-overview-{name}.png"))
        page.go("Change")
        page.until(lambda: "workflow show" in str(page.field("Configuration").get_property("value")), "text that runs")
        page.write(CHANGED)
        page.button("Plan").click()
        page.says("disconnects", "Plan")
        driver.execute_script("document.querySelector('.plan').scrollIntoView()")
        driver.save_screenshot(str(directory / f"dashboard-plan-{name}.png"))
        page.go("Workflows")
        page.link("show").click()
        page.says("Publisher", "Clients")
        driver.save_screenshot(str(directory / f"dashboard-workflow-{name}.png"))
        page.go("Timeline")
        page.says("workflow changed", "What happened")
        page.find("//figure[contains(@class, 'lanes')]//i[contains(@class, 'live')]", "bar of a stream")
        driver.save_screenshot(str(directory / f"dashboard-timeline-{name}.png"))


async def main(directory: Path) -> None:
    """All of them."""
    await trio.Path(directory).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        async with trio.open_nursery() as nursery:
            program = await serve(nursery, Path(folder), WORKFLOWS)
            crew = Crew(nursery)
            files = {key: Path(folder) / f"{key}.flv" for key in PICTURES}
            for key, file in files.items():
                await trio.to_thread.run_sync(record, file, PICTURES[key])

            async def publish(key: str, app: str = "live") -> Child:
                endless = ("-v", "error", "-re", "-stream_loop", "-1", "-i", str(files[key]), "-c", "copy")
                return await start(nursery, ["ffmpeg", *endless, "-f", "flv", program.url(key, app=app)], name=key)

            tonight = await publish("tonight")
            await publish("spare")
            for key in ("backstage", "camera2"):
                await publish(key, "stage")
            players = [await crew.play(program.url(key, app=app)) for key, app in PLAYED]
            for player in players:
                await player.gets(1)
            await trio.sleep(HISTORY_SECONDS / 4)
            tonight.send(signal.SIGTERM)
            await trio.sleep(HISTORY_SECONDS / 4)
            await publish("tonight")
            await program.put(REHEARSAL)
            for key, app in PLAYED[1:]:
                await crew.play(program.url(key, app=app))
            await trio.sleep(HISTORY_SECONDS / 2)
            for name, width, height, dark in (("desk", 1280, 800, False), ("phone", 390, 844, True)):
                await trio.to_thread.run_sync(partial(take, directory, program, name, width, height, dark=dark))
            nursery.cancel_scope.cancel()


PLAYED = (("programme", "live"), ("backstage", "stage"), ("backstage", "stage"), ("camera2", "stage"))

if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]))
