"""Applies from scripts, on real servers: who keeps their steps stays connected, and a failure leaves all as it was."""

import random
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.e2e.test_kept_clients import assert_whole, departures
from tests.support.commands import Result, invoke
from tests.support.ffmpeg import GOP_FRAMES, Crew, Player, Recording
from tests.support.program import Launch, Program

pytestmark = pytest.mark.e2e

APPLIES = 200
RECEIVE = "rtmp_receive rtmp_app=live stream_key=* port=0"
WATCH = "rtmp_watch rtmp_app=live stream_key=* port=0"
OTHERS = tuple(f"rtmp_watch rtmp_app=other{number} stream_key=* port=0" for number in range(3))
NEIGHBOURS = tuple(f"neighbour{number}" for number in range(4))


def workflow(name: str, *steps: str) -> str:
    """The text of a workflow."""
    return "\n    ".join([f"workflow {name} {{", *steps]) + "\n}\n"


def random_set(chance: random.Random) -> dict[str, str]:
    """Workflows by file: `live` with its steps and some that come, go and move; others that come and go."""
    between = chance.sample(OTHERS, chance.randrange(len(OTHERS) + 1))
    steps = [WATCH, *between]
    chance.shuffle(steps)
    texts = {"live": workflow("live", RECEIVE, *steps)}
    for name in chance.sample(NEIGHBOURS, chance.randrange(len(NEIGHBOURS) + 1)):
        key = chance.choice(("a", "b"))  # which one neighbour gives up and another takes, at times
        texts[name] = workflow(name, f"rtmp_receive rtmp_app={name} stream_key={key} port=0")
    return texts


def write(directory: Path, texts: dict[str, str]) -> str:
    """A directory with these files, and no others."""
    directory.mkdir(exist_ok=True)
    for old in directory.glob("*.mmids"):
        old.unlink()
    for name, text in texts.items():
        (directory / f"{name}.mmids").write_text(text)
    return str(directory)


async def run(program: Program, *arguments: str) -> Result:
    """A command, in a thread: a process would take ten times as long to start as a command to run."""
    return await trio.to_thread.run_sync(partial(invoke, *arguments, environment={"MMIDS_SERVER": program.api}))


async def on_air(program: Program, crew: Crew, show: Recording) -> list[Player]:
    """Two publishers and three players, well under way."""
    players = []
    for key, number in (("one", 2), ("two", 1)):
        begin = program.log_length
        await crew.publish(show, program.url(key))
        await program.logged("publisher joined", after=begin)
        players += [await crew.play(program.url(key)) for _ in range(number)]
    for player in players:
        await player.gets(GOP_FRAMES)
    return players


async def test_clients_lose_no_packet_in_200_applies_that_keep_their_steps(
    launch: Launch, crew: Crew, show: Recording, tmp_path: Path
) -> None:
    program = await launch(workflow("live", RECEIVE, WATCH))
    await program.hand_over()
    players = await on_air(program, crew, show)
    chance = random.Random(7)
    directory, changes = tmp_path / "wanted", 0
    for _ in range(APPLIES):
        path = write(directory, random_set(chance))
        done = await run(program, "apply", "--prune", "--max-disconnects", "0", "--json", path)
        assert done.status == 0, done.err
        changes += done.document["changed"]
    assert changes > APPLIES // 2
    for player in players:
        await player.gets_more()
        assert_whole(player, show, gops=2)
    assert departures(program) == 0


async def test_a_failure_of_the_fifth_of_nine_leaves_server_and_clients_as_they_were(
    launch: Launch, crew: Crew, show: Recording, tmp_path: Path
) -> None:
    program = await launch(workflow("live", RECEIVE, WATCH) + workflow("w2", OTHERS[0]))
    await program.hand_over()
    players = await on_air(program, crew, show)
    texts = {
        f"w{number}": workflow(f"w{number}", f"rtmp_watch rtmp_app=app{number} stream_key=*") for number in range(9)
    }
    texts = {name: text.replace("stream_key=*", "stream_key=* port=0") for name, text in texts.items()}
    texts["w4"] = workflow("w4", RECEIVE)  # which `live` has
    path = write(tmp_path / "wanted", texts)
    before = await program.get("/config")
    states = [await program.status(name) for name in ("live", "w2")]
    refused = await run(program, "apply", "--max-disconnects", "0", path)
    assert refused.status == 1
    assert "workflow 'w4'" in refused.err
    assert "taken by workflow 'live'" in refused.err
    assert "the server is as it was before" in refused.err
    assert await program.get("/config") == before
    after = [await program.status(name) for name in ("live", "w2")]
    assert after == states
    for player in players:
        await player.gets_more()
        assert_whole(player, show, gops=2)
    assert departures(program) == 0
    del texts["w4"]
    assert (await run(program, "apply", "--max-disconnects", "0", write(tmp_path / "wanted", texts))).status == 0


async def test_more_cuts_than_allowed_are_refused_and_nobody_is_cut(
    launch: Launch, crew: Crew, show: Recording, tmp_path: Path
) -> None:
    program = await launch(workflow("live", RECEIVE, WATCH))
    await program.hand_over()
    players = await on_air(program, crew, show)
    path = write(tmp_path / "wanted", {"live": workflow("live", RECEIVE)})
    planned = await run(program, "plan", path)
    assert planned.status == 2
    assert "disconnects 3 watchers" in planned.out
    refused = await run(program, "apply", "--max-disconnects", "2", path)
    assert refused.status == 1
    assert "would disconnect 3 watchers" in refused.err
    for player in players:
        await player.gets_more()
        assert_whole(player, show, gops=1)
    assert departures(program) == 0
    assert (await run(program, "apply", "--max-disconnects", "3", path)).status == 0
    for player in players:
        assert await player.child.end() == 0
    assert program.count_logged("publisher left") == 0
