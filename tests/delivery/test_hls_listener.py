"""`http_watch` serves Low-Latency HLS: checked by the kit's checker, and how sessions begin and end."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock

from mmids_trio.media.events import MediaPacket
from mmids_trio.rtmp.server.play_tokens import sign
from mmids_trio.testing.clients import RtmpClient
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.hls import HlsChecker
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.web import WebAnswer, WebClient

LIVE = (
    "workflow live {{\n rtmp_receive rtmp_app=live stream_key=*\n http_watch app=live stream_key=* segment=1s {}\n}}\n"
)
INDEX = "/live/key/index.m3u8"


class Web:
    """Asks over as many connections as it takes, and keeps those that can be used again."""

    def __init__(self, h: Harness) -> None:
        self._h, self._free = h, list[WebClient]()

    async def get(self, target: str, **headers: str) -> WebAnswer:
        client = self._free.pop() if self._free else WebClient(await self._h.open(port=8080))
        answer = await client.get(target, **headers)
        if answer.status < 400:
            self._free.append(client)
        else:
            client.close()
        return answer


async def send_live(publisher: RtmpClient, packets: Sequence[MediaPacket]) -> None:
    """At the speed of its clock."""
    began, first = trio.current_time(), packets[0].timestamp
    for packet in packets:
        await trio.sleep_until(began + (packet.timestamp - first) / 1000)
        await publisher.send([packet])


@asynccontextmanager
async def on_air(
    parameters: str = "", packets: Sequence[MediaPacket] | None = None
) -> AsyncIterator[tuple[Harness, Web]]:
    """A server that somebody publishes to, live."""
    h = Harness(LIVE.format(parameters), now=lambda: 1_800_000_000 + trio.current_time())
    async with h, trio.open_nursery() as nursery:
        publisher = await h.publish("live/key")
        nursery.start_soon(send_live, publisher, packets or generate_stream(seconds=120))
        yield h, Web(h)
        nursery.cancel_scope.cancel()


def uri(answer: WebAnswer) -> str:
    """Where the first variant is."""
    return "/live/key/" + next(line for line in answer.text.splitlines() if line and not line.startswith("#"))


@pytest.mark.thorough
@pytest.mark.parametrize(
    "stream",
    [
        {},
        {"audio": False},
        {"video": False},
        {"fps": 30, "gop": 45},
        {"fps": 24, "gop": 48, "b_frames": 0},
        {"video_codec": "hvc1", "audio_codec": "Opus"},
    ],
    ids=str,
)
async def test_the_checker_finds_nothing(autojump_clock: MockClock, stream: dict[str, object]) -> None:
    async with on_air("dvr=15s", packets=generate_stream(seconds=60, **stream)) as (_, web):  # type: ignore[arg-type]
        await trio.sleep(12)
        report = await HlsChecker(web.get).play(INDEX, segments=10)
        assert report.problems == []
        assert report.parts > 20
        assert report.deltas > 0


@pytest.mark.thorough
async def test_it_begins_with_a_multivariant_playlist_of_real_figures(autojump_clock: MockClock) -> None:
    async with on_air() as (_, web):
        await trio.sleep(5)
        answer = await web.get(INDEX + "?a=1&b=%22")
        assert answer.headers["content-type"] == "application/vnd.apple.mpegurl"
        assert answer.headers["cache-control"] == "no-store"
        line = next(line for line in answer.text.splitlines() if line.startswith("#EXT-X-STREAM-INF"))
        found = dict(re.findall(r'([A-Z-]+)=("[^"]*"|[^,]*)', line))
        assert found["CODECS"] == '"avc1.42C01F,mp4a.40.2"'
        bits = 25 * 400 * 8 + 1600 * 8 + 47 * 100 * 8
        assert int(found["AVERAGE-BANDWIDTH"]) == pytest.approx(bits, rel=0.2)
        assert int(found["BANDWIDTH"]) >= int(found["AVERAGE-BANDWIDTH"])
        assert float(found["FRAME-RATE"]) == 25
        assert re.fullmatch(r"/live/key/media\.m3u8\?session=[0-9a-f]{32}&a=1&b=%22", uri(answer))


@pytest.mark.thorough
async def test_every_uri_has_the_session_and_the_query_of_the_first_request(autojump_clock: MockClock) -> None:
    async with on_air() as (_, web):
        await trio.sleep(3)
        media = uri(await web.get(INDEX + '?token="x'))
        text = (await web.get(media)).text
        uris = re.findall(r'URI="([^"]*)"', text) + [line for line in text.splitlines() if line[0] != "#"]
        assert len(uris) > 5
        assert {one.partition("?")[2] for one in uris} == {media.partition("?")[2]}
        assert media.endswith("&token=%22x")


@pytest.mark.thorough
async def test_without_a_session_nothing_but_the_first_playlist_is_served(autojump_clock: MockClock) -> None:
    async with on_air() as (h, web):
        await trio.sleep(3)
        media = uri(await web.get(INDEX))
        part = re.findall(r'URI="(part[^"]*)"', (await web.get(media)).text)[0]
        assert (await web.get(f"/live/key/{part}")).status == 200
        for target in (media, f"/live/key/{part}"):
            assert (await web.get(target.partition("?")[0])).status == 403
            assert (await web.get(re.sub("session=.{32}", "session=" + "0" * 32, target))).status == 403
        assert h.server.rejections.raised() == {"media_session_unknown_or_over": 4}


@pytest.mark.thorough
async def test_a_token_is_asked_for_once(autojump_clock: MockClock) -> None:
    async with on_air("play_key=secret") as (h, web):
        await trio.sleep(3)
        assert (await web.get(INDEX)).status == 403
        expires = int(h.now()) + 3
        media = uri(await web.get(f"{INDEX}?expires={expires}&token={sign('secret', 'key', expires)}"))
        for _ in range(5):
            await trio.sleep(1)
            assert (await web.get(media)).status == 200


@pytest.mark.thorough
async def test_a_viewer_is_listed_and_leaves_when_it_asks_for_nothing(autojump_clock: MockClock) -> None:
    async with on_air() as (h, web):
        await trio.sleep(3)
        media = uri(await web.get(INDEX, user_agent="tester"))
        [shown] = [one for one in (await h.http.get("/clients")).json()["clients"] if one["role"] == "watcher"]
        assert (shown["protocol"], shown["agent"], shown["state"]) == ("hls", "tester", "watching")
        assert 'mmids_step_watchers{workflow="live"' in (await h.http.get("/metrics")).text
        for _ in range(4):
            await trio.sleep(8)
            assert (await web.get(media)).status == 200
        await trio.sleep(12)
        assert (await web.get(media)).status == 403
        assert all(one["role"] == "publisher" for one in (await h.http.get("/clients")).json()["clients"])


@pytest.mark.thorough
async def test_a_viewer_that_is_kicked_is_refused_while_it_waits_too(autojump_clock: MockClock) -> None:
    async with on_air() as (h, web):
        await trio.sleep(3)
        media = uri(await web.get(INDEX))
        [shown] = [one for one in (await h.http.get("/clients")).json()["clients"] if one["role"] == "watcher"]
        number = int(re.findall(r"part-(\d+)", (await web.get(media)).text)[-1])
        answers = list[int]()

        async def wait() -> None:
            answers.append((await web.get(f"{media}&_HLS_msn={number + 1}&_HLS_part=0")).status)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.sleep(0.01)
            await h.http.delete(f"/clients/{shown['id']}")
        assert answers == [403]
        assert (await web.get(media)).status == 403


@pytest.mark.thorough
async def test_a_range_of_a_segment_is_answered(autojump_clock: MockClock) -> None:
    async with on_air() as (_, web):
        await trio.sleep(4)
        text = (await web.get(uri(await web.get(INDEX)))).text
        segment = "/live/key/" + next(line for line in text.splitlines() if line[0] != "#")
        whole = (await web.get(segment)).body
        for wanted, expected in (
            ("bytes=0-99", whole[:100]),
            ("bytes=100-", whole[100:]),
            ("bytes=-50", whole[-50:]),
            (f"bytes=10-{len(whole) + 5}", whole[10:]),
        ):
            answer = await web.get(segment, range=wanted)
            assert (answer.status, answer.body) == (206, expected)
        assert (await web.get(segment, range=f"bytes={len(whole)}-")).status == 416


@pytest.mark.thorough
async def test_what_changes_in_the_stream_is_crossed_with_another_map(autojump_clock: MockClock) -> None:
    one = generate_stream(seconds=6)
    two = generate_stream(seconds=60, video_codec="hvc1", seed=1, start_timestamp=6_000)
    async with on_air(packets=[*one, *two]) as (_, web):
        await trio.sleep(2)
        report = await HlsChecker(web.get).play(INDEX, segments=8)
        assert report.problems == []
        assert len(report.inits) == 2
        assert any(b"hvcC" in init for init in report.inits.values())


@pytest.mark.thorough
async def test_viewers_stay_when_a_publisher_goes_and_another_one_comes(autojump_clock: MockClock) -> None:
    async with on_air(packets=generate_stream(seconds=5)) as (h, web):
        await trio.sleep(4)
        media = uri(await web.get(INDEX))
        await trio.sleep(3)
        for entry in (await h.http.get("/clients")).json()["clients"]:
            if entry["role"] == "publisher":
                await h.http.delete(f"/clients/{entry['id']}")
        again = await h.publish("live/key")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_live, again, generate_stream(seconds=30, seed=2))
            await trio.sleep(4)
            text = (await web.get(media)).text
            assert text.count("#EXT-X-DISCONTINUITY\n") == 1
            assert text.count("#EXT-X-MAP") == 2
            nursery.cancel_scope.cancel()


@pytest.mark.thorough
async def test_a_stream_that_is_over_ends_its_playlist_and_is_not_on_air(autojump_clock: MockClock) -> None:
    async with on_air(packets=generate_stream(seconds=5)) as (h, web):
        await trio.sleep(4)
        media = uri(await web.get(INDEX))
        await trio.sleep(2)
        [entry] = [one for one in (await h.http.get("/clients")).json()["clients"] if one["role"] == "publisher"]
        await h.http.delete(f"/clients/{entry['id']}")
        await trio.sleep(5)
        assert (await web.get(media)).text.endswith("#EXT-X-ENDLIST\n")
        assert (await web.get(INDEX)).status == 404


@pytest.mark.thorough
async def test_the_window_is_kept_and_no_more(autojump_clock: MockClock) -> None:
    async with on_air("dvr=20s") as (_, web):
        await trio.sleep(60)
        text = (await web.get(uri(await web.get(INDEX)))).text
        seconds = sum(map(float, re.findall(r"#EXTINF:([0-9.]+)", text)))
        assert 20 <= seconds <= 22


@pytest.mark.thorough
async def test_hls_alone_serves_no_flv_and_the_other_way_round(autojump_clock: MockClock) -> None:
    async with on_air("formats=hls") as (_, web):
        await trio.sleep(3)
        assert (await web.get("/live/key.flv")).status == 404
        assert (await web.get(INDEX)).status == 200
    async with on_air("formats=flv") as (_, web):
        await trio.sleep(3)
        assert (await web.get(INDEX)).status == 404


async def test_nothing_on_air_is_a_404_and_no_viewer(autojump_clock: MockClock) -> None:
    async with Harness(LIVE.format("")) as h:
        assert (await Web(h).get(INDEX)).status == 404
        assert (await h.http.get("/clients")).json()["clients"] == []
    h.assert_quiet()


@pytest.mark.thorough
async def test_clocks_that_wrap_are_followed(autojump_clock: MockClock) -> None:
    packets = generate_stream(seconds=20, start_timestamp=2**32 - 6_000)
    assert packets[-1].timestamp < packets[0].timestamp
    began = packets[0].timestamp
    shifted = [evolve(packet, timestamp=packet.timestamp) for packet in packets]
    async with on_air(packets=generate_stream(seconds=1)) as (h, _web):
        publisher = await h.publish("live/other")
        async with trio.open_nursery() as nursery:

            async def send() -> None:
                start = trio.current_time()
                for packet in shifted:
                    await trio.sleep_until(start + ((packet.timestamp - began) % 2**32) / 1000)
                    await publisher.send([packet])

            nursery.start_soon(send)
            await trio.sleep(2)
            report = await HlsChecker(Web(h).get).play("/live/other/index.m3u8", segments=8)
            assert report.problems == []
            nursery.cancel_scope.cancel()
