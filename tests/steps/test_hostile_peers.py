"""Servers that steps connect to and that mean no good: bounded in what they cost, and called again ever more seldom."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock

from mmids_trio.net.transport import Transport
from mmids_trio.rtmp.client.pulling import SILENCE_SECONDS
from mmids_trio.rtmp.protocol import amf
from mmids_trio.rtmp.protocol import message as types
from mmids_trio.rtmp.protocol.client_connection import ClientConnection
from mmids_trio.rtmp.protocol.events import ClientEvent, Event, MediaReceived, PlayRequested, PublishRequested
from mmids_trio.rtmp.protocol.limits import CHUNKS_PER_TURN, MAX_TALK_BURST, MAX_TALK_RATE
from mmids_trio.rtmp.protocol.server_connection import ServerConnection
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.recorder import Recorder
from tests.support.rtmp import INITIAL_CHUNK_SIZE, PLAIN_HANDSHAKE, command, message, zeros

MINUTES = 3
MOST_CALLS = 11
"""In three minutes: the delay has doubled to its longest, 30 s, after one."""

PULLING = "workflow w {\nrtmp_pull location=rtmp://peer/live/key stream_name=show OPTIONS\nrecord\n}\n"
PUSHING = "workflow w {\nrtmp_receive rtmp_app=live stream_key=*\nrtmp_push target=rtmp://peer/live/key\nrecord\n}\n"
PORT = 1936

TINY = 30_000
FRAME = message(types.AUDIO, b"\xaf\x01x", stream=1)
SMALL_CHUNKS = message(1, INITIAL_CHUNK_SIZE.to_bytes(4, "big"), chunk_stream=2)
"""What `message` writes in."""


def metadata(size: int) -> bytes:
    return message(types.DATA_AMF0, amf.encode_all(["onMetaData", {"x": "y" * size}]), stream=1)


FLOODS = {
    "pings": message(types.USER_CONTROL, b"\0\x06" + bytes(4)) * 2_000,
    "metadata": metadata(3_000) * 100,
    "large metadata": metadata(100_000),
    "commands": command("onBWDone", 0, "x" * 3_000) * 100,
    "statuses": command("onStatus", 0, None, {"level": "status", "code": "x" * 3_000}, stream=1) * 100,
}


@define
class Peer:
    """A server that lets everybody in and then does what `misbehave` says; `calls` counts who came."""

    h: Harness
    misbehave: Callable[["Peer", Transport], Awaitable[None]]
    calls: int = field(default=0, init=False)
    taken: int = field(default=0, init=False)
    """Bytes that were taken of it."""

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        listener = self.h.network.listen(None, PORT)
        try:
            async with trio.open_nursery() as nursery:
                task_status.started()
                while True:
                    transport = await listener.accept()
                    self.calls += 1
                    nursery.start_soon(self._serve, transport)
        finally:
            listener.close()

    async def _serve(self, transport: Transport) -> None:
        connection = ServerConnection(zeros)
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while data := await transport.receive_some(100_000):
                agreed = [_accept(connection, event) for event in connection.receive_data(data)]
                await transport.send_all(connection.data_to_send())
                if any(agreed):
                    await transport.send_all(SMALL_CHUNKS)
                    await self.misbehave(self, transport)
        transport.close()

    async def flood(self, transport: Transport, data: bytes) -> None:
        """The same as long as it is taken, and reading all that is answered."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.say, transport, data, 0.01)
            while await transport.receive_some(100_000):
                pass
            nursery.cancel_scope.cancel()

    async def say(self, transport: Transport, data: bytes, every: float) -> None:
        """The same as long as it is taken."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while True:
                await transport.send_all(data)
                self.taken += len(data)
                await trio.sleep(every)


@asynccontextmanager
async def serving(h: Harness, misbehave: Callable[["Peer", Transport], Awaitable[None]]) -> AsyncIterator[Peer]:
    """A peer in the network of `h` as long as the block runs."""
    peer = Peer(h, misbehave)
    async with trio.open_nursery() as nursery:
        await nursery.start(peer.run)
        yield peer
        nursery.cancel_scope.cancel()


def _accept(connection: ServerConnection, event: Event) -> bool:
    match event:
        case PlayRequested(request=play):
            return connection.accept_play(play)
        case PublishRequested(request=publish):
            return connection.accept_publish(publish)
    return False


def pulling(options: str = "") -> str:
    return PULLING.replace("OPTIONS", options).replace("//peer", f"//peer:{PORT}")


@pytest.fixture
def burst(monkeypatch: pytest.MonkeyPatch) -> int:
    """Less than usual, so that it is soon used up."""
    monkeypatch.setattr("mmids_trio.rtmp.client.client.MAX_TALK_BURST", MAX_TALK_BURST // 8)
    return MAX_TALK_BURST // 8


@pytest.mark.parametrize("flood", FLOODS)
async def test_a_source_may_talk_as_much_as_a_client_and_no_more(
    flood: str, burst: int, autojump_clock: MockClock
) -> None:
    recorder = Recorder()
    async with Harness(pulling(), [recorder.step_type()]) as h:
        async with serving(h, lambda peer, transport: peer.flood(transport, FLOODS[flood])) as peer:
            await trio.sleep(60 * MINUTES)
        assert 1 < peer.calls <= MOST_CALLS
        assert h.server.rejections.raised() == {"peer_commands_or_metadata_flood": peer.calls}
        assert peer.taken <= peer.calls * (burst + MAX_TALK_RATE + 5 * len(FLOODS[flood]))
        [status] = h.workflow("w").active_steps[0].streams
        assert status.last_error == "it sent more commands and metadata than anybody needs"
    h.assert_quiet()


@pytest.mark.thorough
@pytest.mark.parametrize("flood", ["pings", "commands"])
async def test_a_target_may_talk_as_much_as_a_client_and_no_more(
    flood: str, burst: int, autojump_clock: MockClock
) -> None:
    async with Harness(PUSHING.replace("//peer", f"//peer:{PORT}"), [Recorder().step_type()]) as h:
        async with serving(h, lambda peer, transport: peer.flood(transport, FLOODS[flood])) as peer:
            publisher = await h.publish("live/key", generate_stream(seconds=1))
            with trio.move_on_after(60 * MINUTES):
                while True:
                    await publisher.send(generate_stream(seconds=1)[-1:])
                    await trio.sleep(5)
        assert 1 < peer.calls <= MOST_CALLS
        raised = h.server.rejections.raised()
        assert raised["peer_commands_or_metadata_flood"] >= peer.calls - 1
    h.assert_quiet()


BREAKS = {
    "a command of 16 MiB": b"\x03\0\0\0\xff\xff\xff\x14\0\0\0\0",
    "a command that does not decode": message(types.COMMAND_AMF0, b"\xff\xff", stream=1),
    "metadata without end": message(types.DATA_AMF0, b"\x02\0\x0aonMetaData" + b"\x03\0\x01a" * 100, stream=1),
}


@pytest.mark.parametrize("options", ["", "grace=1"])
@pytest.mark.parametrize("broken", BREAKS)
async def test_a_source_that_does_not_decode_is_called_ever_more_seldom(
    broken: str, options: str, autojump_clock: MockClock
) -> None:
    """Also where it has sent a frame before, so that there is a stream with a grace, which ends before the wait."""

    async def speak(_: Peer, transport: Transport) -> None:
        await transport.send_all(FRAME)
        await trio.sleep(0.1)
        await transport.send_all(BREAKS[broken])

    async with Harness(pulling(options), [Recorder().step_type()]) as h:
        async with serving(h, speak) as peer:
            await trio.sleep(60 * MINUTES)
        assert 1 < peer.calls <= MOST_CALLS
        assert h.server.rejections.raised() == {"peer_protocol_broken": peer.calls}
        assert h.workflow("w").active_steps[0].status == "Active"
    h.assert_quiet()


async def test_a_server_that_lets_in_and_refuses_in_one_breath_is_no_fault_of_the_step(
    autojump_clock: MockClock,
) -> None:
    """What asks to play meets a machine that has been refused already."""
    welcome = command("_result", 1, {}, {"code": "NetConnection.Connect.Success"})
    refused = command("onStatus", 0, None, {"level": "error", "code": "No", "description": "no"})
    calls = 0

    async with Harness(pulling(), [Recorder().step_type()]) as h:
        listener = h.network.listen(None, PORT)
        with trio.move_on_after(60 * MINUTES):
            while True:
                transport = await listener.accept()
                calls += 1
                with suppress(trio.BrokenResourceError):
                    await transport.send_all(PLAIN_HANDSHAKE + welcome + refused)
        listener.close()
        assert 1 < calls <= MOST_CALLS
        assert h.workflow("w").status == "Running"
        assert h.server.rejections.raised() == {"peer_protocol_broken": calls}
    h.assert_quiet()


@pytest.mark.thorough
async def test_a_source_that_asks_and_does_not_listen_is_let_go(autojump_clock: MockClock) -> None:
    ping = message(types.USER_CONTROL, b"\0\x06" + bytes(4))

    async with Harness(pulling(), [Recorder().step_type()]) as h:
        async with serving(h, lambda peer, transport: peer.say(transport, ping * 500, 1)) as peer:
            await trio.sleep(5 * SILENCE_SECONDS)
        [status] = h.workflow("w").active_steps[0].streams
    assert peer.calls > 1
    assert status.last_error == f"it took nothing for {SILENCE_SECONDS:.0f} s"
    h.assert_quiet()


@pytest.mark.thorough
async def test_what_a_source_says_at_once_is_read_in_turns(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many of the smallest messages as a read can bring: others have a turn after so many chunks."""
    tiny = message(types.AUDIO, b"\x2f", stream=1, chunk_stream=9) + b"\xc9\x2f" * TINY
    receive_turn = ClientConnection.receive_turn
    turns: list[int] = []
    is_read = trio.Event()

    def count(self: ClientConnection, data: bytes = b"") -> list[ClientEvent]:
        events = receive_turn(self, data)
        turns.append(sum(len(event.messages) for event in events if isinstance(event, MediaReceived)))
        return events

    async def watch() -> None:
        """Always ready, and so between any two turns that are parted by a checkpoint."""
        while sum(turns) <= TINY:
            turns.append(0)
            await trio.lowlevel.checkpoint()
        is_read.set()

    async def speak(_: Peer, transport: Transport) -> None:
        await transport.send_all(tiny)
        await watch()

    monkeypatch.setattr(ClientConnection, "receive_turn", count)
    async with Harness(pulling(), [Recorder().step_type()]) as h, serving(h, speak):
        with trio.fail_after(60):
            await is_read.wait()
    assert max(turns) <= CHUNKS_PER_TURN
    assert _longest_run(turns) <= 2 * CHUNKS_PER_TURN  # of two that are ready one may be served twice in a row


def _longest_run(turns: list[int]) -> int:
    """What was read between two turns of the watcher, at most."""
    longest = run = 0
    for count in turns:
        run = run + count if count else 0
        longest = max(longest, run)
    return longest
