"""The hot paths do no more than they did: calls, sends and allocations are counted, never time.

Every bound is what the path needs today; a fifth more fails.  Whoever makes one of them cheaper lowers its bound, and
whoever has to raise one says in the commit what it buys.  Calls are counted with `sys.setprofile`, those into
C included, over a run that is long enough for what happens once not to count.
"""

import gc
import os
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable

import pytest
import structlog
import trio

from mmids_trio.delivery.hls_channel import HlsChannel
from mmids_trio.delivery.session import MAX_AT_ONCE
from mmids_trio.fanout.channel import Channel
from mmids_trio.fanout.output import MAX_SEND, Output
from mmids_trio.fanout.subscriber import Subscriber
from mmids_trio.media.events import MediaPacket, StreamId, StreamStarted
from mmids_trio.media.fmp4.fragmenter import Fragmenter
from mmids_trio.media.source_clock import SourceClock
from mmids_trio.metrics.counts import Distribution
from mmids_trio.net.identity import Identity, server_context
from mmids_trio.net.read_coalescer import LONGEST_REST
from mmids_trio.net.tls import TlsTransport, accept_tls, connect_tls
from mmids_trio.on_air.meters import StreamMeter
from mmids_trio.rtmp.ingest import media_events
from mmids_trio.rtmp.protocol.chunks import ChunkReader
from mmids_trio.rtmp.protocol.client_connection import ClientConnection
from mmids_trio.rtmp.protocol.events import MediaReceived
from mmids_trio.rtmp.protocol.message import VIDEO, Message
from mmids_trio.rtmp.protocol.outgoing import render
from mmids_trio.rtmp.rendering import RtmpRendering
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.network import memory_connection
from mmids_trio.workflow.replay import Ledger
from tests.support.calls import calls, counted_calls
from tests.support.certificates import HOST, make
from tests.support.hls_sessions import asking, hint, on_air
from tests.support.memory_channels import Wire

WATCHERS = 64
"""One slice of a pass, so that no turn of others is counted."""

FRAMES = [packet for packet in generate_stream(seconds=4, audio=False, gop=1000) if not packet.is_sequence_header]


def allocated(work: Callable[[], object]) -> int:
    """Bytes that were allocated at most, beyond what was there, while `work` ran."""
    gc.collect()
    tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def audience(count: int) -> tuple[Channel, list[Wire]]:
    channel, wires = Channel(RtmpRendering()), [Wire() for _ in range(count)]
    for wire in wires:
        channel.add(Subscriber(Output(wire)))
    channel.begin_stream()
    channel.packet(FRAMES[0])
    run_quietly(channel)
    for wire in wires:
        wire.sends = 0
    return channel, wires


def passes(channel: Channel, packets: Iterable[MediaPacket]) -> None:
    for packet in packets:
        channel_takes(channel, [packet])
        channel.pace._sends = 0
        run_quietly(channel)


def run_quietly(channel: Channel | HlsChannel) -> None:
    """One pass, without a scheduler: within a slice it never waits."""
    try:
        channel.send_pass().send(None)
    except StopIteration:
        return
    raise AssertionError("the pass has waited")


def test_a_pass_is_one_send_a_watcher() -> None:
    channel, wires = audience(WATCHERS - 1)
    passes(channel, FRAMES[1:51])
    assert {wire.sends for wire in wires} == {50}


def test_several_packets_are_one_send_a_watcher() -> None:
    channel, wires = audience(WATCHERS - 1)
    channel_takes(channel, FRAMES[1:11])
    channel.pace._sends = 0
    run_quietly(channel)
    assert {wire.sends for wire in wires} == {1}


def channel_takes(channel: Channel, packets: Iterable[MediaPacket]) -> None:
    for packet in packets:
        channel.packet(packet)


def test_a_packet_comes_into_a_log_with_few_calls() -> None:
    channel, _ = audience(0)
    seen = calls(lambda: channel_takes(channel, FRAMES[1:51]))
    assert seen.total() / 50 <= 10.1


def calls_of_passes(count: int) -> Counter[str]:
    channel, _ = audience(count)
    return calls(lambda: passes(channel, FRAMES[1:51]))


def test_one_watcher_more_is_two_calls_more_in_a_pass() -> None:
    """The transport's `send_nowait`, and in this test its `len`; nothing of the pass's own."""
    more = calls_of_passes(63) - calls_of_passes(13)
    assert more.total() / 50 / 50 <= 2


@pytest.mark.thorough
def test_a_pass_allocates_nothing_for_a_watcher() -> None:
    few, many = audience(3)[0], audience(63)[0]
    passes(few, FRAMES[1:21])
    passes(many, FRAMES[1:21])
    one = allocated(lambda: passes(few, FRAMES[21:22]))
    assert allocated(lambda: passes(many, FRAMES[21:22])) - one <= 60 * 44  # two tuples, and the count of bytes


@pytest.mark.parametrize(("size", "chunk_size", "most"), [(10_000, 4096, 12.3), (10_000, 128, 12.3), (300, 4096, 8.3)])
def test_the_chunk_reader_makes_few_calls_a_message(size: int, chunk_size: int, most: float) -> None:
    reader = ChunkReader()
    reader.chunk_size = chunk_size
    data = render(Message(VIDEO, 1, 0, bytes(size), 4), chunk_size)
    reader.read_messages(data)
    seen = calls(lambda: [reader.read_messages(data * 4) for _ in range(50)])
    assert seen.total() / 200 <= most


@pytest.mark.thorough
def test_the_chunk_reader_copies_a_message_thrice_at_most() -> None:
    """Into the buffer, out of it, and into the `bytes` that goes on; once only where it is whole."""
    reader = ChunkReader()
    reader.chunk_size = 65_536
    data = render(Message(VIDEO, 1, 0, bytes(60_000), 4), 65_536)
    assert allocated(lambda: reader.read_messages(data)) <= 3.3 * len(data)


async def test_an_encrypted_send_is_one_send_and_few_calls() -> None:
    made, ends = make(), dict[str, TlsTransport]()
    far, near = memory_connection()
    context = server_context(Identity(made.key, made.certificate, (made.authority,)))

    async def accept() -> None:
        ends["server"] = await accept_tls(near, context)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        client = await connect_tls(far, HOST, made.client_context())
    server, wire, data = ends["server"], Wire(), bytes(10_000)
    server._transport = wire
    seen = calls(lambda: [server.send_nowait(data) for _ in range(50)])
    assert wire.sends == 50
    assert seen.total() / 50 <= 13
    server._transport = near
    client.close()
    server.close()


@pytest.mark.parametrize("frames", [10, 100])
def test_media_is_metered_with_one_call_a_frame_and_few_a_batch(frames: int) -> None:
    """That one call is `len`, which the count of received bytes took before there were meters."""
    meter, stream = StreamMeter(), generate_stream(seconds=8, audio=False, gop=1000)
    meter.note(stream[:2], 0.0)
    batch = stream[2 : 2 + frames]
    made = calls(lambda: meter.note(batch, 0.3))
    assert (made["len"], made.total() - made["len"]) == (frames, 4)


def test_a_ledger_makes_few_calls_a_packet() -> None:
    ledger = Ledger()
    ledger.admit([StreamStarted(StreamId("stream"), "show")])
    seen = calls(lambda: [ledger.admit(FRAMES[:50]) for _ in range(20)])
    assert seen.total() / 1000 <= 2.1


def test_a_duration_is_noted_with_two_calls() -> None:
    durations = Distribution()

    def observe() -> None:
        for _ in range(100):
            durations.observe(0.001)

    assert calls(observe).total() <= 202


@pytest.mark.parametrize(("start", "most"), [(0, 6.1), (3_600_000, 8.5)])
def test_a_frame_comes_in_with_few_calls_also_behind_a_clock_that_was_set(start: int, most: float) -> None:
    clock = SourceClock()
    clock.place(FRAMES[0])
    messages = [Message(VIDEO, 1, start + frame.timestamp, frame.data, 4) for frame in FRAMES]
    seen = calls(lambda: media_events(StreamId("stream"), MediaReceived(1, messages), clock))
    assert seen.total() / len(messages) <= most


async def test_an_update_makes_few_calls_a_step_and_announces_none_that_runs(
    autojump_clock: trio.testing.MockClock,
) -> None:
    steps = [f"    rtmp_watch rtmp_app=live{number} stream_key=*\n" for number in range(50)]
    one, other = steps, [steps[1], steps[0], *steps[2:]]
    async with Harness() as server:
        for order in (one, other, one):
            await server.http.put("/workflows?wait=10", content=f"workflow many {{\n{''.join(order)}}}\n")
        with counted_calls() as seen:
            await server.http.put("/workflows?wait=10", content=f"workflow many {{\n{''.join(other)}}}\n")
    assert seen["StepType.announce"] == 0
    assert seen["StepType.canonical"] == len(steps), "the calls are those of the server"
    assert seen.total() / len(steps) <= 420


def test_a_packet_comes_into_fragments_with_few_calls() -> None:
    """Parts and segments included, of which a second of this stream has five and one."""
    packets = generate_stream(seconds=20)
    fragmenter = Fragmenter()
    for packet in packets[:200]:
        fragmenter.packet(packet)
    seen = calls(lambda: [fragmenter.packet(packet) for packet in packets[200:1200]])
    assert seen.total() / 1_000 <= 11


@pytest.mark.thorough
async def test_a_read_of_one_of_many_publishers_takes_few_calls(autojump_clock: trio.testing.MockClock) -> None:
    """From the network in memory to the inbox of a step, and no task is woken for it but the step's."""
    many = 50
    async with Harness(
        "workflow w {\n rtmp_receive rtmp_app=live stream_key=*\n rtmp_watch rtmp_app=live stream_key=*\n}"
    ) as h:
        clients = [await h.publish(f"live/key{number}", FRAMES[:1]) for number in range(many)]
        for frames in (FRAMES[1:2], FRAMES[2:5]):  # after the first, all of them rest
            for client in clients:
                await client.send(frames)
            with counted_calls() as seen:
                await trio.sleep(LONGEST_REST)
    assert seen["RtmpSession.read_nowait"] == seen["ChunkReader.read_messages"] == many
    assert seen["RtmpSession._receive"] == 0
    assert seen.total() / many <= 212


async def calls_of_the_server() -> Counter[str]:
    """All that it does until it waits."""
    with counted_calls() as seen:
        await trio.testing.wait_all_tasks_blocked()
    return seen


async def calls_of_a_visit(server: Harness) -> Counter[str]:
    """What a watcher takes that comes, gets the first group of pictures and leaves; its own work is not counted."""
    transport = await server.open()
    client, seen = ClientConnection(os.urandom, "live", "rtmp://server/live"), Counter[str]()
    for said in ("hello", "connect", "createStream", "play"):
        if said == "createStream":
            client.play("key")
        transport.send_nowait(client.data_to_send())
        seen += await calls_of_the_server()
        got = client.receive_data(transport.receive_nowait())
    assert any(isinstance(event, MediaReceived) for event in got)
    transport.close()
    return seen + await calls_of_the_server()


async def test_a_watcher_comes_and_leaves_with_few_calls(autojump_clock: trio.testing.MockClock) -> None:
    async with Harness(
        "workflow w {\n rtmp_receive rtmp_app=live stream_key=*\n rtmp_watch rtmp_app=live stream_key=*\n}"
    ) as server:
        await server.publish("live/key", FRAMES[:10])
        await calls_of_a_visit(server)  # from now on its address is known
        with structlog.testing.capture_logs():  # how much a line costs is another matter
            seen = await calls_of_a_visit(server)
    assert seen["Subscriber.attach"] == seen["Subscriber.detach"] == 1
    assert seen["ip_address"] == seen["decode_beginning"] == seen["_settled"] == 0
    assert seen.total() <= 5_100  # those of the network in memory and of the mock clock are among them


async def test_a_request_of_low_latency_hls_takes_few_calls() -> None:
    """From the bytes of a request to those of its answer: a part that is waited for, then the playlist with it."""
    packets = iter(generate_stream(seconds=30))
    channel, viewer, wires, sessions = on_air(packets, WATCHERS - 1)

    def all_take(request: bytes) -> None:
        for session in sessions:
            session._take(request, 0.0)

    def follow() -> Counter[str]:
        name, (number, part) = hint(channel), channel.playlist._hint
        wait, look = asking(name, viewer), asking("media.m3u8", viewer, f"&_HLS_msn={number}&_HLS_part={part}")
        seen = calls(lambda: all_take(wait))
        while hint(channel) == name:
            channel.packet(next(packets))
        channel.pace._sends = 0
        seen += calls(lambda: run_quietly(channel))
        return seen + calls(lambda: all_take(look))

    follow()  # reads the headers, and looks for who serves the key
    seen = follow()
    assert {len(wire.sent) for wire in wires} == {4}
    assert seen.total() / 2 / len(sessions) <= 42


async def test_a_segment_is_one_send_and_few_calls() -> None:
    packets = iter(generate_stream(seconds=10, key_frame_bytes=40_000, frame_bytes=12_000))
    channel, viewer, wires, sessions = on_air(packets, WATCHERS - 1)
    segment = channel.playlist.segments[0]
    request = asking(f"segment-{segment.number}.m4s", viewer)

    def all_take() -> None:
        for session in sessions:
            session._take(request, 0.0)

    all_take()  # reads the headers, and puts the segment together
    seen = calls(all_take)
    assert MAX_SEND < segment.size < MAX_AT_ONCE
    assert {len(wire.sent) for wire in wires} == {2}
    assert len({id(wire.sent[1]) for wire in wires}) == 1
    assert seen.total() / len(sessions) <= 32
