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
    _is_saved: bool = field(default=True, init=False)
    _failed: bool = field(default=False, init=False)
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
        self._is_saved = False
        self._work.unpark_all()

    async def durable(self) -> None:
        """Wait until all bans are on the disk, or the disk has failed, which the log says; not for ever."""
        await trio.lowlevel.checkpoint()
        with trio.move_on_after(SAVE_SECONDS):
            while not self._is_saved and not self._failed:
                await self._attempted.park()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write until cancelled."""
        task_status.started()
        while True:
            if self._is_saved:
                await self._work.park()
            await self._attempt()
            if self._failed:
                with trio.move_on_after(RETRY_SECONDS):
                    await self._work.park()

    async def _attempt(self) -> None:
        data, self._is_saved = self.bans.write(), True
        try:
            await self._offload(lambda: self.file.replace(data))
        except OSError as error:
            if not self._failed:
                log.error("bans cannot be saved", reason=error.strerror or str(error), retry_after=RETRY_SECONDS)
            self._is_saved, self._failed = False, True
        else:
            self._failed = False
        self._attempted.unpark_all()
