"""Streams that no publisher of this server brings: each kind of step shows from where, and how they are."""

from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.config.parameters import NoParameters
from mmids_trio.media.codecs import parse_audio
from mmids_trio.media.events import MediaPacket, StreamId, StreamStarted
from mmids_trio.media.flow import Flow
from mmids_trio.steps.registry import StepType
from mmids_trio.testing.clients import RtmpClient
from mmids_trio.testing.ffmpeg import FakeFfmpeg, Script
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.workflow.step import Inbox, Outbox, StepContext
from tests.support.publishing import WAIT_FOR_ALL

STREAM = generate_stream(seconds=3, seed=1)
BARS = generate_stream("slate", seconds=1, seed=3, b_frames=0)
RECEIVE = "rtmp_receive rtmp_app=live stream_key=*"


def workflow(*steps: str, name: str = "w") -> str:
    return f"workflow {name} {{\n" + "\n".join(steps) + "\n}\n"


async def streams(h: Harness, query: str = "") -> list[Any]:
    found: list[Any] = (await h.http.get(f"/streams{query}")).json()["streams"]
    return found


async def pace(client: RtmpClient, packets: Sequence[MediaPacket]) -> None:
    began = trio.current_time()
    for packet in packets:
        await trio.sleep_until(began + packet.timestamp / 1000)
        await client.send([packet])
    await wait_all_tasks_blocked()


@pytest.mark.thorough
async def test_what_is_pulled_says_from_where_and_how_long_it_is_waited_for(autojump_clock: MockClock) -> None:
    origin = workflow(RECEIVE, "rtmp_watch rtmp_app=live stream_key=*", name="origin")
    pull = workflow("rtmp_pull location=rtmp://origin/live/key?token=abc stream_name=show grace=5")
    async with Harness(origin + pull) as h:
        source = await h.publish("key")
        await pace(source, STREAM)
        [pulled] = await streams(h, "?workflow=w")
        assert (pulled["name"], pulled["state"], pulled["bytes"]) == ("show", "live", sum(len(p.data) for p in STREAM))
        assert pulled["source"] == {
            **dict.fromkeys(("client", "token")),
            **{"protocol": "rtmp", "address": "origin", "port": 1935, "agent": ""},
            "location": "rtmp://origin/live/***",
        }
        assert pulled["tracks"][0]["frame_rate"] == pytest.approx(25, rel=0.03)
        assert (await h.http.delete(f"/streams/{pulled['id']}")).status == 409
        await h.stop("origin")
        await trio.sleep(2)
        [waiting] = await streams(h)
        assert (waiting["id"], waiting["state"], waiting["seconds_left"]) == (pulled["id"], "interrupted", 3.0)
        await trio.sleep(4)
        assert await streams(h) == []
    h.assert_quiet()


async def test_what_a_child_brings_is_on_the_air_as_long_as_it_does(autojump_clock: MockClock) -> None:
    brings_once = [Script().brings(STREAM, at=1).exits(at=20.0), Script()]
    pull = workflow("ffmpeg_pull location=rtmp://u:pw@example.org/live/secret stream_name=clip")
    async with Harness(pull, spawner=FakeFfmpeg(script=brings_once)) as h:
        assert await streams(h) == []
        await trio.sleep(5)
        [clip] = await streams(h)
        assert (clip["name"], clip["state"], clip["tracks"][0]["codec"]) == ("clip", "live", "avc1")
        assert (clip["source"]["protocol"], clip["source"]["location"]) == ("ffmpeg", "rtmp://***@example.org/live/***")
        await trio.sleep(10)
        [clip] = await streams(h)
        assert clip["state"] == "stalled"
        await trio.sleep(8)
        assert await streams(h) == []
    h.assert_quiet()


@pytest.mark.thorough
async def test_what_a_ladder_makes_are_streams_of_their_own_with_watchers_of_their_own(
    autojump_clock: MockClock,
) -> None:
    steps = (RECEIVE, "ffmpeg_ladder renditions=720p:1500", "rtmp_watch rtmp_app=live stream_key=*")
    async with Harness(WAIT_FOR_ALL + workflow(*steps), spawner=FakeFfmpeg(script=Script().brings(BARS))) as h:
        publisher = await h.publish("key")
        await pace(publisher, STREAM)
        watcher = await h.watch("key_720p")
        original, made = await streams(h)
        assert (made["made_from"], made["name"]) == (original["id"], "key_720p")
        assert (made["watchers"], original["watchers"]) == (1, 0)
        assert (made["source"]["protocol"], made["source"]["location"]) == ("ffmpeg", "key")
        assert made["bytes"] == sum(len(packet.data) for packet in BARS)
        watcher.close()
        publisher.close()
        await trio.sleep(60)
        assert await streams(h) == []
    h.assert_quiet()


@pytest.mark.thorough
async def test_what_a_transcoder_makes_is_a_stream_made_from_another(autojump_clock: MockClock) -> None:
    steps = (RECEIVE, "ffmpeg_transcode vcodec=h264 acodec=copy", "rtmp_watch rtmp_app=live stream_key=*")
    ffmpeg = FakeFfmpeg(script=Script().brings(BARS))
    async with (
        Harness(WAIT_FOR_ALL + workflow(*steps), spawner=ffmpeg) as h,
        trio.open_nursery() as nursery,
    ):
        publisher, watcher = await h.publish("key"), await h.watch("key")
        nursery.start_soon(watcher.read_until_closed)
        await pace(publisher, STREAM)
        original, made = await streams(h)
        assert (made["made_from"], made["name"], made["watchers"]) == (original["id"], "key", 0)
        assert (original["made_from"], original["watchers"], original["source"]["address"]) == (None, 1, "127.0.0.1")
        assert (made["source"]["protocol"], made["source"]["location"]) == ("ffmpeg", "key")
        assert 0 < made["bytes"] < original["bytes"]
        [client] = (await h.http.get(f"/clients?stream={original['id']}&address=127.0.0.1")).json()["clients"][1:]
        assert client["role"] == "watcher"
        publisher.close()
        await trio.sleep(60)
        assert await streams(h) == []
        nursery.cancel_scope.cancel()
    h.assert_quiet()


@pytest.mark.thorough
async def test_a_show_of_several_sources_says_which_one_it_is(autojump_clock: MockClock) -> None:
    async with Harness(workflow(RECEIVE, "failover primary=main backup=spare output=show after=1")) as h:
        main, spare = await h.publish("main"), await h.publish("spare")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pace, main, STREAM)
            nursery.start_soon(pace, spare, generate_stream(seconds=9, seed=2))
            await trio.sleep(2)
            sources = {stream["name"]: stream for stream in await streams(h)}
            assert (sources["show"]["state"], sources["show"]["source"]["location"]) == ("live", "main")
            await trio.sleep(5)
            [backup] = await streams(h, "?state=backup")
            assert (backup["name"], backup["source"]["location"]) == ("show", "spare")
        await trio.sleep(8)
        assert [stream["name"] for stream in await streams(h, "?state=stalled")] == ["main", "show", "spare"]
        main.close()
        spare.close()
        await wait_all_tasks_blocked()
        assert await streams(h) == []
    h.assert_quiet()


@pytest.mark.thorough
async def test_a_stream_whose_slate_is_sent_is_in_that_state_and_says_how_long_it_is_waited_for(
    autojump_clock: MockClock,
) -> None:
    made = Script().brings(BARS).exits(at=1.0)
    receive = f"{RECEIVE} grace=60 on_busy=takeover"
    async with Harness(WAIT_FOR_ALL + workflow(receive, "slate after=0.5"), spawner=FakeFfmpeg(script=made)) as h:
        publisher = await h.publish("key")
        await pace(publisher, STREAM)
        assert [stream["state"] for stream in await streams(h)] == ["live"]
        await trio.sleep(1)
        assert [stream["state"] for stream in await streams(h)] == ["slate"]
        publisher.close()
        await trio.sleep(2)
        [slate] = await streams(h, "?state=slate")
        assert slate["seconds_left"] == 58.0
        again = await h.publish("key")
        await pace(again, STREAM)
        assert [(s["id"], s["state"]) for s in await streams(h)] == [(slate["id"], "live")]
        await trio.sleep(1)
        assert [stream["state"] for stream in await streams(h)] == ["slate"]
        changed = workflow(receive)
        assert (await h.http.put("/workflows?wait=10", content=changed)).status == 200
        assert [stream["state"] for stream in await streams(h)] == ["live"]
    h.assert_quiet()


@pytest.mark.thorough
async def test_a_stream_warns_of_a_target_that_refuses_it_and_of_a_child_that_fails(autojump_clock: MockClock) -> None:
    steps = (
        RECEIVE,
        "rtmp_push target=rtmp://nowhere:1999/live/secret",
        "ffmpeg_push target=rtmp://elsewhere/live/secret",
    )
    fails = Script().logs("[error] Connection refused").exits(1, at=0.5)
    async with Harness(WAIT_FOR_ALL + workflow(*steps), spawner=FakeFfmpeg(script=fails)) as h:
        publisher = await h.publish("key")
        await pace(publisher, STREAM)
        [stream] = await streams(h)
        warnings = {warning["code"]: warning for warning in stream["warnings"]}
        assert set(warnings) == {"target_refuses", "output_fails"}
        assert warnings["target_refuses"]["text"].startswith("target rtmp://nowhere:1999/live/*** takes nothing: ")
        assert "ffmpeg exited with status 1" in warnings["output_fails"]["text"]
        assert "secret" not in str(stream)
        assert (await h.http.put("/workflows?wait=10", content=workflow(RECEIVE))).status == 200
        assert [s["warnings"] for s in await streams(h)] == [[]]
    h.assert_quiet()


@pytest.mark.thorough
async def test_a_stream_warns_of_a_codec_that_hls_cannot_carry_and_the_workflow_shows_the_playlist(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    steps = (RECEIVE, f"ffmpeg_hls path={tmp_path}")
    said = b"#EXTM3U\n#EXTINF:2.000000,\nkey0.ts\n"
    (tmp_path / "key0.ts").touch()
    ffmpeg = FakeFfmpeg(script=Script().writes(said, at=1))
    async with Harness(WAIT_FOR_ALL + workflow(*steps), spawner=ffmpeg) as h:
        publisher = await h.publish("key")
        picture = [packet for packet in STREAM if packet.kind.value == "video"]
        sound = [parse_audio(StreamId("s"), at, b"\xb6" + bytes(20)) for at in range(0, 3000, 20)]
        await pace(publisher, sorted([*picture, *sound], key=attrgetter("timestamp")))
        [stream] = await streams(h)
        [warning] = stream["warnings"]
        assert (warning["code"], "Speex" in warning["text"]) == ("codec_not_carried", True)
        shown = (await h.http.get("/workflows/w")).json()["active_steps"]
        assert [step["on_air"] for step in shown] == [[stream["id"]], [stream["id"]]]
        [playlist] = shown[1]["streams"]
        assert (playlist["path"], playlist["last_segment"]) == (f"{tmp_path}/key.m3u8", "key0.ts")
    h.assert_quiet()


class Camera:
    """A step of somebody's own, which knows nothing of directories."""

    flow = Flow.PRODUCES

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await outbox.send([StreamStarted(StreamId("lens"), "lens"), *generate_stream("lens", seconds=1)])
        await trio.sleep(3)
        outbox.end_stream(StreamId("lens"))
        await trio.sleep_forever()


def build(parameters: object, context: StepContext) -> Camera:
    return Camera()


async def test_a_step_that_says_nothing_is_itself_the_source(autojump_clock: MockClock) -> None:
    async with Harness(workflow("camera"), [StepType("camera", NoParameters, build)]) as h:
        await trio.sleep(1)
        [lens] = await streams(h)
        assert (lens["name"], lens["source"]["protocol"], lens["tracks"][0]["codec"]) == ("lens", "camera", "avc1")
        await trio.sleep(3)
        assert await streams(h) == []
    h.assert_quiet()
