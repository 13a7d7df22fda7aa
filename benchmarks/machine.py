"""Which machine this is, what runs on it, and the cores that servers and load are bound to."""

import os
import platform
import re
import resource
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).parents[1]
FILES = 20_000
"""Open files that a server and the load each may need: 2,000 watchers, and room."""


class NotPossible(Exception):
    """Something that is needed is missing; the message says what and how to get it."""


@frozen
class Cores:
    """Where what is measured runs, and where everything else does, so that neither takes time from the other."""

    server: int
    load: int


@frozen
class Machine:
    """What a figure depends on besides what is measured."""

    processor: str
    cores: int
    memory_gb: float
    system: str
    kernel: str
    python: str
    load_average: float
    """Of the minute before: what others did meanwhile."""
    date: str
    """When the measuring began, UTC."""


def choose_cores() -> Cores:
    """The first and the last core that this process may use. Raises `NotPossible` when there is only one."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) == 1:
        raise NotPossible("two cores are needed, one for the server and one for the load")
    return Cores(cores[0], cores[-1])


def prepare_this_process(cores: Cores) -> None:
    """Bind this process, and so the load that it starts, to its core, and let it open enough files."""
    os.sched_setaffinity(0, {cores.load})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if most == resource.RLIM_INFINITY else min(FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def describe() -> Machine:
    """This machine, now."""
    cpu_info = Path("/proc/cpuinfo").read_text("utf-8")
    model = re.search(r"^model name\s*:\s*(.+)$", cpu_info, re.M)
    return Machine(
        processor=model[1] if model else platform.machine(),
        cores=os.cpu_count() or 1,
        memory_gb=round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1),
        system=_system(),
        kernel=platform.release(),
        python=platform.python_version(),
        load_average=round(os.getloadavg()[0], 2),
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()


def revision(root: Path = ROOT) -> str:
    """Which commit of a checkout is measured."""
    git = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
