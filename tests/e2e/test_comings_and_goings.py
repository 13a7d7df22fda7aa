"""Who comes first, who goes, who comes back, and who is not let in: publishers and players of ffmpeg."""

import signal

import pytest

from tests.support.ffmpeg import AUDIO, GOP_FRAMES, VIDEO, Crew, Packets, Recording, place_of
from tests.support.program import Launch

pytestmark = pytest.mark.e2e

WORKFLOW = """workflow live {
    rtmp_receive rtmp_app=live stream_key=show port=0
    rtmp_watch rtmp_app=live stream_key=show port=0
}
"""


def split(packets: Packets, video: int, audio: int) -> tuple[Packets, Packets]:
    """The first so many packets, and the rest."""
    return (
        Packets(packets.video[:video], packets.audio[:audio]),
        Packets(packets.video[video:], packets.audio[audio:]),
    )


async def test_players_who_come_before_the_publisher_get_every_packet_from_the_first_to_the_last(
    launch: Launch, crew: Crew, clip: Recording
) -> None:
    program = await launch(WORKFLOW)
    players = [await crew.play(program.url()), await crew.play(program.url())]
    await program.child.err.until(lambda _: program.count_logged("watcher joined") == 2, "two watchers")
    publisher = await crew.publish(clip, program.url())
    assert await publisher.end() == 0
    await program.delete("live")
    for player in players:
        assert await player.child.end() == 0
        assert player.packets == clip.packets


async def test_players_stay_when_the_publisher_goes_and_get_all_of_its_next_show(
    launch: Launch, crew: Crew, clip: Recording
) -> None:
    program = await launch(WORKFLOW)
    player = await crew.play(program.url())
    await program.logged("watcher joined")
    for _ in range(2):
        before = program.log_length
        assert await (await crew.publish(clip, program.url())).end() == 0
        await program.logged("publisher left", after=before)
    assert program.count_logged("watcher left") == 0
    await program.delete("live")
    assert await player.child.end() == 0
    first, second = split(player.packets, len(clip.packets.video), len(clip.packets.audio))
    assert (first, second) == (clip.packets, clip.packets)
    for stream in (VIDEO, AUDIO):
        assert player.times(stream) == sorted(player.times(stream))


async def test_a_second_publisher_on_a_live_key_is_refused_and_the_first_goes_on(
    launch: Launch, crew: Crew, show: Recording
) -> None:
    program = await launch(WORKFLOW)
    first = await crew.publish(show, program.url())
    await program.logged("publisher joined")
    player = await crew.play(program.url())
    await player.gets(GOP_FRAMES)
    second = await crew.publish(show, program.url())
    assert await second.end() != 0
    assert "stream key 'show' is being published already" in second.err.text
    await player.gets_more()
    assert first.is_running
    place_of(player.packets.video, show.packets.video)
    assert program.count_logged("publisher left") == 0


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("live/other", "application 'live' has no stream key 'other' for publishers"),
        ("elsewhere/show", "Application 'elsewhere' is not served on port"),
    ],
)
async def test_a_publisher_of_what_is_not_served_is_told_so(
    launch: Launch, crew: Crew, show: Recording, path: str, reason: str
) -> None:
    program = await launch(WORKFLOW)
    publisher = await crew.publish(show, f"rtmp://{program.rtmp}/{path}")
    assert await publisher.end() != 0
    assert reason in publisher.err.text
    await program.logged(f"refused: {reason}")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("live/other", "application 'live' has no stream key 'other' for watchers"),
        ("elsewhere/show", "Application 'elsewhere' is not served on port"),
    ],
)
async def test_a_player_of_what_is_not_served_is_told_so(launch: Launch, crew: Crew, path: str, reason: str) -> None:
    program = await launch(WORKFLOW)
    player = await crew.play(f"rtmp://{program.rtmp}/{path}")
    assert await player.child.end() != 0
    assert reason in player.child.err.text
    await program.logged(f"refused: {reason}")


async def test_the_key_of_a_killed_publisher_is_free_again_and_its_watchers_stay(
    launch: Launch, crew: Crew, show: Recording, clip: Recording
) -> None:
    program = await launch(WORKFLOW)
    first = await crew.publish(show, program.url())
    await program.logged("publisher joined")
    player = await crew.play(program.url())
    await player.gets(GOP_FRAMES)
    first.send(signal.SIGKILL)
    await program.logged("publisher left")
    second = await crew.publish(clip, program.url())
    assert await second.end() == 0
    assert program.count_logged("watcher left") == 0
    await program.delete("live")
    assert await player.child.end() == 0
    of_first, of_second = split(player.packets, -len(clip.packets.video), -len(clip.packets.audio))
    assert of_second == clip.packets
    place_of(of_first.video, show.packets.video)
    place_of(of_first.audio, show.packets.audio)


async def test_a_killed_player_leaves_the_others_undisturbed(launch: Launch, crew: Crew, show: Recording) -> None:
    program = await launch(WORKFLOW)
    await crew.publish(show, program.url())
    await program.logged("publisher joined")
    staying, leaving = await crew.play(program.url()), await crew.play(program.url())
    await staying.gets(1)
    await leaving.gets(1)
    leaving.child.send(signal.SIGKILL)
    await program.logged("watcher left")
    await staying.gets_more()
    place_of(staying.packets.video, show.packets.video)
    assert program.count_logged("watcher left") == 1


async def test_a_publisher_over_ipv6_and_a_player_over_ipv4_meet(launch: Launch, crew: Crew, show: Recording) -> None:
    program = await launch(WORKFLOW)
    await crew.publish(show, program.url().replace("127.0.0.1", "[::1]"))
    await program.logged("publisher joined.*connection=.*::1")
    player = await crew.play(program.url())
    await player.gets(1)
    place_of(player.packets.video, show.packets.video)
