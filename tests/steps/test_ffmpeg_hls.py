"""`ffmpeg_hls` with children that only exist in memory: arguments, directories, and whose turn it is to write."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock

from mmids_trio.ffmpeg.arguments import HlsChild, hls_arguments
from mmids_trio.ffmpeg.disk_room import LOOK_SECONDS
from mmids_trio.ffmpeg.parameters import HlsParameters
from mmids_trio.media.events import MediaEvent, MediaKind, MediaPacket
from mmids_trio.testing.ffmpeg import FakeFfmpeg
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.network import MemoryNetwork
from mmids_trio.testing.processes import Behaviour, FakeProcess, FakeSpawner
from mmids_trio.workflow.events import HlsPaused, HlsResumed
from mmids_trio.workflow.status import OutcomeKind
from tests.support.scripted_source import Camera, Take, fed, messages, workflow

GIB = 1024**3
SLOW = Behaviour(exits_after_end_of_input=2.0)


def harness(camera: Camera, configuration: str = "", *behaviours: Behaviour) -> Harness:
    ffmpeg = FakeFfmpeg(FakeSpawner(behaviours or (Behaviour(),)))
    return Harness(configuration, camera.steps, MemoryNetwork(), ffmpeg)


def children(h: Harness) -> FakeSpawner:
    assert isinstance(h.spawner, FakeFfmpeg)
    return h.spawner.children


def hls(path: Path, more: str = "") -> str:
    return f'ffmpeg_hls path="{path}" {more}'


def life(child: FakeProcess) -> tuple[float, float]:
    """From when to when it lived."""
    return child.started_at, child.ended_at


# Arguments and directories.


async def test_the_directory_is_made_and_everything_passed_on(tmp_path: Path, autojump_clock: MockClock) -> None:
    camera, take, path = Camera(), Take(), tmp_path / "a" / "b"
    async with harness(camera, workflow(hls(path, "duration=4 count=3"))) as h:
        assert path.is_dir()
        sent = [*take.events, *take.end]
        await camera.send(sent)
        assert all(one is other for one, other in zip(sent, camera.recorder.events, strict=True))
        [child] = children(h).processes
        asked_for = HlsParameters(str(path), duration_s=4, count=3)
        assert list(child.arguments[1:]) == hls_arguments(asked_for, "talk", HlsChild())


@pytest.mark.parametrize(("codec", "extension"), [("avc1", "ts"), ("hvc1", "m4s"), ("av01", "m4s")])
async def test_the_codecs_decide_on_the_form_of_the_segments(
    codec: str, extension: str, tmp_path: Path, autojump_clock: MockClock
) -> None:
    camera, take = Camera(), Take()
    events: list[MediaEvent] = [
        evolve(event, codec=codec) if isinstance(event, MediaPacket) and event.kind is MediaKind.VIDEO else event
        for event in take.events
    ]
    async with harness(camera, workflow(hls(tmp_path))) as h:
        await camera.send(events)
        [child] = children(h).running
        assert f"{tmp_path}/talk%d.{extension}" in child.arguments


def in_codecs(events: Sequence[MediaEvent], **codecs: str) -> list[MediaEvent]:
    return [
        evolve(event, codec=codecs[event.kind.value])
        if isinstance(event, MediaPacket) and event.kind.value in codecs
        else event
        for event in events
    ]


@pytest.mark.parametrize(
    ("codecs", "lost"),
    [
        (("ulaw", "avc1"), "G.711 mu-law sound"),
        (("alaw", "avc1"), "G.711 A-law sound"),
        (("spex", "avc1"), "Speex sound"),
        (("nmos", "flv1"), "Nellymoser sound and Sorenson H.263 video"),
        (("mp4a", "avc1"), None),
        (("Opus", "hvc1"), None),
    ],
)
@pytest.mark.parametrize("container", ["HLS", "MPEG-TS", "FLV"])
async def test_what_only_flv_can_carry_is_a_warning_in_the_state_of_the_stream(
    codecs: tuple[str, str], lost: str | None, container: str, tmp_path: Path, autojump_clock: MockClock
) -> None:
    camera, take = Camera(), Take()
    steps = {
        "HLS": hls(tmp_path),
        "MPEG-TS": "ffmpeg_push target=srt://elsewhere:1",
        "FLV": "ffmpeg_push target=rtmp://h/a/k",
    }
    async with harness(camera, workflow(steps[container])) as h:
        await camera.send(in_codecs(take.events, audio=codecs[0], video=codecs[1]))
        [_, step, _] = h.workflow("w").active_steps
        messages = [stream.message for stream in step.streams]
        assert messages == (
            [f"{container} cannot carry {lost}: it is missing there; encode it in front (ffmpeg_transcode)"]
            if lost and container != "FLV"
            else ["has no segment yet"] * (container == "HLS")
        )


async def test_a_path_that_is_a_file_is_an_error_of_the_step(tmp_path: Path, autojump_clock: MockClock) -> None:
    path = tmp_path / "file"
    path.touch()
    async with harness(Camera()) as h:
        outcome = await h.put(workflow(hls(path)))
        assert outcome.kind is OutcomeKind.FAILED
        assert f"the directory '{path}' cannot be made: File exists" in outcome.message
        outcome = await h.put(workflow(hls(path / "below")))
        assert f"the directory '{path}/below' cannot be made: Not a directory" in outcome.message


async def test_a_directory_that_cannot_be_written_is_an_error_of_the_step(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, _mode: str(path) != str(tmp_path))  # root may write everywhere
    async with harness(Camera()) as h:
        outcome = await h.put(workflow(hls(tmp_path)))
        assert f"the directory '{tmp_path}' cannot be written" in outcome.message


# Who writes, and when.


async def test_of_two_workflows_with_one_path_the_second_is_in_error_and_names_the_first(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    link = tmp_path / "link"
    (tmp_path / "real").mkdir()
    link.symlink_to(tmp_path / "real")
    async with harness(Camera(), workflow(hls(tmp_path / "real"), name="first")) as h:
        outcome = await h.put(workflow(hls(link, "count=9"), name="second"))
        assert outcome.kind is OutcomeKind.FAILED
        assert "is written already, by workflow 'first' (step id" in outcome.message
        assert h.workflow("first").status == "Running"
        await h.stop("first")
        assert (await h.put(workflow(hls(link, "count=9"), name="second"))).kind is OutcomeKind.APPLIED


async def test_a_fixed_name_does_not_go_with_the_names_of_all_streams(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with harness(Camera(), workflow(hls(tmp_path), name="all")) as h:
        outcome = await h.put(workflow(hls(tmp_path, "stream_name=show"), name="one"))
        assert f"'{tmp_path}/*' is written already, by workflow 'all' (step id" in outcome.message
        assert (await h.put(workflow(hls(tmp_path, "stream_name=show"), name="all"))).kind is OutcomeKind.APPLIED


async def test_playlists_of_different_names_may_share_a_directory(tmp_path: Path, autojump_clock: MockClock) -> None:
    both = workflow(hls(tmp_path, "stream_name=a"), hls(tmp_path, "stream_name=b"))
    camera = Camera()
    async with harness(camera, both) as h:
        await camera.send(Take().events)
        patterns = [child.arguments[-2] for child in children(h).running]
        assert patterns == [f"{tmp_path}/a%d.ts", f"{tmp_path}/b%d.ts"]


async def test_the_child_of_a_changed_step_starts_after_the_old_one_has_ended(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    camera, take = Camera(), Take(seconds=8)
    async with harness(camera, workflow(hls(tmp_path)), SLOW) as h:
        await camera.send([*take.begin, *take.headers, *take.second(0)])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(h.put, workflow(hls(tmp_path, "count=9")))
            await trio.sleep(0.5)
            await camera.send(take.second(1))
            await trio.sleep(1.0)
            await camera.send(take.second(2))
            assert len(children(h).processes) == 1
        await trio.sleep(0.1)
        old, new = children(h).processes
        assert life(old)[1] <= life(new)[0] == pytest.approx(2.0)
        received = [packet.data for packet in take.packets if packet.data in fed(new)]
        assert set(received) >= {packet.data for number in (1, 2) for packet in take.second(number)}


async def test_a_change_that_is_given_up_leaves_the_old_claim(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with harness(Camera(), workflow(hls(tmp_path))) as h:
        broken = workflow(hls(tmp_path, "count=9"), "rtmp_watch rtmp_app=x stream_key=x rtmps")
        outcome = await h.put(broken, rollback=True)
        assert outcome.kind is OutcomeKind.ROLLED_BACK
        outcome = await h.put(workflow(hls(tmp_path), name="other"))
        assert "is written already, by workflow 'w'" in outcome.message
        assert (await h.put(workflow(hls(tmp_path, "count=9")))).kind is OutcomeKind.APPLIED
        await h.stop("w")
        assert (await h.put(workflow(hls(tmp_path), name="other"))).kind is OutcomeKind.APPLIED


async def test_a_stream_that_comes_back_is_written_after_the_old_child_has_ended(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    camera, one, two = Camera(), Take("x"), Take("y", seed=1)
    async with harness(camera, workflow(hls(tmp_path)), SLOW) as h:
        await camera.send(one.events)
        await camera.send([*one.end, *two.events])
        assert len(children(h).processes) == 1
        await trio.sleep(3)
        old, new = children(h).processes
        assert life(old)[1] <= life(new)[0]
        assert two.report(fed(new)).missed == ()


async def test_streams_of_different_names_are_written_side_by_side(tmp_path: Path, autojump_clock: MockClock) -> None:
    camera = Camera()
    async with harness(camera, workflow(hls(tmp_path))) as h:
        await camera.send([*Take("x", "a").events, *Take("y", "b").events])
        assert len(children(h).running) == 2


async def test_of_two_streams_in_one_playlist_the_second_is_written_live_after_the_first(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    camera, one, two = Camera(), Take("x", "a"), Take("y", "b", seconds=40, seed=1)
    async with harness(camera, workflow(hls(tmp_path, "stream_name=show"))) as h:
        await camera.send(one.events)
        await camera.roll([*two.begin, *(packet for packet in two.packets if packet.timestamp < 30_000)])
        assert len(children(h).processes) == 1
        await camera.send(one.end)
        assert len(children(h).processes) == 1
        await camera.send([packet for number in range(30, 40) for packet in two.second(number)])
        [_, new] = children(h).processes
        report = two.report(fed(new))
        assert report.is_flawless_from_join
        assert min(set(range(len(two.packets))) - set(report.missed) - {0, 1}) > 1_500
        assert two.packets[-1].data in fed(new)


async def test_a_stream_whose_turn_never_comes_is_forgotten_when_it_has_ended(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    camera, one, two, three = Camera(), Take("x", "a"), Take("y", "b", seed=1), Take("z", "c", seed=2)
    async with harness(camera, workflow(hls(tmp_path, "stream_name=show"))) as h:
        await camera.send(one.events)
        before = trio.lowlevel.current_statistics().tasks_living
        await camera.send([*two.events, *two.end])
        await trio.sleep(11)
        assert trio.lowlevel.current_statistics().tasks_living == before
        await camera.send(three.events)
        assert len(children(h).processes) == 1
        await camera.send(one.end)
        assert three.report(fed(children(h).running[0])).missed == ()


# What children say, and what comes of it.


def says(child: FakeProcess, directory: Path, name: str) -> None:
    """It has written a segment."""
    assert child.stdout is not None
    (directory / name).write_bytes(b"media")
    child.stdout.write(f"#EXTM3U\n#EXTINF:1.000000,\n{name}\n".encode())


async def test_the_playlist_of_two_children_has_a_discontinuity_between_them_and_ends_with_the_stream(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    camera, take = Camera(), Take(seconds=4)
    other = evolve(take.packets[0], data=take.packets[0].data + b"\xff", timestamp=2_000)
    async with harness(camera, workflow(hls(tmp_path, "count=0"))) as h:
        await camera.send([*take.begin, *take.headers, *take.second(0), *take.second(1)])
        [first] = children(h).running
        says(first, tmp_path, "talk0.ts")
        await camera.send([other, *take.second(2), *take.second(3)])
        await trio.sleep(1.1)
        [second] = children(h).running
        assert life(first)[1] <= life(second)[0] <= 1.0
        assert second.arguments[second.arguments.index("-start_number") + 1] == "1"
        assert other.data in fed(second)
        assert other.data not in fed(first)
        says(second, tmp_path, "talk1.ts")
        await camera.send(take.end)
        await trio.sleep(1)
        text = (tmp_path / "talk.m3u8").read_text()
        assert text.endswith("talk0.ts\n#EXT-X-DISCONTINUITY\n#EXTINF:1.000000,\ntalk1.ts\n#EXT-X-ENDLIST\n")
        assert messages(h) == []


@pytest.mark.parametrize("way", ["stream", "workflow"])
async def test_what_a_child_writes_last_is_in_the_playlist_however_it_ends(
    way: str, tmp_path: Path, autojump_clock: MockClock
) -> None:
    camera, take = Camera(), Take()
    async with harness(camera, workflow(hls(tmp_path)), SLOW) as h:
        await camera.send(take.events)
        [child] = children(h).running
        says(child, tmp_path, "talk0.ts")
        async with trio.open_nursery() as nursery:
            if way == "stream":
                await camera.send(take.end)
            else:
                nursery.start_soon(h.stop, "w")
            await trio.sleep(1)
            assert "#EXT-X-ENDLIST" not in (tmp_path / "talk.m3u8").read_text()
            says(child, tmp_path, "talk1.ts")
        await trio.sleep(2)
        text = (tmp_path / "talk.m3u8").read_text()
        assert text.endswith("talk0.ts\n#EXTINF:1.000000,\ntalk1.ts\n#EXT-X-ENDLIST\n")


async def test_writing_pauses_before_the_disk_is_full_and_goes_on_when_there_is_room(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    camera, take, free = Camera(), Take(seconds=40), [GIB]
    async with harness(camera, "settings {\n}\n") as h:
        h.server.ffmpeg.free_bytes = lambda _directory: free[0]
        await h.put(workflow(hls(tmp_path)))
        await camera.send([*take.begin, *take.headers, *take.second(0)])
        [first] = children(h).running
        says(first, tmp_path, "talk0.ts")
        free[0] = GIB - 1
        await trio.sleep(LOOK_SECONDS)
        await camera.send(take.second(5))
        await trio.sleep(5)
        assert children(h).running == []
        assert (tmp_path / "talk.m3u8").read_text().endswith("talk0.ts\n")
        [stream] = h.workflow("w").active_steps[1].streams
        assert (stream.name, stream.state) == ("talk", "paused")
        assert stream.message == f"paused: {GIB - 1} bytes are free below '{tmp_path}', at least {GIB} are to stay"
        assert len([*camera.recorder.packets]) == len([*take.headers, *take.second(0), *take.second(5)])
        free[0] = GIB  # not yet enough to go on for long
        await camera.send(take.second(10))
        await trio.sleep(5)
        assert children(h).running == []
        free[0] = 2 * GIB
        await camera.send(take.second(20))
        await camera.send(take.second(21))
        [second] = children(h).running
        assert second.arguments[second.arguments.index("-start_number") + 1] == "1"
        paused, resumed = [event for event in h.events() if isinstance(event, HlsPaused | HlsResumed)]
        assert paused == HlsPaused("w", paused.step_id, str(tmp_path), GIB - 1, GIB)
        assert resumed == HlsResumed("w", paused.step_id, str(tmp_path), 2 * GIB)


async def test_a_stream_that_begins_on_a_full_disk_waits_and_may_end(tmp_path: Path, autojump_clock: MockClock) -> None:
    camera, take = Camera(), Take()
    async with harness(camera, "settings {\n}\n") as h:
        h.server.ffmpeg.free_bytes = lambda _directory: 0
        await h.put(workflow(hls(tmp_path)))
        await camera.send(take.events)
        assert [stream.state for stream in h.workflow("w").active_steps[1].streams] == ["paused"]
        await camera.send(take.end)
        await trio.sleep(10)
        assert children(h).processes == []
        assert messages(h) == []


async def test_without_a_least_the_disk_is_not_looked_at(tmp_path: Path, autojump_clock: MockClock) -> None:
    camera, take = Camera(), Take()
    async with harness(camera, "settings {\n hls_min_free 0\n}\n") as h:
        h.server.ffmpeg.free_bytes = lambda _directory: 0
        await h.put(workflow(hls(tmp_path)))
        await camera.send(take.events)
        assert len(children(h).running) == 1


async def test_a_removed_directory_is_made_again_for_the_next_child(tmp_path: Path, autojump_clock: MockClock) -> None:
    camera, take, path = Camera(), Take(seconds=4), tmp_path / "out"
    dies = Behaviour(exits_after=1.5, exit_status=1)
    async with harness(camera, workflow(hls(path)), dies, Behaviour()) as h:
        await camera.send([*take.begin, *take.headers, *take.second(0)])
        says(children(h).running[0], path, "talk0.ts")
        await trio.sleep(1)
        shutil.rmtree(path)
        await trio.sleep(2)
        [child] = children(h).running
        assert path.is_dir()
        assert child.arguments[child.arguments.index("-start_number") + 1] == "1"


async def test_a_directory_that_cannot_be_made_again_is_told(tmp_path: Path, autojump_clock: MockClock) -> None:
    camera, take, path = Camera(), Take(seconds=4), tmp_path / "out"
    dies = Behaviour(exits_after=1.5, exit_status=1)
    async with harness(camera, workflow(hls(path)), dies, Behaviour()) as h:
        await camera.send([*take.begin, *take.headers, *take.second(0)])
        path.rmdir()
        path.touch()
        await trio.sleep(2.5)
        [(_, message)] = messages(h)
        assert f"cannot be started: the directory '{path}' cannot be made: File exists" in message
