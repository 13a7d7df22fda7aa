"""Noticing changes of a file: every one, once, and only when it is whole."""

import os
from pathlib import Path

import trio
from attrs import define, field
from trio.testing import MockClock

from mmids_trio.reload.watch import LOOK_SECONDS, look_at, watch


@define(eq=False)
class Watched:
    """What a file looks like, and how often a change was noticed."""

    looks: object = 1
    noticed: list[float] = field(factory=list)

    def look(self) -> object:
        return self.looks

    def on_change(self) -> None:
        self.noticed.append(trio.current_time())


async def test_a_change_is_noticed_once_when_it_has_come_to_rest(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    watched = Watched()
    start = trio.current_time()
    await nursery.start(watch, watched.look, watched.on_change)
    await trio.sleep(10.5 * LOOK_SECONDS)
    watched.looks = 2
    await trio.sleep(LOOK_SECONDS)
    watched.looks = 3
    await trio.sleep(10 * LOOK_SECONDS)
    assert watched.noticed == [start + 13 * LOOK_SECONDS]


async def test_a_file_that_is_gone_for_a_while_is_no_change(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    watched = Watched()
    await nursery.start(watch, watched.look, watched.on_change)
    for looks in (None, 1, None, 2):
        watched.looks = looks
        await trio.sleep(5 * LOOK_SECONDS)
    assert len(watched.noticed) == 1


def test_a_file_looks_different_when_it_is_written_or_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    look = look_at(path)
    assert look() is None
    path.write_text("one")
    os.utime(path, ns=(1, 1))
    first = look()
    assert look() == first
    path.write_text("two")
    os.utime(path, ns=(2, 2))
    second = look()
    other = tmp_path / "other"
    other.write_text("two")
    os.utime(other, ns=(2, 2))
    other.replace(path)
    assert len({first, second, look()}) == 3
