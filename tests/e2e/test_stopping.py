"""Signals: the program stops whatever is connected, and waits for no player that does not read."""

import signal

import pytest
import trio

from tests.support.ffmpeg import GOP_FRAMES, Crew, Player, Recording, place_of
from tests.support.processes import HANG_SECONDS
from tests.support.program import Launch, Program
from tests.support.sockets import can_listen, unsent_bytes

pytestmark = pytest.mark.e2e

WORKFLOW = """workflow live {
    rtmp_receive rtmp_app=live stream_key=* port=0
    rtmp_watch rtmp_app=live stream_key=* port=0
}
"""
LOOK_SECONDS, LOOKS = 0.05, 10
"""Half a second of the noise is a megabyte: where so many looks see the same, the socket is full."""


async def until_full(port: int) -> None:
    """Wait until a socket of the server takes no more, because its peer does not read."""
    seen = [0]
    with trio.fail_after(30):
        while seen[-1] == 0 or seen[-LOOKS:] != [seen[-1]] * LOOKS:
            await trio.sleep(LOOK_SECONDS)  # the kernel tells nobody
            seen.append(unsent_bytes(port))


@pytest.fixture
async def crowded(launch: Launch, crew: Crew, noise: Recording) -> tuple[Program, list[Player]]:
    """A server with a publisher, two players, and a third one that is stopped until its socket is full."""
    program = await launch(WORKFLOW)
    await crew.publish(noise, program.url())
    await program.logged("publisher joined")
    players = [await crew.play(program.url()) for _ in range(3)]
    for player in players:
        await player.child.out.line("#stream")
    players[-1].child.send(signal.SIGSTOP)
    await until_full(program.rtmp_port)
    return program, players


Crowded = tuple[Program, list[Player]]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_the_program_with_everybody_connected(crowded: Crowded, number: signal.Signals) -> None:
    program, [player, other_player, _] = crowded
    program.child.send(number)
    assert await program.child.end() == 0
    assert program.count_logged(f"stopping .*{number.name}") == 1
    assert program.count_logged("server stopped") == 1
    assert can_listen(program.rtmp_port)
    assert (await player.child.end(), await other_player.child.end()) == (0, 0)


async def test_a_second_signal_stops_the_program_at_once(crowded: Crowded) -> None:
    program, _ = crowded
    program.child.send(signal.SIGTERM)
    await program.logged("stopping .*SIGTERM")
    program.child.send(signal.SIGINT)
    assert await program.child.end() == 0
    assert program.count_logged("stopping at once .*SIGINT") == 1


async def test_a_delete_does_not_wait_for_a_player_that_does_not_read(crowded: Crowded) -> None:
    program, _ = crowded
    with trio.fail_after(HANG_SECONDS):
        assert (await program.delete("live")).status == 200
    assert can_listen(program.rtmp_port)


async def test_players_that_read_lose_nothing_to_one_that_does_not(crowded: Crowded, noise: Recording) -> None:
    program, [player, other_player, _] = crowded
    for reading in (player, other_player):
        await reading.gets(3 * GOP_FRAMES)
        place_of(reading.packets.video, noise.packets.video)
    assert program.count_logged("watcher left|connection closes") == 0
