"""What the server holds at one moment, from /proc: memory, files, threads, children, and its tasks as counted.py says.

Children are those of the server alone; a zombie is one that has ended and that the server has not awaited.
"""

from pathlib import Path

from attrs import asdict, frozen

from benchmarks.measure import memory

_STATE, _PARENT = 0, 1
"""Places of state and ppid in /proc/PID/stat after the name (proc(5))."""


@frozen
class Sample:
    """One look at the server."""

    seconds: float
    """Since the start of the soak."""
    pss_mb: float
    """Of the server's process, in millions of bytes; pages that it shares count in part."""
    files: int
    threads: int
    tasks: int
    children: int
    """Processes that the server has started and that run."""
    zombies: tuple[int, ...]
    """Their process ids."""
    workflows: int
    """As the API says; -1 when it does not answer."""

    def row(self) -> dict[str, float]:
        """For a table: how many zombies there are, not which."""
        return asdict(self) | {"zombies": len(self.zombies)}


@frozen
class Child:
    """A process that the server has started."""

    pid: int
    is_zombie: bool


def child_in(stat: str, parent: int) -> Child | None:
    """The process of which `stat` is the text of /proc/PID/stat, if `parent` is its parent."""
    fields = stat.rpartition(")")[2].split()
    if int(fields[_PARENT]) != parent:
        return None
    return Child(int(stat.split(None, 1)[0]), fields[_STATE] == "Z")


def children_of(pid: int) -> list[Child]:
    """What `pid` has started and not awaited."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            child = child_in((process / "stat").read_text("utf-8", errors="replace"), pid)
        except OSError:
            continue  # it has ended since it was listed
        if child is not None:
            found.append(child)
    return found


def look(pid: int, tasks: Path, *, seconds: float, workflows: int) -> Sample:
    """Sample the server. Raises `OSError` when it has ended."""
    process = Path(f"/proc/{pid}")
    children = children_of(pid)
    return Sample(
        seconds=round(seconds, 1),
        pss_mb=round(memory(pid).pss / 1000, 2),
        files=len(list((process / "fd").iterdir())),
        threads=len(list((process / "task").iterdir())),
        tasks=int(tasks.read_text("ascii")),
        children=sum(not child.is_zombie for child in children),
        zombies=tuple(child.pid for child in children if child.is_zombie),
        workflows=workflows,
    )
