"""The capture: what it does where disks are slow, full or broken, in bounded memory and without a word unmasked."""

import errno
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

import pytest
import trio
from trio.testing import MockClock

from mmids_trio.capture import records
from mmids_trio.capture import writer as writer_module
from mmids_trio.capture.masking import FULL, KEEP, Masking
from mmids_trio.capture.taps import CapturedTransport
from mmids_trio.capture.writer import MAX_QUEUED, SIZE_LIMIT, STOPPED, CaptureWriter
from mmids_trio.testing.network import memory_connection
from tests.support.tapes import MEBIBYTE, SECRET, MemoryTape, start_record

LOOSE = Masking(SECRET, FULL, KEEP)


@asynccontextmanager
async def running(
    tape: MemoryTape, masking: Masking = LOOSE, max_bytes: int = 100 * MEBIBYTE
) -> AsyncIterator[CaptureWriter]:
    capture = CaptureWriter(tape, masking, max_bytes)
    async with trio.open_nursery() as nursery:
        await nursery.start(capture.run, start_record())
        yield capture
        nursery.cancel_scope.cancel()


def opened(capture: CaptureWriter) -> int:
    connection = capture.number()
    capture.note(records.Opened(capture.now(), connection, 1935, "10.0.0.1", 5000))
    return connection


async def test_everything_is_on_the_tape_when_it_ends(autojump_clock: MockClock) -> None:
    tape = MemoryTape()
    async with running(tape) as capture:
        connection = opened(capture)
        await trio.sleep(1.5)
        capture.received(connection, b"hello")
        capture.note(records.Closed(capture.now(), connection, records.ENDED))
    assert tape.read().records == [
        records.Opened(0, connection, 1935, "10.0.0.1", 5000),
        records.Received(1_500_000, connection, b"hello"),
        records.Closed(1_500_000, connection, records.ENDED),
        records.End(1_500_000, STOPPED),
    ]


async def test_reads_that_do_not_wait_are_noted_like_others(autojump_clock: MockClock) -> None:
    tape = MemoryTape()
    async with running(tape) as capture:
        connection = opened(capture)
        client, server = memory_connection()
        transport = CapturedTransport(server, capture, connection)
        assert transport.receive_nowait(100) == b""
        await client.send_all(b"hello")
        assert transport.receive_nowait(100) == b"hello"
        client.reset()
        with pytest.raises(trio.BrokenResourceError):
            transport.receive_nowait(100)
    assert tape.read().records[1:-1] == [
        records.Received(0, connection, b"hello"),
        records.Closed(0, connection, records.RESET),
    ]


async def test_a_slow_disk_costs_records_and_no_memory(autojump_clock: MockClock) -> None:
    tape = MemoryTape()
    async with running(tape) as capture:
        one, other = opened(capture), opened(capture)
        await trio.sleep(1)
        tape.seconds = 1.9
        for _ in range(2 * MAX_QUEUED // MEBIBYTE):
            capture.received(one, bytes(MEBIBYTE))
            assert capture._queued <= MAX_QUEUED + MEBIBYTE
        capture.received(other, bytes(MEBIBYTE))
        capture.note(records.Closed(capture.now(), one, records.RESET))
        tape.seconds = 0
        await trio.sleep(60)
        capture.received(one, b"useless")
        late = opened(capture)
        capture.received(late, b"fine again")
    found = tape.read()
    assert found.damage is None
    lost = [record for record in found.records if isinstance(record, records.Lost)]
    assert [record.connection for record in lost] == [one, other, None]
    assert capture.lost == 2
    kinds = [type(record) for record in found.records if getattr(record, "connection", None) == one]
    assert kinds[-2:] == [records.Lost, records.Closed]
    assert records.Received in kinds
    assert any(isinstance(record, records.Received) and record.data == b"fine again" for record in found.records)


@pytest.mark.thorough
async def test_what_else_is_lost_is_counted(autojump_clock: MockClock) -> None:
    tape = MemoryTape(seconds=1.0)
    async with running(tape) as capture:
        body = bytes(MEBIBYTE)
        for _ in range(3 * MAX_QUEUED // MEBIBYTE):
            capture.note(records.Requested(capture.now(), 1, "PUT", "/", "", body))
        assert capture._queued < 2 * MAX_QUEUED + MEBIBYTE
        tape.seconds = 0
        await trio.sleep(10)
    kept = [record for record in tape.read().records if isinstance(record, records.Requested)]
    [lost] = [record for record in tape.read().records if isinstance(record, records.Lost)]
    assert lost.records + len(kept) == 3 * MAX_QUEUED // MEBIBYTE
    assert lost.records > 0


async def test_bytes_of_a_connection_whose_beginning_was_lost_are_never_written(autojump_clock: MockClock) -> None:
    tape = MemoryTape()
    async with running(tape, Masking(SECRET)) as capture:
        capture.received(99, b"camera7, which nothing would mask")
        capture.note(records.Closed(capture.now(), 99, records.ENDED))
    assert b"camera7" not in tape.data
    assert [type(record) for record in tape.read().records] == [records.End]


async def test_bytes_that_come_after_the_end_of_a_connection_are_never_written(autojump_clock: MockClock) -> None:
    tape = MemoryTape()
    async with running(tape, Masking(SECRET)) as capture:
        connection = opened(capture)
        capture.note(records.Closed(capture.now(), connection, records.BY_SERVER))
        capture.received(connection, b"camera7, which nothing would mask")
    assert b"camera7" not in tape.data


async def test_at_the_size_limit_the_capture_ends_and_the_tape_is_whole(autojump_clock: MockClock) -> None:
    tape = MemoryTape()
    async with running(tape, max_bytes=2 * MEBIBYTE) as capture:
        connection = opened(capture)
        for number in range(30):
            capture.received(connection, Random(number).randbytes(100_000))
            await trio.sleep(0.5)
        assert capture.is_over
        size = len(tape.data)
        capture.received(connection, b"more")
    assert len(tape.data) == size <= 2 * MEBIBYTE + 100
    found = tape.read()
    assert found.damage is None
    assert found.records[-1] == records.End(found.records[-1].time, SIZE_LIMIT)


async def test_a_broken_disk_ends_the_capture_and_nothing_else(autojump_clock: MockClock) -> None:
    tape = MemoryTape()
    async with running(tape) as capture:
        await trio.sleep(1)
        tape.error = OSError(errno.ENOSPC, "no space left")
        opened(capture)
        await trio.sleep(1)
        assert capture.is_over
        opened(capture)
        await trio.sleep(1)
    assert tape.read().records == []


async def test_a_disk_that_hangs_at_the_end_is_not_waited_for_for_ever(autojump_clock: MockClock) -> None:
    tape = MemoryTape()
    async with running(tape) as capture:
        opened(capture)
        await trio.sleep(1)
        opened(capture)
        tape.hangs = True
        began = trio.current_time()
    assert trio.current_time() - began <= writer_module.FINISH_SECONDS


@pytest.mark.parametrize("note", [CaptureWriter.now, CaptureWriter.number])
async def test_times_and_numbers_only_grow(note: Callable[[CaptureWriter], int], autojump_clock: MockClock) -> None:
    capture = CaptureWriter(MemoryTape(), LOOSE, MEBIBYTE)
    first = note(capture)
    await trio.sleep(0.25)
    assert note(capture) > first
