"""The recorder: notes what comes into a server, and writes it down in a task of its own.

To note is synchronous and never waits, since the media path does it: where the disk does not keep up, something is
lost, and the tape says so.  Masking and packing happen in the writing task, in slices.
"""

from collections import deque
from typing import Protocol

import structlog
import trio
from attrs import define, evolve, field

from mmids_trio.recording import records
from mmids_trio.recording.chunk_masking import ChunkMasker
from mmids_trio.recording.masking import Masking
from mmids_trio.recording.tape import FIRST_LINE, encode

log = structlog.get_logger()

GATHER_SECONDS = 0.2
"""How long what was noted may wait for more, so that one write serves many reads; a crash costs no more than that."""

MAX_QUEUED = 32 * 1024 * 1024
"""Bytes that wait to be written: two seconds of 50 publishers of 2.6 Mbit/s."""

WRITE_BYTES = 1024 * 1024
"""Bytes of one write, about: enough to make it cheap, few enough to wait for."""

FINISH_SECONDS = 3.0
"""What the last writes may take when the server stops, before the rest is given up."""

RECORD_BYTES = 200
"""What a record is taken to need beside its data."""

SIZE_LIMIT, STOPPED = "size limit", "stopped"
"""Reasons of an `End`."""


class Sink(Protocol):
    """Where a tape goes."""

    async def write(self, data: bytes) -> None:
        """Append. Raises `OSError`; cancelled, it has written all of it or nothing."""


@define(eq=False)
class Recorder:
    """One recording, at most `max_bytes` long. Times count from its making."""

    sink: Sink
    masking: Masking
    max_bytes: int
    is_over: bool = field(default=False, init=False)
    """Whether nothing is recorded any more."""
    written: int = field(default=0, init=False)
    """Bytes of tape so far."""
    lost: int = field(default=0, init=False)
    """Records that the disk was too slow for."""
    _began: float = field(factory=trio.current_time, init=False)
    _queue: deque[records.Record] = field(factory=deque, init=False)
    _queued: int = field(default=0, init=False)
    _slice: bytearray = field(factory=bytearray, init=False)
    """Encoded and not written yet."""
    _arrival: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)
    _maskers: dict[int, ChunkMasker] = field(factory=dict, init=False)
    _broken: set[int] = field(factory=set, init=False)
    """Connections of which something was lost."""
    _numbers: int = field(default=0, init=False)

    def now(self) -> int:
        """Microseconds since the recording began."""
        return round((trio.current_time() - self._began) * 1_000_000)

    def number(self) -> int:
        """A number that nothing else on this tape has."""
        self._numbers += 1
        return self._numbers

    def received(self, connection: int, data: bytes) -> None:
        """Note one read. What is lost of a connection makes all that follows useless, so it is lost as well."""
        if self.is_over or connection in self._broken:
            return
        if self._queued + len(data) > MAX_QUEUED:
            self._broken.add(connection)
            self._lose(connection)
            return
        self._put(records.Received(self.now(), connection, data), len(data))

    def note(self, record: records.Record) -> None:
        """Note anything else."""
        if self.is_over:
            return
        size = _size(record)
        if self._queued + size > 2 * MAX_QUEUED:
            self._lose(None)
            return
        self._put(record, size)

    def _lose(self, connection: int | None) -> None:
        self.lost += 1
        log.warning("recording has a gap: the disk does not keep up", connection=connection)
        self._put(records.Lost(self.now(), connection, 1), 0)

    def _put(self, record: records.Record, size: int) -> None:
        self._queue.append(record)
        self._queued += size + RECORD_BYTES
        self._arrival.unpark_all()

    async def run(self, start: records.Start, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write until cancelled (then the rest is written within `FINISH_SECONDS`) or until the tape is full.

        A disk that fails ends the recording, with a line in the log, and nothing else.
        """
        try:
            await self._write(FIRST_LINE + encode(self._masked(start)))
            task_status.started()
            try:
                await self._keep_writing()
            finally:
                with trio.CancelScope(deadline=trio.current_time() + FINISH_SECONDS, shield=True):
                    await self._finish()
        except OSError as error:
            log.error("recording ends: the tape cannot be written", reason=error.strerror or str(error))
            task_status.started()
        finally:
            self._end()

    async def _keep_writing(self) -> None:
        while not self.is_over:
            if not self._queue:
                await self._arrival.park()
            await trio.sleep(GATHER_SECONDS)
            await self._write_queue()

    async def _finish(self) -> None:
        if not self.is_over:
            await self._write_queue()
            await self._close(STOPPED)

    async def _write_queue(self) -> None:
        """Write what is queued, in slices."""
        while self._slice or (self._queue and not self.is_over):
            while self._queue and len(self._slice) < WRITE_BYTES:
                record = self._queue.popleft()
                self._queued -= RECORD_BYTES + _size(record)
                self._slice += encode(self._masked(record))
                await trio.lowlevel.checkpoint()
            if self.written + len(self._slice) > self.max_bytes:
                self._slice.clear()
                await self._close(SIZE_LIMIT)
                return
            await self._write(bytes(self._slice))
            self._slice.clear()

    async def _write(self, data: bytes) -> None:
        await self.sink.write(data)
        self.written += len(data)

    async def _close(self, reason: str) -> None:
        log.info("recording ends", reason=reason, bytes=self.written)
        self._end()
        await self._write(encode(records.End(self.now(), reason)))

    def _end(self) -> None:
        self.is_over = True
        self._queue.clear()
        self._maskers.clear()

    def _masked(self, record: records.Record) -> records.Record:
        match record:
            case records.Received(connection=connection, data=data) if connection in self._maskers:
                return evolve(record, data=self._maskers[connection].mask(data))
            case records.Opened(connection=connection):
                masker = self.masking.of_connection()
                if masker is not None:
                    self._maskers[connection] = masker
                return record
            case records.Closed(connection=connection):
                self._maskers.pop(connection, None)
                self._broken.discard(connection)
                return record
            case _:
                return self.masking.of_record(record)


def _size(record: records.Record) -> int:
    match record:
        case records.Received(data=data) | records.Requested(body=data) | records.Told(text=data):
            return len(data)
        case _:
            return 0
