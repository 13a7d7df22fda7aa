"""The fan-out over TLS: nothing is lost on the way, and a watcher that does not read costs one piece, no more."""

import contextlib
import ssl

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.fanout.channel import Channel
from mmids_trio.fanout.output import STALL_SECONDS, Output, OutputEnd
from mmids_trio.fanout.subscriber import Subscriber
from mmids_trio.net.identity import Identity, server_context
from mmids_trio.net.tls import PIECE_BYTES, TlsTransport, accept_tls, connect_tls
from mmids_trio.rtmp.rendering import RtmpRendering
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.network import DEFAULT_BUFFER, memory_connection
from tests.support.certificates import HOST, make
from tests.support.players import Player, feed

MADE = make()
CONTEXT = server_context(Identity(MADE.key, MADE.certificate, (MADE.authority,)))
RECORD_OVERHEAD = 22 * 5
"""Bytes that TLS adds to a piece: a header and a tag for each of its records."""


class TlsPlayer(Player):
    """A player whose bytes are decrypted on arrival."""

    tls: TlsTransport
    near: TlsTransport

    @classmethod
    async def encrypted(cls, nursery: trio.Nursery, *, buffer_size: int = DEFAULT_BUFFER) -> "TlsPlayer":
        far, near = memory_connection(buffer_size=buffer_size)
        ends: list[TlsTransport] = []

        async def accept() -> None:
            ends.append(await accept_tls(near, CONTEXT))

        async with trio.open_nursery() as handshake:
            handshake.start_soon(accept)
            client = await connect_tls(far, HOST, MADE.client_context())
        player = cls(Subscriber(Output(ends[0])), far)
        player.tls, player.near = client, ends[0]
        nursery.start_soon(player.run)
        return player

    def read(self, max_bytes: int = DEFAULT_BUFFER) -> int:
        """Read what is there, decrypt it, and leave it to the plain player."""
        encrypted = self.far_end.receive_nowait(max_bytes)
        self.tls.feed_encrypted(encrypted)
        data = self._decrypted()
        self.received += data
        self.messages += self._reader.read_messages(data)
        return len(encrypted)

    def _decrypted(self) -> bytes:
        data = b""
        with contextlib.suppress(ssl.SSLWantReadError):
            while True:
                data += self.tls._read(DEFAULT_BUFFER)
        return data


@pytest.fixture
def channel() -> Channel:
    channel = Channel(RtmpRendering())
    channel.begin_stream()
    return channel


async def test_a_watcher_gets_the_stream_packet_by_packet(channel: Channel, nursery: trio.Nursery) -> None:
    player = await TlsPlayer.encrypted(nursery)
    channel.add(player.subscriber)
    packets = generate_stream(seconds=9)
    await feed(channel, packets, player)
    assert player.report(packets).missed == ()
    assert player.report(packets).is_flawless_from_join
    assert not player.output.blocked


async def test_a_watcher_that_reads_late_misses_nothing_within_the_log(channel: Channel, nursery: trio.Nursery) -> None:
    player = await TlsPlayer.encrypted(nursery, buffer_size=1000)
    channel.add(player.subscriber)
    packets = generate_stream(seconds=9)
    await feed(channel, packets)
    assert player.output.blocked
    await player.read_all()
    assert player.report(packets).missed == ()
    assert not player.output.blocked
    assert not player.near.has_unsent


async def test_the_last_bytes_go_out_without_more_media_behind_them(channel: Channel, nursery: trio.Nursery) -> None:
    player = await TlsPlayer.encrypted(nursery, buffer_size=2000)
    channel.add(player.subscriber)
    packets = generate_stream(seconds=1)
    await feed(channel, packets)
    channel.end_stream()
    await channel.send_pass()
    await player.read_all()
    assert player.summary()[-1] == "end"
    assert player.report(packets).missed == ()


@pytest.mark.thorough
async def test_many_watchers_that_read_slowly_cost_a_bounded_piece_each_and_recover(
    channel: Channel, nursery: trio.Nursery
) -> None:
    slow = [await TlsPlayer.encrypted(nursery, buffer_size=4000) for _ in range(8)]
    quick = await TlsPlayer.encrypted(nursery)
    for player in (*slow, quick):
        channel.add(player.subscriber)
    packets = generate_stream(seconds=20)
    most = 0
    for start in range(0, 1000, 50):
        await feed(channel, packets[start : start + 50], quick)
        for number, player in enumerate(slow):
            player.read(250 * number)
        await wait_all_tasks_blocked()
        most = max(most, *(len(player.near._unsent) + player.output.queued_bytes for player in slow))
    assert 4000 < most <= PIECE_BYTES + RECORD_OVERHEAD + max(len(packet.data) for packet in packets)
    for player in slow:
        await player.read_all()
    await feed(channel, packets[1000:], quick, *slow)
    assert quick.report(packets).missed == ()
    for player in slow:
        report = player.report(packets)
        assert report.undecodable == report.repeated == report.backwards == ()
        assert player.media()[-1][2] == packets[-1].data
    assert channel.counters().skips >= 1


async def test_a_watcher_that_reads_nothing_is_given_up(
    channel: Channel, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    player = await TlsPlayer.encrypted(nursery, buffer_size=1000)
    channel.add(player.subscriber)
    await feed(channel, generate_stream(seconds=2))
    await trio.sleep(STALL_SECONDS - 1)
    assert player.outcome is None
    await trio.sleep(2)
    assert player.outcome is OutputEnd.STALLED


async def test_a_watcher_whose_connection_breaks_ends_alone(channel: Channel, nursery: trio.Nursery) -> None:
    broken, fine = await TlsPlayer.encrypted(nursery), await TlsPlayer.encrypted(nursery)
    for player in (broken, fine):
        channel.add(player.subscriber)
    packets = generate_stream(seconds=2)
    await feed(channel, packets[:50], fine)
    broken.far_end.reset()
    await feed(channel, packets[50:], fine)
    await wait_all_tasks_blocked()
    assert broken.outcome is OutputEnd.BROKEN
    assert fine.report(packets).missed == ()
