"""The orderly end of a child: what it is told, when, and that five seconds are the most it takes."""

import errno
from collections.abc import Callable
from signal import SIGINT, SIGKILL, SIGTERM

import pytest
import trio
from trio.testing import MockClock

from mmids_trio.ffmpeg.process import ChildInput, ChildOutput
from mmids_trio.ffmpeg.stopping import STOP_SECONDS
from mmids_trio.ffmpeg.supervisor import Supervisor
from mmids_trio.testing.processes import PIPE_BYTES, Behaviour, FakeProcess, FakeSpawner

MakeSupervisor = Callable[..., Supervisor]

STUBBORN = Behaviour(signals={}, reads_stdin=False)


async def feed_for_ever(stdin: ChildInput) -> None:
    await trio.sleep_forever()


async def cancel_after(seconds: float, *watched: Supervisor) -> float:
    """Run them side by side; how long they take to end once they are cancelled."""
    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            for one in watched:
                nursery.start_soon(one.run)
    return trio.current_time() - seconds


async def test_a_child_that_is_fed_reads_the_end_of_its_input(
    autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor
) -> None:
    spawner = FakeSpawner([Behaviour(exits_after_end_of_input=0.25)])
    assert await cancel_after(1, supervisor(spawner, feed=feed_for_ever)) == 0.25
    assert spawner.processes[0].signals == []
    spawner.check_nothing_is_left()


async def test_a_child_that_reads_from_elsewhere_is_interrupted(
    autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor
) -> None:
    spawner = FakeSpawner([Behaviour(signals={SIGINT: 0.5})])
    assert await cancel_after(1, supervisor(spawner)) == 0.5
    assert spawner.processes[0].signals == [(1, SIGINT)]
    spawner.check_nothing_is_left()


async def test_one_that_goes_on_is_terminated_after_three_seconds(
    autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor
) -> None:
    spawner = FakeSpawner([Behaviour(signals={SIGTERM: 0.5})])
    assert await cancel_after(1, supervisor(spawner)) == 3.5
    assert spawner.processes[0].signals == [(1, SIGINT), (4, SIGTERM)]


async def test_one_that_ignores_everything_is_killed_after_four(
    autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor
) -> None:
    spawner = FakeSpawner([STUBBORN])
    assert await cancel_after(1, supervisor(spawner, feed=feed_for_ever)) == 4
    assert spawner.processes[0].signals == [(4, SIGTERM), (5, SIGKILL)]
    spawner.check_nothing_is_left()


async def test_one_that_even_survives_sigkill_is_given_up_after_five(
    autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor
) -> None:
    spawner = FakeSpawner([Behaviour(signals={}, survives_sigkill=True)])
    assert await cancel_after(1, supervisor(spawner)) == STOP_SECONDS
    assert spawner.processes[0].is_closed


@pytest.mark.parametrize(
    ("behaviour", "stalls_at", "status"),
    [
        (Behaviour(signals={SIGINT: 2.0}), 1.5, 0),
        (STUBBORN, 1.5, -SIGKILL),
        (STUBBORN, 4.5, -SIGKILL),
        (Behaviour(signals={}, survives_sigkill=True, exits_after=5.5), 5.25, 0),
    ],
    ids=["ends meanwhile", "before SIGTERM is due", "before SIGKILL is due", "after SIGKILL"],
)
async def test_a_child_is_reaped_though_the_loop_was_held_up_until_its_time_was_over(
    autojump_clock: MockClock, supervisor: MakeSupervisor, behaviour: Behaviour, stalls_at: float, status: int
) -> None:
    async def stall() -> None:
        await trio.sleep(stalls_at)
        autojump_clock.jump(10)

    spawner = FakeSpawner([behaviour])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stall)
        assert await cancel_after(1, supervisor(spawner)) < stalls_at + 10
    spawner.check_nothing_is_left()
    assert spawner.processes[0].poll() == status


async def test_many_children_end_side_by_side(autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor) -> None:
    spawner = FakeSpawner([STUBBORN])
    assert await cancel_after(1, *(supervisor(spawner) for _ in range(20))) == 4
    assert len(spawner.processes) == 20
    spawner.check_nothing_is_left()


async def test_a_full_output_does_not_keep_a_child_from_ending(
    autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor
) -> None:
    class WritesBeforeItEnds(FakeSpawner):
        async def spawn(self, *args: object, **kwargs: object) -> FakeProcess:
            process = await super().spawn(["x"], stdin=True, stdout=True)
            assert process.stdout is not None
            process.stdout.write(b"x" * 10 * PIPE_BYTES)
            return process

    async def read(stdout: ChildOutput) -> None:
        await trio.sleep_forever()  # the step behind takes nothing

    spawner = WritesBeforeItEnds([Behaviour(exits_after_end_of_input=0.5)])
    assert await cancel_after(1, supervisor(spawner, feed=feed_for_ever, read=read)) == 0.5
    process = spawner.processes[0]
    assert process.stdout is not None
    assert process.stdout.unread == 0


async def test_what_a_child_says_at_its_end_is_logged(
    autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor
) -> None:
    watched = supervisor(FakeSpawner([Behaviour(signals={SIGINT: 1.0}, stderr=[(1.5, b"finishing\n")])]))
    await cancel_after(1, watched)
    assert " finishing\n" in watched.stderr.path.read_text()
    assert watched.state.message is None


async def test_cancelling_the_backoff_ends_at_once(autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor) -> None:
    spawner = FakeSpawner([Behaviour(exits_after=0)])
    assert await cancel_after(0.25, supervisor(spawner)) == 0
    spawner.check_nothing_is_left()


async def test_when_the_feed_ends_the_child_finishes_and_is_not_started_again(
    autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor
) -> None:
    received = bytearray()

    async def feed(stdin: ChildInput) -> None:
        await stdin.send_all(b"the last picture")

    async def read(stdout: ChildOutput) -> None:
        while data := await stdout.receive_some(100):
            received.extend(data)

    spawner = FakeSpawner([Behaviour(echoes=True, exits_after_end_of_input=2, stdout=[(1.5, b", flushed")])])
    watched = supervisor(spawner, feed=feed, read=read)
    await watched.run()
    assert (trio.current_time(), bytes(received)) == (2, b"the last picture, flushed")
    assert (len(spawner.processes), watched.state.message) == (1, None)
    spawner.check_nothing_is_left()


async def test_a_child_that_does_not_finish_after_its_feed_is_killed_in_time(
    autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor
) -> None:
    async def feed(stdin: ChildInput) -> None:
        await stdin.send_all(b"x")

    spawner = FakeSpawner([STUBBORN])
    await supervisor(spawner, feed=feed).run()
    assert spawner.processes[0].signals == [(3, SIGTERM), (4, SIGKILL)]
    spawner.check_nothing_is_left()


async def test_cancellation_while_a_child_finishes_does_not_give_it_more_time(
    autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor
) -> None:
    async def feed(stdin: ChildInput) -> None:
        await stdin.send_all(b"x")

    spawner = FakeSpawner([STUBBORN])
    assert await cancel_after(2, supervisor(spawner, feed=feed)) == 2
    assert spawner.processes[0].signals == [(3, SIGTERM), (4, SIGKILL)]


async def test_finish_lets_a_stuck_feed_have_five_seconds(
    autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor
) -> None:
    spawner = FakeSpawner([Behaviour()])
    watched = supervisor(spawner, feed=feed_for_ever)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watched.run)
        await trio.sleep(1)
        watched.finish()
    assert trio.current_time() == 6
    spawner.check_nothing_is_left()


async def test_finish_interrupts_a_child_without_a_feed_at_once(
    autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor
) -> None:
    spawner = FakeSpawner([Behaviour()])
    watched = supervisor(spawner)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watched.run)
        await trio.sleep(1)
        watched.finish()
    assert trio.current_time() == 1
    assert spawner.processes[0].signals == [(1, SIGINT)]


async def test_finish_ends_the_backoff(autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor) -> None:
    spawner = FakeSpawner([Behaviour(exits_after=0)])
    watched = supervisor(spawner)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watched.run)
        await trio.sleep(0.25)
        watched.finish()
    assert (trio.current_time(), spawner.attempts) == (0.25, [0])


async def test_finish_before_the_run_leaves_one_child_to_take_what_the_feed_holds(
    autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor
) -> None:
    async def feed(stdin: ChildInput) -> None:
        await trio.sleep(1)
        await stdin.send_all(b"last words")

    spawner = FakeSpawner([Behaviour()])
    watched = supervisor(spawner, feed=feed)
    watched.finish()
    await watched.run()
    [child] = spawner.processes
    assert child.stdin is not None
    assert (trio.current_time(), bytes(child.stdin.received)) == (1, b"last words")
    assert child.signals == []


async def test_finish_before_the_run_does_not_try_again_when_no_child_can_be_started(
    autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor
) -> None:
    spawner = FakeSpawner([Behaviour(cannot_start=errno.EAGAIN)])
    watched = supervisor(spawner, feed=feed_for_ever)
    watched.finish()
    await watched.run()
    assert (trio.current_time(), spawner.attempts) == (0, [0])
