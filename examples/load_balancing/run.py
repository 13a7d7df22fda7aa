"""Dynamic load balancing on one machine: two ingest and two playback instances, and the lookup service between them.

    python examples/load_balancing/run.py

Everything runs until Ctrl+C, or until one of the processes ends.
"""

import argparse
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import trio

HERE = Path(__file__).resolve().parent
START_SECONDS = 30
"""Within which all ports are to be open; it takes about one."""

TEXT = """Lookup service: {lookup}
  where to publish  curl {lookup}/publish/talk
  where to watch    curl {lookup}/watch/talk
Ingest instances on ports {ingest}, playback instances on {playback}. Ctrl+C stops everything."""


async def supervise(command: Sequence[str], variables: Mapping[str, str], everything: trio.CancelScope) -> None:
    """Run one process; when it ends, all end. It gets a session of its own, so that Ctrl+C is for us alone."""
    environment = {**os.environ, **variables}
    await trio.run_process(
        command, cwd=HERE.parents[1], env=environment, start_new_session=True, stdout=sys.stderr, check=False
    )
    everything.cancel()


async def wait_open(port: int) -> None:
    """Wait until somebody listens."""
    while True:
        try:
            await (await trio.open_tcp_stream("127.0.0.1", port)).aclose()
            return
        except OSError:
            await trio.sleep(0.1)


async def stop_on_signal(everything: trio.CancelScope) -> None:
    """Ctrl+C, or a polite kill."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            everything.cancel()


def instances(options: argparse.Namespace) -> list[tuple[list[str], dict[str, str]]]:
    """What to run, each with its variables: the configuration files read them."""
    lookup = ["--port", options.lookup, "--ingest", *options.ingest, "--playback", *options.playback]
    found: list[tuple[list[str], dict[str, str]]] = [
        ([sys.executable, str(HERE / "lookup.py"), *map(str, lookup), "--interval", str(options.interval)], {})
    ]
    shared = {"LOOKUP": f"http://127.0.0.1:{options.lookup}", "INTERVAL": str(options.interval)}
    for role in ("ingest", "playback"):
        for port in getattr(options, role):
            command = [sys.executable, "-m", "mmids_trio", "--config", str(HERE / f"{role}.mmids")]
            found.append((command, {**shared, "PORT": str(port)}))
    return found


async def run(options: argparse.Namespace) -> None:
    """Run everything until a signal comes or a process ends."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop_on_signal, nursery.cancel_scope)
        for command, variables in instances(options):
            nursery.start_soon(supervise, command, variables, nursery.cancel_scope)
        with trio.fail_after(START_SECONDS):
            for port in (options.lookup, *options.ingest, *options.playback):
                await wait_open(port)
        url = f"http://127.0.0.1:{options.lookup}"
        print(TEXT.format(lookup=url, ingest=options.ingest, playback=options.playback), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lookup", type=int, default=19350, metavar="PORT", help="of the lookup service")
    parser.add_argument("--ingest", type=int, nargs="+", default=[19351, 19352], metavar="PORT")
    parser.add_argument("--playback", type=int, nargs="+", default=[19361, 19362], metavar="PORT")
    parser.add_argument("--interval", type=int, default=2, help="seconds between two questions about a stream")
    trio.run(run, parser.parse_args())
