"""Bans over a restart: they are kept in a file beside the state, whole, whenever one is made or lifted.

Apart from the state, which is a configuration that people read and copy; a ban is neither.
"""

from contextlib import suppress
from pathlib import Path

import structlog
import trio
from attrs import define, field

from mmids_trio.offload import Offload, in_thread
from mmids_trio.on_air.bans import Bans
from mmids_trio.state.file import StateError, StateFile
from mmids_trio.state.store import RETRY_SECONDS, SAVE_SECONDS

SUFFIX = ".bans"

log = structlog.get_logger()


@define(eq=False)
class KeptBans:
    """Keeps `bans` in `file`. `load` before `run`; the state's lock is held all the while."""

    bans: Bans
    file: StateFile
    _offload: Offload = in_thread
    _changes: int = field(default=0, init=False)
    """How often somebody was banned, or a ban was lifted, so far."""
    _tried: int = field(default=0, init=False)
    """The number of the last change that a write was tried for, which is over."""
    _saved: int = field(default=0, init=False)
    """The number of the last one that is on the disk."""
    _work: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)
    _attempted: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)

    @classmethod
    def beside(cls, state: Path, bans: Bans, offload: Offload) -> "KeptBans":
        """Those of the server whose state file that is."""
        return cls(bans, StateFile(state.with_name(state.name + SUFFIX)), offload)

    def load(self) -> None:
        """Take those of the server before. Raises `StateError`."""
        with suppress(OSError):
            self.file.clean()
        data = self.file.read()
        if data is not None:
            try:
                self.bans.read(data)
            except ValueError as error:
                raise StateError(f"cannot read the bans in {self.file.path}: {error}") from None
        self.bans.on_change = self._note

    def _note(self) -> None:
        self._changes += 1
        self._work.unpark_all()

    async def durable(self) -> None:
        """Wait until all bans so far are on the disk, or the disk has failed, which the log says; not for ever."""
        await trio.lowlevel.checkpoint()
        wanted = self._changes
        with trio.move_on_after(SAVE_SECONDS):
            while self._tried < wanted:
                await self._attempted.park()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write until cancelled."""
        task_status.started()
        while True:
            if self._saved == self._changes:
                await self._work.park()
            await self._attempt()
            if self._saved < self._tried == self._changes:
                with trio.move_on_after(RETRY_SECONDS):
                    await self._work.park()

    async def _attempt(self) -> None:
        number, data = self._changes, self.bans.write()
        has_failed = self._saved < self._tried
        try:
            await self._offload(lambda: self.file.replace(data))
        except OSError as error:
            if not has_failed:
                log.error("bans cannot be saved", reason=error.strerror or str(error), retry_after=RETRY_SECONDS)
        else:
            if has_failed:
                log.info("bans are saved again")
            self._saved = number
        self._tried = number
        self._attempted.unpark_all()
