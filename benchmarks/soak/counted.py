"""The server's program with its tasks counted: `python -m benchmarks.soak.counted FILE ARGUMENT...`.

A program says how much memory and how many files it has in /proc, and nowhere how many tasks.  So the soak runs it
through here: the program is the same, but for an instrument of trio that writes their number into FILE.
"""

import functools
import os
import sys

import trio

WIDTH = 12
"""Bytes of the file: every writing replaces all of it at once."""


class TaskCounter(trio.abc.Instrument):
    """Writes the number of living tasks to a file, whenever the scheduler is about to wait and it has changed."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        self._living = self._written = 0

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        """See `trio.abc.Instrument`."""
        self._living += 1

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        """See `trio.abc.Instrument`."""
        self._living -= 1

    def before_io_wait(self, timeout: float) -> None:
        """See `trio.abc.Instrument`."""
        if self._living != self._written:
            self._written = self._living
            os.pwrite(self._file, f"{self._living:<{WIDTH}}".encode(), 0)


def main() -> None:
    """Run the program in this process, as `python -m mmids_trio ARGUMENT...` does."""
    counter = TaskCounter(sys.argv.pop(1))
    setattr(trio, "run", functools.partial(trio.run, instruments=[counter]))  # noqa: B010 (of another type)
    from mmids_trio.__main__ import main as program  # noqa: PLC0415 (behind the change to trio)

    program(prog_name="python -m mmids_trio")


if __name__ == "__main__":
    main()
