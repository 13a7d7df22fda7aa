"""Processes that the benchmark starts: each belongs to one `async with` block and is gone after it."""

import json
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from attrs import define, field

END_SECONDS = 10.0
"""After which a process that was asked to end is killed."""


@asynccontextmanager
async def child(
    command: Sequence[str],
    *,
    directory: Path,
    output: int | None = None,
    environment: Mapping[str, str] | None = None,
    log: Path,
) -> AsyncIterator[trio.Process]:
    """Run `command` in `directory`; what it prints goes to the file `log`, or its standard output to `output`."""
    with log.open("ab") as file:
        process = await trio.lowlevel.open_process(
            list(command), cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=output or file, stderr=file
        )
    try:
        yield process
    finally:
        await _end(process)


async def _end(process: trio.Process) -> None:
    with trio.CancelScope(shield=True, deadline=trio.current_time() + END_SECONDS) as patience:
        if process.poll() is None:
            process.terminate()
        await process.wait()
    if patience.cancelled_caught:
        process.kill()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + END_SECONDS):
            await process.wait()
    if process.stdout is not None:
        await trio.aclose_forcefully(process.stdout)


@define(eq=False)
class Events:
    """What a load tool says: one JSON object a line."""

    stream: trio.abc.ReceiveStream
    log: Path
    _rest: bytes = field(default=b"", init=False)

    async def wait_for(self, event: str, seconds: float) -> dict[str, Any]:
        """The next event of that name. Raises `RuntimeError` when the tool ends or takes longer than `seconds`."""
        with trio.move_on_after(seconds):
            while True:
                line = await self._line()
                if line is None:
                    said = self.log.read_text("utf-8", errors="replace").strip()
                    raise RuntimeError(f"the load ended before it said {event!r}: {said or 'it said nothing'}")
                found: dict[str, Any] = json.loads(line)
                if found["event"] == event:
                    return found
        raise RuntimeError(f"the load did not say {event!r} within {seconds:.0f} s")

    async def _line(self) -> bytes | None:
        while b"\n" not in self._rest:
            data = await self.stream.receive_some()
            if not data:
                return None
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line
