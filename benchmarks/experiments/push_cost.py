"""What a pushed stream costs: `rtmp_push` against `ffmpeg_push`, one stream to several targets.

    python -m benchmarks.experiments.push_cost [TARGETS]

Prints a Markdown table: CPU of the pushing server with all its children, in percent of one core, less what it costs to
receive the stream alone, for each pushed stream.  The targets are one other server.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SECONDS, WARM_UP = 8.0, 4.0
POLL_SECONDS = 0.1
TICK = os.sysconf("SC_CLK_TCK")
SOURCE_PORT, TARGET_PORT = 19350, 19351
PICTURE = ("-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30", "-f", "lavfi", "-i", "anoisesrc=amplitude=0.3")
ENCODED = ("-t", "5", "-c:v", "libx264", "-preset", "veryfast", "-g", "60", "-b:v", "2500k", "-maxrate", "2500k")
ENCODED_MORE = ("-bufsize", "2500k", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "128k", "-f", "flv")


def receiving(name: str, port: int, *steps: str) -> str:
    """A workflow that takes publishers."""
    lines = [f"workflow {name} {{", f"rtmp_receive rtmp_app=live stream_key=* port={port}", *steps, "}\n"]
    return "\n".join(lines)


def pushing(kind: str, targets: int) -> str:
    """The step or steps of one way to push."""
    urls = [f"rtmp://127.0.0.1:{TARGET_PORT}/live/t{number}" for number in range(targets)]
    if kind == "rtmp_push":
        return f"rtmp_push target={','.join(urls)}"
    return "\n".join(f"ffmpeg_push target={url}" for url in urls) if kind == "ffmpeg_push" else ""


def ticks(root: int) -> int:
    """CPU time of a process and its living children."""
    total = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(entry.name) == root or int(fields[1]) == root:
                total += int(fields[11]) + int(fields[12])
    return total


@contextmanager
def running(*command: str, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process, as long as the block lasts."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=directory, stdin=quiet, stdout=quiet, stderr=quiet)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def wait_for(port: int) -> None:
    """Until somebody listens there, 30 s at most."""
    for _ in range(300):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(POLL_SECONDS)  # nothing tells of a port that another process opens
    raise TimeoutError(f"nobody listens on port {port}")


def measure(kind: str, targets: int, media: Path, directory: Path) -> float:
    """Percent of one core for the pushing server."""
    python = (sys.executable, "-m", "mmids_trio", "--config")
    source, target = directory / "source.mmids", directory / "target.mmids"
    source.write_text(receiving("source", SOURCE_PORT, pushing(kind, targets)))
    target.write_text(receiving("target", TARGET_PORT))
    url = f"rtmp://127.0.0.1:{SOURCE_PORT}/live/show"
    publish = ("ffmpeg", "-re", "-stream_loop", "-1", "-i", str(media), "-c", "copy", "-f", "flv", url)
    with (
        running(*python, str(target), directory=directory),
        running(*python, str(source), directory=directory) as server,
    ):
        for port in (TARGET_PORT, SOURCE_PORT):
            wait_for(port)
        with running(*publish, directory=directory):
            time.sleep(WARM_UP)  # what is measured is how much the server works while we do nothing
            before = ticks(server.pid)
            time.sleep(SECONDS)  # as above
            return 100 * (ticks(server.pid) - before) / TICK / SECONDS


def main() -> None:
    """Print the table."""
    targets = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    with tempfile.TemporaryDirectory() as name:
        directory, media = Path(name), Path(name) / "show.flv"
        subprocess.run(
            ["ffmpeg", "-loglevel", "error", *PICTURE, *ENCODED, *ENCODED_MORE, str(media)], check=True, timeout=120
        )
        alone = measure("receive", targets, media, directory)
        print(
            f"Receiving alone: {alone:.2f} % of a core.\n\n| step | % of a core for each pushed stream |\n| --- | --- |"
        )
        for kind in ("rtmp_push", "ffmpeg_push"):
            print(f"| `{kind}` | {(measure(kind, targets, media, directory) - alone) / targets:.2f} |", flush=True)


if __name__ == "__main__":
    main()
