"""Keeping the newest state on the disk: one task writes, and all changes that wait meanwhile share the next write.

Writing happens in a thread, so that a slow disk holds up those who wait for it and nobody else.  Where the disk takes
nothing, whoever waits is told so, and the task tries again.
"""

from functools import partial
from typing import Protocol

import structlog
import trio
from attrs import define, field, frozen

from mmids_trio.offload import Offload, in_thread
from mmids_trio.state.file import StateError
from mmids_trio.state.record import State
from mmids_trio.state.secrets import StateSecrets
from mmids_trio.state.text import StateText, write

log = structlog.get_logger()

RETRY_SECONDS = 5.0
"""After a write that failed: a disk that was full is noticed soon after there is room, without filling the log."""

SAVE_SECONDS = 10.0
"""How long a change waits for the disk, then its client is told; a healthy disk takes some milliseconds."""

NOT_SAVED = "the change was made but could not be saved, which is tried again; a restart before that would lose it"


class StateTarget(Protocol):
    """What a state is written to."""

    def replace(self, data: bytes) -> None:
        """Put `data` in place of what is there; on return it is durable. Raises `OSError`."""


@frozen
class _Failure:
    version: int
    reason: str


@define(eq=False)
class StateStore:
    """Writes states to `target`, and what their variables stand for to `secrets`, by way of `offload`."""

    _target: StateTarget
    _offload: Offload = in_thread
    _secrets: StateSecrets | None = None
    _latest: State = field(factory=State, init=False)
    _wanted: int = field(default=0, init=False)
    """How many states were given so far."""
    _saved: int = field(default=0, init=False)
    """The number of the last one that is on the disk."""
    _failure: _Failure | None = field(default=None, init=False)
    _work: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)
    _attempted: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)

    def save(self, state: State) -> None:
        """Have this written, in place of any that still waits; returns at once."""
        self._latest = state
        self._wanted += 1
        self._work.unpark_all()

    async def durable(self) -> None:
        """Wait until all that was given to `save` so far is on the disk.

        Raises `StateError` where it cannot be written within `SAVE_SECONDS`; it is tried again later.
        """
        with trio.move_on_after(SAVE_SECONDS):
            await self._durable()
            return
        raise StateError(f"{NOT_SAVED}: the disk has not taken it within {SAVE_SECONDS:.0f} s")

    async def _durable(self) -> None:
        await trio.lowlevel.checkpoint()
        target = self._wanted
        self._work.unpark_all()
        while self._saved < target:
            await self._attempted.park()
            if self._saved < target and self._failure is not None and self._failure.version >= target:
                raise StateError(f"{NOT_SAVED}: {self._failure.reason}")

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write until cancelled."""
        task_status.started()
        while True:
            if self._saved == self._wanted:
                await self._work.park()
                continue
            await self._attempt()
            if self._failure is not None and self._failure.version == self._wanted:
                with trio.move_on_after(RETRY_SECONDS):
                    await self._work.park()

    async def _attempt(self) -> None:
        version, text = self._wanted, write(self._latest)
        try:
            await self._offload(partial(self._put, text))
        except OSError as error:
            self._fail(version, error.strerror or str(error))
        else:
            self._succeed(version)
        self._attempted.unpark_all()

    def _put(self, text: StateText) -> None:
        """Raises `OSError`."""
        if self._secrets is None:
            self._target.replace(text.data)
            return
        self._secrets.add(text.checksum, text.values)
        self._target.replace(text.data)
        self._secrets.settle(text.checksum)

    def _fail(self, version: int, reason: str) -> None:
        if self._failure is None:
            log.error("the state cannot be saved", reason=reason, retry_after=RETRY_SECONDS)
        self._failure = _Failure(version, reason)

    def _succeed(self, version: int) -> None:
        if self._failure is not None:
            log.info("the state is saved again")
        self._saved, self._failure = version, None
