"""What happens to the server in a soak: everything that goes on at once, at random, until it is cancelled."""

import os
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import trio
from attrs import define, field

from benchmarks.children import child
from benchmarks.soak.samples import children_of
from benchmarks.soak.stage import EXTRA, EXTRAS, OPTIONAL, Stage

PUBLISHERS, WATCHERS = 3, 6

PUBLISHING = (10.0, 60.0)
"""Seconds from the start of a publisher to its end, from and to; so below."""
WATCHING = (3.0, 45.0)
FROZEN = (5.0, 50.0)
"""A watcher that is stopped, and so takes nothing of what it is sent."""
BETWEEN_CHANGES = (2.0, 8.0)
BETWEEN_KILLS = (5.0, 20.0)
BETWEEN_QUESTIONS = (0.2, 2.0)
BETWEEN_STRANGERS = (1.0, 5.0)
PAUSE = (0.5, 4.0)

KILLED = 0.4
"""Part of the publishers that are killed instead of asked to end."""

WAIT_SECONDS = 10
"""Of a `PUT`."""

EXPECTED = (200, 404, 409, 504)
"""Statuses that traffic at random may well get; any other is a fault."""

STRANGERS = (
    b"",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x03" + bytes(700),
    b"\x03" + bytes(3072) + bytes(range(256)) * 8,
    b"\x16\x03\x01" + bytes(100),
)
"""What connections say that are no clients: nothing, HTTP, half a handshake, garbage behind one, TLS."""


@define(eq=False)
class Traffic:
    """Publishers, watchers, changes, kills, questions and strangers; all of it ends with `run`."""

    stage: Stage
    random: random.Random
    counts: Counter[str] = field(factory=Counter, init=False)
    """What happened how often."""
    faults: list[str] = field(factory=list, init=False)
    """What may not happen."""

    async def run(self) -> None:
        """Go on until cancelled. Raises when the server is gone."""
        async with trio.open_nursery() as nursery:
            for number in range(PUBLISHERS):
                nursery.start_soon(self._again_and_again, self._publish, number)
            for number in range(WATCHERS):
                nursery.start_soon(self._again_and_again, self._watch, number)
            nursery.start_soon(self._every, BETWEEN_CHANGES, self._change)
            nursery.start_soon(self._every, BETWEEN_KILLS, self._kill)
            nursery.start_soon(self._every, BETWEEN_QUESTIONS, self._ask)
            nursery.start_soon(self._every, BETWEEN_STRANGERS, self._be_a_stranger)

    async def calm(self) -> None:
        """Once `run` has ended: remove what it left behind."""
        for number in range(EXTRAS):
            await self._request("DELETE", f"/workflows/extra{number}")
        await self._request("PUT", f"/workflows?wait={WAIT_SECONDS}", self.stage.main(OPTIONAL[0]))

    async def _again_and_again(self, act: Callable[[int], Awaitable[None]], number: int) -> None:
        while True:
            await self._pause(PAUSE)
            await act(number)

    async def _every(self, pause: tuple[float, float], act: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._pause(pause)
            await act()

    async def _pause(self, bounds: tuple[float, float]) -> None:
        await trio.sleep(self.random.uniform(*bounds))

    async def _publish(self, number: int) -> None:
        source = ("-re", "-stream_loop", "-1", "-i", "clip.flv", "-c", "copy", "-f", "flv")
        quiet = ("-nostdin", "-loglevel", "error")
        await self._program([self.stage.ffmpeg, *quiet, *source, self.stage.url("live", f"show{number}")], PUBLISHING)
        self.counts["publishers"] += 1

    async def _watch(self, number: int) -> None:
        app = self.random.choice(["live", "live", "mirror", *(f"extra{extra}" for extra in range(EXTRAS))])
        key = app if app.startswith("extra") else f"show{self.random.randrange(PUBLISHERS)}"
        is_frozen = number == 0
        dump = ["rtmpdump", "--quiet", "--live", "--rtmp", self.stage.url(app, key), "--flv", "/dev/null"]
        await self._program(dump, WATCHING, freeze=is_frozen)
        self.counts["watchers that stop reading" if is_frozen else "watchers"] += 1

    async def _program(self, command: Sequence[str], life: tuple[float, float], *, freeze: bool = False) -> None:
        log = self.stage.directory / "clients.log"
        async with child(command, directory=self.stage.directory, log=log) as process:
            with trio.move_on_after(self.random.uniform(*life)):
                if freeze:
                    await self._pause(PAUSE)
                    process.send_signal(signal.SIGSTOP)
                    await self._pause(FROZEN)
                    process.kill()
                await process.wait()
            if freeze or self.random.random() < KILLED:
                process.kill()
                self.counts["clients killed"] += 1

    async def _change(self) -> None:
        what = self.random.random()
        number = self.random.randrange(EXTRAS)
        if what < 0.3:  # noqa: PLR2004 (a third of the changes)
            await self._request("DELETE", f"/workflows/extra{number}")
        elif what < 0.5:  # noqa: PLR2004 (a fifth of them)
            body = self.stage.main(self.random.choice(OPTIONAL))
            await self._request("PUT", f"/workflows?wait={WAIT_SECONDS}", body)
        else:
            body = self.stage.extra(number, self.random.choice(EXTRA))
            wait = self.random.choice(["", f"?wait={WAIT_SECONDS}", f"?wait={WAIT_SECONDS}&on_error=rollback"])
            await self._request("PUT", f"/workflows{wait}", body)

    async def _ask(self) -> None:
        name = self.random.choice(["", "/main", "/mirror", *(f"/extra{number}" for number in range(EXTRAS))])
        await self._request("GET", f"/workflows{name}")

    async def _request(self, method: str, path: str, body: str | None = None) -> None:
        headers = {} if body is None else {"Content-Type": "text/plain"}
        answer = await self.stage.api.request(method, path, content=body, headers=headers)
        self.counts[f"{method}, {answer.status_code}"] += 1
        if answer.status_code not in EXPECTED:
            self.faults.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")

    async def _kill(self) -> None:
        running = [child.pid for child in children_of(self.stage.server.pid) if not child.is_zombie]
        if running:
            with suppress(ProcessLookupError):
                os.kill(self.random.choice(running), signal.SIGKILL)
                self.counts["children of the server killed"] += 1

    async def _be_a_stranger(self) -> None:
        with suppress(OSError, trio.BrokenResourceError):
            stream = await trio.open_tcp_stream("127.0.0.1", self.stage.ports.rtmp)
            async with stream:
                await stream.send_all(self.random.choice(STRANGERS))
                await self._pause(PAUSE)
        self.counts["strangers"] += 1
