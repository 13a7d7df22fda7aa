"""The transcoding steps, with children in memory that write what they read."""

import pytest
import trio
from trio.testing import MockClock

from mmids_trio.ffmpeg.arguments import transcode_arguments
from mmids_trio.ffmpeg.media_pipe import tags_from_event
from mmids_trio.ffmpeg.parameters import TranscodeParameters
from mmids_trio.media.events import MediaEvent, MediaPacket, StreamEnded, StreamMetadata, StreamStarted
from mmids_trio.media.flv import flv_header
from mmids_trio.testing.ffmpeg import FakeFfmpeg
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.network import MemoryNetwork
from mmids_trio.testing.processes import Behaviour, FakeSpawner
from tests.support.numbered_events import legality
from tests.support.scripted_source import Camera, Take, messages, workflow

TRANSCODE = "ffmpeg_transcode vcodec=copy acodec=copy"
ECHO = Behaviour(echoes=True, exits_after_end_of_input=0.5)
DIES = Behaviour(echoes=True, exits_after=3.5, exit_status=1)
SILENT = Behaviour()


def harness(camera: Camera, *behaviours: Behaviour, step: str = TRANSCODE) -> Harness:
    return Harness(workflow(step), camera.steps, MemoryNetwork(), FakeFfmpeg(FakeSpawner(behaviours)))


def children(h: Harness) -> FakeSpawner:
    assert isinstance(h.spawner, FakeFfmpeg)
    return h.spawner.children


async def test_the_start_of_a_stream_goes_on_at_once_and_nothing_else_of_the_original(
    autojump_clock: MockClock,
) -> None:
    camera, take = Camera(), Take()
    async with harness(camera, SILENT):
        await camera.send(take.events)
        await trio.sleep(1)
        assert camera.recorder.events == take.begin[:1]


async def test_metadata_headers_and_packets_come_from_the_child_on_the_clock_of_the_stream(
    autojump_clock: MockClock,
) -> None:
    camera = Camera()
    take = Take()
    async with harness(camera, ECHO):
        later = [*take.begin, *take.headers, *take.second(1)]
        await camera.send(later)
        started, metadata, *packets = camera.recorder.events
        assert started == take.begin[0]
        assert isinstance(metadata, StreamMetadata)
        assert not any(event is original for event in camera.recorder.events[1:] for original in later)
        wanted = [(packet.data, packet.timestamp) for packet in take.second(1)]
        assert _frames(packets) == wanted
        assert wanted[0][1] == 1_000
        assert _data_of_headers(packets) == [packet.data for packet in take.headers]


def _frames(events: list[MediaEvent]) -> list[tuple[bytes, int]]:
    return [
        (event.data, event.timestamp)
        for event in events
        if isinstance(event, MediaPacket) and not event.is_sequence_header
    ]


def _data_of_headers(events: list[MediaEvent]) -> list[bytes]:
    return [event.data for event in events if isinstance(event, MediaPacket) and event.is_sequence_header]


async def test_a_stream_ends_after_the_last_output_of_its_child(autojump_clock: MockClock) -> None:
    camera, take = Camera(), Take()
    slow = Behaviour(echoes=True, exits_after_end_of_input=2.0)
    async with harness(camera, slow):
        await camera.send([*take.events, *take.end])
        await trio.sleep(1)
        assert not any(isinstance(event, StreamEnded) for event in camera.recorder.events)
        await trio.sleep(2)
        assert isinstance(camera.recorder.events[-1], StreamEnded)
        assert legality(camera.recorder.events) is None
        assert take.report(camera.recorder.packets).missed == ()


async def test_a_stream_that_never_had_a_frame_ends_too(autojump_clock: MockClock) -> None:
    camera, take = Camera(), Take()
    async with harness(camera, ECHO) as h:
        await camera.send([*take.begin, *take.headers, *take.end])
        assert camera.recorder.events == [take.begin[0], *take.end]
        assert children(h).attempts == []


async def test_a_stream_ends_also_while_its_child_is_down(autojump_clock: MockClock) -> None:
    camera, take = Camera(), Take()
    async with harness(camera, Behaviour(exits_after=0.1, exit_status=1)) as h:
        await camera.send(take.events)
        await trio.sleep(5)
        assert messages(h) == [("talk", "ffmpeg exited with status 1")]
        await camera.send(take.end)
        assert camera.recorder.events[-1:] == take.end
        assert messages(h) == []


async def test_the_timeline_goes_on_over_restarts(autojump_clock: MockClock) -> None:
    camera, take = Camera(), Take(seconds=10)
    async with harness(camera, DIES, ECHO) as h:
        await camera.roll(take.events)
        assert len(children(h).processes) == 2
        assert legality(camera.recorder.events) is None
        assert [event for event in camera.recorder.events if isinstance(event, StreamStarted)] == take.begin[:1]
        report = take.report(camera.recorder.packets)
        assert report.backwards == report.repeated == report.out_of_order == report.undecodable == ()
        sent = {packet.data: packet.timestamp for packet in take.packets}
        frames = _frames(camera.recorder.events)
        assert all(sent[data] == timestamp for data, timestamp in frames)
        assert frames[-1][0] == take.packets[-1].data
        gap = [number for number in range(10) if take.second(number)[0].data not in dict(frames)]
        assert gap == [4]


async def test_a_child_that_goes_on_from_an_earlier_time_does_not_turn_the_clock_back(
    autojump_clock: MockClock,
) -> None:
    """Encoders run ahead of, or behind, their input; whatever the next child writes comes after what is out."""
    camera, take = Camera(), Take(seconds=6)
    film = Take(seconds=30, seed=5)
    fast = Behaviour(stdout=[(0.5, _flv(film))], exits_after=1.5, exit_status=1)
    async with harness(camera, fast, ECHO):
        await camera.roll(take.events)
        times = [timestamp for _, timestamp in _frames(camera.recorder.events)]
        assert times == sorted(times)
        assert take.packets[-1].data in [packet.data for packet in camera.recorder.packets]


def _flv(take: Take) -> bytes:
    return flv_header(audio=True, video=True) + b"".join(map(tags_from_event, take.packets))


async def test_two_streams_are_transcoded_apart(autojump_clock: MockClock) -> None:
    camera, one, two = Camera(), Take("x", "a"), Take("y", "b", seed=1)
    async with harness(camera, ECHO):
        await camera.send([*one.events, *two.events, *one.end])
        await trio.sleep(1)
        assert legality(camera.recorder.events) is None
        for take in (one, two):
            own = [packet for packet in camera.recorder.packets if packet.stream_id == take.stream_id]
            assert take.report(own).missed == ()
            assert take.report(own).unknown == 0
        assert [event.stream_id for event in camera.recorder.events if isinstance(event, StreamEnded)] == ["x"]


async def test_deleting_the_workflow_midway_leaves_nothing(autojump_clock: MockClock) -> None:
    camera, take = Camera(), Take()
    async with harness(camera, ECHO) as h:
        before = trio.lowlevel.current_statistics().tasks_living
        await camera.send(take.events)
        await h.stop("w")
        children(h).check_nothing_is_left()
        assert trio.lowlevel.current_statistics().tasks_living < before


async def test_a_step_that_is_inserted_and_removed_leaves_a_legal_stream_behind(autojump_clock: MockClock) -> None:
    camera, take = Camera(), Take(seconds=6)
    async with harness(camera, ECHO, step="") as h:
        await camera.send([*take.begin, *take.headers, *take.second(0)])
        await h.put(workflow(TRANSCODE))
        await camera.send([*take.second(1), *take.second(2)])
        await h.put(workflow())
        await camera.send([*take.second(3), *take.second(4), *take.end])
        assert legality(camera.recorder.events) is None
        report = take.report(camera.recorder.packets)
        assert report.undecodable == report.backwards == report.repeated == ()
        children(h).check_nothing_is_left()


@pytest.mark.parametrize(
    ("step", "wanted"),
    [
        (
            "ffmpeg_transcode vcodec=h264 acodec=aac h264_preset=fast size=640x360 bitrate=800",
            TranscodeParameters(video="encode", audio="encode", preset="fast", width=640, height=360, video_kbps=800),
        ),
        (
            "basic_transcode video=x264 audio=drop video_width=640 video_fps=25",
            TranscodeParameters(video="encode", audio="drop", preset="medium", width=640, fps=25),
        ),
    ],
)
async def test_the_child_is_told_what_to_make(
    step: str, wanted: TranscodeParameters, autojump_clock: MockClock
) -> None:
    camera = Camera()
    async with harness(camera, ECHO, step=step) as h:
        await camera.send(Take().events)
        [child] = children(h).running
        assert list(child.arguments[1:]) == transcode_arguments(wanted, (640, 360))
