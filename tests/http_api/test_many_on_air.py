"""200 streams and 1,000 watchers at once: who is on the air is looked at in slices, and told once of each."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, contextmanager
from itertools import groupby
from typing import Any

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.http_api.routes.streams import OBJECTS_PER_SLICE
from mmids_trio.on_air.directory import OnAir, StreamEntry
from mmids_trio.server.stream_metrics import PER_SLICE, StreamMetrics
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.workflow.events import ClientJoined, ClientLeft

pytestmark = pytest.mark.thorough

STREAMS, WATCHERS = 200, 1_000
SHOW = """settings {
    max_connections_per_ip 2000
    max_connections 2000
    stream_metrics 50
}
workflow show {
    rtmp_receive rtmp_app=live stream_key=*
    rtmp_watch rtmp_app=live stream_key=*
}
"""
PACKETS = generate_stream(seconds=1)[:9]


@define(eq=False)
class Turns(trio.abc.Instrument):
    """How often each thing was done at most in one turn of a task, and how often in all."""

    most: Counter[str] = field(factory=Counter, init=False)
    total: Counter[str] = field(factory=Counter, init=False)
    _now: Counter[str] = field(factory=Counter, init=False)

    def counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, which is counted under that name."""

        def call(*arguments: Any, **named: Any) -> Any:
            self._now[name] += 1
            return function(*arguments, **named)

        return call

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """See `trio.abc.Instrument`."""
        if self._now:
            self.most |= self._now
            self.total += self._now
            self._now.clear()


@contextmanager
def looked_at(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Count looks at single streams and clients."""
    turns = Turns()
    with monkeypatch.context() as patch:
        for owner, name in ((OnAir, "view_of"), (OnAir, "stream_watched"), (StreamEntry, "view")):
            patch.setattr(owner, name, turns.counted(name, getattr(owner, name)))
        patch.setattr(StreamMetrics, "_look", turns.counted("_look", StreamMetrics._look))
        trio.lowlevel.add_instrument(turns)
        yield turns
        trio.lowlevel.remove_instrument(turns)


@asynccontextmanager
async def crowd() -> AsyncIterator[Harness]:
    """Every stream has media and five watchers."""
    async with Harness(SHOW) as h:
        for number in range(STREAMS):
            await h.publish(f"live/{number}", PACKETS)
        for number in range(WATCHERS):
            await h.watch(f"live/{number % STREAMS}")
        await wait_all_tasks_blocked()
        yield h
    h.assert_quiet()


async def paged(h: Harness, kind: str, limit: int) -> list[Any]:
    """All of them, page by page."""
    found: list[Any] = []
    after = ""
    while True:
        page = (await h.http.get(f"/{kind}?limit={limit}{after}")).json()
        found += page[kind]
        if page["next"] is None:
            return found
        after = f"&after={page['next']}"


async def test_a_crowd_is_looked_at_in_slices_and_each_of_it_is_told_and_shown_once(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with crowd() as h:
        with looked_at(monkeypatch) as turns:
            streams, clients = await paged(h, "streams", 1000), await paged(h, "clients", 1000)
        assert (len(streams), len(clients)) == (STREAMS, STREAMS + WATCHERS)
        assert {stream["watchers"] for stream in streams} == {WATCHERS / STREAMS}
        assert dict(turns.most) == dict.fromkeys(("view", "view_of", "stream_watched"), OBJECTS_PER_SLICE)
        with looked_at(monkeypatch) as turns:
            one = (await h.http.get(f"/clients?stream={streams[7]['id']}")).json()["clients"]
            state = (await h.http.get("/streams?state=stalled")).json()["streams"]
        assert (len(one), state) == (1 + WATCHERS // STREAMS, [])
        assert turns.total["stream_watched"] >= STREAMS + 2 * WATCHERS  # who is not shown is looked at as well
        assert max(turns.most.values()) <= 2 * OBJECTS_PER_SLICE  # who is shown is asked twice which stream it watches
        with looked_at(monkeypatch) as turns:
            text = (await h.http.get("/metrics")).text
        assert dict(turns.most) == dict.fromkeys(("_look", "stream_watched"), PER_SLICE)
        watched = [line for line in text.splitlines() if line.startswith("mmids_stream_watchers{")]
        assert (len(watched), sum(float(line.split()[-1]) for line in watched)) == (51, WATCHERS)

        for kind, found in (("streams", streams), ("clients", clients)):
            assert [each["id"] for each in await paged(h, kind, 70)] == [each["id"] for each in found]

        await h.stop("show")
        told = [event for event in h.events() if isinstance(event, ClientJoined | ClientLeft)]
        assert [name for name, _ in groupby(event.wire_name for event in told)] == ["client_joined", "client_left"]
        assert Counter(event.client for event in told) == Counter({client["id"]: 2 for client in clients})
