"""What a process has used, as Linux says it in /proc: time of the processor and memory.

Apart because it is all that depends on the forms of /proc; what is read is parsed by pure functions.
"""

import os
import re
from pathlib import Path

from attrs import frozen

TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
NANOSECOND = 1e-9
KILOBYTES_PER_KIBIBYTE = 1.024

_USER_TIME, _SYSTEM_TIME = 11, 12
"""Places of utime and stime in /proc/PID/stat after the name (proc(5): fields 14 and 15)."""


@frozen
class Cpu:
    """Time of the processor that a process has used, in seconds, in two ways."""

    ticks: float
    """Of the whole process, in steps of 10 ms."""
    threads: float
    """Of the threads that there are now, in nanoseconds: finer, but one that ends takes its time with it."""

    def since(self, earlier: "Cpu") -> float:
        """Seconds used between two readings: as fine as possible, unless threads have ended meanwhile."""
        return max(self.threads - earlier.threads, self.ticks - earlier.ticks - 2 * TICK_SECONDS)


def ticks_in(stat: str) -> float:
    """Seconds in user and system mode from the text of /proc/PID/stat; the name in it may hold anything."""
    fields = stat.rpartition(")")[2].split()
    return (int(fields[_USER_TIME]) + int(fields[_SYSTEM_TIME])) * TICK_SECONDS


def cpu(pid: int) -> Cpu:
    """What `pid` has used so far."""
    process = Path(f"/proc/{pid}")
    return Cpu(
        ticks_in((process / "stat").read_text("utf-8")),
        sum(int(path.read_text("utf-8").split()[0]) for path in process.glob("task/*/schedstat")) * NANOSECOND,
    )


def busy_in(stat: str, core: int) -> float:
    """Seconds that a core has worked for processes, from the text of /proc/stat."""
    for line in stat.splitlines():
        name, *fields = line.split()
        if name == f"cpu{core}":
            return sum(map(int, fields[:3])) * TICK_SECONDS  # proc(5): user, nice, system
    raise ValueError(f"/proc/stat has no core {core}")


def busy(core: int) -> float:
    """Seconds that `core` has worked for all processes so far."""
    return busy_in(Path("/proc/stat").read_text("utf-8"), core)


@frozen
class Memory:
    """Memory of a process, in kB of 1,000 bytes. Of pages that several processes share, `pss` counts its part."""

    rss: float
    pss: float


def memory_in(rollup: str) -> Memory:
    """Reads the text of /proc/PID/smaps_rollup."""
    sizes = {name: int(size) * KILOBYTES_PER_KIBIBYTE for name, size in re.findall(r"^(\w+): +(\d+) kB$", rollup, re.M)}
    return Memory(sizes["Rss"], sizes["Pss"])


def memory(pid: int) -> Memory:
    """What `pid` holds now. What the kernel keeps for its sockets is not in it."""
    return memory_in(Path(f"/proc/{pid}/smaps_rollup").read_text("utf-8"))
