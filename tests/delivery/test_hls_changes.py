"""Viewers of HLS while workflows and media change: who is kept, who is let go, and what the stream's state says."""

import re
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.media.codecs import parse_audio
from mmids_trio.media.events import StreamId
from mmids_trio.testing.cancellation import cancel_everywhere
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.hls import read_playlist
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.web import WebAnswer, WebClient
from tests.delivery.test_hls_listener import INDEX, LIVE, Web, on_air, uri

IN_FRONT = LIVE.replace(" http_watch", " slate after=5\n http_watch").format("")
KEPT = [
    pytest.param(LIVE.format("play_key=secret"), True, id="in place"),
    pytest.param(IN_FRONT, False, id="another step in front"),
]


async def asked_for_the_next(h: Harness, web: Web, media: str) -> WebClient:
    """A viewer's connection with a request for the next part, which waits."""
    hint = re.search(r'TYPE=PART,URI="([^"]+)"', (await web.get(media)).text)
    assert hint is not None
    client = WebClient(await h.open(port=8080))
    await client.begin(f"/live/key/{hint[1]}")
    await wait_all_tasks_blocked()
    return client


async def answered(client: WebClient) -> WebAnswer:
    with trio.fail_after(5):
        return await client.answer()


@pytest.mark.thorough
@pytest.mark.parametrize(("text", "in_place"), KEPT)
async def test_a_step_that_is_kept_keeps_its_sessions_and_who_waits(
    autojump_clock: MockClock, text: str, in_place: bool
) -> None:
    async with on_air() as (h, web):
        await trio.sleep(4)
        media = uri(await web.get(INDEX))
        waiting = await asked_for_the_next(h, web, media)
        before = read_playlist((await web.get(media)).text)
        await h.put(text, in_place=in_place)
        assert (await answered(waiting)).status == 200
        await trio.sleep(5)
        after = read_playlist((await web.get(media)).text)
        assert after.next > before.next
        [watcher] = [one for one in (await h.http.get("/clients")).json()["clients"] if one["role"] == "watcher"]
        assert watcher["state"] == "watching"


@pytest.mark.thorough
async def test_a_step_that_is_replaced_counts_its_sessions_and_ends_them_and_who_waits(
    autojump_clock: MockClock,
) -> None:
    async with on_air() as (h, web):
        await trio.sleep(4)
        media = uri(await web.get(INDEX))
        waiting = await asked_for_the_next(h, web, media)
        changed = LIVE.format("part=500ms")
        plan = (await h.http.post("/config/plan?take_over=true", content=changed.encode())).json()
        assert (plan["watchers"], [cut["step_type"] for cut in plan["cuts"]]) == (1, ["http_watch"])
        await h.put(changed)
        refusal = await answered(waiting)
        assert (refusal.status, refusal.text) == (403, "what it used has ended\n")
        assert [one["role"] for one in (await h.http.get("/clients")).json()["clients"]] == ["publisher"]
        assert (await web.get(media)).status == 403
        await trio.sleep(3)
        again = uri(await web.get(INDEX))
        assert (await web.get(again)).status == 200
    h.assert_quiet()


async def test_who_waits_for_a_stream_to_begin_when_the_step_goes_is_told_at_once(autojump_clock: MockClock) -> None:
    async with Harness(LIVE.format("")) as h:
        publisher = await h.publish("live/key", generate_stream(seconds=0.1))
        client = WebClient(await h.open(port=8080))
        await client.begin(INDEX)
        await wait_all_tasks_blocked()
        await h.put(LIVE.format("part=500ms"))
        answer = await answered(client)
        assert (answer.status, answer.headers["retry-after"]) == (404, "2")
        publisher.close()
    h.assert_quiet()


async def watch_both_ways(h: Harness) -> None:
    """Ask for what there is, and for what is to come; leave in the middle of it."""
    publisher = await h.publish("live/key", generate_stream(seconds=1.6))
    web, flv = Web(h), WebClient(await h.open(port=8080))
    await flv.begin("/live/key.flv")
    assert (await flv.head())[0] == 200
    media = uri(await web.get(INDEX))
    waiting = await asked_for_the_next(h, web, media)
    assert (await web.get("/live/key/x")).status == 404
    await publisher.send(generate_stream(seconds=0.6, start_timestamp=1_600)[2:])
    await answered(waiting)
    flv.close()


async def change_while_they_watch(h: Harness) -> None:
    await h.publish("live/key", generate_stream(seconds=1.6))
    web, flv = Web(h), WebClient(await h.open(port=8080))
    await flv.begin("/live/key.flv")
    waiting = await asked_for_the_next(h, web, uri(await web.get(INDEX)))
    await h.put(LIVE.format("part=500ms"))
    await answered(waiting)


@pytest.mark.thorough
@pytest.mark.parametrize("play", [watch_both_ways, change_while_they_watch], ids=lambda play: str(play.__name__))
async def test_a_server_of_browsers_that_is_cancelled_anywhere_leaves_nothing(
    play: Callable[[Harness], Awaitable[None]], autojump_clock: MockClock
) -> None:
    harnesses: list[Harness] = []

    async def run() -> None:
        harness = Harness(LIVE.format(""))
        harnesses.append(harness)
        async with harness as h:
            await play(h)

    def check() -> None:
        harnesses[-1].assert_quiet()

    assert await cancel_everywhere(run, check) > 20


async def warnings(h: Harness) -> list[str]:
    """The remedies that the stream on the air has."""
    [stream] = (await h.http.get("/streams")).json()["streams"]
    found = [one for one in stream["warnings"] if one["code"] == "browsers_lack_codec"]
    return [f"{one['text']}: {one['remedy']}" for one in found]


@pytest.mark.thorough
async def test_the_stream_says_which_codec_browsers_lack_and_what_mends_it(autojump_clock: MockClock) -> None:
    async with on_air(packets=generate_stream(seconds=20, video_codec="hvc1")) as (h, _):
        await trio.sleep(5)
        remedy = "put ffmpeg_transcode vcodec=h264 acodec=copy in front of http_watch"
        assert await warnings(h) == [f"not every browser plays HEVC: {remedy}"]
    async with on_air() as (h, _):
        await trio.sleep(5)
        assert await warnings(h) == []


@pytest.mark.parametrize(("parameters", "count"), [("", 1), ("formats=flv", 0)])
async def test_what_is_lacking_depends_on_the_format_and_is_over_with_the_media(
    autojump_clock: MockClock, parameters: str, count: int
) -> None:
    async with Harness(LIVE.format(parameters)) as h:
        publisher = await h.publish("live/key")
        sound = [parse_audio(StreamId("s"), at, b"\x2f\xff\xfb\x90\x64" + bytes(300)) for at in range(0, 1000, 24)]
        await publisher.send(sound)
        await trio.sleep(1)
        assert len(await warnings(h)) == count
        await trio.sleep(10)
        assert await warnings(h) == []
