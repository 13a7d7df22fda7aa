"""Real registries in tests: redis-server, Redis with Sentinel, and etcd, on free ports, each in its own directory."""

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from attrs import define

from tests.support.processes import Child, start
from tests.support.waiting import eventually_answered

REDIS = "/usr/bin/redis-server"
SENTINEL = "/usr/bin/redis-sentinel"
ETCD = "/usr/bin/etcd"
SERVICE = "mmids"


def free_ports(count: int) -> list[int]:
    """Ports that nobody has now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


async def opens(port: int) -> None:
    """Wait until somebody listens on a port."""

    async def can_connect() -> bool:
        try:
            stream = await trio.open_tcp_stream("127.0.0.1", port)
        except OSError:
            return False
        await stream.aclose()
        return True

    await eventually_answered(can_connect, f"listener on port {port}")


@define(eq=False)
class Server:
    """A registry's process, which may be stopped and started again."""

    nursery: trio.Nursery
    command: Sequence[str]
    directory: Path
    port: int
    child: Child | None = None

    async def start(self) -> None:
        """Run, with what it has on the disk."""
        self.child = await start(self.nursery, self.command, directory=self.directory)
        await opens(self.port)

    async def kill(self) -> None:
        """End it as `kill -9` does."""
        assert self.child is not None
        self.child.process.kill()
        await self.child.end()


def redis(nursery: trio.Nursery, directory: Path, port: int, *more: str) -> Server:
    """A redis-server without a file, so it comes back empty."""
    directory.mkdir(parents=True, exist_ok=True)
    options = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
    return Server(nursery, (REDIS, *options, *more), directory, port)


@define(eq=False)
class Sentinels:
    """A primary, a replica, and three sentinels."""

    servers: Sequence[Server]
    url: str


async def sentinels(nursery: trio.Nursery, directory: Path) -> Sentinels:
    """Start them; ready when the sentinels know each other and the replica."""
    first, second, *ports = free_ports(5)
    primary = redis(nursery, directory / "first", first)
    replica = redis(nursery, directory / "second", second, "--replicaof", "127.0.0.1", str(first))
    for server in (primary, replica):
        await server.start()
    guards = []
    for port in ports:
        place = directory / str(port)
        place.mkdir()
        (place / "sentinel.conf").write_text(
            f"port {port}\nbind 127.0.0.1\nsentinel monitor {SERVICE} 127.0.0.1 {first} 2\n"
            f"sentinel down-after-milliseconds {SERVICE} 1000\nsentinel failover-timeout {SERVICE} 5000\n"
        )
        guard = Server(nursery, (SENTINEL, "sentinel.conf"), place, port)
        await guard.start()
        guards.append(guard)
    for guard in guards:
        assert guard.child is not None
        await guard.child.out.line(r"\+slave ")
        await guard.child.out.until(lambda lines: sum("+sentinel " in line for line in lines) >= 2, "two others")
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    return Sentinels((primary, replica, *guards), f"redis-sentinel://{hosts}/{SERVICE}")


def etcd(nursery: trio.Nursery, directory: Path) -> Server:
    """One member, which keeps what it has in `directory`."""
    client, peer = free_ports(2)
    urls = ("--listen-client-urls", f"http://127.0.0.1:{client}", "--advertise-client-urls")
    peers = ("--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls")
    options = (*urls, f"http://127.0.0.1:{client}", *peers, f"http://127.0.0.1:{peer}")
    cluster = ("--initial-cluster", f"default=http://127.0.0.1:{peer}", "--data-dir", str(directory / "data"))
    return Server(nursery, (ETCD, *options, *cluster, "--log-level", "error"), directory, client)


@asynccontextmanager
async def running() -> AsyncIterator[trio.Nursery]:
    """A nursery for servers, which end with it."""
    async with trio.open_nursery() as nursery:
        yield nursery
        nursery.cancel_scope.cancel()
