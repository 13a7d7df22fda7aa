"""The example of dynamic load balancing, as its one command starts it."""

import random
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from attrs import define

from tests.support.ffmpeg import Crew, Recording, place_of
from tests.support.processes import Child, start
from tests.support.program import curl
from tests.support.sockets import can_listen

pytestmark = pytest.mark.e2e

EXAMPLE = Path(__file__).parents[2] / "examples" / "load_balancing" / "run.py"


@define(eq=False)
class Cluster:
    """The running example."""

    child: Child
    lookup: str
    ingest: list[int]
    playback: list[int]

    async def ask(self, path: str) -> tuple[str, int]:
        """A URL that the lookup service names, and the port in it."""
        answer = await curl(self.lookup + path)
        assert answer.status == 200, answer
        return answer.text, int(answer.text.split("/")[2].partition(":")[2])

    def processes(self) -> set[int]:
        """Ids of everything that the command has started and that still runs, also what those started."""
        found = _children(self.child.process.pid)
        for pid in tuple(found):
            found |= _children(pid)
        return found


def _children(pid: int) -> set[int]:
    """Children of a process (Linux)."""
    return {int(child) for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()}


def _running(processes: set[int]) -> list[int]:
    return [pid for pid in processes if Path(f"/proc/{pid}").exists()]


@pytest.fixture
async def cluster(nursery: trio.Nursery) -> AsyncIterator[Cluster]:
    """The example on free ports."""
    ports = [port for port in random.SystemRandom().sample(range(20_000, 32_000), 50) if can_listen(port)][:5]
    lookup, *others = map(str, ports)
    options = ["--lookup", lookup, "--ingest", *others[:2], "--playback", *others[2:], "--interval", "1"]
    child = await start(nursery, [sys.executable, str(EXAMPLE), *options], name="load_balancing")
    try:
        await child.out.line("Ctrl")
        yield Cluster(child, f"http://127.0.0.1:{lookup}", ports[1:3], ports[3:])
    finally:
        if child.is_running:
            child.send(signal.SIGTERM)
            with trio.CancelScope(shield=True):
                await child.end()


async def test_every_playback_instance_serves_the_streams_of_every_ingest_instance(
    cluster: Cluster, crew: Crew, show: Recording
) -> None:
    publishers, taken = [], []
    for name in ("anna", "ben"):
        url, port = await cluster.ask(f"/publish/{name}")
        publishers.append(await crew.publish(show, url))
        await cluster.child.err.line(f"publisher joined.*'{name}'")
        taken.append(port)
    assert sorted(taken) == sorted(cluster.ingest)
    watched, players = [], []
    for name in ("anna", "anna", "ben", "ben"):
        url, port = await cluster.ask(f"/watch/{name}")
        watched.append((name, port))
        players.append(await crew.play(url))
    assert set(watched) == {(name, port) for name in ("anna", "ben") for port in cluster.playback}
    for player in players:
        await player.gets(45)
        assert player.packets.video[0] in show.key_frames
        place_of(player.packets.video, show.packets.video)
        place_of(player.packets.audio, show.packets.audio)
    publishers[0].send(signal.SIGTERM)
    await publishers[0].end()
    for player in players[2:]:  # they do not hang on the other stream
        await player.gets_more(60)


async def test_a_player_who_is_first_waits_and_gets_the_stream_when_it_begins(
    cluster: Cluster, crew: Crew, show: Recording
) -> None:
    player = await crew.play((await cluster.ask("/watch/talk"))[0])
    await cluster.child.err.line("watcher joined")
    await crew.publish(show, (await cluster.ask("/publish/talk"))[0])
    await player.gets(30)
    place_of(player.packets.video, show.packets.video)


async def test_a_name_that_is_live_or_not_allowed_is_refused_everywhere(
    cluster: Cluster, crew: Crew, show: Recording
) -> None:
    url, port = await cluster.ask("/publish/talk")
    first = await crew.publish(show, url)
    await cluster.child.err.line("publisher joined")
    [other] = set(cluster.ingest) - {port}
    for refused in (url.replace(str(port), str(other)), url.replace("talk", "t%20k")):
        publisher = await crew.publish(show, refused)
        assert await publisher.end() != 0
    assert first.is_running
    assert (await cluster.ask("/publish/talk"))[1] == port


async def test_a_signal_stops_all_of_it(cluster: Cluster, crew: Crew, show: Recording) -> None:
    publisher = await crew.publish(show, (await cluster.ask("/publish/talk"))[0])
    await cluster.child.err.line("publisher joined")
    await (await crew.play((await cluster.ask("/watch/talk"))[0])).gets(1)
    processes = cluster.processes()
    assert len(processes) >= 6  # lookup service, four instances, an ffmpeg that pulls
    cluster.child.send(signal.SIGINT)
    assert await cluster.child.end() == 0, cluster.child.err.text
    assert cluster.child.err.text.count("server stopped") == 4
    assert _running(processes) == []
    assert all(can_listen(port) for port in (*cluster.ingest, *cluster.playback))
    await publisher.end()
