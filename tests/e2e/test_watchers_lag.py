"""A player that reads slower than its stream comes: what `GET /clients` says of it is what it lacks.

Publisher and player are stopped before anybody looks, so that nothing moves while bytes are compared.
"""

import signal
from itertools import accumulate
from typing import Any

import pytest
import trio

from tests.support.ffmpeg import Crew, Player, Recording, play_command
from tests.support.processes import start
from tests.support.program import Launch, Program
from tests.support.waiting import eventually_answered

pytestmark = pytest.mark.e2e

READ_RATE = "0.1"
"""Of the pace of the media, once ffmpeg knows what it reads."""

LAG_MS = 1_500
"""From which on it is looked at; sockets hold some more."""

PATIENCE_SECONDS = 60
DTS, SIZE = 1, 4
"""Columns of ffmpeg's framemd5."""


def workflow(port: int) -> str:
    return (
        "workflow live {\n    rtmp_receive rtmp_app=live stream_key=* port=0\n"
        "    rtmp_watch rtmp_app=live stream_key=* port=0\n"
        f"    http_watch app=live stream_key=* port={port}\n}}\n"
    )


def frames(player: Player) -> list[tuple[int, int]]:
    """Decoding times and sizes of what it has printed, in the order of these times."""
    rows = [line.split(",") for line in player.child.out.lines if line[:2] in ("0,", "1,")]
    return sorted((int(row[DTS]), int(row[SIZE])) for row in rows)


async def last_client(program: Program) -> Any:
    return (await program.get("/clients")).json["clients"][-1]


async def is_behind(program: Program) -> bool:
    return bool((await last_client(program))["lag_ms"] >= LAG_MS)


async def at_rest(program: Program) -> Any:
    """The client that came last, once nothing goes to it any more."""
    before = None
    with trio.fail_after(PATIENCE_SECONDS):
        while True:
            now = await last_client(program)
            if now == before:
                return now
            before = now
            await trio.sleep(0.5)


@pytest.mark.parametrize("way", ["rtmp", "http"])
async def test_a_slow_player_is_behind_by_what_was_published_and_not_sent_to_it(
    way: str, launch: Launch, crew: Crew, noise: Recording, free_port: int
) -> None:
    program = await launch(workflow(free_port), settings="max_watcher_lag 60")
    publisher = await crew.publish(noise, program.url())
    await program.logged("publisher joined")
    fast = await crew.play(program.url())
    await fast.gets(1)
    url = program.url() if way == "rtmp" else f"http://127.0.0.1:{free_port}/live/show.flv"
    ffmpeg, *rest = play_command(url)
    slow = Player(await start(crew.nursery, [ffmpeg, "-readrate", READ_RATE, *rest], name="slow player"))
    await slow.gets(1)
    await eventually_answered(lambda: is_behind(program), "player that is behind")
    publisher.send(signal.SIGSTOP)
    slow.child.send(signal.SIGSTOP)
    seen = await at_rest(program)
    assert (seen["protocol"], seen["state"], seen["skips"]) == ("rtmp" if way == "rtmp" else "http-flv", "watching", 0)

    got = frames(slow)
    published = [(dts, size) for dts, size in frames(fast) if dts >= got[0][0]]
    newest = published[-1][0]
    total = sum(size for _, size in published)
    assert seen["bytes"] + seen["lag_bytes"] == pytest.approx(total, rel=0.03)  # headers of chunks and tags
    sent = [
        dts
        for (dts, _), so_far in zip(published, accumulate(size for _, size in published), strict=True)
        if so_far <= seen["bytes"]
    ]
    assert seen["lag_ms"] == pytest.approx(newest - sent[-1], abs=200)
    assert seen["lag_ms"] >= LAG_MS / 2
    assert sum(size for _, size in got) <= seen["bytes"]  # the rest is in sockets
    assert newest - got[-1][0] >= seen["lag_ms"] - 200
