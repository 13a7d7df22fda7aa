"""What real clients sent, recorded byte for byte, in pieces of several sizes (see sessions/README.md)."""

from collections import Counter
from pathlib import Path

import pytest
from attrs import define

from mmids_trio.rtmp.protocol.events import (
    Connected,
    Event,
    MediaReceived,
    MetadataReceived,
    PlayEnded,
    PlayRequested,
    PublishEnded,
    PublishRequested,
)
from mmids_trio.rtmp.protocol.message import Message
from mmids_trio.rtmp.protocol.server_connection import ServerConnection
from tests.support.rtmp import zeros

SESSIONS = Path(__file__).parent / "sessions"
SIZES = [1, 13, 1024, 4096]


@define
class Replayed:
    """The events of a session but its media, and the media."""

    events: list[Event]
    media: list[Message]


def replay(name: str, size: int) -> Replayed:
    data = (SESSIONS / f"{name}.bin").read_bytes()
    server = ServerConnection(zeros)
    replayed = Replayed([], [])
    for start in range(0, len(data), size):
        for event in server.receive_data(data[start : start + size]):
            if isinstance(event, MediaReceived):
                replayed.media += event.messages
            else:
                replayed.events.append(event)
            if isinstance(event, PublishRequested):
                server.accept_publish(event.request)
            elif isinstance(event, PlayRequested):
                server.accept_play(event.request)
    replayed.events += server.receive_end()
    return replayed


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("name", "names", "first_bytes"),
    [
        ("ffmpeg-5.1-publish", ("live/room", "key", "token=a+b"), {b"\x17\x00", b"\xaf\x00"}),
        ("ffmpeg-9.0-publish-hevc-opus", ("live", "hevc", ""), {b"\x90h", b"\x90O"}),
    ],
)
def test_recorded_publishers_publish(
    name: str, names: tuple[str, str, str], first_bytes: set[bytes], size: int
) -> None:
    replayed = replay(name, size)
    connected, requested, metadata, ended = replayed.events
    assert isinstance(connected, Connected)
    assert isinstance(requested, PublishRequested)
    assert isinstance(metadata, MetadataReceived)
    assert ended == PublishEnded(1)
    request = requested.request
    assert (request.app, request.key, request.query.raw) == names
    assert (metadata.values["width"], metadata.values["height"]) == (160.0, 120.0)
    assert {message.payload[:2] for message in replayed.media[:2]} == first_bytes
    kinds = Counter(message.type_id for message in replayed.media)
    assert kinds[9] >= 10  # one second at ten frames
    assert kinds[8] >= 40


@pytest.mark.parametrize("name", ["ffmpeg-5.1-publish", "ffmpeg-9.0-publish-hevc-opus"])
def test_the_pieces_do_not_matter(name: str) -> None:
    bytewise = replay(name, 1)
    assert [replay(name, size) for size in SIZES[1:]] == [bytewise] * len(SIZES[1:])


def test_a_recorded_client_announces_its_codecs() -> None:
    connected = replay("ffmpeg-9.0-publish-hevc-opus", 1024).events[0]
    assert isinstance(connected, Connected)
    assert connected.request.capabilities.four_cc_list == ("hvc1", "av01", "Opus")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("ffmpeg-5.1-play-subscribing", "mp4:clip.mp4"),
        ("ffmpeg-9.0-play", "mp4:clip.mp4"),
        ("rtmpdump-2.4-play", "mp4:clip.mp4"),
        ("pipelined-play", "mp4:clip.mp4"),
    ],
)
def test_recorded_players_play(name: str, key: str, size: int) -> None:
    connected, requested, ended = replay(name, size).events
    assert isinstance(connected, Connected)
    assert isinstance(requested, PlayRequested)
    assert (requested.request.app, requested.request.key) == ("live", key)
    assert ended == PlayEnded(1)
