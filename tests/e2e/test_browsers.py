"""Viewers in real browsers: the page plays what is published, waits for it, and says what is the matter."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from time import time

import pytest
import trio

from mmids_trio.rtmp.server.play_tokens import sign
from tests.support.browsers import BROWSERS, EACH, Browser, browser
from tests.support.ffmpeg import Crew, Recording
from tests.support.program import Launch, curl
from tests.support.waiting import eventually_answered

pytestmark = pytest.mark.e2e

RECEIVE = "rtmp_receive rtmp_app=live stream_key=* port=0"

Open = Callable[[str], Awaitable[Browser]]


@pytest.fixture
async def open_browser(nursery: trio.Nursery, tmp_path: Path) -> AsyncIterator[Open]:
    """Starts a browser; they end with the test."""
    async with AsyncExitStack() as stack:

        async def start(name: str) -> Browser:
            return await stack.enter_async_context(BROWSERS[name](nursery, tmp_path / name))

        yield start


def workflow(port: int, *steps: str, watch: str = "") -> str:
    """One that serves a page on `port`."""
    return (
        "\n    ".join(["workflow show {", RECEIVE, *steps, f"http_watch app=live stream_key=* port={port} {watch}"])
        + "\n}\n"
    )


@pytest.fixture
async def on_air(launch: Launch, crew: Crew, show: Recording, free_port: int) -> str:
    """The address of the page of a stream that is published."""
    program = await launch(workflow(free_port))
    await crew.publish(show, program.url())
    await program.logged("publisher joined")
    return f"http://127.0.0.1:{free_port}/live/show"


@pytest.fixture(params=EACH)
async def each(request: pytest.FixtureRequest, open_browser: Open) -> Browser:
    """One browser after another."""
    return await open_browser(request.param)


async def test_the_page_waits_for_a_stream_plays_it_and_comes_back_after_a_break(
    launch: Launch, crew: Crew, show: Recording, free_port: int, each: Browser
) -> None:
    program = await launch(workflow(free_port))
    viewer = each
    await viewer.go(f"http://127.0.0.1:{free_port}/live/show")
    waiting = await viewer.until(lambda seen: seen["state"] == "absent", "a page that waits")
    assert waiting["words"].startswith("Nothing is on the air")
    publisher = await crew.publish(show, program.url())
    first = await viewer.plays()
    assert first["live"] == "true"
    publisher.process.terminate()
    await publisher.end()
    await program.logged("publisher left")
    await crew.publish(show, program.url())
    await viewer.plays(30)
    assert (await viewer.seen())["problems"] == []


async def has_segments(page: str, count: int) -> bool:
    """Whether the playlist of a page's stream has so many."""
    variants = (await curl(f"{page}/index.m3u8")).text.split()
    if not variants[-1:] or "session=" not in variants[-1]:
        return False
    return (await curl(f"{page}/{variants[-1]}")).text.count("#EXTINF") >= count


WAYS = [
    pytest.param(name, way, marks=browser(name))
    for name, way in (("chromium", "hls"), ("chromium", "native"), ("chromium", "flv"), ("firefox-esr", "flv"))
]


@pytest.mark.parametrize(("name", "way"), WAYS)
async def test_every_way_to_play_shows_picture_after_picture(
    on_air: str, open_browser: Open, name: str, way: str
) -> None:
    viewer = await open_browser(name)
    if way == "native":  # Chromium's own player gives up a playlist with too little in it (see below)
        await eventually_answered(lambda: has_segments(on_air, 3), "three segments")
    await viewer.go(f"{on_air}?via={way}")
    seen = await viewer.plays()
    assert (seen["way"], seen["width"], seen["live"]) == (way, 160, "true")


@browser("chromium")
async def test_the_browsers_own_player_waits_for_a_playlist_that_is_long_enough_for_it(
    on_air: str, open_browser: Open
) -> None:
    viewer = await open_browser("chromium")
    await eventually_answered(lambda: has_segments(on_air, 1), "a segment")
    await viewer.go(f"{on_air}?via=native")
    await viewer.until(lambda _seen: True, "a page")
    await viewer.evaluate(
        "(window.states = [], new MutationObserver(() => states.push(document.body.dataset.state))"
        '.observe(document.body, { attributeFilter: ["data-state"] }), true)'
    )
    await viewer.until(lambda seen: seen["state"] == "playing" and seen["frames"] >= 60, "60 pictures")
    assert "broken" not in await viewer.evaluate("states")


@browser("chromium")
async def test_viewers_play_on_over_changes_in_front_of_the_step_that_they_watch(
    launch: Launch, crew: Crew, show: Recording, free_port: int, open_browser: Open
) -> None:
    program = await launch(workflow(free_port))
    await crew.publish(show, program.url())
    await program.logged("publisher joined")
    viewer = await open_browser("chromium")
    await viewer.go(f"http://127.0.0.1:{free_port}/live/show")
    await viewer.plays()
    for steps in (
        ("slate after=5",),
        ("slate after=5", "ffmpeg_ladder renditions=90p:300,46p:100 h264_preset=ultrafast"),
        ("ffmpeg_transcode vcodec=h264 acodec=copy h264_preset=ultrafast size=80x46",),
    ):
        answer = await program.put(workflow(free_port, *steps))
        assert answer.status == 200, answer.text
        await viewer.plays()
    await viewer.until(lambda seen: seen["width"] == 80, "the transcoder's pictures")
    assert program.count_logged("watcher left") == 0


@browser("chromium")
async def test_the_page_goes_on_by_itself_when_the_step_that_serves_it_is_replaced(
    launch: Launch, crew: Crew, show: Recording, free_port: int, open_browser: Open
) -> None:
    program = await launch(workflow(free_port))
    await crew.publish(show, program.url())
    await program.logged("publisher joined")
    viewer = await open_browser("chromium")
    await viewer.go(f"http://127.0.0.1:{free_port}/live/show")
    await viewer.plays()
    answer = await program.put(workflow(free_port, watch="segment=1s part=100ms"))
    assert answer.status == 200, answer.text
    await program.logged("watcher left")
    await viewer.plays(30)
    assert (await viewer.seen())["problems"] == []


@browser("chromium")
async def test_a_viewer_of_a_ladder_chooses_the_quality(
    launch: Launch, crew: Crew, show: Recording, free_port: int, open_browser: Open
) -> None:
    ladder = "ffmpeg_ladder renditions=90p:300,46p:100 h264_preset=ultrafast"
    program = await launch(workflow(free_port, ladder))
    await crew.publish(show, program.url())
    await program.logged("publisher joined")
    viewer = await open_browser("chromium")
    page = f"http://127.0.0.1:{free_port}/live/show"

    async def both() -> bool:
        return (await curl(f"{page}/index.m3u8")).text.count("RESOLUTION=") >= 2

    await eventually_answered(both, "two qualities")
    await viewer.go(page)
    await viewer.plays()
    labels = await viewer.evaluate(MENU)
    assert set(labels) >= {"90p", "46p"}
    for label, width in (("46p", 80), ("90p", 160)):
        await viewer.evaluate(CHOOSE % label)
        await viewer.until(lambda seen, width=width: abs(seen["width"] - width) <= 4, f"pictures of {label}")  # type: ignore[misc]
    await viewer.plays(30)


MENU = """[...document.getElementById("quality").options].map((option) => option.text)"""
CHOOSE = """(() => {
  const menu = document.getElementById("quality");
  menu.value = [...menu.options].find((option) => option.text === "%s").value;
  menu.dispatchEvent(new Event("change"));
})()"""


@browser("chromium")
async def test_a_page_without_a_valid_token_says_so_and_with_one_it_plays(
    launch: Launch, crew: Crew, show: Recording, free_port: int, open_browser: Open
) -> None:
    program = await launch(workflow(free_port, watch="play_key=secret"))
    await crew.publish(show, program.url())
    viewer = await open_browser("chromium")
    page = f"http://127.0.0.1:{free_port}/live/show"
    await viewer.go(page)
    seen = await viewer.until(lambda seen: seen["state"] == "refused", "a refusal")
    assert seen["words"].startswith("This address is not valid")
    expires = int(time()) + 600
    await viewer.go(f"{page}?expires={expires}&token={sign('secret', 'show', expires)}")
    await viewer.plays()
