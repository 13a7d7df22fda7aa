"""An executor that is open: from its reactor's start, or a change of its definition, to the last question put to it."""

from contextlib import AbstractAsyncContextManager

import trio
from attrs import define, field

from mmids_trio.reactors.executor import Answer, Executor


@define(eq=False)
class Session:
    """One executor, used by all leases of a reactor; `run` it first."""

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

    async def ask(self, stream_name: str) -> Answer:
        """See `executor.Executor`."""
        self._questions += 1
        try:
            return await self._executor.ask(stream_name)
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
