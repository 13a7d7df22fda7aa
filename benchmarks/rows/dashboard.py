"""One open dashboard: what it costs a server with many streams, beside one at which nobody looks."""

from collections.abc import Sequence

import trio

from benchmarks.bench import Bench, Measured, Row
from benchmarks.figures import Run, Target, difference_of
from benchmarks.requests import Request, ask_again_and_again
from benchmarks.rows.publishers import WEBCAMS, measure_publishers
from benchmarks.subjects import OURS, Ours, Server

LOOK_SECONDS = 4.0
"""From one answer to the next question of the page (`USUAL_MS` of `live.js`)."""

WINDOW_SECONDS = 3 * LOOK_SECONDS
"""At least, also of a quick run: fewer looks would say nothing."""

MARGIN_SECONDS = 0.5
CHUNK = 65_536
NOBODY_LOOKS = Ours(name="mmids_trio, no dashboard")
LOOKS = [Request("GET", "/ui/overview")]
EVENTS = b"GET /ui/api/events HTTP/1.1\r\nHost: 127.0.0.1\r\nSec-Fetch-Site: same-origin\r\n\r\n"


async def look(server: Server, seconds: float, took: list[float]) -> None:
    """What the page does when it is open: it hears of events, and reads the overview every few seconds.

    Pictures are left out: ffmpeg makes them, in processes of their own, and only of cards that are in sight.
    """
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_hear, server.ports.api)
        await ask_again_and_again(server.ports.api, LOOKS, LOOK_SECONDS, seconds, took)
        nursery.cancel_scope.cancel()


async def _hear(port: int) -> None:
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        await stream.send_all(EVENTS)
        if not (await stream.receive_some(CHUNK)).startswith(b"HTTP/1.1 200"):
            raise RuntimeError("the API does not send events")
        while await stream.receive_some(CHUNK):
            pass
    raise RuntimeError("the events have ended")


async def _measure(bench: Bench) -> Measured:
    took: list[float] = []

    async def meanwhile(server: Server) -> None:
        if not server.subject.name.startswith(NOBODY_LOOKS.name):
            await look(server, max(bench.effort.seconds, WINDOW_SECONDS) - MARGIN_SECONDS, took)

    subjects: Sequence[Ours] = [OURS, NOBODY_LOOKS]
    measured = await measure_publishers(
        bench, subjects, WEBCAMS, bench.load.webcam, least_seconds=WINDOW_SECONDS, meanwhile=meanwhile
    )
    if took:
        bench.say(f"  slowest overview: {max(took):.0f} ms")
    return measured


def _added(runs: Sequence[Run]) -> float | None:
    return difference_of(runs, OURS.name, NOBODY_LOOKS.name, "cpu_percent")


DASHBOARD = Row(
    "dashboard",
    "one open dashboard of 500 streams of 300 kbit/s",
    "our own with no dashboard open",
    _measure,
    [(Target("CPU of a core that it adds", 2, "%"), _added)],
    ("cpu_percent", "rss_mb"),
)
