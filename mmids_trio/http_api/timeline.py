"""The last hour of a server, for who opens the dashboard now: what happened, who was on the air, how much came.

All of it is in memory and bounded. Rates and states are looked at every ten seconds, in turns with everything else;
events are told. Of each kind of event there is room for so many bytes, so that a thousand streams that come and go
never push out a change. Who comes and leaves as a client is in the curve of watchers, and not among the events.
"""

import json
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import chain
from operator import itemgetter

import trio
from attrs import define, field, frozen

from mmids_trio.errors import shortened
from mmids_trio.http_api.disk_forecast import Disks
from mmids_trio.http_api.event_feed import EventFeed
from mmids_trio.http_api.event_shapes import event_json
from mmids_trio.moments import rfc3339
from mmids_trio.on_air.directory import OnAir, StreamEntry
from mmids_trio.turns import in_turns
from mmids_trio.workflow.events import ClientJoined, ClientLeft, HubEvent
from mmids_trio.workflow.hub import EventHub

SAMPLE_SECONDS = 10.0
"""Between two looks."""

KEPT_SECONDS = 3600.0

MAX_MOMENTS = int(KEPT_SECONDS / SAMPLE_SECONDS)

MAX_KIND_BYTES = 32 * 1024
"""Of the events of one kind, as JSON: some hundred; 700 KiB of all kinds together."""

MAX_LANES = 200
"""Streams whose states are kept; those that are over go first."""

MAX_SPANS = 20
"""States of one stream that are kept, the newest."""

PER_TURN = 100
"""Streams or clients looked at before everybody else has a turn."""

_KEPT_APART = (ClientJoined, ClientLeft)


@frozen
class Moment:
    """What there was at one time, in seconds since 1970. `bitrate`: of all media that came since the one before."""

    time: float
    bitrate: int
    publishers: int
    watchers: int


@define
class Lane:
    """The states of one stream. `spans`: since when it was what, in seconds since 1970."""

    id: str
    name: str
    workflow: str
    spans: deque[tuple[float, str]] = field(factory=lambda: deque(maxlen=MAX_SPANS))
    ended: float | None = None


@define
class _KindOfEvent:
    """Events of one kind, as they are written; the oldest go."""

    events: deque[tuple[int, float, str]] = field(factory=deque)
    size: int = 0

    def add(self, number: int, time: float, text: str) -> int:
        """Returns how many there is no room for any more."""
        self.events.append((number, time, text))
        self.size += len(text)
        dropped = 0
        while self.size > MAX_KIND_BYTES:
            self.drop_oldest()
            dropped += 1
        return dropped

    def drop_oldest(self) -> None:
        """There is one, and it goes."""
        self.size -= len(self.events.popleft()[2])


@define(eq=False)
class Timeline:
    """See the module. `now`: seconds since 1970; `feed` numbers events as clients of `/events` see them."""

    _on_air: OnAir
    _hub: EventHub
    _feed: EventFeed
    _now: Callable[[], float]
    disks: Disks = field(factory=Disks)
    left_out: int = field(default=0, init=False)
    """Events and streams that there was no room for, ever."""
    _moments: deque[Moment] = field(factory=lambda: deque(maxlen=MAX_MOMENTS), init=False)
    _events: dict[str, _KindOfEvent] = field(factory=dict, init=False)
    _lanes: dict[str, Lane] = field(factory=dict, init=False)
    _bytes: dict[str, int] = field(factory=dict, init=False)
    """Of each stream, at the look before."""
    _looked_at: float | None = field(default=None, init=False)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look and listen until cancelled. The feed has to run before, for its numbers."""
        with self._hub.listening(self.note):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.disks.run)
                task_status.started()
                while True:
                    await self.look()
                    await trio.sleep(SAMPLE_SECONDS)

    async def look(self) -> None:
        """At everything, once."""
        await in_turns(self._look())

    def note(self, event: HubEvent) -> None:
        """Something has happened."""
        if isinstance(event, _KEPT_APART):
            return
        now, number = self._now(), self._feed.history.newest
        text = event_json(event, event_id=self._feed.history.id_of(number), time=rfc3339(now))
        kind = self._events.setdefault(event.wire_name, _KindOfEvent())
        self.left_out += kind.add(number, now, text)

    async def text(self) -> str:
        """All of it as JSON."""
        self._forget(self._now())
        pieces = list[str]()
        for count, piece in enumerate(self._pieces()):
            pieces.append(piece)
            if count % PER_TURN == 0:
                await trio.lowlevel.checkpoint()
        return "".join(pieces)

    # Looks.

    def _look(self) -> Generator[None, None, None]:
        now, clock = self._now(), trio.current_time()
        came, seen = 0, dict[str, int]()
        for count, entry in enumerate(self._on_air.streams(), 1):
            if self._on_air.stream(entry.id) is entry:
                seen[entry.id] = size = entry.meter.bytes
                came += size - self._bytes.get(entry.id, 0)
                self._note_state(entry, now, clock)
            if count % PER_TURN == 0:
                yield
        publishers = watchers = 0
        for count, client in enumerate(self._on_air.clients(), 1):
            is_publisher = client.asked.role == "publisher"
            publishers, watchers = publishers + is_publisher, watchers + (not is_publisher)
            if count % PER_TURN == 0:
                yield
        for lane in self._lanes.values():
            if lane.ended is None and lane.id not in seen:
                lane.ended = now
        if self._looked_at is not None and clock > self._looked_at:
            self._moments.append(Moment(now, round(8 * came / (clock - self._looked_at)), publishers, watchers))
        self._bytes, self._looked_at = seen, clock
        self._forget(now)

    def _note_state(self, entry: StreamEntry, now: float, clock: float) -> None:
        lane = self._lanes.get(entry.id)
        if lane is None:
            if not self._has_room():
                self.left_out += 1
                return
            lane = self._lanes[entry.id] = Lane(entry.id, shortened(entry.name), entry.owner.workflow)
        state = entry.now(clock).state
        if not lane.spans or lane.spans[-1][1] != state:
            # A stream that is new began between the two looks, and its log lines with it.
            lane.spans.append((now, state) if lane.spans else (now - (clock - entry.began_at), state))

    def _has_room(self) -> bool:
        if len(self._lanes) < MAX_LANES:
            return True
        over = next((lane.id for lane in self._lanes.values() if lane.ended is not None), None)
        if over is None:
            return False
        del self._lanes[over]
        self.left_out += 1
        return True

    def _forget(self, now: float) -> None:
        """What is older than an hour."""
        since = now - KEPT_SECONDS
        for kind in self._events.values():
            while kind.events and kind.events[0][1] < since:
                kind.drop_oldest()
        while self._moments and self._moments[0].time < since:
            self._moments.popleft()
        for lane in [lane for lane in self._lanes.values() if lane.ended is not None and lane.ended < since]:
            del self._lanes[lane.id]

    # What is shown.

    def _pieces(self) -> Iterator[str]:
        moments = list(self._moments)
        yield f'{{"seconds": {KEPT_SECONDS:.0f}, "left_out": {self.left_out}'
        for name in ("time", "bitrate", "publishers", "watchers"):
            yield f', "{name}": {json.dumps([getattr(moment, name) for moment in moments])}'
        yield ', "streams": ['
        yield from _joined(json.dumps(_lane(lane)) for lane in list(self._lanes.values()))
        yield '], "events": ['
        found = sorted(chain.from_iterable(kind.events for kind in self._events.values()), key=itemgetter(0))
        yield from _joined(text for _, _, text in found)
        yield "]}\n"


def _lane(lane: Lane) -> dict[str, object]:
    return {
        "id": lane.id,
        "name": lane.name,
        "workflow": lane.workflow,
        "ended": lane.ended,
        "states": [{"since": since, "state": state} for since, state in lane.spans],
    }


def _joined(texts: Iterable[str]) -> Iterator[str]:
    for count, text in enumerate(texts):
        yield f", {text}" if count else text
