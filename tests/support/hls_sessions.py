"""Sessions of the media listener in front of one channel of HLS, on wires that keep what is sent, without a server."""

from collections.abc import Iterator

import trio

from mmids_trio.delivery.hls_channel import HlsChannel
from mmids_trio.delivery.hls_viewers import HlsViewer, HlsViewers
from mmids_trio.delivery.session import MediaSession
from mmids_trio.media.events import MediaPacket
from mmids_trio.rtmp.server.endpoints import Endpoint
from mmids_trio.rtmp.server.registrations import Owner, Registration, Registrations, Role
from mmids_trio.rtmp.server.server import Entrance

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


def on_air(
    packets: Iterator[MediaPacket], count: int = VIEWERS
) -> tuple[HlsChannel, HlsViewer, list[Wire], list[MediaSession]]:
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
    wires = [Wire() for _ in range(count)]
    entrance = Entrance(registrations, tls=False)
    return channel, viewer, wires, [MediaSession(wire, 8080, entrance) for wire in wires]  # type: ignore[arg-type]


def take(session: MediaSession, data: bytes) -> None:
    """What came from the client."""
    session._take(data, trio.current_time())


def hint(channel: HlsChannel) -> str:
    text = channel.playlist.text().decode()
    return text.rpartition('URI="\1')[2].partition("\0")[0]


def asking(name: str, viewer: HlsViewer, more: str = "") -> bytes:
    """The request of a viewer for a file."""
    return f"GET /live/key/{name}{viewer.query.decode()}{more} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
