"""A lease: the shared answer to one request about a stream, for as long as somebody holds it.

A task of the reactor's asks the executor, makes the workflows follow its answers, tells the holders, and at the
end stops what it has started.  Holders come and go synchronously, from any task.
"""

from collections.abc import Callable
from math import floor, inf

import structlog
import trio
from attrs import define, field, frozen

from mmids_trio.errors import ConfigurationError, MmidsError
from mmids_trio.reactors.executor import Answer, Executor, describe
from mmids_trio.reactors.leased import LeasableWorkflows, LeasedWorkflows, WorkflowBook
from mmids_trio.reactors.line import LinePlace
from mmids_trio.reactors.views import LeaseView, Listener
from mmids_trio.stream_request import StreamRequest
from mmids_trio.workflow.events import ReactorAnswered
from mmids_trio.workflow.status import WorkflowOwner

log = structlog.get_logger()

RETRY_SECONDS = (5, 10)
"""Pauses after the first and the second failed try; the third is the last."""

RELEASE_SECONDS = 5
"""How long the service may take to hear that a stream is not used any more. Who comes next waits for the first try."""


@frozen
class Terms:
    """What all leases of a reactor have in common. `update_interval` is in seconds, 0 for none."""

    reactor: str
    workflows: LeasableWorkflows
    update_interval: int
    allow_on_failure: bool
    listener: Listener
    book: WorkflowBook
    """What the leases run together."""


@define(eq=False)
class Hold:
    """One holder's part in a lease. Whoever got it releases it, whatever happens."""

    _lease: "Lease"
    on_change: Callable[[], None]

    @property
    def is_valid(self) -> bool | None:
        """Whether the stream may be used; `None` before the first answer."""
        return self._lease.is_valid

    @property
    def routable(self) -> tuple[str, ...]:
        """Workflows that streams are routed to, in the order of the last good answer."""
        return self._lease.routable

    async def wait_answer(self) -> None:
        """Wait for the first answer (or the end of the reactor, which counts as "not valid")."""
        await self._lease.answered.wait()

    def release(self) -> None:
        """Let go; a second time does nothing. The last holder's release ends the lease, by tasks of the reactor."""
        self._lease.leave(self)


@define(eq=False)
class Lease:
    """One lease. `run` it once; it ends some time after its last holder has let go, and then `ended` is set."""

    request: StreamRequest
    _terms: Terms
    _place: LinePlace
    """Where it waits for its turn to ask."""
    _predecessor: trio.Event | None
    """Set when the last lease of this request has ended; this one does not ask before."""
    _on_abandoned: Callable[["Lease"], None]
    """Called when the last holder lets go; nobody may join from then on."""
    is_valid: bool | None = field(default=None, init=False)
    routable: tuple[str, ...] = field(default=(), init=False)
    answered: trio.Event = field(factory=trio.Event, init=False)
    ended: trio.Event = field(factory=trio.Event, init=False)
    _holders: list[Hold] = field(factory=list, init=False)
    _asking: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _last_answer: str | None = field(default=None, init=False)
    _last_error: str | None = field(default=None, init=False)
    _failures: int = field(default=0, init=False)
    _next_update: float | None = field(default=None, init=False)
    _renewed: trio.Event = field(factory=trio.Event, init=False)
    """Set when the terms have changed since the last request began."""
    _was_valid: bool = field(default=False, init=False)
    """Whether the service, or `on_failure`, has ever said so."""
    _executor: Executor = field(init=False)
    _leased: LeasedWorkflows = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._leased = LeasedWorkflows(
            self._terms.workflows, WorkflowOwner("reactor", self._terms.reactor, self.stream), self._terms.book
        )

    @property
    def stream(self) -> str:
        """What people know the stream by, without a query: it goes to logs and API."""
        return self.request.key

    # What holders and the API ask of it: synchronous, from any task.

    def join(self, on_change: Callable[[], None]) -> Hold:
        """One holder more."""
        hold = Hold(self, on_change)
        self._holders.append(hold)
        return hold

    def leave(self, hold: Hold) -> None:
        """One holder less, if it was one."""
        if hold in self._holders:
            self._holders.remove(hold)
            if not self._holders:
                self._on_abandoned(self)
                self._asking.cancel()

    def renew(self, terms: Terms) -> None:
        """The reactor has another definition: ask by it, soon."""
        self._terms = terms
        self._renewed.set()

    def refuse(self) -> None:
        """There is no reactor (any more) that could answer."""
        if not self.answered.is_set():
            self.is_valid = False
            self._be_answered()

    def break_off(self) -> None:
        """The lease's task has crashed: what it promised does not hold any more."""
        self._set(is_valid=False, routable=(), text="not valid, as the lease crashed")

    def view(self) -> LeaseView:
        """What the outside may know."""
        return LeaseView(
            self.stream,
            self.request.action,
            len(self._holders),
            self.is_valid,
            self._leased.names,
            self._last_answer,
            self._last_error,
            self._failures,
            None if self._next_update is None else max(0.0, self._next_update - trio.current_time()),
        )

    # Its own task.

    async def run(self, executor: Executor) -> None:
        """Ask until the last holder has let go, then stop what was started.

        Cancelled, it only begins to stop the workflows: their manager sees to the end.
        """
        self._executor = executor
        structlog.contextvars.clear_contextvars()  # of the client that happened to ask first
        structlog.contextvars.bind_contextvars(
            reactor=self._terms.reactor, stream=self.stream, action=self.request.action
        )
        try:
            if self._predecessor is not None:
                await self._predecessor.wait()
            with self._asking:
                await trio.lowlevel.checkpoint_if_cancelled()
                await self._keep_asking()
        except Exception:
            self.break_off()  # at once: the workflows may take a while to stop, and a service to hear of it
            raise
        finally:
            self.refuse()
            try:
                await self._leased.stop_all()
                await self._release()
            finally:
                self.ended.set()

    async def _release(self) -> None:
        """Tell the service that the stream is not used any more; if that fails, some time later again."""
        if not self._was_valid:
            return
        for pause in (*RETRY_SECONDS, None):
            if await self._tells_release():
                return
            self.ended.set()  # who comes next does not wait for a service that is out of order
            if pause is not None:
                await trio.sleep(pause)
        log.error("release given up")

    async def _tells_release(self) -> bool:
        """One try."""
        try:
            with trio.fail_after(RELEASE_SECONDS):
                async with self._place.turn():
                    await self._executor.release(self.request)
        except (MmidsError, trio.TooSlowError) as error:
            log.warning("release failed", error=str(error) or f"no answer within {RELEASE_SECONDS} s")
        except Exception:
            log.exception("release crashed")
        else:
            return True
        return False

    async def _keep_asking(self) -> None:
        due = trio.current_time()
        await self._ask()
        while True:
            due = await self._wait_until_due(due)
            self._renewed = trio.Event()
            await self._ask()

    async def _wait_until_due(self, last: float) -> float:
        """Wait for the time of the next request, which is returned; `last` is the one of the request before."""
        interval = self._terms.update_interval
        missed = floor((trio.current_time() - last) / interval) if interval else 0
        due = last + interval * (missed + 1) if interval else inf
        self._next_update = due if interval else None
        with trio.move_on_at(due):
            await self._renewed.wait()
            due = trio.current_time()
        self._next_update = None
        return due

    async def _ask(self) -> None:
        """One request: up to three tries."""
        for pause in RETRY_SECONDS:
            if await self._succeeds():
                return
            await trio.sleep(pause)
        if not await self._succeeds():
            self._give_up()

    async def _succeeds(self) -> bool:
        """One try. A fault of an executor's must not take a running show off the air."""
        try:
            async with self._place.turn():
                answer = await self._executor.ask(self.request)
            await self._follow(answer)
        except ConfigurationError as error:
            self._note_failure(describe(error))
        except MmidsError as error:
            self._note_failure(str(error))
        except Exception as error:
            log.exception("reactor request crashed")
            self._note_failure(f"the request crashed: {type(error).__name__}")
        else:
            return True
        return False

    async def _follow(self, answer: Answer) -> None:
        if not answer.valid:
            self._leased.want_nothing()
            self._conclude(is_valid=False, routable=(), text="not valid")
            await self._leased.stop_all()
            return
        await self._leased.follow(answer.workflows)
        routable = tuple(workflow.name for workflow in answer.workflows if workflow.routed_by_reactor)
        names = ", ".join(self._leased.names) or "nothing"
        self._conclude(is_valid=True, routable=routable, text=f"valid, to run: {names}")

    def _note_failure(self, message: str) -> None:
        self._last_error = message
        log.warning("reactor request failed", error=message)

    def _give_up(self) -> None:
        """All tries failed: the last good answer stays, and if there was none, the configuration decides."""
        self._failures += 1
        error = self._last_error
        if not self.answered.is_set():
            allowed = self._terms.allow_on_failure
            self._set(is_valid=allowed, routable=(), text=f"{'valid' if allowed else 'not valid'}, as on_failure says")
        log.error("reactor request given up", error=error, failures=self._failures, valid=self.is_valid)
        self._report(error)

    def _conclude(self, *, is_valid: bool, routable: tuple[str, ...], text: str) -> None:
        self._last_error = None
        if (is_valid, text) != (self.is_valid, self._last_answer):
            log.info("reactor answered", answer=text)
        self._set(is_valid=is_valid, routable=routable, text=text)
        self._report(None)

    def _set(self, *, is_valid: bool, routable: tuple[str, ...], text: str) -> None:
        has_changed = (is_valid, routable) != (self.is_valid, self.routable)
        self.is_valid, self.routable, self._last_answer = is_valid, routable, text
        self._was_valid = self._was_valid or is_valid
        if not self.answered.is_set():
            self._be_answered()
        elif has_changed:
            self._tell_holders()

    def _be_answered(self) -> None:
        self._place.settle()
        self.answered.set()

    def _tell_holders(self) -> None:
        """They may let go, and others join, while they are told."""
        for hold in tuple(self._holders):
            if hold in self._holders:
                try:
                    hold.on_change()
                except Exception:
                    log.exception("holder of a reactor's lease crashed")

    def _report(self, error: str | None) -> None:
        self._terms.listener(
            ReactorAnswered(self._terms.reactor, self.stream, self.is_valid, self._leased.names, error)
        )
