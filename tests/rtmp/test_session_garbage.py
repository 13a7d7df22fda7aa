"""Nonsense at every phase: the connection closes, one line says why, nothing else is affected."""

from collections.abc import Callable
from random import Random

import pytest
import trio
from structlog.typing import EventDict
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.media.events import MediaKind
from mmids_trio.net.transport import Transport
from mmids_trio.rtmp.protocol import amf
from mmids_trio.rtmp.protocol import message as types
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.network import MemoryTransport
from tests.support.rtmp import PLAIN_HANDSHAKE, command, connect, message

Closings = Callable[[], list[str]]

LIVE = """
workflow w {
    rtmp_receive rtmp_app=live stream_key=*
    rtmp_watch rtmp_app=live stream_key=*
}
"""

CONNECTED = PLAIN_HANDSHAKE + connect() + command("createStream", 2, None)
PUBLISHING = CONNECTED + command("publish", 3, None, "theirs", "live", stream=1)
PLAYING = CONNECTED + command("play", 3, None, "ours", stream=1)
PHASES = {"handshake": PLAIN_HANDSHAKE, "connected": CONNECTED, "publishing": PUBLISHING, "playing": PLAYING}

BAD = {
    "a chunk size of zero": message(1, bytes(4)),
    "half a control message": message(types.USER_CONTROL, b"\0"),
    "a command that is no AMF": message(types.COMMAND_AMF0, b"\xff\xff\xff"),
    "a message of 16 MB that never comes": b"\x03\0\0\0\xff\xff\xff\x14\0\0\0\0",
    "a header that continues nothing": b"\xc7\0\0\0",
}


@pytest.mark.parametrize(
    "first",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\0", b"\x06" + bytes(1536), b"\0", b"\xff" * 5000],
    ids=["http", "tls", "rtmpe", "zero", "ones"],
)
async def test_what_is_no_rtmp_is_closed_at_once(first: bytes, autojump_clock: MockClock, closings: Closings) -> None:
    async with Harness(LIVE) as h:
        transport = await h.open()
        began = trio.current_time()
        await transport.send_all(first)
        assert await transport.receive_some(1000) == b""
        assert trio.current_time() == began
        [reason] = closings()
        assert reason.startswith("protocol error: ")


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("bad", BAD)
async def test_who_breaks_the_protocol_is_closed_with_one_line_and_nobody_else_is_disturbed(
    bad: str, phase: str, autojump_clock: MockClock, closings: Closings
) -> None:
    packets = generate_stream(seconds=2)
    async with Harness(LIVE) as h:
        watcher = await h.watch("ours")
        publisher = await h.publish("ours", packets[:50])
        transport = await h.open()
        await transport.send_all(PHASES[phase])
        await wait_all_tasks_blocked()
        await transport.send_all(BAD[bad])
        await wait_all_tasks_blocked()
        [reason] = closings()
        assert reason.startswith("protocol error: ")
        await publisher.send(packets[50:])
        await watcher.read_until(lambda: packets[-1].data in [packet.data for packet in watcher.packets])
        assert watcher.report(packets).missed == ()
        await h.publish("theirs")
        assert len(closings()) == 1


@pytest.mark.parametrize("phase", ["", *PHASES])
@pytest.mark.schedules(10)
async def test_noise_never_crashes_a_connection(
    schedule_seed: int, phase: str, autojump_clock: MockClock, closings: Closings
) -> None:
    random = Random(schedule_seed)
    async with Harness(LIVE) as h:
        transport = await h.open()
        await transport.send_all(PHASES.get(phase, b""))
        with trio.move_on_after(1):
            for _ in range(20):
                try:
                    await transport.send_all(random.randbytes(random.randrange(1, 500)))
                except trio.BrokenResourceError:
                    break
        await h.publish("key")
        assert len(closings()) <= 1


@pytest.mark.parametrize("phase", ["", *PHASES])
async def test_a_reset_at_any_phase_is_no_fault(phase: str, autojump_clock: MockClock, closings: Closings) -> None:
    async with Harness(LIVE) as h:
        transport = await h.open()
        assert isinstance(transport, MemoryTransport)
        await transport.send_all(PHASES.get(phase, b""))
        await wait_all_tasks_blocked()
        transport.reset()
        await wait_all_tasks_blocked()
        [reason] = closings()
        assert reason.startswith("connection lost: ")
        await h.stop("w")
        h.assert_quiet()


async def ask_on_and_on(transport: Transport) -> None:
    pings = message(types.USER_CONTROL, b"\0\x06" + bytes(4)) * 1000
    for _ in range(100):
        await transport.send_all(pings)
        await trio.sleep(1)


@pytest.mark.thorough
async def test_who_asks_on_and_on_and_reads_no_answer_is_closed(autojump_clock: MockClock, closings: Closings) -> None:
    async with Harness(LIVE) as h:
        transport = await h.open()
        await transport.send_all(PLAYING)
        with pytest.raises(trio.BrokenResourceError):
            await ask_on_and_on(transport)
        assert closings() == ["it did not read the replies to what it asked"]


async def test_what_is_odd_and_harmless_is_said_once_and_the_publisher_stays(
    autojump_clock: MockClock, logs: list[EventDict]
) -> None:
    packets = generate_stream(seconds=1)
    odd = message(types.DATA_AMF0, amf.encode_all(["@setDataFrame", "onMetaData", {"width": 640}]) + b"\0", stream=1)
    async with Harness(LIVE) as h:
        transport = await h.open()
        await transport.send_all(PHASES["publishing"])
        await wait_all_tasks_blocked()
        watcher = await h.watch("theirs")
        kinds = {MediaKind.VIDEO: types.VIDEO, MediaKind.AUDIO: types.AUDIO}
        media = [message(kinds[p.kind], p.data, stream=1, timestamp=p.timestamp, chunk_stream=6) for p in packets]
        await transport.send_all(odd * 3 + b"".join(media))
        await watcher.read_until(lambda: packets[-1].data in [packet.data for packet in watcher.packets])
        assert watcher.metadata[-1] == {"width": 640}
        [line] = [entry for entry in logs if entry["event"] == "client says something odd"]
        assert (line["oddity"], line["stream"]) == ("metadata_not_clean", "theirs")
        metrics = (await h.http.get("/metrics")).text
        assert 'mmids_rtmp_oddities_total{oddity="metadata_not_clean"} 3' in metrics.splitlines()
