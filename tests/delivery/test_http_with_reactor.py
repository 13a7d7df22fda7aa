"""`http_watch` with a reactor: who is let in, for how long, and that nothing of a viewer stays."""

import h11
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.reactors import FakeReactorService, invalid, valid
from mmids_trio.testing.web import WebClient
from tests.delivery.test_hls_listener import INDEX, Web, send_live, uri

TEXT = """reactor r executor=scripted update_interval=10 {
}
workflow w {
    rtmp_receive rtmp_app=live stream_key=*
    http_watch app=live stream_key=* segment=1s reactor=r
}
"""


def holders(h: Harness) -> int:
    reactor = h.server.reactors.get("r")
    assert reactor is not None
    return sum(lease.holders for lease in reactor.view().leases)


@pytest.mark.thorough
async def test_who_is_not_approved_gets_nothing(autojump_clock: MockClock) -> None:
    lookups = FakeReactorService({"key": invalid()})
    async with Harness(TEXT, more_executors=[lookups.kind()]) as h, trio.open_nursery() as nursery:
        nursery.start_soon(send_live, await h.publish("live/key"), generate_stream(seconds=30))
        await trio.sleep(3)
        web = Web(h)
        assert (await web.get("/live/key.flv")).status == 403
        assert (await web.get(INDEX)).status == 403
        await trio.sleep(3)
        assert holders(h) == 0
        nursery.cancel_scope.cancel()


@pytest.mark.thorough
async def test_viewers_hold_a_lease_each_and_go_when_it_is_withdrawn(autojump_clock: MockClock) -> None:
    lookups = FakeReactorService({"key": valid()})
    async with Harness(TEXT, more_executors=[lookups.kind()]) as h, trio.open_nursery() as nursery:
        nursery.start_soon(send_live, await h.publish("live/key"), generate_stream(seconds=60))
        await trio.sleep(3)
        web = Web(h)
        media = uri(await web.get(INDEX))
        flv = WebClient(await h.open(port=8080))
        await flv.begin("/live/key.flv")
        assert (await flv.head())[0] == 200
        assert holders(h) == 2
        del lookups.answers["key"]
        with pytest.raises(h11.RemoteProtocolError):
            _ = [piece async for piece in flv]
        assert (await web.get(media)).status == 403
        await wait_all_tasks_blocked()
        await trio.sleep(3)
        assert holders(h) == 0
        nursery.cancel_scope.cancel()


async def test_a_viewer_who_gives_up_while_the_service_thinks_leaves_nothing(autojump_clock: MockClock) -> None:
    lookups = FakeReactorService({"key": valid(after=5)})
    async with Harness(TEXT, more_executors=[lookups.kind()]) as h:
        for path in (INDEX, "/live/key.flv"):
            client = WebClient(await h.open(port=8080))
            await client.begin(path)
            await trio.sleep(1)
            client.close()
        await trio.sleep(20)
        assert holders(h) == 0
        assert (await h.http.get("/clients")).json()["clients"] == []
    h.assert_quiet()
