"""`ffmpeg_ladder`, with children in memory that write what they read to each of their outputs."""

import trio
from attrs import evolve
from trio.testing import MockClock

from mmids_trio.media.events import (
    MediaEvent,
    MediaKind,
    MediaPacket,
    Rendition,
    StreamEnded,
    StreamId,
    StreamMetadata,
    StreamStarted,
)
from mmids_trio.testing.ffmpeg import FakeFfmpeg, Script
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.processes import FakeProcess
from tests.support.numbered_events import legality
from tests.support.parameter_sets import avc_header
from tests.support.scripted_source import Camera, Take, messages, workflow

LADDER = "ffmpeg_ladder renditions=720p:2500,360p:600"
ECHO = Script().echoes()
HIGH, LOW = StreamId("x_720p"), StreamId("x_360p")


def harness(camera: Camera, *steps: str, script: Script | list[Script] = ECHO) -> Harness:
    return Harness(workflow(*(steps or (LADDER,))), camera.steps, spawner=FakeFfmpeg(script=script))


def children(h: Harness) -> list[FakeProcess]:
    assert isinstance(h.spawner, FakeFfmpeg)
    return h.spawner.processes


def of(camera: Camera, stream_id: StreamId) -> list[MediaEvent]:
    return [event for event in camera.recorder.events if event.stream_id == stream_id]


def frames(events: list[MediaEvent]) -> list[tuple[bytes, int]]:
    return [(e.data, e.timestamp) for e in events if isinstance(e, MediaPacket) and not e.is_sequence_header]


async def test_a_stream_goes_on_as_it_is_and_its_renditions_say_of_which_stream_they_are(
    autojump_clock: MockClock,
) -> None:
    camera, take = Camera(), Take()
    async with harness(camera) as h:
        await camera.send(take.events)
        assert of(camera, StreamId("x")) == take.events
        started = [event for event in camera.recorder.events if isinstance(event, StreamStarted)]
        assert {(event.stream_name, event.rendition) for event in started} == {
            ("talk", None),
            ("talk_720p", Rendition(StreamId("x"), "720p", 2500)),
            ("talk_360p", Rendition(StreamId("x"), "360p", 600)),
        }
        assert len(children(h)) == 1


async def test_renditions_are_on_the_clock_of_the_stream(autojump_clock: MockClock) -> None:
    camera, take = Camera(), Take()
    async with harness(camera):
        await camera.send([*take.begin, *take.headers, *take.second(1)])
        wanted = [(packet.data, packet.timestamp) for packet in take.second(1)]
        assert frames(of(camera, HIGH)) == frames(of(camera, LOW)) == wanted


async def test_renditions_end_after_the_last_that_the_child_has_made(autojump_clock: MockClock) -> None:
    camera, take = Camera(), Take()
    async with harness(camera, script=ECHO.stops_slowly(2.0)):
        await camera.send([*take.events, *take.end])
        ended = [event.stream_id for event in camera.recorder.events if isinstance(event, StreamEnded)]
        assert ended == ["x"]
        await trio.sleep(3)
        ended = [event.stream_id for event in camera.recorder.events if isinstance(event, StreamEnded)]
        assert ended == ["x", HIGH, LOW]
        assert legality(camera.recorder.events) is None
        assert frames(of(camera, LOW)) == frames(of(camera, StreamId("x")))


async def test_renditions_go_on_over_a_restart_of_the_child(autojump_clock: MockClock) -> None:
    camera, take = Camera(), Take(seconds=10)
    async with harness(camera, script=[ECHO.exits(1, at=3.5), ECHO]) as h:
        await camera.roll(take.events)
        assert len(children(h)) == 2
        assert legality(camera.recorder.events) is None
        assert len([event for event in of(camera, LOW) if isinstance(event, StreamStarted)]) == 1
        sent = dict(frames(of(camera, StreamId("x"))))
        assert all(sent[data] == timestamp for data, timestamp in frames(of(camera, LOW)))
        assert frames(of(camera, LOW))[-1][0] == take.packets[-1].data
        assert frames(of(camera, StreamId("x"))) == [(p.data, p.timestamp) for p in take.packets[len(take.headers) :]]


async def test_a_source_that_gets_smaller_loses_the_renditions_that_would_be_larger(autojump_clock: MockClock) -> None:
    camera, take = Camera(), Take(seconds=4)

    def header(width: int, height: int) -> MediaPacket:
        [found] = [packet for packet in take.headers if packet.kind is MediaKind.VIDEO]
        return evolve(found, data=avc_header(width, height))

    sound = [packet for packet in take.headers if packet.kind is MediaKind.AUDIO]
    async with harness(camera) as h:
        await camera.send([*take.begin, *sound, header(1280, 720), *take.second(0)])
        assert "scale=1280:720" in children(h)[0].arguments
        await camera.send([header(640, 360), *take.second(1)])
        await trio.sleep(3)
        [_, child] = children(h)
        assert "scale=640:360" in child.arguments
        assert "scale=1280:720" not in child.arguments
        # An echo writes to every output, so it begins anew: that it ended is what shows.
        assert [type(event) for event in of(camera, HIGH)].count(StreamEnded) == 1
        assert [type(event) for event in of(camera, LOW)].count(StreamEnded) == 0


async def test_a_stream_of_sound_alone_has_no_renditions_and_says_so(autojump_clock: MockClock) -> None:
    camera, take = Camera(), Take()
    sound = [packet for packet in take.packets if packet.kind is MediaKind.AUDIO]
    async with harness(camera) as h:
        begin = [take.begin[0], StreamMetadata(StreamId("x"), {})]
        await camera.send([*begin, *sound])
        assert messages(h) == [("talk", "ffmpeg cannot be started: there is no video in the stream")]
        assert camera.recorder.events == [*begin, *sound]
        assert children(h) == []


async def test_renditions_have_no_renditions_of_their_own(autojump_clock: MockClock) -> None:
    camera, take = Camera(), Take()
    async with harness(camera, LADDER, "ffmpeg_ladder renditions=180p:300") as h:
        await camera.send(take.events)
        started = {event.stream_name for event in camera.recorder.events if isinstance(event, StreamStarted)}
        assert started == {"talk", "talk_720p", "talk_360p", "talk_180p"}
        assert len(children(h)) == 2


async def test_a_publisher_that_calls_itself_like_a_rendition_is_an_ordinary_stream(autojump_clock: MockClock) -> None:
    camera, take = Camera(), Take("y", "talk_720p")
    async with harness(camera, "slate after=60"):
        await camera.send(take.events)
        [started] = [event for event in camera.recorder.events if isinstance(event, StreamStarted)]
        assert (started.stream_name, started.rendition) == ("talk_720p", None)
