"""Which stream the watchers of a key get, when streams come, go, and want the same place."""

import pytest
import trio
from attrs import evolve
from structlog.typing import EventDict

from mmids_trio.fanout.stream_log import MAX_LOG_BYTES
from mmids_trio.media.events import MediaEvent, MediaPacket, StreamEnded, StreamId, StreamMetadata, StreamStarted
from mmids_trio.steps.rtmp_audience import Audience
from mmids_trio.steps.stages import FIRST_PURGE
from mmids_trio.testing.media import generate_stream
from tests.support.players import Player, watch


def stream(stream_id: str, name: str, seconds: float = 1) -> list[MediaEvent]:
    """A stream without its end."""
    started = StreamStarted(StreamId(stream_id), name)
    metadata = StreamMetadata(StreamId(stream_id), {"encoder": stream_id})
    return [started, metadata, *generate_stream(stream_id, seconds=seconds)]


def media(events: list[MediaEvent]) -> list[MediaPacket]:
    return [event for event in events if isinstance(event, MediaPacket)]


async def feed(audience: Audience, *events: MediaEvent) -> None:
    for channel in audience.feed(events):
        await channel.send_pass()


async def assert_got_all(player: Player, sent: list[MediaPacket]) -> None:
    await player.read_all()
    report = player.report(sent)
    assert report.missed == ()
    assert (report.repeated, report.out_of_order, report.undecodable, report.backwards) == ((), (), (), ())


@pytest.fixture
def any_key() -> Audience:
    return Audience("*")


async def test_a_wildcard_serves_each_stream_under_its_name(any_key: Audience, nursery: trio.Nursery) -> None:
    streams = {name: stream(f"stream {name}", name) for name in ("a", "b")}
    players = {name: watch(any_key.channel(name), nursery) for name in ("a", "b", "c")}
    for name in "ab":
        await feed(any_key, *streams[name])
    for name in "ab":
        await assert_got_all(players[name], media(streams[name]))
        assert players[name].report(media(streams[name])).unknown == 0
    await players["c"].read_all()
    assert players["c"].messages == []


async def test_an_exact_key_serves_the_first_stream_whatever_its_name(nursery: trio.Nursery) -> None:
    audience = Audience("exact")
    events = stream("1", "quite another name")
    player = watch(audience.channel("exact"), nursery)
    await feed(audience, *events)
    await assert_got_all(player, media(events))


@pytest.mark.parametrize("key", ["*", "name"])
async def test_of_two_streams_the_first_is_served_and_the_other_after_it(
    key: str, nursery: trio.Nursery, logs: list[EventDict]
) -> None:
    audience = Audience(key)
    first, second = stream("1", "name"), stream("2", "name", seconds=4)
    player = watch(audience.channel("name"), nursery)
    await feed(audience, *first[:30])
    await feed(audience, *second[:150])
    await feed(audience, *first[30:])
    await assert_got_all(player, media(first))
    assert player.report(media(first)).unknown == 0
    assert [entry["event"] for entry in logs if entry["log_level"] == "warning"] == [
        "stream waits, its stream key is taken"
    ]
    await feed(audience, StreamEnded(StreamId("1")))
    await feed(audience, *second[150:])
    await player.read_all()
    report = player.report(media(second))
    assert (report.repeated, report.out_of_order, report.undecodable, report.backwards) == ((), (), (), ())
    assert report.missed[-1] < len(second) - 50  # it joined, its video at the next key frame


async def test_a_waiting_stream_that_ends_first_is_never_served(any_key: Audience, nursery: trio.Nursery) -> None:
    first, second, third = stream("1", "name"), stream("2", "name"), stream("3", "name")
    player = watch(any_key.channel("name"), nursery)
    await feed(any_key, *first, *second, StreamEnded(StreamId("2")), StreamEnded(StreamId("1")), *third)
    await player.read_all()
    assert player.report(media(second)).missed != ()
    assert player.report(media(third)).missed == ()


async def test_of_several_waiting_streams_the_one_that_came_first_is_next(
    any_key: Audience, nursery: trio.Nursery
) -> None:
    streams = {number: stream(number, "name") for number in "123"}
    for number in "123":
        await feed(any_key, streams[number][0])
    player = watch(any_key.channel("name"), nursery)
    for number in "123":
        await feed(any_key, *streams[number][1:], StreamEnded(StreamId(number)))
        await assert_got_all(player, media(streams[number]))


async def test_a_stream_that_comes_back_continues_for_the_watchers_that_stayed(
    any_key: Audience, nursery: trio.Nursery
) -> None:
    player = watch(any_key.channel("name"), nursery)
    for number in "12":
        events = stream(number, "name")
        await feed(any_key, *events, StreamEnded(StreamId(number)))
        await assert_got_all(player, media(events))
    assert player.summary().count("begin") == 2
    assert player.summary().count("end") == 2


async def test_metadata_that_comes_late_is_sent_when_it_comes(any_key: Audience, nursery: trio.Nursery) -> None:
    started, metadata, *packets = stream("1", "name")
    player = watch(any_key.channel("name"), nursery)
    await feed(any_key, started, *packets[:20])
    await player.read_all()
    before = player.summary().count("metadata")
    await feed(any_key, metadata, *packets[20:])
    await player.read_all()
    assert player.summary().count("metadata") == before + 1
    assert player.report(media([*packets])).missed == ()


async def test_events_of_a_stream_that_never_started_are_nobodys(any_key: Audience) -> None:
    _, metadata, *packets = stream("1", "name")
    assert any_key.feed([metadata, *packets, StreamEnded(StreamId("1"))]) == []


@pytest.mark.thorough
def test_keys_that_nobody_uses_any_more_are_forgotten(any_key: Audience) -> None:
    player = Player.connected()
    for number in range(10_000):
        channel = any_key.channel(f"key {number}")
        channel.add(player.subscriber)
        channel.discard(player.subscriber)
    assert len(any_key._stages) <= 2 * FIRST_PURGE


def test_keys_in_use_are_never_forgotten(any_key: Audience) -> None:
    watched = any_key.channel("watched")
    watched.add(Player.connected().subscriber)
    any_key.feed([StreamStarted(StreamId("1"), "fed")])
    fed = any_key.channel("fed")
    for number in range(1_000):
        any_key.channel(f"key {number}")
    assert any_key.channel("watched") is watched
    assert any_key.channel("fed") is fed


@pytest.mark.thorough
async def test_what_a_watcher_that_never_reads_costs_is_bounded(any_key: Audience, nursery: trio.Nursery) -> None:
    lazy, eager = (watch(any_key.channel("name"), nursery) for _ in range(2))
    started, *_ = stream("1", "name")
    packets = [evolve(packet, stream_id=StreamId("1")) for packet in generate_stream(seconds=600, fps=5, gop=10)]
    await feed(any_key, started)
    most = 0
    for packet in packets:
        await feed(any_key, packet)
        eager.read()
        most = max(most, any_key.channel("name").log.size + lazy.output.queued_bytes)
    assert most < MAX_LOG_BYTES / 10  # ten seconds of this stream, not ten minutes
    await assert_got_all(eager, packets)
