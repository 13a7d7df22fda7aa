"""A reactor at work: a nursery whose children are leases, one a stream, shared by all who ask about it."""

from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from functools import partial

import structlog
import trio

from mmids_trio.definitions import ReactorDefinition
from mmids_trio.reactors.executor import Executor
from mmids_trio.reactors.lease import Hold, Lease, Terms
from mmids_trio.reactors.leased import Workflows
from mmids_trio.reactors.views import Listener, ReactorView, nobody

log = structlog.get_logger()


class Reactor:
    """One reactor; `executor` is opened when it runs and closed when it ends."""

    def __init__(
        self,
        definition: ReactorDefinition,
        executor: AbstractAsyncContextManager[Executor],
        workflows: Workflows,
        *,
        allow_on_failure: bool = False,
        listener: Listener = nobody,
    ) -> None:
        self._definition = definition
        self._executor = executor
        self._terms = Terms(definition.name, workflows, definition.update_interval, allow_on_failure, listener)
        self._start_lease: Callable[[Lease], None] | None = None
        """Starts a lease's task; `None` while the reactor does not run."""
        self._leases: dict[str, Lease] = {}
        """Those that are held, by stream."""
        self._ending: dict[str, Lease] = {}
        """The last one of each stream that has no holder any more but has not ended."""

    @property
    def name(self) -> str:
        """The name in the configuration."""
        return self._definition.name

    @property
    def leased(self) -> Collection[str]:
        """Streams with a lease that has not ended, those included that nobody holds any more."""
        return [*self._leases, *(stream for stream in self._ending if stream not in self._leases)]

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own the leases until cancelled."""
        async with self._executor as executor, trio.open_nursery() as nursery:
            self._start_lease = partial(self._start, nursery, executor)
            try:
                task_status.started()
                await trio.sleep_forever()
            finally:
                self._start_lease = None  # before the nursery closes to newcomers

    def hold(self, stream_name: str, on_change: Callable[[], None]) -> Hold:
        """Begin or join the lease of a stream; returns at once.

        `on_change` is called, synchronously and in a task of the reactor's, whenever validity or routable
        workflows have changed after the first answer.  A reactor that does not run answers "not valid".
        """
        lease = self._leases.get(stream_name) or self._begin(stream_name)
        return lease.join(on_change)

    def _begin(self, stream: str) -> Lease:
        before = self._ending.get(stream)
        lease = Lease(stream, self._terms, None if before is None else before.ended, self._retire)
        if self._start_lease is None:
            lease.refuse()
            return lease
        self._leases[stream] = lease
        self._start_lease(lease)
        return lease

    def _start(self, nursery: trio.Nursery, executor: Executor, lease: Lease) -> None:
        nursery.start_soon(self._run_lease, executor, lease)

    async def _run_lease(self, executor: Executor, lease: Lease) -> None:
        """The wall around a lease: a fault of ours in one must not end the others."""
        try:
            await lease.run(executor)
        except* Exception:
            log.exception("lease crashed", reactor=self.name, stream=lease.stream)
            lease.break_off()
        finally:
            self._forget(lease)

    def _retire(self, lease: Lease) -> None:
        """The last holder has let go."""
        if self._leases.get(lease.stream) is lease:
            del self._leases[lease.stream]
            self._ending[lease.stream] = lease

    def _forget(self, lease: Lease) -> None:
        for leases in (self._leases, self._ending):
            if leases.get(lease.stream) is lease:
                del leases[lease.stream]

    def view(self) -> ReactorView:
        """What the outside may know."""
        leases = tuple(lease.view() for lease in self._leases.values())
        return ReactorView(self.name, self._definition.executor, self._definition.update_interval, leases)
