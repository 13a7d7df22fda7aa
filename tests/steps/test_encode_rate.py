"""What publishers say of their media decides what is encoded only within bounds: encoders and slates of any size."""

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock

from mmids_trio.ffmpeg.capacity import MAX_CHILDREN
from mmids_trio.media.events import MediaKind, MediaPacket, StreamId, StreamMetadata
from mmids_trio.steps.slate import PREPARE_SECONDS
from mmids_trio.testing.ffmpeg import FakeFfmpeg, Script
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.processes import FakeSpawner
from tests.support.parameter_sets import avc_header
from tests.support.scripted_source import Camera, Take, fed, messages, workflow

TRANSCODE = "ffmpeg_transcode vcodec=h264 acodec=copy h264_preset=veryfast"
ECHO = Script().echoes()
UNREADABLE = b"\x17\0\0\0\0nothing"


def settings(**values: int) -> str:
    lines = "\n".join(f"{name} {value}" for name, value in values.items())
    return f"settings {{\n{lines}\n}}\n"


def harness(camera: Camera, *steps: str, script: Script = ECHO, **values: int) -> Harness:
    return Harness(settings(**values) + workflow(*steps), camera.steps, spawner=FakeFfmpeg(script=script))


def children(h: Harness) -> FakeSpawner:
    assert isinstance(h.spawner, FakeFfmpeg)
    return h.spawner.children


def with_header(take: Take, data: bytes) -> Take:
    """The same stream, whose sequence header of video is another one."""
    is_header = [packet.is_sequence_header and packet.kind is MediaKind.VIDEO for packet in take.packets]
    object.__setattr__(
        take,
        "packets",
        [evolve(p, data=data) if header else p for p, header in zip(take.packets, is_header, strict=True)],
    )
    return take


def told(take: Take, **values: float) -> StreamMetadata:
    return StreamMetadata(StreamId(take.stream_id), {"videocodecid": 7.0, **values})


def header_of(take: Take, width: int, height: int) -> MediaPacket:
    [header] = [packet for packet in take.headers if packet.kind is MediaKind.VIDEO]
    return evolve(header, data=avc_header(width, height))


async def test_a_transcoder_of_more_than_the_server_encodes_is_not_started(autojump_clock: MockClock) -> None:
    camera, take = Camera(), with_header(Take(seconds=4), avc_header(4096, 4096))
    async with harness(camera, TRANSCODE, max_encode_rate=100_000_000) as h:
        await camera.roll(take.events)
        assert children(h).attempts == []
        [(name, message)] = messages(h)
        assert name == "talk"
        assert message.startswith("is not started: it would encode 4")
        assert message.endswith("at most 100000000 are allowed (max_encode_rate)")
        [stream] = h.workflow("w").active_steps[1].streams
        assert stream.state == "waiting"
        assert 'mmids_child_delays_total{reason="max_encode_rate"} 1' in (await h.http.get("/metrics")).text
        await camera.send([header_of(take, 640, 360), *take.second(3)])
        [child] = children(h).running
        assert "h='min(ih,360)'" in " ".join(child.arguments)
        assert messages(h) == []
    h.assert_quiet()


async def test_it_begins_when_another_one_has_ended(autojump_clock: MockClock) -> None:
    camera, one, two = Camera(), Take("x", "a", seconds=8), Take("y", "b", seconds=8, seed=1)
    for take in (one, two):
        with_header(take, avc_header(1920, 1080))
    async with harness(camera, TRANSCODE, max_encode_rate=60_000_000) as h:
        await camera.send([*one.begin, *one.headers, *one.second(0)])
        await camera.send([*two.begin, *two.headers, *two.second(0)])
        assert len(children(h).running) == 1
        [(name, message)] = messages(h)
        assert name == "b"
        assert message.startswith("waits: to encode ")
        await camera.send(one.end)
        await trio.sleep(1)
        assert messages(h) == []
        await camera.send(two.second(1))
        [child] = children(h).running
        assert two.second(1)[0].data in fed(child)
        assert two.second(0)[0].data not in fed(child), "what came while it waited is not kept"


async def test_what_metadata_say_counts_only_where_nothing_else_tells_and_within_bounds(
    autojump_clock: MockClock,
) -> None:
    camera, lies = Camera(), with_header(Take(), avc_header(640, 360))
    async with harness(camera, TRANSCODE, max_encode_rate=100_000_000) as h:
        await camera.send([lies.begin[0], told(lies, width=16384.0, height=16384.0, framerate=25.0), *lies.packets])
        [child] = children(h).running
        assert "w='min(iw,640)':h='min(ih,360)'" in " ".join(child.arguments)
    camera, hides = Camera(), with_header(Take(), UNREADABLE)
    async with harness(camera, TRANSCODE, max_encode_rate=100_000_000) as h:
        await camera.send([hides.begin[0], told(hides, width=320.0, height=180.0), *hides.packets])
        [child] = children(h).running
        assert "w='min(iw,320)':h='min(ih,180)'" in " ".join(child.arguments), "it cannot make more than it counts for"


async def test_a_stream_that_becomes_faster_than_there_is_room_for_loses_its_encoder(autojump_clock: MockClock) -> None:
    camera, take = Camera(), with_header(Take(seconds=2), avc_header(640, 360))
    async with harness(camera, TRANSCODE, max_encode_rate=20_000_000) as h:
        await camera.send(take.events)
        assert len(children(h).running) == 1
        picture = take.second(1)[0]
        await camera.send([evolve(picture, timestamp=2000 + 2 * number) for number in range(100)])
        await trio.sleep(6)
        assert children(h).running == []
        [(_, message)] = messages(h)
        assert "(max_encode_rate)" in message


async def test_a_stream_that_grows_goes_on_in_the_size_that_its_encoder_has(autojump_clock: MockClock) -> None:
    camera, take = Camera(), with_header(Take(seconds=2), avc_header(640, 360))
    async with harness(camera, TRANSCODE, max_encode_rate=20_000_000) as h:
        await camera.send(take.events)
        await camera.send([header_of(take, 4096, 2304), *take.second(1)])
        await trio.sleep(6)
        [child] = children(h).processes
        assert "w='min(iw,640)'" in " ".join(child.arguments)
        child.exit(1)
        await trio.sleep(2)
        assert children(h).running == [], "the next one would be larger"


async def test_children_beyond_the_limit_wait_and_what_waits_keeps_no_media(autojump_clock: MockClock) -> None:
    camera = Camera()
    takes = [Take(str(number), f"s{number}", seed=number) for number in range(3)]
    async with harness(camera, "ffmpeg_push target=rtmp://example.org/live/key", max_children=2) as h:
        for take in takes:
            await camera.send([*take.begin, *take.headers, *take.second(0)])
        assert len(children(h).running) == 2
        assert messages(h) == [("s2", "waits: 2 children run already (max_children)")]
        await camera.send(takes[0].end)
        await trio.sleep(1)
        await camera.send(takes[2].second(1))
        assert len(children(h).running) == 2
        assert takes[2].second(1)[0].data in fed(children(h).running[-1])
        assert takes[2].second(0)[0].data not in fed(children(h).running[-1])
        assert messages(h) == []
    h.assert_quiet()


async def test_a_stream_that_ends_while_it_waits_is_over(autojump_clock: MockClock) -> None:
    camera, one, two = Camera(), Take("x", "a"), Take("y", "b", seed=1)
    async with harness(camera, TRANSCODE, max_children=1) as h:
        await camera.send(one.events)
        await camera.send([*two.events, *two.end])
        assert camera.recorder.events[-1:] == two.end
        assert messages(h) == []
        assert len(children(h).processes) == 1


@pytest.mark.parametrize(
    ("width", "height", "fps", "why"),
    [(16384.0, 16384.0, 240.0, None), (4096.0, 4096.0, 60.0, "max_encode_rate")],
    ids=["beyond what metadata may say", "beyond what is encoded"],
)
async def test_no_slate_of_any_size_is_made_of_metadata(
    width: float, height: float, fps: float, why: str | None, autojump_clock: MockClock
) -> None:
    camera = Camera()
    take = with_header(Take(seconds=3), UNREADABLE)
    packets = [evolve(packet, timestamp=packet.timestamp * 25 // 60) for packet in take.packets]
    async with harness(camera, "slate after=1", script=Script()) as h:
        await camera.roll([take.begin[0], told(take, width=width, height=height, framerate=fps), *packets])
        asked = [" ".join(child.arguments) for child in children(h).processes]
        assert not [text for text in asked if "4096" in text or "16384" in text]
        [stream] = h.workflow("w").active_steps[1].streams
        assert why is None or why in (stream.last_error or "")


async def test_no_slate_is_made_of_pictures_beyond_8k(autojump_clock: MockClock) -> None:
    camera, take = Camera(), with_header(Take(seconds=3), avc_header(16384, 16384))
    async with harness(camera, "slate after=1", max_encode_rate=10**12) as h:
        await camera.roll(take.events)
        assert children(h).attempts == []
        [stream] = h.workflow("w").active_steps[1].streams
        assert stream.last_error == "no slate for pictures of more than 35651584 pixels"


@pytest.mark.thorough
async def test_slates_are_made_one_after_another_on_a_whole_server(autojump_clock: MockClock) -> None:
    camera = Camera()
    takes = [with_header(Take(name, name, seconds=3), avc_header(64 * n, 64)) for n, name in enumerate("abc", 2)]
    slow = Script().brings(generate_stream("slate", seconds=1, b_frames=0), at=20).exits(at=30)
    async with harness(camera, "slate after=1", script=slow) as h:
        for take in takes:
            await camera.send(take.events)
        assert len(children(h).running) == 1
        assert 'reason="one_slate_at_a_time"} 2' in (await h.http.get("/metrics")).text
        await camera.send(takes[1].end)
        await trio.sleep(100)
        sizes = [argument for child in children(h).processes for argument in child.arguments if "smpte" in argument]
        assert [size.partition("=size=")[2].partition(":")[0] for size in sizes] == ["128x64", "256x64"]
        assert PREPARE_SECONDS > 100


@pytest.mark.thorough
async def test_by_default_so_many_children_run(autojump_clock: MockClock) -> None:
    camera = Camera()
    async with harness(camera, "ffmpeg_push target=rtmp://example.org/live/key", script=Script()) as h:
        for number in range(MAX_CHILDREN + 2):
            take = Take(str(number), f"s{number}")
            await camera.send([*take.begin, *take.headers, *take.second(0)])
        assert len(children(h).running) == MAX_CHILDREN
        assert len(messages(h)) == 2
