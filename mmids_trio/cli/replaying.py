"""What the command `replay` reads and writes."""

from pathlib import Path

from mmids_trio.capture.tape import Tape, TapeError, read_tape
from mmids_trio.errors import MmidsError


class CannotReplay(MmidsError):
    """There is no tape to replay, or its log cannot be written; the message says why."""


def load_tape(path: Path) -> Tape:
    """All of a tape, which is kept in memory. Raises `CannotReplay`."""
    try:
        return read_tape(path.read_bytes())
    except OSError as error:
        raise CannotReplay(f"cannot read the tape {path}: {error.strerror}") from error
    except TapeError as error:
        raise CannotReplay(f"{path}: {error}") from error


def write_log(path: Path, text: str) -> None:
    """Write the log of a replay in place of whatever was there. Raises `CannotReplay`."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CannotReplay(f"cannot write {path}: {error.strerror}") from error
