"""Children that end unasked: when they are started again, and what is told about them."""

import errno
from collections.abc import Callable
from signal import SIGKILL

import pytest
import trio
from structlog.testing import capture_logs

from mmids_trio.errors import ProtocolError, StepError
from mmids_trio.ffmpeg.child import FLOOD_PAUSE_SECONDS, STDERR_READ
from mmids_trio.ffmpeg.feeding import NextChild
from mmids_trio.ffmpeg.process import ChildInput, ChildOutput
from mmids_trio.ffmpeg.state import ChildPhase
from mmids_trio.ffmpeg.stderr_log import MAX_BYTES_BURST, MAX_LINES_BURST, MAX_LINES_RATE
from mmids_trio.ffmpeg.supervisor import Supervisor
from mmids_trio.testing.processes import Behaviour, FakeSpawner

MakeSupervisor = Callable[..., Supervisor]

DIES_AT_ONCE = Behaviour(exits_after=0.0, exit_status=1, stderr=[(0.0, b"Connection refused\n")])


async def run_for(seconds: float, watched: Supervisor) -> None:
    with trio.move_on_after(seconds):
        await watched.run()


async def test_delays_grow_from_start_to_start(autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor) -> None:
    spawner = FakeSpawner([DIES_AT_ONCE])
    await run_for(100, supervisor(spawner))
    assert spawner.attempts == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 61.5, 91.5]
    spawner.check_nothing_is_left()


async def test_chance_shortens_the_delays(autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor) -> None:
    spawner = FakeSpawner([DIES_AT_ONCE])
    numbers = iter([1.0, 0.5, 0.0, 0.0])
    await run_for(4, supervisor(spawner, random=lambda: next(numbers)))
    assert spawner.attempts == pytest.approx([0, 0.4, 1.3, 3.3])


async def test_a_minute_of_health_makes_the_delays_begin_anew(
    autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor
) -> None:
    spawner = FakeSpawner([DIES_AT_ONCE, DIES_AT_ONCE, Behaviour(exits_after=60.5), DIES_AT_ONCE])
    await run_for(64, supervisor(spawner))
    assert spawner.attempts == [0, 0.5, 1.5, 62.5, 63.5]


async def test_less_than_a_minute_does_not(autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor) -> None:
    spawner = FakeSpawner([DIES_AT_ONCE, DIES_AT_ONCE, Behaviour(exits_after=59.5)])
    await run_for(64, supervisor(spawner))
    assert spawner.attempts == [0, 0.5, 1.5, 63]


async def test_health_clears_the_message(autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor) -> None:
    watched = supervisor(FakeSpawner([DIES_AT_ONCE, Behaviour()]))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watched.run)
        await trio.sleep(60)
        assert watched.state.message == "ffmpeg exited with status 1\nConnection refused"
        await trio.sleep(1)
        assert watched.state.message is None
        nursery.cancel_scope.cancel()


async def test_the_state_tells_what_goes_on(autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor) -> None:
    watched = supervisor(FakeSpawner([Behaviour(exits_after=10), Behaviour()], takes=1.0))
    state = watched.state
    seen = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watched.run)
        for pause in (0.5, 1, 9.75, 0.75, 1):
            await trio.sleep(pause)
            seen.append((state.phase, state.pid, state.restarts))
        nursery.cancel_scope.cancel()
    assert seen == [
        (ChildPhase.STARTING, None, 0),
        (ChildPhase.RUNNING, 1000, 0),
        (ChildPhase.BACKING_OFF, None, 0),
        (ChildPhase.STARTING, None, 1),
        (ChildPhase.RUNNING, 1001, 1),
    ]
    assert (state.phase, state.pid) == (ChildPhase.STOPPED, None)


async def test_the_reason_is_logged_and_kept_with_the_last_lines(
    autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor
) -> None:
    script = [(0.0, b"opening rtmp://host/live/sesame\n"), (1.0, b"rtmp://host/live/sesame: timed out")]
    watched = supervisor(FakeSpawner([Behaviour(exits_after=1, exit_status=-SIGKILL, stderr=script)]))
    with capture_logs() as logged:
        await run_for(1.1, watched)
    lines = ["opening rtmp://host/live/***", "rtmp://host/live/***: timed out"]
    assert watched.state.message == "\n".join(["ffmpeg was killed by SIGKILL", *lines])
    [entry] = logged
    assert (entry["reason"], entry["retry_in"], entry["last_lines"]) == ("was killed by SIGKILL", 0.5, lines)
    assert "sesame" not in watched.stderr.path.read_text()


async def test_a_child_that_cannot_be_started_is_tried_again(
    autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor
) -> None:
    spawner = FakeSpawner([Behaviour(cannot_start=errno.EAGAIN), Behaviour()])
    watched = supervisor(spawner)
    await run_for(2, watched)
    assert spawner.attempts == [0, 0.5]
    assert watched.state.message == "ffmpeg cannot be started: EAGAIN"
    spawner.check_nothing_is_left()


async def test_every_child_is_fed_and_read_anew(autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor) -> None:
    received = []

    async def feed(stdin: ChildInput) -> None:
        await stdin.send_all(b"media")
        await trio.sleep_forever()

    async def read(stdout: ChildOutput) -> None:
        while data := await stdout.receive_some(100):
            received.append(data)

    spawner = FakeSpawner([Behaviour(echoes=True, exits_after=1)])
    await run_for(2, supervisor(spawner, feed=feed, read=read))
    assert received == [b"media"] * 2
    assert spawner.attempts == [0, 1.5]
    spawner.check_nothing_is_left()


async def test_what_is_left_in_the_pipe_when_a_child_has_ended_is_read(
    autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor
) -> None:
    received = bytearray()

    async def read(stdout: ChildOutput) -> None:
        while data := await stdout.receive_some(10):
            received.extend(data)
            await trio.sleep(0.01)

    spawner = FakeSpawner([Behaviour(exits_after=1, stdout=[(1, b"x" * 500)])])
    await run_for(2, supervisor(spawner, read=read))
    assert len(received) == 500


async def test_a_reader_that_never_ends_does_not_hold_up_the_restart_for_long(
    autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor
) -> None:
    async def read(stdout: ChildOutput) -> None:
        await trio.sleep_forever()

    spawner = FakeSpawner([Behaviour(exits_after=1)])
    await run_for(3, supervisor(spawner, read=read))
    assert spawner.attempts == [0, 2.5]


async def test_a_child_that_writes_nonsense_is_replaced(
    autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor
) -> None:
    async def read(stdout: ChildOutput) -> None:
        async with trio.open_nursery():
            raise ProtocolError("not FLV")

    spawner = FakeSpawner([Behaviour()])
    watched = supervisor(spawner, read=read)
    await run_for(1, watched)
    assert spawner.attempts == [0, 0.5]
    assert watched.state.message == "ffmpeg was ended: not FLV"
    spawner.check_nothing_is_left()


async def test_a_feed_that_fails_has_the_child_replaced(
    autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor
) -> None:
    async def feed(stdin: ChildInput) -> None:
        raise StepError("takes no input for 30 s")

    spawner = FakeSpawner([Behaviour()])
    watched = supervisor(spawner, feed=feed)
    await run_for(1, watched)
    assert spawner.attempts == [0, 0.5]
    assert watched.state.message == "ffmpeg was ended: takes no input for 30 s"


async def test_a_child_that_closes_its_input_but_stays_is_replaced(
    autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor
) -> None:
    async def feed(stdin: ChildInput) -> None:
        while True:
            await stdin.send_all(b"x")
            await trio.sleep(1)

    spawner = FakeSpawner([Behaviour(closes_stdin_after=0.5)])
    watched = supervisor(spawner, feed=feed)
    await run_for(5, watched)
    assert spawner.attempts == [0, 4.5]
    assert watched.state.message == "ffmpeg was ended: it closed its input but went on"


async def test_a_bug_in_a_hook_ends_the_child_and_comes_out(
    autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor
) -> None:
    async def read(stdout: ChildOutput) -> None:
        raise ZeroDivisionError

    spawner = FakeSpawner([Behaviour()])
    with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
        await supervisor(spawner, read=read).run()
    spawner.check_nothing_is_left()


@pytest.mark.thorough
async def test_a_child_that_floods_its_log_is_read_slowly_and_counted(
    autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor
) -> None:
    flood = b"again\n" * 2_000_000
    spawner = FakeSpawner([Behaviour(stderr=[(0.0, flood)])])
    watched = supervisor(spawner)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watched.run)
        await trio.sleep(10)
        read = len(flood) - spawner.processes[0].stderr.unread
        assert read <= 10 / FLOOD_PAUSE_SECONDS * STDERR_READ + MAX_BYTES_BURST
        kept = watched.stderr.path.read_text().count(" again\n")
        assert kept <= MAX_LINES_BURST + 10 * MAX_LINES_RATE
        assert watched.state.left_out_lines >= read // len(b"again\n") - kept - STDERR_READ
        nursery.cancel_scope.cancel()
    spawner.check_nothing_is_left()


async def test_a_child_that_is_succeeded_ends_in_order_and_is_followed_at_once(
    autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor
) -> None:
    spawner = FakeSpawner([Behaviour(exits_after_end_of_input=0.25, exit_status=1)])
    lives = 0

    async def feed(stdin: ChildInput) -> None:
        nonlocal lives
        lives += 1
        await trio.sleep(5)
        await stdin.send_all(b"media")
        if lives < 3:
            raise NextChild("the stream has changed")

    supervised = supervisor(spawner, feed=feed)
    await supervised.run()
    assert spawner.attempts == [0.0, 5.25, 10.5]
    assert [process.signals for process in spawner.processes] == [[], [], []]
    assert (supervised.state.restarts, supervised.state.message) == (0, None)


async def test_what_a_child_still_writes_when_it_is_ended_from_outside_is_not_lost(
    autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor
) -> None:
    rest: list[bytes] = []

    async def read(stdout: ChildOutput) -> None:
        await trio.sleep_forever()

    async def feed(stdin: ChildInput) -> None:
        await trio.sleep_forever()

    spawner = FakeSpawner([Behaviour(exits_after_end_of_input=2, stdout=[(11, b"last words")])])
    with trio.move_on_after(10):
        await supervisor(spawner, feed=feed, read=read, rest=rest.append).run()
    assert b"".join(rest) == b"last words"
