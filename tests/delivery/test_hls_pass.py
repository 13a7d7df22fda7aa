"""The pass over requests that wait: each gets the same bytes, in one send, in the order of their asking."""

from collections.abc import Iterator
from itertools import count

import pytest
import trio
from trio.testing import MockClock

from mmids_trio.delivery.hls_channel import MOST_PLAYLISTS, MOST_SHARED, Asked
from mmids_trio.delivery.hls_files import read_file
from mmids_trio.delivery.playlist import LABEL, QUERY
from mmids_trio.delivery.session import MAX_AT_ONCE, MediaSession
from mmids_trio.fanout.output import MAX_SEND
from mmids_trio.media.events import MediaPacket
from mmids_trio.testing.media import generate_stream
from tests.support.hls_sessions import Wire, asking, hint, on_air, take


@pytest.fixture
def packets() -> Iterator[MediaPacket]:
    return iter(generate_stream(seconds=30))


async def test_all_who_wait_for_a_part_get_one_object_in_one_send(
    mock_clock: MockClock, packets: Iterator[MediaPacket]
) -> None:
    channel, viewer, wires, sessions = on_air(packets)
    name = hint(channel)
    for session in sessions:
        take(session, asking(name, viewer))
    assert all(wire.sent == [] for wire in wires)
    while hint(channel) == name:
        channel.packet(next(packets))
    await channel.send_pass()
    [first] = wires[0].sent
    assert all(len(wire.sent) == 1 and wire.sent[0] is first for wire in wires)
    file = read_file(name)
    assert file is not None
    assert file.part is not None
    _, data = channel.playlist.part(file.number, file.part)
    assert bytes(first).endswith(data)


async def test_a_request_that_waits_is_answered_when_its_part_is_there_and_not_before(
    mock_clock: MockClock, packets: Iterator[MediaPacket]
) -> None:
    channel, viewer, _, _ = on_air(packets)
    answered: list[tuple[int, int]] = []

    class Asker:
        def __init__(self, number: int, part: int) -> None:
            self.place = number, part

        def answer(self, _answer: object, _query: bytes = b"", _now: float | None = None) -> None:
            answered.append(self.place)

        def make_way(self) -> None:
            """Nobody is read here."""

    number, part = channel.playlist.last
    wanted = [(number, part + more) for more in range(1, 4)]
    for place in reversed(wanted):
        channel.ask(Asked(Asker(*place), viewer, *place))
    assert answered == []
    for place in wanted:
        while channel.playlist.last < place:
            channel.packet(next(packets))
            await channel.send_pass()
        assert answered[-1] == place
    assert answered == wanted


async def test_a_request_that_nothing_comes_for_is_refused_in_time(
    autojump_clock: MockClock, packets: Iterator[MediaPacket]
) -> None:
    channel, viewer, wires, sessions = on_air(packets)
    take(sessions[0], asking(hint(channel), viewer))
    await trio.sleep(channel.patience - 0.1)
    channel.look_at_clock()
    assert wires[0].sent == []
    await trio.sleep(0.1)
    channel.look_at_clock()
    assert bytes(wires[0].sent[0]).startswith(b"HTTP/1.1 503 ")


async def test_a_session_finds_who_serves_its_key_now_and_nobody_once_nobody_does(
    mock_clock: MockClock, packets: Iterator[MediaPacket]
) -> None:
    channel, viewer, wires, sessions = on_air(packets, 1)
    [wire], [session] = wires, sessions
    number, part = channel.playlist.last
    request = asking(f"part-{number}.{part}.m4s", viewer)
    for _ in range(2):
        take(session, request)
    assert [bytes(sent)[:13] for sent in wire.sent] == [b"HTTP/1.1 200 "] * 2
    [claim] = session.directory.registrations.claims  # type: ignore[attr-defined]
    session.directory.registrations.release(claim)  # type: ignore[attr-defined]
    take(session, request)
    assert bytes(wire.sent[-1]).startswith(b"HTTP/1.1 404 ")


async def test_of_segments_and_parts_few_are_held_twice(mock_clock: MockClock, packets: Iterator[MediaPacket]) -> None:
    channel, viewer, wires, sessions = on_air(packets, 1)
    [wire], [session] = wires, sessions
    first = channel.playlist.segments[0]
    names = [f"segment-{first.number}.m4s", *(f"part-{first.number}.{part}.m4s" for part in range(len(first.parts)))]
    for name in names:
        take(session, asking(name, viewer))
    answers = b"".join(map(bytes, wire.sent)).split(b"HTTP/1.1 ")[1:]
    assert [answer.partition(b"\r\n\r\n")[2] for answer in answers] == [
        b"".join(first.data),
        *(part.data for part in first.parts),
    ]
    assert len(channel._newest) == MOST_SHARED < len(names)
    channel.let_go()
    assert not channel._newest


@pytest.mark.parametrize(("takes_ahead", "most"), [(False, MAX_AT_ONCE), (True, MAX_SEND)])
async def test_a_send_is_given_no_more_than_its_bound_whatever_a_segment_has(
    mock_clock: MockClock, takes_ahead: bool, most: int
) -> None:
    channel, viewer, _, [known] = on_air(iter(generate_stream(seconds=8, key_frame_bytes=1_200_000)), 1)
    wire = Wire()
    wire.takes_ahead = takes_ahead
    session = MediaSession(wire, 8080, known.directory)  # type: ignore[arg-type]
    segment = channel.playlist.segments[0]
    take(session, asking(f"segment-{segment.number}.m4s", viewer))
    while session._output.blocked:  # the turn was over
        session._output.advance()
    assert b"".join(map(bytes, wire.sent)).endswith(b"".join(segment.data))
    assert max(map(len, wire.sent)) == most < segment.size


async def test_what_a_socket_does_not_take_of_a_segment_follows_it_in_order(mock_clock: MockClock) -> None:
    channel, viewer, _, [known] = on_air(iter(generate_stream(seconds=8, frame_bytes=12_000)), 1)
    wire = Wire(100_000)
    session = MediaSession(wire, 8080, known.directory)  # type: ignore[arg-type]
    segment = channel.playlist.segments[0]
    assert segment.size > MAX_SEND
    take(session, asking(f"segment-{segment.number}.m4s", viewer))
    assert len(wire.sent) == 1  # it is full: nothing is tried again at once
    while session._output.blocked:
        session._output.advance()
    came = b"".join(bytes(sent[:100_000]) for sent in wire.sent)
    assert came.partition(b"\r\n\r\n")[2] == b"".join(segment.data)


async def test_playlists_of_viewers_differ_in_their_query_alone_and_say_how_long_they_are(
    mock_clock: MockClock, packets: Iterator[MediaPacket]
) -> None:
    channel, viewer, wires, [first, second, third] = on_air(packets, 3)
    handler, ids = viewer.viewers, count(1)
    handler.entropy = lambda size: bytes([next(ids)] * size)
    others = [handler.begin("key", "192.0.2.2", query, object(), 0.0) for query in ("", "token=a")]
    for other in others:
        handler.admit(other)
    asked = list(zip((viewer, *others), (first, second, third), wires, strict=True))
    for who, session, wire in asked:
        for number in range(2):  # the second is answered from what was put together for the first
            take(session, asking("media.m3u8", who))
            head, _, body = bytes(wire.sent[number]).partition(b"\r\n\r\n")
            assert f"Content-Length: {len(body)}\r\n".encode() in head + b"\r\n"
            assert body == channel.playlist.text().replace(QUERY, who.query).replace(LABEL, b"")
        assert wire.sent[0] == wire.sent[1]
    whole = {who: bytes(wire.sent[0]).partition(b"\r\n\r\n") for who, _, wire in asked}
    for who, session, wire in asked:  # an old client, for whom the head is another one
        take(session, asking("media.m3u8", who).replace(b"HTTP/1.1", b"HTTP/1.0"))
        head, _, body = bytes(wire.sent[-1]).partition(b"\r\n\r\n")
        assert (head + b"\r\n").count(f"Content-Length: {len(body)}\r\n".encode()) == 1
        assert body == whole[who][2]


async def test_playlists_are_held_for_few_lengths_of_queries_and_for_a_second(
    mock_clock: MockClock, packets: Iterator[MediaPacket]
) -> None:
    channel, viewer, wires, sessions = on_air(packets, 2 * MOST_PLAYLISTS)
    for number, (wire, session) in enumerate(zip(wires, sessions, strict=True)):
        viewer.viewers.entropy = bytes([number]).__mul__
        other = viewer.viewers.begin("key", "192.0.2.2", "x" * number, object(), 0.0)
        viewer.viewers.admit(other)
        take(session, asking("media.m3u8", other))
        assert other.query in bytes(wire.sent[0])
    assert len(channel._playlists) == MOST_PLAYLISTS
    channel.look_at_clock()
    assert not channel._playlists
