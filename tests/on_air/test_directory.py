"""Who is on the air: what begins and ends is found while it is here, and by nobody else's id."""

from collections import Counter

from attrs import frozen

from mmids_trio.media.events import StreamId
from mmids_trio.on_air.directory import ClientSource, OnAir, StreamEntry
from mmids_trio.on_air.views import Asked, ClientNow, Peer, StreamNow


@frozen
class Step:
    workflow: str = "show"
    step_id: str = "1"


def begun(on_air: OnAir, name: str) -> StreamEntry:
    return on_air.begin(StreamId(name), name, Step(), lambda: StreamNow("live"))


def test_what_has_ended_is_not_found_and_may_end_again() -> None:
    on_air = OnAir("0a")
    entry = begun(on_air, "a")
    assert on_air.stream(entry.id) is on_air.stream_of(entry.stream_id) is entry
    for _ in range(2):
        on_air.end(entry)
        assert on_air.stream(entry.id) is on_air.stream_of(entry.stream_id) is None


def test_one_that_ends_takes_nothing_from_another_that_was_given_the_same_id_of_media() -> None:
    on_air = OnAir("0a")
    former, latter = begun(on_air, "a"), begun(on_air, "a")
    on_air.end(former)
    assert on_air.stream_of(latter.stream_id) is latter
    on_air.end(latter)
    assert not on_air.streams()


def test_a_thousand_watchers_are_counted_so_many_at_a_time() -> None:
    on_air, looked = OnAir("0a"), list[int]()
    stream = begun(on_air, "a")

    def of_stream() -> StreamId:
        looked.append(0)
        return stream.stream_id

    source = ClientSource(stream_id=of_stream, now=lambda: ClientNow("watching", 0), send_away=lambda _why: None)
    for number in range(1000):
        on_air.join(Peer("rtmp", "192.0.2.1", number, ""), Asked("watcher", "live", "a"), Step(), source)
    found, before, most = Counter[str](), 0, 0
    for _ in on_air.watched(found, 16):
        most, before = max(most, len(looked) - before), len(looked)
    assert (found[stream.id], most) == (1000, 16)
