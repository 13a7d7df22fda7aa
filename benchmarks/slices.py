"""How long others wait while one asks who is on the air: `python -m benchmarks.slices 200 1000`.

So many streams and watchers in a server without sockets, whose API is asked for all of them page by page.  Prints the
longest turn of an answer and the seconds of both answers, as JSON.  A turn looks at so many objects at most, which the
tests hold; here is how long that takes.
"""

import json
import logging
import sys
import time
from math import inf

import structlog
import trio
from attrs import define, field
from trio.testing import MockClock

from mmids_trio.testing import Harness, generate_stream
from mmids_trio.testing.watchdog import Limits

REPEATS = 5
MEDIA_SECONDS = 1
PATHS = ("/streams?limit=1000", "/clients?limit=1000")
CONFIGURATION = """settings {{
    max_connections {connections}
    max_connections_per_ip {connections}
    max_streams {streams}
}}
workflow show {{
    rtmp_receive rtmp_app=live stream_key=*
    rtmp_watch rtmp_app=live stream_key=*
}}
"""


@define(eq=False)
class Stopwatch(trio.abc.Instrument):
    """Of turns of all tasks but the one that asks, in milliseconds."""

    asks: trio.lowlevel.Task
    turns: list[float] = field(factory=list)
    _since: float = inf

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """See `trio.abc.Instrument`."""
        self._since = time.thread_time()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """See `trio.abc.Instrument`."""
        if task is not self.asks:
            self.turns.append(1000 * (time.thread_time() - self._since))


async def _answer(h: Harness, path: str) -> int:
    answer = await h.http.get(path)
    found = answer.json()
    [kind] = (name for name in found if name != "next")
    return len(found[kind])


async def _main(*counts: int) -> None:
    streams, watchers = counts
    connections = 2 * (streams + watchers)
    text = CONFIGURATION.format(connections=connections, streams=max(1_000, streams))
    async with Harness(text, limits=Limits(blocking_s=inf, real_s=inf)) as h:
        packets = generate_stream(seconds=MEDIA_SECONDS)
        for number in range(streams):
            await h.publish(f"live/{number}", packets)
        for number in range(watchers):
            await h.watch(f"live/{number % streams}")
        for path in PATHS:
            await _answer(h, path)
        longest, seconds = [], []
        for _ in range(REPEATS):
            watch = Stopwatch(trio.lowlevel.current_task())
            began = time.perf_counter()
            trio.lowlevel.add_instrument(watch)
            found = [await _answer(h, path) for path in PATHS]
            trio.lowlevel.remove_instrument(watch)
            seconds.append(time.perf_counter() - began)
            longest.append(max(watch.turns))
            assert found == [min(streams, 1_000), min(streams + watchers, 1_000)], found
        middle = REPEATS // 2
        print(json.dumps({"turn_max_ms": sorted(longest)[middle], "answer_ms": 1000 * sorted(seconds)[middle]}))


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    # Nobody falls silent for too long while the crowd comes.
    trio.run(_main, *map(int, sys.argv[1:]), clock=MockClock(autojump_threshold=0))
