"""The command drain returns when a server is empty, and says who is left where it is not."""

import pytest
import trio
from structlog.typing import EventDict

from mmids_trio.testing.clients import RtmpClient
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from tests.support.commands import run
from tests.support.waiting import eventually

SHOW = """
workflow show {
    rtmp_receive rtmp_app=live stream_key=*
    rtmp_watch rtmp_app=live stream_key=*
}
"""


@pytest.mark.thorough
async def test_the_command_returns_when_the_server_is_empty_or_says_who_is_left(logs: list[EventDict]) -> None:
    async with Harness(SHOW) as h:
        publisher = await h.publish("key", generate_stream(seconds=1))
        left = await run(h, "drain", "--deadline", "0s", status=1)
        assert "over with 1 publisher" in left.err
        assert h.server.draining.is_draining
        async with trio.open_nursery() as nursery:
            nursery.start_soon(leave_when_asked, h, publisher)
            empty = await run(h, "drain", "--json", "--deadline", "1h")
        state = empty.document
        assert (state["over"], state["publishers"], state["node"]) == (True, 0, None)
        assert "is drained" in (await run(h, "drain", "--deadline", "10")).out
        await run(h, "drain", "--lift")
        assert [line["event"] for line in logs if "drains" in line["event"]][-1] == "server drains no more"
        assert not h.server.draining.is_draining


async def leave_when_asked(h: Harness, publisher: RtmpClient) -> None:
    await eventually(lambda: h.server.draining.view().seconds_left or None, "deadline")
    publisher.close()


async def test_a_deadline_or_node_that_makes_no_sense_begins_nothing() -> None:
    async with Harness(SHOW) as h:
        assert "expected a time from 0s to 24h" in (await run(h, "drain", "--deadline", "soon", status=1)).err
        assert "no node 'b'" in (await run(h, "drain", "b", status=1)).err
        assert not h.server.draining.is_draining
