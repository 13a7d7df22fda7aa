"""Where tests of a cluster of real servers play: nodes as processes, encoders and players, on any registry."""

import os
from collections.abc import Sequence
from pathlib import Path

import trio
from attrs import define, field

from tests.support.live_clients import Encoder, Player
from tests.support.program import ROOT, Program, serve
from tests.support.registries import free_ports
from tests.support.waiting import eventually

CONFIGURATION = """
cluster show {{
    registry {registry}
    node {name}
    advertise rtmp://127.0.0.1:{advertised}
    secret as-long-as-it-has-to-be
    linger 5s
}}
workflow w {{
    rtmp_receive rtmp_app=live stream_key=* port={port} cluster
    rtmp_watch rtmp_app=live stream_key=* port={port} cluster
}}
"""

SETTINGS = "grace_after 0\n    "

CLOCK = """
import time

time.time = lambda real=time.time: real() + {seconds}
time.time_ns = lambda real=time.time_ns: real() + {seconds} * 10**9
"""
"""Python runs a module `sitecustomize` before anything else: the calendar of a process is set apart by it."""


@define(eq=False)
class Stage:
    """Where a test plays: a registry, and nodes by name."""

    nursery: trio.Nursery
    directory: Path
    registry: str
    """Its URL."""
    nodes: dict[str, Program] = field(factory=dict)
    ports: dict[str, int] = field(factory=dict)
    players: list[Player] = field(factory=list)

    async def start(
        self,
        names: str,
        *,
        registry: str | None = None,
        advertised: int | None = None,
        clock_s: int = 0,
        module: str | None = None,
    ) -> None:
        """Start nodes; other nodes reach them at `advertised`. Their calendars are `clock_s` ahead of this one.

        They load a `module` of this text, with kinds of steps.
        """
        for name in names:
            directory = self.directory / name
            directory.mkdir()
            (directory / "sitecustomize.py").write_text(CLOCK.format(seconds=clock_s), encoding="utf-8")
            port = self.ports.get(name) or free_ports(1)[0]
            text = CONFIGURATION.format(
                registry=registry or self.registry, name=name, advertised=advertised or port, port=port
            )
            paths = {"PYTHONPATH": os.pathsep.join((str(directory), str(ROOT)))} if clock_s else None
            settings = SETTINGS
            if module is not None:
                (directory / "own_kinds.py").write_text(module, encoding="utf-8")
                settings += "load own_kinds\n    "
            self.nodes[name] = await serve(self.nursery, directory, text, settings=settings, environment=paths)
            self.ports[name] = port

    def encode(self, *names: str) -> Encoder:
        """An encoder that tries these nodes one after another."""
        encoder = Encoder([self.ports[name] for name in names])
        self.nursery.start_soon(encoder.run)
        return encoder

    async def play(self, name: str, count: int = 1) -> Sequence[Player]:
        """Players of a node, once all of them have media."""
        players = [Player(self.ports[name]) for _ in range(count)]
        for player in players:
            self.nursery.start_soon(player.run)
        self.players += players
        await self.served(players)
        return players

    async def served(self, players: Sequence[Player] | None = None) -> None:
        """Wait until players (all) have media."""
        wanted = self.players if players is None else players
        await eventually(lambda: all(player.is_served for player in wanted), "media for all players")

    async def published(self, encoder: Encoder, *names: str) -> None:
        """Wait until an encoder publishes at one of these nodes."""
        ports = [self.ports[name] for name in names]
        await eventually(lambda: encoder.at in ports, f"publisher at {names}")

    async def pulls(self, name: str) -> int:
        """How many other nodes pull from one."""
        clients = (await self.nodes[name].get("/clients")).json["clients"]
        return sum(client["token"] == "cluster" for client in clients)

    def longest_gap(self, since: float) -> float:
        """Of any player, after a time."""
        return max(player.gap(since) for player in self.players)

    def assert_nobody_was_cut(self) -> None:
        """All players are here, and saw no time go back."""
        assert not any(player.ended for player in self.players)
        assert sum(player.went_back for player in self.players) == 0


def say(what: str, seconds: float) -> None:
    """A figure for whoever reads the output."""
    print(f"{what}: {seconds:.2f} s")
