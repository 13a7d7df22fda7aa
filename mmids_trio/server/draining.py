"""A server that is to be emptied: nobody may publish any more, and who is here is asked to connect again elsewhere.

What runs goes on: a client leaves when it likes, and a stream ends with its publisher.  The server counts who is left.
"""

from collections.abc import Callable
from math import inf

import structlog
import trio
from attrs import define, field, frozen

from mmids_trio.http_api.refusals import NotHere
from mmids_trio.http_api.schemas import DrainView
from mmids_trio.on_air.directory import OnAir
from mmids_trio.workflow.events import DrainBegan, DrainEnded, HubEvent

LOOK_SECONDS = 0.25
"""Between two looks at who is left, for who waits."""

ASKED = "asked"
"""Why a server drains that somebody wants to be empty; there may be other reasons besides."""

log = structlog.get_logger()


@define(eq=False)
class Draining:
    """Begins and ends it. `ask_to_move` asks clients to connect again, and says how many; `on_change` is told.

    `free_waiting` lets go of the keys that a cluster's other nodes have to take from now on.
    """

    _on_air: OnAir
    _ask_to_move: Callable[[], int]
    _publish: Callable[[HubEvent], None]
    _free_waiting: Callable[[], None] = lambda: None
    node: str | None = None
    """What the server is called in its cluster."""
    on_change: Callable[[], None] = lambda: None
    _reasons: set[str] = field(factory=set, init=False)
    _asked_to_move: int = field(default=0, init=False)
    _deadline: float = field(default=inf, init=False)

    @property
    def is_draining(self) -> bool:
        """Whether it takes no publishers."""
        return bool(self._reasons)

    def begin(self, deadline_s: float | None = None, why: str = ASKED) -> None:
        """Take no more publishers. Repeating it sets another deadline, and asks those again who are still here.

        `why`: for a reason of its own it is begun once.
        """
        if why != ASKED and why in self._reasons:
            return  # nobody is asked again
        was_draining = self.is_draining
        self._reasons.add(why)
        if why == ASKED:
            self._deadline = inf if deadline_s is None else trio.current_time() + deadline_s
        self._on_air.takes_publishers = False
        self._free_waiting()
        told = self._ask_to_move()
        self._asked_to_move = told if not was_draining else max(self._asked_to_move, told)
        log.info("server drains", reason=why, asked_to_move=told)
        if not was_draining:
            self._publish(DrainBegan(self.node, why, told))
        self.on_change()

    def end(self, why: str = ASKED) -> None:
        """Be there for everybody again, unless there is another reason. Repeating it does nothing."""
        if why not in self._reasons:
            return
        self._reasons.discard(why)
        if why == ASKED:
            self._deadline = inf
        if not self._reasons:
            self._on_air.takes_publishers = True
            log.info("server drains no more")
            self._publish(DrainEnded(self.node))
        self.on_change()

    def view(self) -> DrainView:
        """How far it is."""
        counts = {"publisher": 0, "watcher": 0}
        for client in self._on_air.clients():
            counts[client.asked.role] += 1
        left = max(self._deadline - trio.current_time(), 0.0)
        is_over = self.is_draining and (not any(counts.values()) or left <= 0)
        return DrainView(
            node=self.node,
            draining=self.is_draining,
            over=is_over,
            publishers=counts["publisher"],
            watchers=counts["watcher"],
            asked_to_move=self._asked_to_move if self.is_draining else 0,
            seconds_left=None if left == inf else left,
        )

    async def wait(self, seconds: float) -> DrainView:
        """How far it is when it is over, or after so long."""
        with trio.move_on_after(seconds):
            while True:
                if not self.is_draining or self.view().over:
                    break
                await trio.sleep(LOOK_SECONDS)
        return self.view()


@frozen(eq=False)
class OwnDrain:
    """What `http_api.control.Drains` wants, where there is no cluster: this server alone can be emptied."""

    _draining: Draining

    async def begin(self, node: str | None, deadline: float | None) -> DrainView:
        """See `Drains`."""
        self._check(node)
        await trio.lowlevel.checkpoint()
        self._draining.begin(deadline)
        return self._draining.view()

    async def end(self, node: str | None) -> DrainView:
        """See `Drains`."""
        self._check(node)
        await trio.lowlevel.checkpoint()
        self._draining.end()
        return self._draining.view()

    async def wait(self, node: str | None, seconds: float) -> DrainView:
        """See `Drains`."""
        self._check(node)
        return await self._draining.wait(seconds)

    def _check(self, node: str | None) -> None:
        if node not in (None, self._draining.node):
            raise NotHere(f"this server is in no cluster, so it knows no node '{node}'")
