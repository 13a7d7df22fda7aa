"""Tells a web service what happens: events are taken from the hub at once, and a task posts them one by one.

The hub never waits for either, so a service that is slow or gone costs the server a bounded queue and nothing else.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from itertools import count
from secrets import token_hex
from urllib.parse import urlsplit

import httpx2
import structlog
import trio
from attrs import define, field

from mmids_trio.backoff import Backoff
from mmids_trio.http_api.event_shapes import event_json
from mmids_trio.webhook.backlog import Backlog, Notice, is_too_old
from mmids_trio.webhook.posting import Poster, PostFailed, render
from mmids_trio.workflow.event_filter import OF_CLIENTS, EventFilter
from mmids_trio.workflow.event_queue import QueuedEvent
from mmids_trio.workflow.events import HubEvent
from mmids_trio.workflow.hub import EventHub

log = structlog.get_logger()

FLUSH_SECONDS = 1.0
"""What the last events of a server may take when it stops."""

RUN_ID_BYTES = 6
"""Enough that two runs of a server have different ids."""


def open_client() -> httpx2.AsyncClient:
    """One client, kept open. Nothing is taken from the environment."""
    return httpx2.AsyncClient(trust_env=False, timeout=None, follow_redirects=False)


@define(eq=False, kw_only=True)
class Webhook:
    """Posts events of `hub` to `url`: those that `wanted` says.

    Where that names no types, those of clients are left out: they could be thousands, and hold up all others.
    """

    hub: EventHub
    url: str
    secret: str | None = field(default=None, repr=False)
    name: str = ""
    """Of its node; none has that of the settings."""
    wanted: EventFilter = field(factory=EventFilter)
    random: Callable[[], float]
    """Numbers from 0 to 1, for the jitter."""
    wall_clock: Callable[[], float] = time.time
    client: Callable[[], httpx2.AsyncClient] = open_client
    backlog: Backlog = field(factory=Backlog, init=False)
    is_failing: bool = field(default=False, init=False)
    """Whether the latest post did not arrive."""
    _is_idle: bool = field(default=True, init=False)
    _stir: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)
    _run_id: str = field(factory=partial(token_hex, RUN_ID_BYTES), init=False)
    _numbers: "count[int]" = field(factory=lambda: count(1), init=False)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Ready when no event escapes any more; until cancelled."""
        structlog.contextvars.bind_contextvars(webhook=self.name or urlsplit(self.url).hostname)
        with self.hub.listening(self._note):
            async with self.client() as client:
                task_status.started()
                await self._post_all(Poster(client, self.url, self.secret, self.wall_clock))

    def _note(self, event: HubEvent) -> None:
        if self.wanted.takes(event) and (self.wanted.types or event.wire_name not in OF_CLIENTS):
            self.backlog.put(event, trio.current_time())
            self._stir.unpark_all()

    def _notice(self, queued: QueuedEvent) -> Notice:
        at = self.wall_clock() - (trio.current_time() - queued.at)
        happened = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
        event, notice_id = queued.event, f"{self._run_id}-{next(self._numbers)}"
        return Notice(notice_id, event.wire_name, happened, event_json(event), queued.at, queued.count)

    async def _post_all(self, poster: Poster) -> None:
        backoff = Backoff(self.random)
        while True:
            queued = self.backlog.take(trio.current_time())
            self._is_idle = queued is None
            if queued is None:
                self._stir.unpark_all()
                await self._stir.park()
            else:
                await self._deliver(self._notice(queued), poster, backoff)

    async def _deliver(self, notice: Notice, poster: Poster, backoff: Backoff) -> None:
        """Try until it has arrived, is refused for good or is too old."""
        while not is_too_old(notice.happened_at, trio.current_time()):
            dropped = self.backlog.dropped
            try:
                await poster.post(render(notice, dropped))
            except PostFailed as failure:
                if failure.is_final:
                    log.warning("webhook refuses an event", type=notice.type, reason=failure.reason)
                    break
                await self._wait(failure, backoff)
                continue
            self.backlog.dropped -= dropped
            backoff.reset()
            self._set_failing(None)
            return
        self.backlog.dropped += notice.count

    async def _wait(self, failure: PostFailed, backoff: Backoff) -> None:
        self._set_failing(failure.reason)
        await trio.sleep(backoff.next_delay())

    def _set_failing(self, reason: str | None) -> None:
        """Said once when it begins and once when it ends, not with every try."""
        was_failing, self.is_failing = self.is_failing, reason is not None
        self._stir.unpark_all()
        if reason is not None and not was_failing:
            log.warning("webhook fails", reason=reason)
        elif reason is None and was_failing:
            log.info("webhook works again", waiting=len(self.backlog))

    async def flush(self) -> None:
        """Wait for the posts of what has happened up to now, `FLUSH_SECONDS` at most, and not for one that fails."""
        with trio.move_on_after(FLUSH_SECONDS):
            while (len(self.backlog) or not self._is_idle) and not self.is_failing:
                await self._stir.park()
