"""The program `python -m mmids_trio` as a test sees it: a process, its addresses, and its HTTP API through curl."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from subprocess import PIPE, CompletedProcess
from typing import Any, Protocol

import trio
from attrs import define, field, frozen

from tests.support.processes import HANG_SECONDS, Child, start

ROOT = Path(__file__).parents[2]
"""What is tested is this checkout, whichever one is installed."""

_STATUS = re.compile(r"\n(\d{3})$")


@frozen
class Answer:
    """What the API said to one request; status 0 when it said nothing that is HTTP."""

    status: int
    text: str

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.text)


async def curl(url: str, *options: str, body: bytes | None = None) -> Answer:
    """One request; a `body` goes out with curl's default content type."""
    command = ["curl", "--silent", "--noproxy", "*", "--max-time", str(HANG_SECONDS), "--write-out", "\n%{http_code}"]
    if body is not None:
        command += ["--data-binary", "@-"]
    run = partial(trio.run_process, [*command, *options, url], stdin=body or b"", capture_stdout=True, check=False)
    done: CompletedProcess[bytes] = await run()
    text = done.stdout.decode()
    status = _STATUS.search(text)
    assert status is not None, f"curl {url}: exit status {done.returncode}"
    return Answer(int(status[1]), text[: status.start()])


@define(eq=False)
class Program:
    """A running server; `api` is the URL of its HTTP API, `rtmp` the host and port of its first RTMP address."""

    child: Child
    directory: Path
    api: str
    rtmp: str | None = field(default=None)

    @property
    def rtmp_port(self) -> int:
        """The first RTMP port that the configuration file asked for."""
        assert self.rtmp is not None
        return int(self.rtmp.rpartition(":")[2])

    def url(self, key: str = "show", *, app: str = "live", port: int | None = None) -> str:
        """Where to publish and to watch."""
        return f"rtmp://127.0.0.1:{port or self.rtmp_port}/{app}/{key}"

    async def put(self, workflow: str, query: str = "?wait=20") -> Answer:
        """`PUT /workflows`."""
        return await curl(f"{self.api}/workflows{query}", "-X", "PUT", body=workflow.encode())

    async def hand_over(self) -> None:
        """Have all that the configuration file has started belong to the default set of the API."""
        text = (await self.get("/config")).text
        answer = await curl(f"{self.api}/config?wait=20&take_over=true", "-X", "PUT", body=text.encode())
        assert answer.status == 200, answer.text

    async def delete(self, name: str) -> Answer:
        """`DELETE /workflows/NAME`."""
        return await curl(f"{self.api}/workflows/{name}", "-X", "DELETE")

    async def get(self, path: str) -> Answer:
        """`GET` of any path."""
        return await curl(self.api + path)

    async def status(self, name: str) -> Any:
        """What `GET /workflows/NAME` says."""
        return (await self.get(f"/workflows/{name}")).json

    async def logged(self, pattern: str, *, after: int = 0) -> str:
        """Wait for a line on the console; `after` is a line number, as `log_length` tells it."""
        return await self.child.err.line(pattern, after=after)

    @property
    def log_length(self) -> int:
        """Lines on the console so far."""
        return len(self.child.err.lines)

    def count_logged(self, pattern: str, *, after: int = 0) -> int:
        """Lines on the console so far with a pattern."""
        return sum(re.search(pattern, line) is not None for line in self.child.err.lines[after:])

    def log_file(self) -> list[dict[str, Any]]:
        """The lines of the JSON log that are written so far: what an answer came for may come in a moment."""
        text = (self.directory / "logs" / "mmids.log").read_text(encoding="utf-8")
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    async def log_file_with(self, event: str, **keys: object) -> list[dict[str, Any]]:
        """All lines of the JSON log, once one of this event and with these keys is among them."""
        with trio.fail_after(30):
            while True:
                lines = self.log_file()
                if any(line["event"] == event and keys.items() <= line.items() for line in lines):
                    return lines
                await trio.sleep(0.05)


class Launch(Protocol):
    """Starts a server that runs the given workflows; `settings` are lines of further ones."""

    async def __call__(self, workflows: str = "", *, settings: str = "") -> Program: ...


async def run_program(
    nursery: trio.Nursery,
    directory: Path,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    stdout: int = PIPE,
) -> Child:
    """Start the program with any arguments, in `directory`; see `processes.start`."""
    command = [sys.executable, "-m", "mmids_trio", *arguments]
    variables = {"PYTHONPATH": str(ROOT), **(environment or {})}
    return await start(nursery, command, name="mmids_trio", directory=directory, environment=variables, stdout=stdout)


async def serve(
    nursery: trio.Nursery,
    directory: Path,
    workflows: str = "",
    *,
    api_port: int = 0,
    settings: str = "",
    command: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Program:
    """Start a server with these workflows, with `command` before the usual arguments, and wait for its welcome."""
    block = f"settings {{\n    http_api_port {api_port}\n    {settings}\n}}\n"
    file = directory / "mmids.config"
    file.write_text(block + workflows, encoding="utf-8")
    child = await run_program(nursery, directory, *command, "--config", str(file), environment=environment)
    api = (await child.out.line("HTTP API ")).split()[-1]
    rtmp = re.search(r"rtmps?://([^/]+)/", child.out.text)
    return Program(child, directory, api, rtmp[1] if rtmp else None)
