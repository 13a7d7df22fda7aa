"""Real browsers, driven over their own protocols: Chromium's DevTools, and WebDriver BiDi for Firefox.

Both are a websocket and JSON. So no driver has to be installed that fits a browser's version, and nothing has to be
downloaded.
"""

import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, field
from trio_websocket import ConnectionClosed, WebSocketConnection, connect_websocket_url

from tests.support.processes import HANG_SECONDS, Child, start
from tests.support.waiting import eventually_answered

MESSAGE_BYTES = 16 * 1024 * 1024
"""Of an answer; a picture of a page has some 200 KiB."""

WATCH = """
window.problems = [];
for (const name of ["error", "unhandledrejection", "securitypolicyviolation"]) {
  addEventListener(name, (event) => {
    const { target, message, reason, violatedDirective, blockedURI } = event;
    const media = target?.tagName === "VIDEO" ? target.error?.message || "video" : "";
    problems.push([name, message, reason, violatedDirective, blockedURI, media].filter(Boolean).join(" "));
  }, true);
}
"""
"""What a page notes of faults, from before its first script on. (What is missing is none.)"""

SEEN = """(() => {
  const [video, words] = [document.querySelector("video"), document.getElementById("words")];
  if (!video || !words || document.readyState === "loading") return null; // not all of the page has come
  return {
    state: document.body.dataset.state, way: document.body.dataset.way, live: document.body.dataset.live,
    time: video.currentTime, frames: video.getVideoPlaybackQuality().totalVideoFrames,
    width: video.videoWidth, error: video.error?.message ?? null, poster: video.poster,
    words: words.hidden ? "" : words.innerText,
    problems: window.problems,
  };
})()"""

Call = Callable[[str, dict[str, Any]], Awaitable[Any]]

TRACED, TRACE_IS_WHOLE = "Tracing.dataCollected", "Tracing.tracingComplete"
TASK, PAGE_THREAD = "RunTask", "CrRendererMain"
TRACE_OF = ["disabled-by-default-devtools.timeline", "devtools.timeline", "__metadata"]


PLAIN_ADDRESS_BAR = "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup"
"""Of Chromium, which draws suggestions below it as pages: 1.3 s of CPU at each start, for what nobody sees here."""


@define(eq=False)
class Wire:
    """Sends commands, and gives each its answer."""

    socket: WebSocketConnection
    _count: int = field(default=0, init=False)
    _answers: dict[int, Any] = field(factory=dict, init=False)
    _changed: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)
    heard: dict[str, list[Any]] = field(factory=dict, init=False)
    """What the browser tells by itself, of the kinds that have a place here."""

    async def read(self) -> None:
        """Take answers until the browser hangs up."""
        try:
            while True:
                message = json.loads(await self.socket.get_message())
                if "id" in message:
                    self._answers[message["id"]] = message
                elif message["method"] in self.heard:
                    self.heard[message["method"]].append(message["params"])
                self._changed.unpark_all()
        except ConnectionClosed:
            pass

    async def call(self, method: str, parameters: dict[str, Any], **more: Any) -> Any:
        """One command; raises `AssertionError` for a refusal."""
        self._count += 1
        number = self._count
        await self.socket.send_message(json.dumps({"id": number, "method": method, "params": parameters, **more}))
        await self.until(lambda: number in self._answers)
        answer = self._answers.pop(number)
        assert "result" in answer, f"{method}: {answer}"
        return answer["result"]

    async def until(self, came: Callable[[], object]) -> None:
        """Wait until what the browser has said fulfils `came`."""
        with trio.fail_after(HANG_SECONDS):
            while not came():
                await self._changed.park()


@define
class Tasks:
    """Those of a page's thread in Chromium's trace, once it is over, in milliseconds: as the clock has it, and as the
    thread itself, which others on a busy machine do not count for. `address`: where the page is. Chromium draws a part
    of itself as pages, too, and they take longer to begin than ours."""

    address: str
    wall_ms: list[float] = field(factory=list)
    own_ms: list[float] = field(factory=list)

    def take(self, events: Sequence[Any]) -> None:
        """Fill it from the trace."""
        threads = {
            (event["pid"], event["tid"])
            for event in events
            if event["name"] == "thread_name" and event["args"]["name"] == PAGE_THREAD
        }
        threads &= {(event["pid"], event["tid"]) for event in events if _address_of(event).startswith(self.address)}
        for event in events:
            if event["name"] == TASK and (event["pid"], event["tid"]) in threads and "tdur" in event:
                self.wall_ms.append(event["dur"] / 1000)
                self.own_ms.append(event["tdur"] / 1000)


def _address_of(event: Any) -> str:
    """Of the page or the file that an event of the trace is about; empty where it names none."""
    data = event.get("args", {}).get("data")
    return str(data.get("url", "")) if isinstance(data, dict) else ""


@define(eq=False)
class Browser:
    """One page of a browser; `go` opens an address, `run` runs an expression there and returns its JSON."""

    name: str
    go: Callable[[str], Awaitable[None]]
    run: Callable[[str], Awaitable[str]]
    wire: Wire

    @asynccontextmanager
    async def traced(self, address: str) -> AsyncIterator[Tasks]:
        """What Chromium does in the meantime for the page at `address`."""
        heard = self.wire.heard = {TRACED: [], TRACE_IS_WHOLE: []}
        await self.wire.call("Tracing.start", {"traceConfig": {"includedCategories": TRACE_OF}})
        tasks = Tasks(address)
        yield tasks
        await self.wire.call("Tracing.end", {})
        await self.wire.until(lambda: heard[TRACE_IS_WHOLE])
        tasks.take([event for part in heard[TRACED] for event in part["value"]])

    async def evaluate(self, expression: str) -> Any:
        """The value of JavaScript, if JSON can say it."""
        return json.loads(await self.run(f"JSON.stringify({expression} ?? null)"))

    async def shows(self, expression: str) -> None:
        """Wait until the expression is true."""

        async def look() -> bool:
            return bool(await self.evaluate(expression))

        await eventually_answered(look, f"{expression} in {self.name}")

    async def seen(self) -> Any:
        """What the page shows."""
        return await self.evaluate(SEEN)

    async def until(self, condition: Callable[[Any], object], what: str) -> Any:
        """Wait until what the page shows meets `condition`; returns it."""

        last: Any = None

        async def look() -> Any:
            nonlocal last
            last = await self.seen()
            return last if last is not None and condition(last) else None

        try:
            return await eventually_answered(look, what)
        except AssertionError as error:
            raise AssertionError(f"{self.name}: {error}; it shows {last}") from None

    async def plays(self, frames: int = 60) -> Any:
        """Wait until so many pictures more were shown, and the clock has gone on; nothing may be wrong."""
        before = await self.until(lambda _seen: True, "a page")
        after = await self.until(
            lambda seen: (
                seen["state"] == "playing" and seen["frames"] >= _base(before, seen) + frames and seen["width"] > 0
            ),
            f"{frames} pictures",
        )
        assert (after["problems"], after["error"]) == ([], None), after
        assert after["time"] > 0, after
        return after


def _base(before: Any, seen: Any) -> int:
    """Where to count from: a new source begins at 0."""
    frames: int = before["frames"]
    return frames if seen["frames"] >= frames else 0


async def _connect(nursery: trio.Nursery, address: str) -> Wire:
    wire = Wire(await connect_websocket_url(nursery, address, max_message_size=MESSAGE_BYTES))
    nursery.start_soon(wire.read)
    return wire


@asynccontextmanager
async def _chromium(nursery: trio.Nursery, profile: Path) -> AsyncIterator[Browser]:
    options = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--mute-audio")
    quiet = ("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync")
    plays = ("--autoplay-policy=no-user-gesture-required", "--no-proxy-server", "--window-size=1280,800")
    ports = ("--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank")
    command = ["chromium", *options, *quiet, PLAIN_ADDRESS_BAR, *plays, *ports]
    child = await start(nursery, command, name="chromium")
    address = (await child.err.line("DevTools listening on")).split()[-1]
    wire = await _connect(nursery, address)
    target = (await wire.call("Target.createTarget", {"url": "about:blank"}))["targetId"]
    session = (await wire.call("Target.attachToTarget", {"targetId": target, "flatten": True}))["sessionId"]

    async def call(method: str, **parameters: Any) -> Any:
        return await wire.call(method, parameters, sessionId=session)

    async def go(url: str) -> None:
        await call("Page.navigate", url=url)

    async def run(expression: str) -> str:
        answer = await call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return str(answer["result"]["value"])

    await call("Page.enable")
    await call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
    try:
        yield Browser("chromium", go, run, wire)
    finally:
        await _close(child, wire, "Browser.close")


@asynccontextmanager
async def _firefox(nursery: trio.Nursery, profile: Path) -> AsyncIterator[Browser]:
    await trio.Path(profile).mkdir()
    preferences = {
        "media.autoplay.default": 0,
        "media.volume_scale": "0.0",
        "network.proxy.type": 0,
        "datareporting.policy.dataSubmissionEnabled": False,
        "app.update.enabled": False,
        "browser.shell.checkDefaultBrowser": False,
    }
    lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in preferences.items())
    await trio.Path(profile / "user.js").write_text("\n".join(lines))
    command = ["firefox-esr", "--headless", "--remote-debugging-port", "0", "--profile", str(profile), "about:blank"]
    child = await start(
        nursery, command, name="firefox", environment={"HOME": str(profile), "MOZ_CRASHREPORTER_DISABLE": "1"}
    )
    address = (await child.err.line("WebDriver BiDi listening on")).split()[-1]
    wire = await _connect(nursery, f"{address}/session")
    await wire.call("session.new", {"capabilities": {}})
    tree = await wire.call("browsingContext.getTree", {})
    context = tree["contexts"][0]["context"]

    async def go(url: str) -> None:
        await wire.call("browsingContext.navigate", {"context": context, "url": url, "wait": "interactive"})

    async def run(expression: str) -> str:
        parameters = {"expression": expression, "target": {"context": context}, "awaitPromise": True}
        answer = await wire.call("script.evaluate", parameters)
        assert answer["type"] == "success", answer
        return str(answer["result"]["value"])

    await wire.call("script.addPreloadScript", {"functionDeclaration": f"() => {{{WATCH}}}"})
    try:
        yield Browser("firefox", go, run, wire)
    finally:
        await _close(child, wire, "browser.close")


async def _close(child: Child, wire: Wire, method: str) -> None:
    """In good order, so that none of its processes is left; else the nursery's end kills it."""
    bounded = trio.CancelScope(shield=True, deadline=trio.current_time() + HANG_SECONDS / 3)
    with bounded, suppress(AssertionError, ConnectionClosed, trio.TooSlowError):
        await wire.call(method, {})
        await child.end(HANG_SECONDS / 3)
    # What the library leaves open when the other side hangs up.
    await trio.aclose_forcefully(wire.socket._stream)


BROWSERS: dict[str, Callable[[trio.Nursery, Path], AbstractAsyncContextManager[Browser]]] = {
    "chromium": _chromium,
    "firefox-esr": _firefox,
}
"""By the name of the program."""


def browser(name: str) -> pytest.MarkDecorator:
    """For a test of that browser, where it is installed."""
    return pytest.mark.skipif(shutil.which(name) is None, reason=f"not installed: {name}")


EACH = [pytest.param(name, marks=browser(name)) for name in BROWSERS]
"""For tests of all of them."""
