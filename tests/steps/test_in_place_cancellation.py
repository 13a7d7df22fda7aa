"""Changes in place of RTMP steps with clients, cancelled at every await: nothing of the server is left."""

import pytest
from structlog.testing import capture_logs
from trio.testing import MockClock

from mmids_trio.testing.cancellation import cancel_everywhere
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream

pytestmark = pytest.mark.thorough

STREAM = generate_stream(seconds=0.2)
ONE, TWO = "rtmp://one/live/", "rtmp://two/live/"


def workflow(receive: str, watch: str, target: str) -> str:
    return (
        f"workflow w {{\nrtmp_receive rtmp_app=live stream_key=* {receive}\n"
        f"rtmp_watch rtmp_app=live stream_key=* {watch}\nrtmp_push target={target}\n}}\n"
    )


async def test_wherever_it_is_cancelled_nothing_is_left(autojump_clock: MockClock) -> None:
    harnesses: list[Harness] = []

    async def run() -> None:
        harnesses.append(Harness(workflow("grace=2", "", ONE)))
        async with harnesses[-1] as h:
            await h.watch("live/key", peer_host="10.0.0.1")
            await h.watch("live/key", peer_host="10.1.0.1")
            await h.publish("live/key", STREAM)
            for receive, watch, target in (
                ("grace=3", "deny_ips=10.1.0.0/16", TWO),
                ("", "max_lag=2", f"{ONE},{TWO}"),
            ):
                await h.put(workflow(receive, watch, target), in_place=True)

    def check() -> None:
        harnesses.pop().assert_quiet()

    with capture_logs():
        assert await cancel_everywhere(run, check) > 50
