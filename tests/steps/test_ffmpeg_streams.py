"""Streams of a step that feeds each to a child of its own: when children start, what they get, when they end."""

import errno
from itertools import pairwise
from pathlib import Path

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock

from mmids_trio.ffmpeg.supervisor import SUCCESSION_SECONDS
from mmids_trio.http_api.schemas import to_json
from mmids_trio.media.events import MediaKind, MediaPacket
from mmids_trio.testing.ffmpeg import FakeFfmpeg
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.network import MemoryNetwork
from mmids_trio.testing.processes import Behaviour, FakeProcess, FakeSpawner
from tests.support.ffmpeg_runs import packets_of
from tests.support.scripted_source import Camera, Take, fed, messages, workflow

PUSH = "ffmpeg_push target=rtmp://example.org/live/secret"
ONE = workflow(PUSH)
DIES = Behaviour(exits_after=1.5, exit_status=1, stderr=[(0.1, b"[error] Connection refused\n")])
STUCK = Behaviour(reads_stdin=False, signals={})


def harness(camera: Camera, configuration: str, *behaviours: Behaviour, takes: float = 0.0) -> Harness:
    ffmpeg = FakeFfmpeg(FakeSpawner(behaviours or (Behaviour(),), takes))
    return Harness(configuration, camera.steps, MemoryNetwork(), ffmpeg)


def children(h: Harness) -> FakeSpawner:
    assert isinstance(h.spawner, FakeFfmpeg)
    return h.spawner.children


async def test_a_child_starts_with_the_first_frame_and_misses_nothing_from_there(autojump_clock: MockClock) -> None:
    camera, take = Camera(), Take()
    async with harness(camera, ONE, takes=0.5) as h:
        await camera.send([*take.begin, *take.headers])
        await trio.sleep(5)
        assert children(h).attempts == []
        await camera.send(take.second(0))
        await camera.send(take.second(1))
        await trio.sleep(1)
        [child] = children(h).running
        assert take.report(fed(child)).missed == ()
        assert take.report(fed(child)).is_flawless_from_join


async def test_frames_before_the_first_key_frame_start_no_child(autojump_clock: MockClock) -> None:
    camera, take = Camera(), Take()
    async with harness(camera, ONE) as h:
        await camera.send([*take.begin, *take.headers, *take.second(0)[1:]])
        assert children(h).attempts == []
        await camera.send(take.second(1))
        [child] = children(h).running
        assert packets_of(fed(child))[2].data == take.second(1)[0].data


async def test_every_stream_has_a_child_of_its_own(autojump_clock: MockClock) -> None:
    camera, takes = Camera(), [Take("x", "a"), Take("y", "b", seed=1)]
    async with harness(camera, ONE) as h:
        await camera.send([event for take in takes for event in take.events])
        assert len(children(h).running) == 2
        contents = [fed(child) for child in children(h).running]
        for take in takes:
            [own] = [content for content in contents if take.packets[-1].data in content]
            assert take.report(own).missed == ()
            assert take.report(own).unknown == 0


async def test_the_child_finishes_when_its_stream_ends_and_the_others_go_on(autojump_clock: MockClock) -> None:
    camera, one, two = Camera(), Take("x", "a"), Take("y", "b", seed=1)
    slow = Behaviour(exits_after_end_of_input=2.0)
    async with harness(camera, ONE, slow) as h:
        await camera.send(one.events)
        await camera.send([*two.begin, *two.headers, *two.second(0)])
        await camera.send(one.end)
        await trio.sleep(2.5)
        first, second = children(h).processes
        assert first.is_closed
        assert first.signals == []
        assert one.report(fed(first)).missed == ()
        await camera.send(two.second(1))
        assert two.report(fed(second)).missed == ()
        assert len(children(h).attempts) == 2


async def test_a_stream_that_comes_and_goes_in_one_batch_is_not_lost(autojump_clock: MockClock) -> None:
    camera, take = Camera(), Take()
    async with harness(camera, ONE, takes=0.2) as h:
        await camera.send([*take.events, *take.end])
        await trio.sleep(1)
        [child] = children(h).processes
        assert take.report(fed(child)).missed == ()
        assert child.is_closed
        assert child.signals == []


async def test_a_stream_that_ends_while_no_child_can_be_started_is_given_up(autojump_clock: MockClock) -> None:
    camera, take = Camera(), Take()
    async with harness(camera, ONE, Behaviour(cannot_start=errno.EAGAIN)) as h:
        await camera.send([*take.events, *take.end])
        await trio.sleep(100)
        assert len(children(h).attempts) == 1
        assert messages(h) == []


async def test_a_stream_without_a_frame_has_no_child_and_leaves_nothing(autojump_clock: MockClock) -> None:
    camera, take = Camera(), Take()
    async with harness(camera, ONE) as h:
        before = trio.lowlevel.current_statistics().tasks_living
        await camera.send([*take.begin, *take.headers, *take.end])
        assert children(h).attempts == []
        assert trio.lowlevel.current_statistics().tasks_living == before


async def test_a_child_that_dies_is_replaced_by_one_that_begins_with_a_key_frame(autojump_clock: MockClock) -> None:
    camera, take = Camera(), Take(seconds=8)
    async with harness(camera, ONE, DIES, Behaviour()) as h:
        await camera.roll(take.events)
        _, second = children(h).processes
        assert children(h).attempts == [0.0, 2.0]
        packets = packets_of(fed(second))
        assert [packet.is_sequence_header for packet in packets[:3]] == [True, True, False]
        assert packets[2].is_key_frame
        assert take.report(fed(second)).is_flawless_from_join
        assert packets[2].data == take.second(3)[0].data
        assert take.report(camera.recorder.packets).missed == ()


async def test_the_details_say_why_a_child_ended_until_it_is_healthy(autojump_clock: MockClock) -> None:
    camera, take = Camera(), Take(seconds=70)
    async with harness(camera, ONE, DIES, Behaviour()) as h:
        assert "streams" not in str(to_json(h.workflow("w")))
        await camera.roll([*take.begin, *take.headers, *take.second(0), *take.second(1), *take.second(2)])
        said = "ffmpeg exited with status 1\n[error] Connection refused"
        assert messages(h) == [("talk", said)]
        assert {"name": "talk", "message": said} in _streams(h)
        assert h.workflow("w").status == "Running"
        await trio.sleep(65)
        assert messages(h) == []
        assert "streams" not in str(to_json(h.workflow("w")))


def _streams(h: Harness) -> list[object]:
    described = to_json(h.workflow("w"))
    assert isinstance(described, dict)
    steps = described["active_steps"]
    assert isinstance(steps, list)
    streams: list[object] = []
    for step in steps:
        assert isinstance(step, dict)
        more = step.get("streams", [])
        assert isinstance(more, list)
        streams += more
    return streams


@pytest.mark.thorough
async def test_a_child_that_does_not_keep_up_loses_whole_groups_and_nobody_else_anything(
    autojump_clock: MockClock,
) -> None:
    camera, take = Camera(), Take(seconds=25, key_frame_bytes=40_000)
    two = workflow("ffmpeg_push target=rtmp://slow/live/a", "ffmpeg_push target=rtmp://good/live/b")
    async with harness(camera, two, STUCK, Behaviour()) as h:
        await camera.roll(take.events)
        assert trio.current_time() == 24
        slow, good = children(h).running
        assert (slow.arguments[-1], good.arguments[-1]) == ("rtmp://slow/live/a", "rtmp://good/live/b")
        assert take.report(fed(good)).missed == ()
        assert take.report(camera.recorder.packets).missed == ()
        assert slow.stdin is not None
        slow.read_input()
        while slow.stdin.waiting or len(fed(slow)) < 1_000:
            slow.read_input()
            await trio.sleep(0.1)
        report = take.report(fed(slow))
        assert report.undecodable == report.out_of_order == report.repeated == ()
        assert {take.packets[place].timestamp // 1000 for place in report.missed} >= set(range(12, 24))


@pytest.mark.thorough
async def test_a_child_that_was_slow_goes_on_with_a_key_frame(autojump_clock: MockClock) -> None:
    camera, take = Camera(), Take(seconds=40, key_frame_bytes=40_000)

    async def wake_up(child: FakeProcess) -> None:
        while True:
            child.read_input()
            await trio.sleep(0.05)

    async with harness(camera, ONE, STUCK) as h, trio.open_nursery() as nursery:
        nursery.start_soon(camera.roll, take.events)
        await trio.sleep(20.5)
        [slow] = children(h).running
        nursery.start_soon(wake_up, slow)
        await trio.sleep(25)
        nursery.cancel_scope.cancel()
        report = take.report(fed(slow))
        assert take.packets[-1].data in fed(slow)
        assert report.gaps
        assert report.undecodable == report.out_of_order == report.repeated == report.backwards == ()
        assert take.report(camera.recorder.packets).missed == ()


@pytest.mark.thorough
async def test_a_child_that_reads_nothing_for_30_seconds_is_replaced(autojump_clock: MockClock) -> None:
    camera, take = Camera(), Take(seconds=45, key_frame_bytes=100_000)
    async with harness(camera, ONE, STUCK, Behaviour()) as h:
        await camera.roll(take.events)
        [hung, good] = children(h).processes
        assert hung.is_reaped
        [(name, message)] = messages(h)
        assert (name, message) == ("talk", "ffmpeg was ended: it takes no input for 30 s")
        assert take.report(fed(good)).is_flawless_from_join


async def test_new_tracks_while_the_child_starts_begin_it_anew(autojump_clock: MockClock) -> None:
    """Nothing told that there would be sound; the child must not get the new beginning in the middle of the old one."""
    camera, take = Camera(), Take(seconds=4)
    video = [packet for packet in take.packets if packet.kind is MediaKind.VIDEO]
    async with harness(camera, ONE, takes=0.5) as h:
        await camera.send([*take.begin, *(packet for packet in video if packet.timestamp < 1000)])
        await camera.send([packet for packet in take.packets if packet.is_sequence_header])
        await camera.send(take.second(1))
        await trio.sleep(5)
        await camera.send(take.second(2))
        await trio.sleep(5)
        first, second = children(h).processes
        assert {packet.kind for packet in packets_of(fed(first))} == {MediaKind.VIDEO}
        assert {packet.kind for packet in packets_of(fed(second))} == {MediaKind.VIDEO, MediaKind.AUDIO}
        report = take.report(fed(second))
        assert report.is_flawless_from_join
        assert take.packets[-1].data not in fed(second)
        assert messages(h) == []


async def test_a_child_that_is_succeeded_is_no_restart_and_one_a_second_is_enough(autojump_clock: MockClock) -> None:
    """R2: a stream that changes with every key frame must not cost a child for each."""
    camera, take = Camera(), Take(seconds=10)
    configurations = [
        evolve(take.packets[0], data=take.packets[0].data + bytes(1 + number % 2)) for number in range(40)
    ]
    push = "ffmpeg_push target=udp://127.0.0.1:1"
    async with harness(camera, workflow(push)) as h:
        await camera.send([*take.begin, *take.headers])
        for configuration in configurations:
            await camera.send([configuration, *take.second(0)])
            await trio.sleep(0.1)
        await trio.sleep(10)
        starts = children(h).attempts
        assert all(after - before >= SUCCESSION_SECONDS for before, after in pairwise(starts))
        assert len(starts) > 3
        assert messages(h) == []


@pytest.mark.parametrize(("target", "starts"), [("rtmp://example.org/live/a", 1), ("udp://127.0.0.1:1", 2)])
async def test_another_configuration_is_another_child_where_the_container_cannot_say_it(
    target: str, starts: int, autojump_clock: MockClock
) -> None:
    """R3."""
    camera, take = Camera(), Take(seconds=4)
    other = evolve(take.packets[1], data=b"\xaf\x00\x11\x90", timestamp=2_000)
    async with harness(camera, workflow(f"ffmpeg_push target={target}")) as h:
        await camera.send([*take.begin, *take.headers, *take.second(0), *take.second(1)])
        await camera.send([other, *take.second(2)])
        await trio.sleep(2)
        await camera.send(take.second(3))
        assert len(children(h).attempts) == starts
        assert other.data in fed(children(h).running[0])
        assert b"".join(map(fed, children(h).processes)).count(other.data) == 1


async def test_another_codec_is_another_session_of_a_push(autojump_clock: MockClock) -> None:
    camera, take = Camera(), Take(seconds=4)
    hevc = [evolve(each, codec="hvc1") if each.kind is MediaKind.VIDEO else each for each in take.packets]
    async with harness(camera, ONE) as h:
        await camera.send([*take.begin, *take.headers, *take.second(0)])
        changed = [packet for packet in hevc if packet.timestamp // 1000 == 1]
        await camera.send([hevc[0], *changed])
        await trio.sleep(2)
        first, second = children(h).processes
        assert first.ended_at <= second.started_at
        assert changed[0].data not in fed(first)
        assert changed[0].data in fed(second)


async def test_deleting_the_workflow_ends_all_children_side_by_side(autojump_clock: MockClock) -> None:
    camera = Camera()
    slow = Behaviour(exits_after_end_of_input=2.0)
    async with harness(camera, ONE, slow) as h:
        for number in range(5):
            take = Take(f"s{number}", f"name {number}", seed=number)
            await camera.send(take.events)
        before = trio.current_time()
        await h.stop("w")
        assert trio.current_time() - before == pytest.approx(2.0)
        assert len(children(h).processes) == 5
        children(h).check_nothing_is_left()


async def test_a_step_put_into_a_running_stream_starts_with_the_next_key_frame(autojump_clock: MockClock) -> None:
    camera, take = Camera(), Take(seconds=4)
    async with harness(camera, workflow()) as h:
        await camera.send([*take.begin, *take.headers, *take.second(0)])
        await h.put(ONE)
        await camera.send(take.second(1)[1:])
        assert children(h).attempts == []
        await camera.send([*take.second(2), *take.second(3)])
        [child] = children(h).running
        assert take.report(fed(child)).is_flawless_from_join
        assert packets_of(fed(child))[-1].data == take.packets[-1].data


async def test_the_log_of_a_child_is_named_after_workflow_step_and_stream(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    camera, take = Camera(), Take()
    settings = f'settings {{\n log_path "{tmp_path}"\n}}\n'
    async with harness(camera, settings + ONE, DIES) as h:
        await camera.send(take.events)
        await trio.sleep(1.8)
        [_, push, _] = h.workflow("w").active_steps
        log = tmp_path / "ffmpeg" / f"w-{push.step_id}-talk.log"
        text = log.read_text()
        assert "[error] Connection refused" in text
        assert "secret" not in text


def test_a_take_is_what_the_tests_need() -> None:
    assert [isinstance(event, MediaPacket) for event in Take().events[:3]] == [False, False, True]
    assert Take().second(1)[0].is_key_frame
