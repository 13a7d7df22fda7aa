"""What the operating system says of ports: whether one can be bound, and which sockets a process still has on it."""

import random
import socket
from pathlib import Path

_LOCAL_ADDRESS, _QUEUES, _INODE = 1, 4, 9
"""Columns of /proc/net/tcp (proc_pid_net(5))."""

PORTS = range(20_000, 32_000)
"""Below those that Linux takes for outgoing connections (ip_local_port_range)."""


def find_free_port() -> int:
    """A port that was free a moment ago, and that the system gives to nobody who did not ask for it."""
    # Not from the seeded source: it starts anew for each phase of a test, and would give the same ports again.
    return next(port for port in random.SystemRandom().sample(PORTS, len(PORTS)) if can_listen(port))


def can_listen(port: int) -> bool:
    """Whether a server could open `port` on all addresses now."""
    with socket.socket(socket.AF_INET6) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            listening.bind(("::", port))
            listening.listen()
        except OSError:
            return False
    return True


def open_sockets(port: int) -> list[str]:
    """The sockets with local port `port` that a process holds (Linux); closed ones of the kernel do not count."""
    lines = [line for table in ("tcp", "tcp6") for line in Path("/proc/net", table).read_text().splitlines()[1:]]
    return [line for line in lines if _is_held(line.split(), port)]


def unsent_bytes(port: int) -> int:
    """The most that waits in one socket with local port `port` until its peer reads (Linux)."""
    return max((int(line.split()[_QUEUES].partition(":")[0], 16) for line in open_sockets(port)), default=0)


def _is_held(columns: list[str], port: int) -> bool:
    return int(columns[_LOCAL_ADDRESS].rpartition(":")[2], 16) == port and columns[_INODE] != "0"
