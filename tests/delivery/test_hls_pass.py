"""The pass over requests that wait: each gets the same bytes, in one send, in the order of their asking."""

from collections.abc import Iterator

import pytest
import trio
from trio.testing import MockClock

from mmids_trio.delivery.hls_channel import Asked, HlsChannel
from mmids_trio.delivery.hls_files import read_file
from mmids_trio.delivery.hls_viewers import HlsViewer, HlsViewers
from mmids_trio.delivery.session import MediaSession
from mmids_trio.media.events import MediaPacket
from mmids_trio.rtmp.server.endpoints import Endpoint
from mmids_trio.rtmp.server.registrations import Owner, Registration, Registrations, Role
from mmids_trio.rtmp.server.server import Entrance
from mmids_trio.testing.media import generate_stream

VIEWERS = 20


class Wire:
    """Keeps what was sent, as the objects that they were; may take only some bytes of each."""

    peer_host, peer_port, takes_ahead, has_unsent = "192.0.2.1", 1, False, False

    def __init__(self, most: int = 1 << 30) -> None:
        self.sent = list[bytes | memoryview]()
        self._most = most

    def send_nowait(self, data: bytes | memoryview) -> int:
        self.sent.append(data)
        return min(len(data), self._most)


class Handler:
    """What a step is to the session."""

    def __init__(self, channel: HlsChannel) -> None:
        self.viewers, self._channel = HlsViewers(bytes), channel

    def channel(self, _key: str, _label: str) -> HlsChannel:
        return self._channel


@pytest.fixture
def packets() -> Iterator[MediaPacket]:
    return iter(generate_stream(seconds=30))


def on_air(packets: Iterator[MediaPacket]) -> tuple[HlsChannel, HlsViewer, list[Wire], list[MediaSession]]:
    """A channel with some seconds, and sessions of one viewer on wires of their own."""
    channel = HlsChannel(2_000, 200, 0, lambda: 1_800_000_000.0)
    handler = Handler(channel)
    registrations: Registrations[Endpoint] = Registrations()
    owner = Owner("w", "1")
    endpoint = Endpoint(owner, handler)  # type: ignore[arg-type]
    registrations.commit(registrations.reserve(Registration(Role.WATCH, 8080, "live", "*"), owner, endpoint))
    viewer = handler.viewers.begin("key", "192.0.2.1", "", object(), 0.0)
    handler.viewers.admit(viewer)
    channel.begin_stream()
    while channel.playlist.length_ms < 5_000:
        channel.packet(next(packets))
    wires = [Wire() for _ in range(VIEWERS)]
    entrance = Entrance(registrations, tls=False)
    return channel, viewer, wires, [MediaSession(wire, 8080, entrance) for wire in wires]  # type: ignore[arg-type]


def hint(channel: HlsChannel) -> str:
    text = channel.playlist.text().decode()
    return text.rpartition('URI="\1')[2].partition("\0")[0]


async def test_all_who_wait_for_a_part_get_one_object_in_one_send(
    mock_clock: MockClock, packets: Iterator[MediaPacket]
) -> None:
    channel, viewer, wires, sessions = on_air(packets)
    name = hint(channel)
    request = f"GET /live/key/{name}{viewer.query.decode()} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    for session in sessions:
        session._take(request)
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

        def answer(self, _answer: object) -> None:
            answered.append(self.place)

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
    sessions[0]._take(f"GET /live/key/{hint(channel)}{viewer.query.decode()} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    await trio.sleep(channel.patience - 0.1)
    channel.look_at_clock()
    assert wires[0].sent == []
    await trio.sleep(0.1)
    channel.look_at_clock()
    assert bytes(wires[0].sent[0]).startswith(b"HTTP/1.1 503 ")
