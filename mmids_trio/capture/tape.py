"""The bytes of a tape (`.mmtape`): records to bytes and back, without files, and whatever the bytes.

A record is one line of JSON, and, where it has bytes, those and a line end. The first line names the format.  A tape
is only ever appended to, so one whose server was killed is whole but for its end; see docs/capture.md.
"""

import json
import zlib
from collections.abc import Iterator

from attrs import define, field, fields

from mmids_trio.capture.records import KINDS, Record, Start
from mmids_trio.errors import MmidsError

FORMAT = 1
MAGIC = b"mmtape "
FIRST_LINE = MAGIC + str(FORMAT).encode() + b"\n"

MAX_LINE = 512 * 1024
"""Bytes of a line: the name of a stream has up to 64 KiB, and JSON takes up to six characters for each."""

MAX_BYTES = 64 * 1024 * 1024
"""Bytes of one record: a configuration file at its limit is the largest."""

WORTH_PACKING = 512
"""Bytes from which on a record is packed that is zeros by half or more: blanked media shrinks to nothing, and to look
whether anything else would shrink costs more time than all the rest."""

_NAMES = {record: name for name, record in KINDS.items()}


class TapeError(MmidsError):
    """These bytes are no tape, or one of another version."""


def encode(record: Record) -> bytes:
    """The bytes of a record; `FIRST_LINE` stands before the first one."""
    head: dict[str, object] = {"kind": _NAMES[type(record)]}
    body: bytes | None = None
    for attribute in fields(type(record)):
        value = getattr(record, attribute.name)
        if isinstance(value, bytes):
            body, packed = _pack(value)
            head["size"] = len(body)
            if packed:
                head["packed"] = len(value)
        else:
            head[attribute.name] = value
    line = json.dumps(head, separators=(",", ":")).encode() + b"\n"
    return line if body is None else line + body + b"\n"


def _pack(data: bytes) -> tuple[bytes, bool]:
    if len(data) < WORTH_PACKING or data.count(0) * 2 < len(data):
        return data, False
    return zlib.compress(data, 1), True


@define
class TapeReader:
    """Takes the bytes of a tape, in pieces of any size, and gives its records.

    What cannot be read ends the tape: `damage` then says what and where, and nothing more is read.
    """

    damage: str | None = field(default=None, init=False)
    position: int = field(default=0, init=False)
    """Bytes of whole records so far."""
    _buffer: bytearray = field(factory=bytearray, init=False)
    _has_begun: bool = field(default=False, init=False)

    def receive(self, data: bytes) -> Iterator[Record]:
        """The records that `data` completes. Raises `TapeError` for what is no tape of this version."""
        self._buffer += data
        offset = 0 if self._has_begun else self._read_first_line()
        try:
            while self.damage is None and self._has_begun:
                record, end = self._read(offset)
                if end == offset:
                    break
                self.position += end - offset
                offset = end
                if record is not None:
                    yield record
        except (ValueError, RecursionError) as error:  # the latter for JSON that nests without end
            self.damage = f"unreadable from byte {self.position} on: {error}"
        finally:
            del self._buffer[:offset]

    def finish(self) -> None:
        """There are no more bytes. Raises `TapeError` where there was not even a first line."""
        if not self._has_begun:
            raise TapeError("this is no tape: expected a first line with 'mmtape' and a version")
        if self._buffer and self.damage is None:
            self.damage = f"cut off within a record, at byte {self.position}"

    def _read_first_line(self) -> int:
        expected = FIRST_LINE[: len(self._buffer)]
        if not self._buffer.startswith(expected):
            if self._buffer.startswith(MAGIC):
                raise TapeError(f"a tape of another version; this program reads version {FORMAT}")
            self.finish()
        if len(self._buffer) < len(FIRST_LINE):
            return 0
        self._has_begun = True
        self.position = len(FIRST_LINE)
        return len(FIRST_LINE)

    def _read(self, offset: int) -> tuple[Record | None, int]:
        """The record at `offset` (`None`: of an unknown kind) and where it ends: at `offset`, if it is not whole."""
        end = self._buffer.find(b"\n", offset, offset + MAX_LINE)
        if end < 0:
            if len(self._buffer) - offset > MAX_LINE:
                raise ValueError(f"a line of more than {MAX_LINE} bytes")
            return None, offset
        head = json.loads(self._buffer[offset:end])
        if not isinstance(head, dict):
            raise ValueError("expected an object")
        end += 1
        body = None
        if "size" in head:
            size = _whole(head.pop("size"), MAX_BYTES)
            if end + size >= len(self._buffer):
                return None, offset
            body = bytes(self._buffer[end : end + size])
            if self._buffer[end + size] != ord("\n"):
                raise ValueError("expected a line end behind the bytes of a record")
            end += size + 1
        return _record(head, body), end


def _record(head: dict[str, object], body: bytes | None) -> Record | None:
    kind = KINDS.get(str(head.pop("kind", "")))
    if kind is None:
        return None
    if body is not None and "packed" in head:
        body = _unpack(body, _whole(head.pop("packed"), MAX_BYTES))
    values: dict[str, object] = {}
    for attribute in fields(kind):
        value = body if attribute.type is bytes else head.get(attribute.name)
        if isinstance(value, bool) or not isinstance(value, attribute.type or object):
            raise ValueError(f"a record of kind {_NAMES[kind]!r} without a proper {attribute.name!r}")
        values[attribute.name] = value
    return kind(**values)  # type: ignore[arg-type]  # their types were checked just now


def _whole(value: object, largest: int) -> int:
    if not isinstance(value, int) or not 0 <= value <= largest:
        raise ValueError(f"expected a size from 0 to {largest}")
    return value


def _unpack(data: bytes, size: int) -> bytes:
    unpacking = zlib.decompressobj()
    try:
        plain = unpacking.decompress(data, size + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(plain) != size:
        raise ValueError(f"expected {size} bytes, packed")
    return plain


@define
class Tape:
    """A tape that was read. `damage` says why it ends early, if it does."""

    start: Start
    records: list[Record]
    """All others, in the order of their times."""
    damage: str | None = None


def read_tape(data: bytes) -> Tape:
    """Read a whole tape. Raises `TapeError` where there is not even a beginning."""
    reader = TapeReader()
    records = list(reader.receive(data))
    reader.finish()
    if not records or not isinstance(records[0], Start):
        raise TapeError(f"a tape without its first record ({reader.damage or 'another one is there'})")
    return Tape(records[0], sorted(records[1:], key=lambda record: record.time), reader.damage)
