"""Keeping states: what waits together is written once, and whoever waits learns what the disk said."""

import errno
import os
from collections.abc import Callable
from typing import TypeVar

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.state.file import StateError
from mmids_trio.state.record import State, StateEntry
from mmids_trio.state.store import RETRY_SECONDS, SAVE_SECONDS, StateStore
from mmids_trio.state.text import read


@define(eq=False)
class Paper:
    """A target that remembers what was written, and takes nothing while it `is_full`."""

    written: list[State] = field(factory=list)
    attempts: int = 0
    is_full: bool = False

    def replace(self, data: bytes) -> None:
        self.attempts += 1
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.written.append(read(data, "state"))


Result = TypeVar("Result")


@define(eq=False)
class Gate:
    """How work is run: when the test lets it."""

    waiting: list[trio.Event] = field(factory=list)

    async def __call__(self, work: Callable[[], Result]) -> Result:
        event = trio.Event()
        self.waiting.append(event)
        await event.wait()
        return work()


async def inline(work: Callable[[], Result]) -> Result:
    await trio.lowlevel.checkpoint()
    return work()


def state(*names: str) -> State:
    return State({name: StateEntry(name, None, "0" * 32) for name in names})


async def test_a_state_is_durable_when_it_was_written(nursery: trio.Nursery) -> None:
    paper = Paper()
    store = StateStore(paper, inline)
    await nursery.start(store.run)
    store.save(state("a"))
    await store.durable()
    assert paper.written == [state("a")]


async def test_without_anything_new_nobody_waits(nursery: trio.Nursery) -> None:
    paper = Paper()
    store = StateStore(paper, inline)
    await nursery.start(store.run)
    await store.durable()
    store.save(state("a"))
    await store.durable()
    await store.durable()
    assert paper.attempts == 1


async def test_changes_that_wait_for_a_write_share_the_next_one(nursery: trio.Nursery) -> None:
    paper, gate = Paper(), Gate()
    store = StateStore(paper, gate)
    await nursery.start(store.run)
    durable: list[int] = []

    async def change(number: int) -> None:
        store.save(state(*(str(n) for n in range(number))))
        await store.durable()
        durable.append(number)

    nursery.start_soon(change, 1)
    await wait_all_tasks_blocked()
    for number in range(2, 9):
        nursery.start_soon(change, number)
    await wait_all_tasks_blocked()
    gate.waiting[0].set()
    await wait_all_tasks_blocked()
    assert durable == [1]
    gate.waiting[1].set()
    await wait_all_tasks_blocked()
    assert sorted(durable) == list(range(1, 9))
    assert len(paper.written) == 2


async def test_a_disk_that_takes_nothing_is_reported_to_everybody(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    paper = Paper(is_full=True)
    store = StateStore(paper, inline)
    await nursery.start(store.run)
    store.save(state("a"))
    for _ in range(2):  # nothing new, but still not saved
        with pytest.raises(StateError, match=r"could not be saved, .*: No space left on device"):
            await store.durable()


async def test_it_is_tried_again_until_there_is_room(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    paper = Paper(is_full=True)
    store = StateStore(paper, inline)
    await nursery.start(store.run)
    store.save(state("a"))
    await trio.sleep(RETRY_SECONDS * 2.5)
    assert paper.attempts == 3
    paper.is_full = False
    await trio.sleep(RETRY_SECONDS)
    assert paper.written == [state("a")]
    await store.durable()
    await trio.sleep(RETRY_SECONDS * 5)
    assert paper.attempts == 4


async def test_the_next_change_does_not_wait_for_the_next_try(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    paper = Paper(is_full=True)
    store = StateStore(paper, inline)
    await nursery.start(store.run)
    store.save(state("a"))
    with pytest.raises(StateError):
        await store.durable()
    paper.is_full = False
    store.save(state("a", "b"))
    before = trio.current_time()
    await store.durable()
    assert trio.current_time() == before
    assert paper.written == [state("a", "b")]


async def test_a_failure_is_not_that_of_a_state_given_later(nursery: trio.Nursery) -> None:
    paper, gate = Paper(is_full=True), Gate()
    store = StateStore(paper, gate)
    await nursery.start(store.run)
    store.save(state("a"))
    await wait_all_tasks_blocked()
    store.save(state("b"))
    async with trio.open_nursery() as waiting:
        waiting.start_soon(store.durable)
        await wait_all_tasks_blocked()
        gate.waiting[0].set()
        await wait_all_tasks_blocked()
        paper.is_full = False
        gate.waiting[1].set()
    assert paper.written == [state("b")]


async def test_a_disk_that_hangs_is_not_waited_for_for_ever(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    store = StateStore(Paper(), Gate())
    await nursery.start(store.run)
    store.save(state("a"))
    before = trio.current_time()
    with pytest.raises(StateError, match="has not taken it within 10 s"):
        await store.durable()
    assert trio.current_time() == pytest.approx(before + SAVE_SECONDS)
