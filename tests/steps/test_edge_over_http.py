"""A viewer over HTTP of a key that is at another node gets it from there, as HTTP-FLV and as HLS."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.media.flv import FlvReader, TagType
from mmids_trio.rejections import RejectReason
from mmids_trio.steps.edge_pulls import MAX_LOOKED_FOR_OF_ADDRESS
from mmids_trio.testing.clients import RtmpClient
from mmids_trio.testing.hls import HlsChecker
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.web import WebClient
from tests.support.edge_nodes import HTTP, KEY, STEPS, Nodes, running
from tests.support.waiting import eventually

SHOW = generate_stream(seconds=90)
INDEX = "/live/key/index.m3u8"


@asynccontextmanager
async def on_air(names: str) -> AsyncIterator[tuple[Nodes, RtmpClient]]:
    """Nodes, the first of which has a live publisher."""
    async with running(names, f"{STEPS}\n{HTTP}") as nodes, trio.open_nursery() as nursery:
        publisher = await nodes[names[0]].publish()
        nursery.start_soon(publisher.play, SHOW)
        yield nodes, publisher
        nursery.cancel_scope.cancel()


@pytest.mark.thorough
async def test_hls_comes_from_another_node_by_one_pull_that_ends_with_its_viewers(autojump_clock: MockClock) -> None:
    async with on_air("ab") as (nodes, _):
        await trio.sleep(5)
        report = await HlsChecker(nodes["b"].web).play(INDEX, segments=5)
        assert report.problems == []
        assert nodes["a"].pulls == 1
        await trio.sleep(20)
        assert nodes["a"].pulls == 1
        await eventually(lambda: nodes["a"].pulls == 0, "the end of the pull")


async def test_a_page_of_the_first_request_does_not_wait_for_what_no_node_has(autojump_clock: MockClock) -> None:
    async with running("ab", f"{STEPS}\n{HTTP}") as nodes:
        began = trio.current_time()
        answer = await nodes["b"].web(INDEX)
        assert answer.status == 404
        assert trio.current_time() - began < 15
        await eventually(lambda: nodes.cluster.followings == [], "the end of the search")


@pytest.mark.thorough
@pytest.mark.parametrize("form", ["/live/{}.flv", "/live/{}/index.m3u8"])
async def test_an_address_that_waits_for_too_many_keys_that_no_node_has_is_told_so_and_others_are_served(
    form: str, autojump_clock: MockClock
) -> None:
    async with on_air("ab") as (nodes, _):
        b = nodes["b"]

        async def ask(key: object, peer_host: str) -> WebClient:
            client = WebClient(await b.harness.open(port=b.http, peer_host=peer_host))
            await client.begin(form.format(key))
            return client

        stranger, honest = "192.0.2.1", "192.0.2.2"
        for number in range(MAX_LOOKED_FOR_OF_ADDRESS):
            await ask(number, stranger)
        await wait_all_tasks_blocked()
        for number in range(2):
            refusal = await (await ask(f"more-{number}", stranger)).answer()
            assert (refusal.status, refusal.text) == (403, "too many keys that no node has are waited for\n")
        assert b.harness.server.rejections.raised() == {RejectReason.LOOKED_FOR.value: 2}
        assert len(nodes.cluster.followings) == MAX_LOOKED_FOR_OF_ADDRESS
        assert (await (await ask("key", honest)).head())[0] == 200
        await eventually(lambda: nodes["a"].pulls == 1, "a pull")


@pytest.mark.thorough
async def test_flv_comes_from_another_node_and_goes_on_when_the_stream_moves(autojump_clock: MockClock) -> None:
    async with on_air("abc") as (nodes, _), trio.open_nursery() as nursery:
        viewer = WebClient(await nodes["c"].harness.open(port=nodes["c"].http))
        await viewer.begin("/live/key.flv")
        assert (await viewer.head())[0] == 200
        reader, times = FlvReader(), list[int]()

        async def read_until(ms: int) -> None:
            while not times or times[-1] < ms:
                times.extend(tag.timestamp for tag in reader.receive(await anext(viewer)) if tag.type is TagType.VIDEO)

        await read_until(3_000)
        nodes.cluster.drop(KEY)
        latter = await nodes["b"].publish()
        nursery.start_soon(latter.play, SHOW)
        await eventually(lambda: nodes["b"].pulls == 1, "a pull of the other node")
        await read_until(8_000)
        assert times == sorted(times)
        assert len(nodes["c"].streams) == 1
        nursery.cancel_scope.cancel()


@pytest.mark.thorough
async def test_hls_goes_on_in_the_same_playlist_when_the_stream_moves(autojump_clock: MockClock) -> None:
    async with on_air("abc") as (nodes, _), trio.open_nursery() as nursery:
        await trio.sleep(3)
        web = nodes["c"].web
        index = (await web(INDEX)).text
        media = f"/live/key/{next(line for line in index.splitlines() if line and line[0] != '#')}"
        nodes.cluster.drop(KEY)
        latter = await nodes["b"].publish()
        nursery.start_soon(latter.play, SHOW)
        await eventually(lambda: nodes["b"].pulls == 1, "a pull of the other node")
        await trio.sleep(5)
        text = (await web(media)).text
        assert text.count("#EXTINF") > 4
        assert "#EXT-X-ENDLIST" not in text
        nursery.cancel_scope.cancel()
