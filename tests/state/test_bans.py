"""Bans over a restart: an answer waits until its ban is on the disk, and a disk that fails is tried again."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
import trio
from attrs import define, field
from structlog.typing import EventDict
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.on_air.bans import Bans
from mmids_trio.state.bans import KeptBans
from mmids_trio.state.file import StateError
from mmids_trio.state.store import RETRY_SECONDS, SAVE_SECONDS

Result = TypeVar("Result")


@define(eq=False)
class Disk:
    """How work is run: while it `is_slow`, when `go_on` is called; while it `is_full`, in vain."""

    is_slow: bool = False
    is_full: bool = False
    writes: int = 0
    _waiting: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot)

    async def __call__(self, work: Callable[[], Result]) -> Result:
        self.writes += 1
        await trio.lowlevel.checkpoint()
        if self.is_slow:
            await self._waiting.park()
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return work()

    def go_on(self) -> None:
        self._waiting.unpark()


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def kept(tmp_path: Path, disk: Disk) -> KeptBans:
    bans = KeptBans.beside(tmp_path / "state", Bans(nonce="a"), disk)
    bans.load()
    return bans


def banned(kept: KeptBans) -> list[str | None]:
    """Whom a server that starts now would keep out."""
    again = Bans(nonce="b")
    KeptBans(again, kept.file).load()
    return [ban.address for ban in again.all()]


@pytest.mark.schedules(20)
async def test_who_waits_for_a_ban_waits_for_the_write_that_has_begun(
    kept: KeptBans, disk: Disk, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    disk.is_slow = True
    await nursery.start(kept.run)
    kept.bans.ban_address("192.0.2.1", 60)
    told: list[str] = []

    async def wait(name: str) -> None:
        await kept.durable()
        told.append(name)

    nursery.start_soon(wait, "at once")
    await wait_all_tasks_blocked()
    nursery.start_soon(wait, "while it is written")
    await wait_all_tasks_blocked()
    assert (told, disk.writes) == ([], 1)
    disk.go_on()
    await wait_all_tasks_blocked()
    assert (sorted(told), banned(kept)) == (["at once", "while it is written"], ["192.0.2.1"])
    nursery.cancel_scope.cancel()


async def test_a_ban_that_is_made_during_a_write_has_one_of_its_own(
    kept: KeptBans, disk: Disk, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    disk.is_slow = True
    await nursery.start(kept.run)
    kept.bans.ban_address("192.0.2.1", 60)
    await wait_all_tasks_blocked()
    kept.bans.ban_address("192.0.2.2", 60)
    disk.go_on()
    await wait_all_tasks_blocked()
    assert (disk.writes, banned(kept)) == (2, ["192.0.2.1"])
    disk.is_slow = False
    disk.go_on()
    await kept.durable()
    assert banned(kept) == ["192.0.2.1", "192.0.2.2"]
    nursery.cancel_scope.cancel()


async def test_without_anything_new_nothing_is_written_and_nobody_waits(
    kept: KeptBans, disk: Disk, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    await nursery.start(kept.run)
    await kept.durable()
    assert disk.writes == 0
    ban = kept.bans.ban_address("192.0.2.1", 60)
    await kept.durable()
    await kept.durable()
    assert (disk.writes, banned(kept)) == (1, ["192.0.2.1"])
    kept.bans.lift(ban.id)
    await kept.durable()
    assert (disk.writes, banned(kept)) == (2, [])
    assert trio.current_time() == 0
    nursery.cancel_scope.cancel()


async def test_a_full_disk_keeps_nobody_waiting_and_is_tried_again(
    kept: KeptBans, disk: Disk, nursery: trio.Nursery, autojump_clock: MockClock, logs: list[EventDict]
) -> None:
    disk.is_full = True
    await nursery.start(kept.run)
    kept.bans.ban_address("192.0.2.1", 60)
    await kept.durable()
    assert trio.current_time() == 0
    await trio.sleep(2.5 * RETRY_SECONDS)
    assert (disk.writes, banned(kept)) == (3, [])
    disk.is_full = False
    await trio.sleep(RETRY_SECONDS)
    assert (disk.writes, banned(kept)) == (4, ["192.0.2.1"])
    await trio.sleep(10 * RETRY_SECONDS)
    kept.bans.ban_address("192.0.2.2", 60)
    await kept.durable()
    assert disk.writes == 5
    assert [(line["log_level"], line["event"]) for line in logs] == [
        ("error", "bans cannot be saved"),
        ("info", "bans are saved again"),
    ]
    nursery.cancel_scope.cancel()


async def test_nobody_waits_for_ever_for_a_disk_that_says_nothing(
    kept: KeptBans, disk: Disk, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    disk.is_slow = True
    await nursery.start(kept.run)
    kept.bans.ban_address("192.0.2.1", 60)
    await kept.durable()
    assert trio.current_time() == SAVE_SECONDS
    nursery.cancel_scope.cancel()


def test_what_a_crash_has_left_is_removed(kept: KeptBans) -> None:
    kept.file.temporary.write_bytes(b"half")
    kept.load()
    assert not kept.file.temporary.exists()


def test_bans_that_cannot_be_read_are_refused_with_the_file(kept: KeptBans) -> None:
    kept.file.replace(b"{}")
    with pytest.raises(StateError, match=f"cannot read the bans in {kept.file.path}"):
        kept.load()
