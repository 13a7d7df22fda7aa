"""Takes the pictures of the dashboard that README and docs show: `python -m tests.support.screenshots DIRECTORY`.

A real server with a real ffmpeg on the air, in Chromium, on a desk and on a phone in the dark.
"""

import sys
import tempfile
from functools import partial
from pathlib import Path

import trio

from tests.support.dashboard import Page, open_browser
from tests.support.ffmpeg import Crew, record
from tests.support.program import Program, serve

RECORDED_SECONDS = 60
WORKFLOWS = """workflow show {
    rtmp_receive rtmp_app=live stream_key=tonight port=0
    failover primary=tonight backup=spare output=programme after=2
    rtmp_watch rtmp_app=live stream_key=programme port=0
}
workflow rehearsal {
    rtmp_receive rtmp_app=stage stream_key=* port=0
    rtmp_watch rtmp_app=stage stream_key=* port=0
}
"""
CHANGED = WORKFLOWS.replace("rtmp_watch rtmp_app=stage", "rtmp_watch rtmp_app=backstage")


def take(directory: Path, program: Program, name: str, width: int, height: int, *, dark: bool) -> None:
    """One picture of each place that is worth one."""
    with open_browser("chromium", width, height, dark=dark) as driver:
        page = Page(driver, program.api).open()
        page.link("Overview")
        page.says("backstage", "On the air")
        loaded = "return [...document.querySelectorAll('.picture img')].filter((each) => each.naturalWidth).length >= 3"
        page.until(lambda: driver.execute_script(loaded), "pictures of the streams")
        driver.save_screenshot(str(directory / f"dashboard-overview-{name}.png"))
        page.go("Change")
        page.write(CHANGED)
        page.button("Plan").click()
        page.says("disconnects", "Plan")
        driver.execute_script("document.querySelector('.plan').scrollIntoView()")
        driver.save_screenshot(str(directory / f"dashboard-plan-{name}.png"))
        page.go("Workflows")
        page.link("show").click()
        page.says("Publisher", "Clients")
        driver.save_screenshot(str(directory / f"dashboard-workflow-{name}.png"))


async def main(directory: Path) -> None:
    """All of them."""
    await trio.Path(directory).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        async with trio.open_nursery() as nursery:
            program = await serve(nursery, Path(folder), WORKFLOWS)
            recording = record(Path(folder) / "show.flv", RECORDED_SECONDS)
            crew = Crew(nursery)
            await crew.publish(recording, program.url("tonight"))
            for key in ("backstage", "camera2"):
                await crew.publish(recording, program.url(key, app="stage"))
            players = [await crew.play(program.url(key, app=app)) for key, app in PLAYED]
            for player in players:
                await player.gets(1)
            for name, width, height, dark in (("desk", 1280, 800, False), ("phone", 390, 844, True)):
                await trio.to_thread.run_sync(partial(take, directory, program, name, width, height, dark=dark))
            nursery.cancel_scope.cancel()


PLAYED = (("programme", "live"), ("backstage", "stage"), ("backstage", "stage"), ("camera2", "stage"))

if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]))
