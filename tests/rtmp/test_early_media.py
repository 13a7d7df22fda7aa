"""Media that a publisher sends before it is accepted: all of it counts from the acceptance on, whatever comes next."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.media.events import StreamEnded
from mmids_trio.rtmp.protocol import amf
from mmids_trio.rtmp.protocol import message as types
from mmids_trio.rtmp.server.registrations import Registration, Role
from mmids_trio.rtmp.server.server import RtmpServer
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.network import MemoryNetwork, MemoryTransport
from mmids_trio.testing.recorder import Recorder
from mmids_trio.testing.step_ends import FakeStepContext
from mmids_trio.workflow.events import ClientJoined, ClientLeft
from tests.support.numbered_events import legality
from tests.support.publishing_handler import Stream
from tests.support.rtmp import message, pipelined

Closings = Callable[[], list[str]]
End = Callable[[MemoryTransport], None]

LIVE = """
workflow w {
    rtmp_receive rtmp_app=live stream_key=*
    record
}
"""
TIMES = (1, 2, 3)
ALL_BYTES = 5 * len(TIMES)
MOST_ROUNDS = 40
"""Of trio, more than it takes from the first byte to the acceptance and what follows."""


def audio(timestamp: int) -> bytes:
    return message(types.AUDIO, b"\xaf\x01.." + bytes([timestamp]), stream=1, timestamp=timestamp)


EARLY = [audio(timestamp) for timestamp in TIMES]


def close(transport: MemoryTransport) -> None:
    transport.close()


def reset(transport: MemoryTransport) -> None:
    transport.reset()


def stay(_transport: MemoryTransport) -> None:
    """It is only silent."""


ENDS = pytest.mark.parametrize("end", [close, reset])


async def accepted(transport: MemoryTransport) -> None:
    """The answer has come, in this round of trio."""
    answers = b""
    while b"NetStream.Publish.Start" not in answers:
        answers += await transport.receive_some(65_536)


def check_all_counted(h: Harness, recorder: Recorder) -> None:
    """The one client that has joined has left, with all that it had sent."""
    assert [packet.timestamp for packet in recorder.packets] == list(TIMES)
    assert isinstance(recorder.events[-1], StreamEnded)
    assert legality(recorder.events) is None
    assert [event.bytes for event in h.events() if isinstance(event, ClientLeft)] == [ALL_BYTES]


async def test_it_goes_on_with_the_acceptance_and_not_with_the_next_bytes(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with Harness(LIVE, [recorder.step_type()]) as h:
        await (await h.open()).send_all(pipelined(*EARLY))
        await wait_all_tasks_blocked()
        assert [packet.timestamp for packet in recorder.packets] == list(TIMES)


@ENDS
@pytest.mark.schedules(40)
async def test_who_goes_with_the_answer_has_sent_all_of_it(
    end: End, autojump_clock: MockClock, closings: Closings
) -> None:
    recorder = Recorder()
    async with Harness(LIVE, [recorder.step_type()]) as h:
        transport = await h.open()
        await transport.send_all(pipelined(*EARLY))
        await accepted(transport)
        end(transport)
        await wait_all_tasks_blocked()
        check_all_counted(h, recorder)
        assert len(closings()) <= 1


@ENDS
@pytest.mark.schedules(40)
async def test_who_goes_at_any_time_has_sent_all_of_it_or_never_joined(
    end: End, schedule_seed: int, autojump_clock: MockClock
) -> None:
    recorder = Recorder()
    async with Harness(LIVE, [recorder.step_type()]) as h:
        transport = await h.open()
        await transport.send_all(pipelined(*EARLY))
        for _ in range(Random(schedule_seed).randrange(MOST_ROUNDS)):
            await trio.lowlevel.checkpoint()
        end(transport)
        await wait_all_tasks_blocked()
        if any(isinstance(event, ClientJoined) for event in h.events()):
            check_all_counted(h, recorder)
        else:
            assert recorder.packets == []


async def test_what_breaks_the_protocol_ends_the_connection_with_the_acceptance(
    autojump_clock: MockClock, closings: Closings
) -> None:
    too_deep = message(types.DATA_AMF0, amf.encode_all(["onMetaData"]) + b"\x03\0\1a" * 20, stream=1)
    async with Harness(LIVE, [Recorder().step_type()]) as h:
        await (await h.open()).send_all(pipelined(too_deep))
        await wait_all_tasks_blocked()
        (closing,) = closings()
        assert closing.startswith("protocol error: ")


@asynccontextmanager
async def served(stream: Stream) -> AsyncIterator[MemoryTransport]:
    """A publisher's end of a connection to a server with this stream alone, everything early sent."""
    network = MemoryNetwork()
    server = RtmpServer(network)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        async with server.serve(Registration(Role.PUBLISH, 1935, "live", "*"), FakeStepContext(), stream):
            transport = await network.connect(1935)
            await transport.send_all(pipelined(*EARLY))
            yield transport
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("end", [stay, close, reset])
@pytest.mark.schedules(20)
async def test_a_workflow_without_room_gets_it_as_soon_as_there_is_some(end: End, autojump_clock: MockClock) -> None:
    stream = Stream(takes_now=False)
    async with served(stream) as transport:
        await wait_all_tasks_blocked()
        end(transport)
        await wait_all_tasks_blocked()
        assert stream.story == []
        stream.has_room.set()
        await wait_all_tasks_blocked()
        assert stream.story == [*TIMES, *([] if end is stay else ["vanish", "end"])]


@pytest.mark.schedules(20)
async def test_who_is_sent_away_as_soon_as_it_is_accepted_has_sent_all_of_it(autojump_clock: MockClock) -> None:
    stream = Stream(takes_now=True)
    async with served(stream) as transport:
        await accepted(transport)
        assert stream.client is not None
        stream.client.dismiss("the operator wants so")
        await wait_all_tasks_blocked()
        assert stream.story == [*TIMES, "vanish", "end"]
