"""A reactor at work: a nursery whose children are leases, one a request, shared by all who ask the same."""

from collections.abc import Callable, Collection, Hashable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager

import structlog
import trio
from attrs import define, evolve, field

from mmids_trio.definitions import ReactorDefinition
from mmids_trio.reactors.asker import Asker
from mmids_trio.reactors.executor import Answer, CommonParameters, Executor, ExecutorFailure
from mmids_trio.reactors.lease import Hold, Lease, Terms
from mmids_trio.reactors.leased import LeasableWorkflows, WorkflowBook
from mmids_trio.reactors.line import QuestionLine
from mmids_trio.reactors.views import Listener, ReactorView, nobody
from mmids_trio.stream_request import StreamRequest

USUAL = CommonParameters()

log = structlog.get_logger()


@define(eq=False)
class ExecutorSession:
    """An executor that is open: from its reactor's start, or a change of its definition, to its last question.

    All leases of a reactor use it. `run` it first.
    """

    _context: AbstractAsyncContextManager[Executor]
    _executor: Executor = field(init=False)
    _questions: int = field(default=0, init=False)
    _is_closing: bool = field(default=False, init=False)
    _unused: trio.Event = field(factory=trio.Event, init=False)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the executor open until it is closed and what was asked is answered."""
        async with self._context as self._executor:
            task_status.started()
            await self._unused.wait()

    async def ask(self, request: StreamRequest) -> Answer:
        """See `executor.Executor`."""
        with self._in_use():
            return await self._executor.ask(request)

    async def release(self, request: StreamRequest) -> None:
        """See `executor.Executor`."""
        with self._in_use():
            await self._executor.release(request)

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        self._questions += 1
        try:
            yield
        finally:
            self._questions -= 1
            self._end_if_unused()

    def close(self) -> None:
        """Nothing more is going to be asked. Synchronous."""
        self._is_closing = True
        self._end_if_unused()

    def _end_if_unused(self) -> None:
        if self._is_closing and not self._questions:
            self._unused.set()


class Reactor:
    """One reactor; `executor` is opened when it runs, and closed when it ends or another has taken its place."""

    def __init__(
        self,
        definition: ReactorDefinition,
        executor: AbstractAsyncContextManager[Executor],
        workflows: LeasableWorkflows,
        *,
        common: CommonParameters = USUAL,
        listener: Listener = nobody,
    ) -> None:
        self._definition = definition
        self._session = ExecutorSession(executor)
        self._scope = trio.CancelScope()
        self._query_per_watcher = common.query_per_watcher
        self._terms = Terms(
            definition.name, workflows, definition.update_interval, common.allow_on_failure, listener, WorkflowBook()
        )
        self._line = QuestionLine()
        self._nursery: trio.Nursery | None = None
        """Of leases and sessions; `None` while the reactor does not run."""
        self._leases: dict[Hashable, Lease] = {}
        """Those that are held, by the request's identity."""
        self._ending: dict[Hashable, Lease] = {}
        """The last one of each that has no holder any more but has not ended."""

    @property
    def definition(self) -> ReactorDefinition:
        """What it runs by now."""
        return self._definition

    @property
    def name(self) -> str:
        """The name in the configuration."""
        return self._definition.name

    @property
    def lease_count(self) -> int:
        """Streams that somebody holds a lease for."""
        return len(self._leases)

    @property
    def questions(self) -> int:
        """Questions to the service that are being asked, or wait for their turn."""
        return self._line.at_once + self._line.waiting

    @property
    def leased(self) -> Collection[str]:
        """Streams with a lease that has not ended, those included that nobody holds any more."""
        return list(dict.fromkeys(lease.stream for lease in (*self._leases.values(), *self._ending.values())))

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own the leases until cancelled."""
        with self._scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._session.run)
                self._nursery = nursery
                try:
                    task_status.started()
                    await trio.sleep_forever()
                finally:
                    self._nursery = None  # before the nursery closes to newcomers

    def stop(self) -> None:
        """Begin the end: what leases run is stopped, and who still asks hears "not valid"."""
        self._nursery = None
        self._scope.cancel()

    async def open(self, executor: AbstractAsyncContextManager[Executor]) -> ExecutorSession:
        """Open another executor, for `renew`. Raises `ExecutorFailure` where the reactor does not run."""
        if self._nursery is None:
            raise ExecutorFailure(f"reactor '{self.name}' does not run")
        session = ExecutorSession(executor)
        try:
            await self._nursery.start(session.run)
        except BaseException:
            session.close()
            raise
        return session

    def renew(self, definition: ReactorDefinition, session: ExecutorSession, common: CommonParameters) -> None:
        """Go on under another definition: leases stay, and soon ask anew. Synchronous."""
        self._session.close()
        self._session, self._definition = session, definition
        self._query_per_watcher = common.query_per_watcher
        self._terms = evolve(
            self._terms, update_interval=definition.update_interval, allow_on_failure=common.allow_on_failure
        )
        for lease in (*self._leases.values(), *self._ending.values()):
            lease.renew(self._terms)

    async def ask(self, request: StreamRequest) -> Answer:
        """Ask the present executor; see `executor.Executor`."""
        return await self._session.ask(request)

    async def release(self, request: StreamRequest) -> None:
        """Tell the present executor; see `executor.Executor`."""
        await self._session.release(request)

    def hold(self, request: StreamRequest, on_change: Callable[[], None], asker: Asker) -> Hold:
        """Begin or join the lease of a request; returns at once.

        Publishers share one if their full names are the same, watchers if their keys are, or their full names where
        the reactor is to be asked about each.

        `on_change` is called, synchronously and in a task of the reactor's, whenever validity or routable
        workflows have changed after the first answer.  A reactor that does not run answers "not valid".
        Raises `TooManyQuestions` where `asker` has so many without an answer; who joins a lease asks nothing.
        """
        if request.action == "watch" and not self._query_per_watcher:
            request = request.of_anybody
        lease = self._leases.get(request.identity) or self._begin(request, asker)
        return lease.join(on_change)

    def _begin(self, request: StreamRequest, asker: Asker) -> Lease:
        before, place = self._ending.get(request.identity), self._line.place(asker)
        lease = Lease(request, self._terms, place, None if before is None else before.ended, self._retire)
        if self._nursery is None:
            lease.refuse()
            return lease
        self._leases[request.identity] = lease
        self._nursery.start_soon(self._run_lease, lease)
        return lease

    async def _run_lease(self, lease: Lease) -> None:
        """The wall around a lease: a fault of ours in one must not end the others."""
        try:
            await lease.run(self)
        except* Exception:
            log.exception("lease crashed", reactor=self.name, stream=lease.stream)
            lease.break_off()
        finally:
            self._forget(lease)

    def _retire(self, lease: Lease) -> None:
        """The last holder has let go."""
        identity = lease.request.identity
        if self._leases.get(identity) is lease:
            del self._leases[identity]
            self._ending[identity] = lease

    def _forget(self, lease: Lease) -> None:
        for leases in (self._leases, self._ending):
            if leases.get(lease.request.identity) is lease:
                del leases[lease.request.identity]

    def view(self) -> ReactorView:
        """What the outside may know."""
        leases = tuple(lease.view() for lease in self._leases.values())
        return ReactorView(self.name, self._definition.executor, self._definition.update_interval, leases)
