"""What is let go of when a client goes: what was held of its messages, and the step that had refused it."""

import pytest
import trio
from trio.testing import MockClock

from mmids_trio.rtmp.protocol.server_connection import ServerConnection
from mmids_trio.testing.clients import ClientRefused
from mmids_trio.testing.harness import Harness
from tests.support.rtmp import PLAIN_HANDSHAKE, zeros

LIVE = "workflow w {\n rtmp_receive rtmp_app=live stream_key=*\n}\n"
UNFINISHED = bytes([4, 0, 0, 0, 0, 255, 255, 9, 1, 0, 0, 0]) + bytes(128)


def test_a_connection_that_is_over_holds_nothing_of_an_unfinished_message() -> None:
    connection = ServerConnection(zeros)
    connection.receive_data(PLAIN_HANDSHAKE + UNFINISHED)
    assert connection.is_within_message
    connection.forget()
    assert not connection.is_within_message
    assert connection.data_to_send() == b""


async def test_a_step_that_ends_does_not_wait_for_a_client_that_it_has_refused(autojump_clock: MockClock) -> None:
    async with Harness(LIVE) as h:
        await h.publish("key")
        with pytest.raises(ClientRefused):
            await h.publish("key")  # it does not hang up, and is given a second to read why it may not
        began = trio.current_time()
        await h.stop("w")
        assert trio.current_time() == began
