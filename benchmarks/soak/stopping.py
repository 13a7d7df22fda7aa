"""The end of a soak: the server is asked to end, and what it printed is read."""

import signal
from pathlib import Path

import trio

STOP_SECONDS = 6.0
"""The server promises to end within 5 s of SIGTERM."""


async def stop(server: trio.Process) -> list[str]:
    """End the server as an operator does; what was wrong with that."""
    server.send_signal(signal.SIGTERM)
    with trio.move_on_after(STOP_SECONDS) as patience:
        await server.wait()
    if patience.cancelled_caught:
        return [f"the server did not stop within {STOP_SECONDS:g} s"]
    return [f"the server ended with status {server.returncode}"] if server.returncode else []


def tracebacks(log: Path) -> list[str]:
    """What is wrong with what the server printed."""
    said = log.read_text("utf-8", errors="replace")
    _, traceback, rest = said.partition("Traceback")
    if not traceback:
        return []
    return [f"{said.count(traceback)} tracebacks in the log of the server; the first: {traceback}{rest[:3000]}"]
