"""What connected clients feel of a change: nothing, unless it takes away the step that they use."""

import pytest

from tests.support.ffmpeg import AUDIO, GOP_FRAMES, VIDEO, Crew, Player, Recording, place_of
from tests.support.program import Launch, Program
from tests.support.sockets import can_listen, open_sockets

pytestmark = pytest.mark.e2e

RECEIVE = "rtmp_receive rtmp_app=live stream_key=* port=0"
WATCH = "rtmp_watch rtmp_app=live stream_key=* port=0"
OTHER_WATCH = "rtmp_watch rtmp_app=other stream_key=* port=0"


def workflow(*steps: str) -> str:
    """The workflow `live` of these steps."""
    return "\n    ".join(["workflow live {", *steps]) + "\n}\n"


async def change(program: Program, *steps: str) -> dict[str, str]:
    """PUT the workflow of these steps; what became of each step, in the plan's order of types."""
    answer = await program.put(workflow(*steps))
    assert answer.status == 200, answer.text
    status = await program.status("live")
    assert status["status"] == "Running"
    assert len(status["active_steps"]) == len(steps)
    return {f"{step['step_type']} {number}": step["action"] for number, step in enumerate(answer.json["steps"])}


def assert_whole(player: Player, recording: Recording, *, gops: int) -> None:
    """The player has lost nothing, from its first key frame on, and that for `gops` seconds at least."""
    received = player.packets
    assert received.video[0] in recording.key_frames
    place_of(received.video, recording.packets.video)
    place_of(received.audio, recording.packets.audio)
    assert len(received.video) >= gops * GOP_FRAMES
    for stream in (VIDEO, AUDIO):
        assert player.times(stream) == sorted(set(player.times(stream)))


def departures(program: Program, since: int = 0) -> int:
    """Clients that have left, one way or another."""
    return program.count_logged("publisher left|watcher left|connection closes", after=since)


@pytest.fixture
async def on_air(launch: Launch, crew: Crew, show: Recording) -> tuple[Program, list[Player]]:
    """A publisher and two players of the workflow `receive, watch`, all well under way."""
    program = await launch(workflow(RECEIVE, WATCH))
    publisher = await crew.publish(show, program.url())
    await program.logged("publisher joined")
    players = [await crew.play(program.url()), await crew.play(program.url())]
    for player in players:
        await player.gets(GOP_FRAMES)
    assert publisher.is_running
    return program, players


OnAir = tuple[Program, list[Player]]


async def test_appending_a_watch_step_loses_no_packet_and_serves_its_own_watchers(
    on_air: OnAir, crew: Crew, show: Recording
) -> None:
    program, players = on_air
    plan = await change(program, RECEIVE, WATCH, OTHER_WATCH)
    assert plan == {"rtmp_receive 0": "keep", "rtmp_watch 1": "keep", "rtmp_watch 2": "start"}
    newcomer = await crew.play(program.url(app="other"))
    decoder = await crew.decode(program.url(app="other"), GOP_FRAMES)
    await newcomer.gets(GOP_FRAMES)
    for player in players:
        await player.gets_more()
        assert_whole(player, show, gops=2)
    assert_whole(newcomer, show, gops=1)
    assert (await decoder.end(), decoder.err.text) == (0, "")
    # The decoder had its fill; how it leaves, with or without a reset, is its own affair.
    assert (program.count_logged("publisher left"), program.count_logged("watcher left")) == (0, 1)


async def test_a_watch_step_put_in_between_loses_no_packet(on_air: OnAir, crew: Crew, show: Recording) -> None:
    program, players = on_air
    await change(program, RECEIVE, OTHER_WATCH, WATCH)
    newcomer = await crew.play(program.url(app="other"))
    await newcomer.gets(GOP_FRAMES)
    for player in players:
        await player.gets_more()
        assert_whole(player, show, gops=2)
    assert_whole(newcomer, show, gops=1)
    assert departures(program) == 0


async def test_reordering_drops_nobody_and_loses_no_packet(on_air: OnAir, crew: Crew, show: Recording) -> None:
    program, players = on_air
    await change(program, RECEIVE, WATCH, OTHER_WATCH)
    players.append(await crew.play(program.url(app="other")))
    await players[-1].gets(GOP_FRAMES)
    plan = await change(program, RECEIVE, OTHER_WATCH, WATCH)
    assert set(plan.values()) == {"keep"}
    await change(program, RECEIVE, WATCH, OTHER_WATCH)
    for player in players:
        await player.gets_more()
        assert_whole(player, show, gops=2)
    assert departures(program) == 0


async def test_many_changes_in_a_row_lose_no_packet(on_air: OnAir, show: Recording) -> None:
    program, players = on_air
    for _ in range(5):
        await change(program, RECEIVE, OTHER_WATCH, WATCH)
        await change(program, RECEIVE, WATCH)
    for steps in 5 * [(OTHER_WATCH, WATCH), (WATCH, OTHER_WATCH), (WATCH,)]:
        assert (await program.put(workflow(RECEIVE, *steps), "")).status == 200  # nobody waits for its end
    await change(program, RECEIVE, WATCH)
    for player in players:
        await player.gets_more()
        assert_whole(player, show, gops=2)
    assert departures(program) == 0


async def test_another_parameter_of_a_watch_step_drops_its_watchers_only(
    on_air: OnAir, crew: Crew, show: Recording
) -> None:
    program, [leaving, also_leaving] = on_air
    await change(program, RECEIVE, WATCH, OTHER_WATCH)
    staying = await crew.play(program.url(app="other"))
    await staying.gets(GOP_FRAMES)
    await change(program, RECEIVE, WATCH.replace("live", "third"), OTHER_WATCH)
    assert (await leaving.child.end(), await also_leaving.child.end()) == (0, 0)
    newcomer = await crew.play(program.url(app="third"))
    await newcomer.gets(GOP_FRAMES)
    await staying.gets_more()
    assert_whole(staying, show, gops=2)
    assert_whole(newcomer, show, gops=1)
    assert_whole(leaving, show, gops=1)
    assert program.count_logged("publisher left") == 0
    assert program.count_logged("connection closes") == 2


async def test_other_address_rules_for_the_same_application_and_key_move_the_claim_over(
    on_air: OnAir, crew: Crew, show: Recording
) -> None:
    program, players = on_air
    await change(program, RECEIVE, WATCH + " allow_ips=127.0.0.0/8")
    for player in players:
        assert await player.child.end() == 0
    newcomer = await crew.play(program.url())
    await newcomer.gets(GOP_FRAMES)
    assert_whole(newcomer, show, gops=1)
    await change(program, RECEIVE, WATCH + " deny_ips=127.0.0.1")
    assert await newcomer.child.end() == 0
    unwanted = await crew.play(program.url())
    await program.logged("refused: 127.0.0.1 is not allowed here")
    assert await unwanted.child.end() != 0
    assert program.count_logged("publisher left") == 0


async def test_other_address_rules_of_the_receiver_take_the_publisher_and_keep_the_watchers(
    on_air: OnAir, crew: Crew, show: Recording
) -> None:
    program, [player, _] = on_air
    await change(program, RECEIVE + " allow_ips=127.0.0.1", WATCH)
    await program.logged("publisher left")
    before = len(player.packets.video)
    await crew.publish(show, program.url())
    await player.gets(before + 2 * GOP_FRAMES)
    assert program.count_logged("watcher left") == 0


async def test_in_place_who_is_not_excluded_loses_no_packet_and_the_others_go(
    on_air: OnAir, crew: Crew, show: Recording
) -> None:
    program, players = on_air
    before = [step["step_id"] for step in (await program.status("live"))["active_steps"]]
    text = workflow(f"{RECEIVE} grace=5", f"{WATCH} max_lag=20 allow_ips=127.0.0.0/8")
    planned = await program.put(text, "?dry_run=true&in_place=true")
    assert [(step["action"], step["step_id_before"]) for step in planned.json["steps"]] == [
        ("change", before[0]),
        ("change", before[1]),
    ]
    changed = await program.put(text, "?wait=10&in_place=true")
    assert (changed.status, changed.json) == (200, planned.json)
    after = [step["step_id"] for step in (await program.status("live"))["active_steps"]]
    assert after == [step["step_id"] for step in planned.json["steps"]]
    for player in players:
        await player.gets_more()
        assert_whole(player, show, gops=2)
    assert departures(program) == 0
    excluding = workflow(f"{RECEIVE} grace=5", f"{WATCH} max_lag=20 deny_ips=127.0.0.0/8")
    assert (await program.put(excluding, "?wait=10&in_place=true")).status == 200
    for player in players:
        assert await player.child.end() == 0
    assert (program.count_logged("publisher left"), program.count_logged("watcher left")) == (0, 2)


async def test_the_answer_to_a_delete_means_that_nothing_is_left(
    launch: Launch, crew: Crew, show: Recording, free_port: int
) -> None:
    program = await launch("")
    put = await program.put(workflow(RECEIVE, WATCH).replace("port=0", f"port={free_port}"))
    assert put.status == 200, put.text
    publisher = await crew.publish(show, program.url(port=free_port))
    await program.logged("publisher joined")
    players = [await crew.play(program.url(port=free_port)) for _ in range(3)]
    for player in players:
        await player.gets(1)
    assert not can_listen(free_port)
    assert (await program.delete("live")).status == 200
    assert can_listen(free_port)
    assert open_sockets(free_port) == []
    assert (await program.get("/workflows")).json == []
    for player in players:
        assert await player.child.end() == 0
    await publisher.end()
    assert (await program.delete("live")).status == 200
