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
from tests.support.program import Launch

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
    await viewer.until(lambda seen: seen["state"] == "absent", "a page that waits")
    publisher = await crew.publish(show, program.url())
    assert (await viewer.seen())["words"].startswith("Nothing is on the air")
    first = await viewer.plays()
    assert first["live"] == "true"
    publisher.process.terminate()
    await publisher.end()
    await program.logged("publisher left")
    await crew.publish(show, program.url())
    await viewer.plays(30)
    assert (await viewer.seen())["problems"] == []


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
