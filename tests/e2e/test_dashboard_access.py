"""Who may see and do what in the dashboard, in real browsers: over a restart, by scopes, from elsewhere."""

import json
import signal
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from mmids_trio.http_api.token_file import changed
from mmids_trio.http_api.tokens import Scope, make_token
from tests.support.browsers import BROWSERS, EACH, Browser
from tests.support.ffmpeg import Crew, Recording
from tests.support.program import Program, curl, serve

pytestmark = pytest.mark.e2e

SHOW = """workflow show {
    rtmp_receive rtmp_app=live stream_key=* port=0
}
"""
PAGE_ELSEWHERE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 9\r\nConnection: close\r\n\r\nElsewhere"
)
ASKED_FROM_ELSEWHERE = [
    ("GET", "/ui/session", ""),
    ("GET", "/ui/overview", ""),
    ("GET", "/ui/api/workflows", ""),
    ("GET", "/ui/api/events", ""),
    ("POST", "/ui/api/config/plan", SHOW),
    ("PUT", "/ui/api/workflows", SHOW.replace("show", "evil")),
    ("DELETE", "/ui/api/workflows/show", ""),
    ("DELETE", "/ui/session", ""),
]
ASK = """async (api, method, path, text, mode) => {
  const options = { method, mode, credentials: "include", ...(text ? { body: text } : {}) };
  try {
    const answer = await fetch(api + path, options);
    return [answer.type, answer.status, await answer.text()];
  } catch (error) {
    return [error.name];
  }
}"""
NOTHING = (["TypeError"], ["opaque", 0, ""])
"""What a page learns of an answer that is not for it."""


def add_token(path: Path, name: str, *scopes: str) -> str:
    secret, token = make_token(name, map(Scope.parse, scopes), "2026-01-01T00:00:00.000Z")
    with changed(path) as tokens:
        tokens.append(token)
    return secret


async def sign_in(driven: Browser, token: str) -> None:
    await driven.shows("document.querySelector('#token') !== null")
    await driven.evaluate(f"(document.querySelector('#token').value = {token!r})")
    await driven.evaluate("(document.querySelector('form').requestSubmit(), true)")
    await driven.shows("document.querySelector('nav') !== null")


async def places(driven: Browser) -> Any:
    return await driven.evaluate("[...document.querySelectorAll('nav a')].map((each) => each.innerText)")


async def buttons_at_the_publisher(driven: Browser) -> Any:
    """Of the workflow's page."""
    await driven.evaluate("(location.hash = '#/workflows/show')")
    await driven.shows("document.querySelector('tbody td')?.innerText === 'Publisher'")
    return await driven.evaluate("[...document.querySelectorAll('tbody button')].map((each) => each.innerText.trim())")


async def _elsewhere(stream: trio.SocketStream) -> None:
    with suppress(trio.BrokenResourceError):
        await stream.receive_some(65536)
        await stream.send_all(PAGE_ELSEWHERE)


async def check_that_others_get_nothing(nursery: trio.Nursery, driven: Browser, program: Program) -> None:
    """From another port of the same host: to a browser that is the same site, so the cookie comes along."""
    [listener] = await nursery.start(partial(trio.serve_tcp, _elsewhere, 0, host="127.0.0.1"))
    await driven.go(f"http://127.0.0.1:{listener.socket.getsockname()[1]}/")
    await driven.shows("document.body?.innerText === 'Elsewhere'")
    for method, path, text in ASKED_FROM_ELSEWHERE:
        for mode in ("cors", "no-cors"):
            asked = ", ".join(map(json.dumps, (program.api, method, path, text, mode)))
            learned = json.loads(await driven.run(f"({ASK})({asked}).then(JSON.stringify)"))
            assert learned in NOTHING, (method, path, mode)


@pytest.mark.parametrize("name", EACH)
async def test_a_sign_in_outlives_a_restart_is_good_for_its_scopes_and_this_page_and_ends_with_its_token(
    nursery: trio.Nursery, show: Recording, tmp_path: Path, free_port: int, name: str
) -> None:
    tokens = tmp_path / "tokens.json"
    viewer, owner = add_token(tokens, "viewer", "read"), add_token(tokens, "owner", "admin")
    launch = partial(serve, nursery, tmp_path, SHOW, api_port=free_port, settings=f"http_api_tokens_path {tokens}")
    program = await launch()
    async with BROWSERS[name](nursery, tmp_path / "profile") as driven:
        await driven.go(f"{program.api}/ui")
        await sign_in(driven, viewer)
        program.child.send(signal.SIGKILL)
        await program.child.end()
        program = await launch()
        await Crew(nursery).publish(show, program.url("tonight"))
        await driven.go(f"{program.api}/ui")
        await driven.shows("document.querySelector('.card')?.innerText.includes('tonight')")

        assert "Change" not in await places(driven)
        assert await buttons_at_the_publisher(driven) == []
        await driven.evaluate("(location.hash = '#/change')")
        await driven.shows("document.querySelector('.card') !== null")  # there is no such place for them
        assert await driven.evaluate("document.querySelector('#configuration')") is None

        with changed(tokens) as kept:
            del kept[0]
        await driven.shows("document.querySelector('#token') !== null")
        assert "tonight" not in await driven.evaluate("document.body.innerText")
        await sign_in(driven, owner)
        assert "Change" in await places(driven)
        assert await buttons_at_the_publisher(driven) == ["Disconnect", "Ban for an hour"]

        await check_that_others_get_nothing(nursery, driven, program)
        found = (await curl(f"{program.api}/workflows", "-H", f"Authorization: Bearer {owner}")).json
        assert [each["name"] for each in found] == ["show"]
        await driven.go(f"{program.api}/ui")
        await driven.shows("document.querySelector('.card')?.innerText.includes('tonight')")  # still signed in
    program.child.send(signal.SIGTERM)
    assert await program.child.end() == 0
