"""Tells a web service what happens: one task takes events from the hub at once, another posts them one by one.

The hub never waits for either, so a service that is slow or gone costs the server a bounded queue and nothing else.
"""

import time
from collections.abc import Callable, Collection
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
from mmids_trio.workflow.events import HubEvent
from mmids_trio.workflow.hub import EventHub, Subscription

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
    """Posts events of `hub` to `url`; those of the `types` alone, where there are any."""

    hub: EventHub
    url: str
    secret: str | None = field(default=None, repr=False)
    types: Collection[str] = ()
    random: Callable[[], float]
    """Numbers from 0 to 1, for the jitter."""
    wall_clock: Callable[[], float] = time.time
    client: Callable[[], httpx2.AsyncClient] = open_client
    backlog: Backlog = field(factory=Backlog, init=False)
    is_failing: bool = field(default=False, init=False)
    """Whether the latest post did not arrive."""
    _subscription: Subscription | None = field(default=None, init=False)
    _missed: int = field(default=0, init=False)
    _is_idle: bool = field(default=True, init=False)
    _stir: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)
    _run_id: str = field(factory=partial(token_hex, RUN_ID_BYTES), init=False)
    _numbers: "count[int]" = field(factory=lambda: count(1), init=False)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Ready when no event escapes any more; until cancelled."""
        structlog.contextvars.bind_contextvars(webhook=urlsplit(self.url).hostname)
        with self.hub.subscribe() as self._subscription:
            async with self.client() as client, trio.open_nursery() as nursery:
                nursery.start_soon(self._post_all, Poster(client, self.url, self.secret, self.wall_clock))
                task_status.started()
                async for event in self._subscription:
                    self._note([event])

    def _note(self, events: Collection[HubEvent]) -> None:
        assert self._subscription is not None
        self.backlog.dropped += self._subscription.missed - self._missed
        self._missed = self._subscription.missed
        for event in events:
            if not self.types or event.wire_name in self.types:
                self.backlog.put(self._notice(event))
        self._stir.unpark_all()

    def _notice(self, event: HubEvent) -> Notice:
        happened = datetime.fromtimestamp(self.wall_clock(), UTC).isoformat(timespec="milliseconds")
        number = next(self._numbers)
        return Notice(f"{self._run_id}-{number}", event.wire_name, happened, event_json(event), trio.current_time())

    async def _post_all(self, poster: Poster) -> None:
        backoff = Backoff(self.random)
        while True:
            notice = self.backlog.take(trio.current_time())
            self._is_idle = notice is None
            if notice is None:
                self._stir.unpark_all()
                await self._stir.park()
            else:
                await self._deliver(notice, poster, backoff)

    async def _deliver(self, notice: Notice, poster: Poster, backoff: Backoff) -> None:
        """Try until it has arrived, is refused for good or is too old."""
        while not is_too_old(notice, trio.current_time()):
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
        self.backlog.dropped += 1

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
        if self._subscription is None:
            return
        self._note(self._subscription.take())
        with trio.move_on_after(FLUSH_SECONDS):
            while (len(self.backlog) or not self._is_idle) and not self.is_failing:
                await self._stir.park()
