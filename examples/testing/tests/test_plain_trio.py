from trio.testing import MockClock

from mmids_trio.testing import Harness, generate_stream

LIVE = "workflow live {\n    rtmp_receive rtmp_app=live stream_key=*\n    rtmp_watch rtmp_app=live stream_key=*\n}\n"


async def test_a_watcher_sees_all_that_is_published(autojump_clock: MockClock) -> None:
    async with Harness(LIVE) as h:
        watcher, film = await h.watch("live/show"), generate_stream(seconds=2)
        await h.publish("live/show", film)
        await watcher.receive(len(film))
        watcher.report(film).require_flawless()
    h.assert_quiet()
