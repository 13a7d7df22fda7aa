"""The children of a process as the operating system sees them (Linux): which there are, and what else it holds."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

_STATE, _PARENT = 0, 1
"""Fields of /proc/<pid>/stat behind the name (proc_pid_stat(5))."""


@frozen
class ChildProcess:
    """One child, zombies included; `command` is empty for those."""

    pid: int
    state: str
    command: tuple[str, ...]

    @property
    def is_ffmpeg(self) -> bool:
        """Whether it has become what it was started for."""
        return bool(self.command) and Path(self.command[0]).name.startswith("ffmpeg")


def children_of(pid: int) -> list[ChildProcess]:
    """All children of a process, oldest first."""
    found = [_read(int(entry.name), pid) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return sorted((child for child in found if child is not None), key=lambda child: child.pid)


def ffmpegs_of(pid: int) -> list[ChildProcess]:
    """Those that run ffmpeg."""
    return [child for child in children_of(pid) if child.is_ffmpeg]


def open_files(pid: int | None = None) -> list[str]:
    """What each file descriptor of a process is; of this one, but for what the kit's watchdog looks at now and then."""
    found = []
    for entry in Path("/proc", "self" if pid is None else str(pid), "fd").iterdir():
        try:
            found.append(os.readlink(entry))
        except FileNotFoundError:
            continue  # closed meanwhile
    return sorted(name for name in found if pid is not None or not name.startswith("/proc/"))


@contextmanager
def handles(pids: Sequence[int]) -> Iterator[list[int]]:
    """File descriptors that become readable when the processes end, whoever gets their numbers next."""
    descriptors = [os.pidfd_open(pid) for pid in pids]
    try:
        yield descriptors
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _read(pid: int, parent: int) -> ChildProcess | None:
    try:
        stat = Path("/proc", str(pid), "stat").read_text()
        fields = stat.rpartition(")")[2].split()
        if int(fields[_PARENT]) != parent:
            return None
        command = Path("/proc", str(pid), "cmdline").read_bytes().split(b"\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return None  # it has ended meanwhile
    return ChildProcess(pid, fields[_STATE], tuple(part.decode(errors="replace") for part in command))
