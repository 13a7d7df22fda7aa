"""The sending side of a connection by itself, without a channel."""

import trio
import trio.testing

from mmids_trio.fanout.output import Output, OutputEnd
from mmids_trio.testing.network import MemoryTransport, memory_connection


def an_output(buffer_size: int) -> tuple[Output, MemoryTransport]:
    far_end, near_end = memory_connection(buffer_size=buffer_size)
    return Output(near_end), far_end


async def test_what_the_socket_takes_is_sent_at_once_without_a_task() -> None:
    output, far_end = an_output(100)
    output.write(b"one")
    output.write(b"two")
    assert far_end.receive_nowait() == b"onetwo"
    assert not output.blocked
    assert output.bytes_sent == 6


async def test_the_rest_follows_in_order_as_the_peer_reads(nursery: trio.Nursery) -> None:
    output, far_end = an_output(10)
    nursery.start_soon(output.run)
    messages = [bytes([n]) * (n + 1) for n in range(50)]
    for message in messages:
        output.write(message)
    assert output.blocked
    assert output.queued_bytes == sum(map(len, messages)) - 10
    received = b""
    while data := far_end.receive_nowait(7):
        received += data
        await trio.testing.wait_all_tasks_blocked()
    assert received == b"".join(messages)
    assert not output.blocked
    assert output.queued_bytes == 0


async def test_it_may_block_before_its_task_has_started(nursery: trio.Nursery) -> None:
    output, far_end = an_output(3)
    output.write(b"abcdef")
    assert far_end.receive_nowait() == b"abc"
    nursery.start_soon(output.run)
    await trio.testing.wait_all_tasks_blocked()
    assert far_end.receive_nowait() == b"def"


async def test_it_ends_once_and_says_nothing_after() -> None:
    output, far_end = an_output(100)
    far_end.reset()
    output.write(b"into the void")
    output.finish(OutputEnd.STALLED)
    output.write(b"more")
    assert await output.run() is OutputEnd.BROKEN
    assert output.queued_bytes == 0


async def test_a_task_that_sleeps_is_woken_by_the_end(nursery: trio.Nursery) -> None:
    output, far_end = an_output(100)
    outcomes: list[OutputEnd] = []

    async def run() -> None:
        outcomes.append(await output.run())

    nursery.start_soon(run)
    await trio.testing.wait_all_tasks_blocked()
    far_end.close()
    output.write(b"x")
    await trio.testing.wait_all_tasks_blocked()
    assert outcomes == [OutputEnd.BROKEN]


async def test_a_flush_sends_what_is_left_after_the_task_was_cancelled(
    autojump_clock: trio.testing.MockClock,
) -> None:
    output, far_end = an_output(3)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(output.run)
        await trio.testing.wait_all_tasks_blocked()
        output.write(b"abcdefgh")
        nursery.cancel_scope.cancel()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(output.flush)
        received = b""
        while len(received) < 8:
            received += await far_end.receive_some(10)
    assert received == b"abcdefgh"


async def test_a_flush_gives_up_on_a_peer_that_does_not_read(autojump_clock: trio.testing.MockClock) -> None:
    output, _ = an_output(3)
    output.write(b"abcdef")
    await output.flush()
    assert output.end is OutputEnd.STALLED
