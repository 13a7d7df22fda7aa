"""The writer of a capture: notes what comes into a server, and writes it down in a task of its own.

To note is synchronous and never waits, since the media path does it: where the disk does not keep up, something is
lost, and the tape says so.  Masking and packing happen in the writing task, in slices.
"""

from collections import deque
from typing import Protocol

import structlog
import trio
from attrs import define, evolve, field

from mmids_trio.capture import records
from mmids_trio.capture.chunk_masking import ChunkMasker
from mmids_trio.capture.masking import Masking
from mmids_trio.capture.tape import FIRST_LINE, encode

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
        """Append all of it, whoever cancels the caller. Raises `OSError` where that takes too long, or fails."""


@define(eq=False)
class CaptureWriter:
    """One capture, at most `max_bytes` long. Times count from its making."""

    sink: Sink
    masking: Masking
    max_bytes: int
    is_over: bool = field(default=False, init=False)
    """Whether nothing is captured any more."""
    written: int = field(default=0, init=False)
    """Bytes of tape so far."""
    _lost_connections: int = field(default=0, init=False)
    """Those of which something is missing."""
    _lost_records: int = field(default=0, init=False)
    """All that is missing and was no read."""
    _told: int = field(default=0, init=False)
    """How much of what was lost stands on the tape and in the log."""
    _began: float = field(factory=trio.current_time, init=False)
    _queue: deque[records.Record] = field(factory=deque, init=False)
    _queued: int = field(default=0, init=False)
    _slice: bytearray = field(factory=bytearray, init=False)
    """Encoded and not written yet."""
    _arrival: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)
    _maskers: dict[int, ChunkMasker | None] = field(factory=dict, init=False)
    """Of the open connections; of no others a byte is written."""
    _broken: set[int] = field(factory=set, init=False)
    """Connections of which something was lost."""
    _numbers: int = field(default=0, init=False)

    def now(self) -> int:
        """Microseconds since the capture began."""
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
            self._lost_connections += 1
            self._put(records.Lost(self.now(), connection, 1), 0)
            return
        self._put(records.Received(self.now(), connection, data), len(data))

    def note(self, record: records.Record) -> None:
        """Note anything else; there is always room for the end of a connection."""
        if self.is_over:
            return
        size = _size(record)
        if self._queued + size > 2 * MAX_QUEUED and not isinstance(record, records.Closed):
            self._lost_records += 1
            return
        self._put(record, size)

    @property
    def lost(self) -> int:
        """Connections and other records that the disk was too slow for."""
        return self._lost_connections + self._lost_records

    def _put(self, record: records.Record, size: int) -> None:
        self._queue.append(record)
        self._queued += size + RECORD_BYTES
        self._arrival.unpark_all()

    async def run(self, start: records.Start, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write until cancelled (then the rest is written within `FINISH_SECONDS`) or until the tape is full.

        A disk that fails ends the capture, with a line in the log, and nothing else.
        """
        task_status.started()
        try:
            await self._write(FIRST_LINE + encode(self.masking.of_record(start)))
            try:
                await self._keep_writing()
            except trio.Cancelled:
                with trio.CancelScope(deadline=trio.current_time() + FINISH_SECONDS, shield=True):
                    await self._finish()
                raise
        except OSError as error:
            log.error("capture ends: the tape cannot be written", reason=error.strerror or str(error))
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
                if (masked := self._masked(record)) is not None:
                    self._slice += encode(masked)
                await trio.lowlevel.checkpoint()
            self._tell_of_losses()
            if self.written + len(self._slice) > self.max_bytes:
                self._slice.clear()
                await self._close(SIZE_LIMIT)
                return
            await self._write(bytes(self._slice))
            self._slice.clear()

    def _tell_of_losses(self) -> None:
        """On the tape only what no record of a connection says."""
        if self.lost > self._told:
            log.warning("capture has gaps: the disk does not keep up", lost=self.lost)
            self._told = self.lost
            self._slice += encode(records.Lost(self.now(), None, self._lost_records))

    async def _write(self, data: bytes) -> None:
        await self.sink.write(data)
        self.written += len(data)

    async def _close(self, reason: str) -> None:
        log.info("capture ends", reason=reason, bytes=self.written)
        self._end()
        await self._write(encode(records.End(self.now(), reason)))

    def _end(self) -> None:
        self.is_over = True
        self._queue.clear()
        self._maskers.clear()

    def _masked(self, record: records.Record) -> records.Record | None:
        match record:
            case records.Received(connection=connection, data=data):
                if connection not in self._maskers:
                    return None
                masker = self._maskers[connection]
                return record if masker is None else evolve(record, data=masker.mask(data))
            case records.Opened(connection=connection):
                self._maskers[connection] = self.masking.of_connection()
                return record
            case records.Closed(connection=connection):
                self._broken.discard(connection)
                known = connection in self._maskers
                self._maskers.pop(connection, None)
                return record if known else None
            case records.Lost(connection=connection):
                return record if connection in self._maskers else None
            case _:
                return self.masking.of_record(record)


def _size(record: records.Record) -> int:
    match record:
        case records.Received(data=data) | records.Requested(body=data) | records.Told(text=data):
            return len(data)
        case records.Loaded(configuration=text):
            return len(text)
        case _:
            return 0
