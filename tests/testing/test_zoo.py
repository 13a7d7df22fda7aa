"""The zoo: its streams are what they are called, and a server makes good ones of them, on every way out."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import gettempdir

import pytest
import trio
from attrs import define, field
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from trio.testing import MockClock

from mmids_trio.media.codecs import parse_audio, parse_video
from mmids_trio.media.configuration import AudioConfiguration, VideoConfiguration, read_configuration
from mmids_trio.media.events import MediaKind, MediaPacket, StreamId
from mmids_trio.media.timeline import MODULUS, is_after
from mmids_trio.rtmp.protocol.client_connection import ClientConnection
from mmids_trio.rtmp.protocol.events import ClientConnected, MediaReceived, PlayStarted
from mmids_trio.rtmp.protocol.message import AUDIO
from mmids_trio.testing import FakeFfmpeg, Harness, RtmpClient, fed_packets, zoo
from mmids_trio.testing.odd_streams import DIRTY_METADATA, OddStream
from tests.support.effort import first_are_fast
from tests.support.rtmp import zeros

ANIMALS = {
    "wrapping clock": zoo.wrapping_clock(),
    "wrapping clock of 32 bits": zoo.wrapping_clock(at=2**32),
    "wrapping clock, sound late": zoo.wrapping_clock(audio_lag_ms=400),
    "restarting clock": zoo.restarting_clock(),
    "jump forward": zoo.jump_forward(),
    "uptime": zoo.uptime_second_packet(),
    "long group of pictures": zoo.long_gop(gop_s=8, seconds=10),
    "changing size": zoo.changing_size(),
    "changing profile": zoo.changing_profile(),
    "changing rate": zoo.changing_rate(),
    "changing channels": zoo.changing_channels(),
    "changing codec": zoo.changing_codec(),
    "no sound comes": zoo.track_that_never_comes(),
    "no pictures come": zoo.track_that_never_comes(kind=MediaKind.VIDEO),
    "late headers": zoo.late_headers(),
    "ModEx": zoo.wrapped(mod_ex=1),
    "a chain of ModEx": zoo.wrapped(mod_ex=3),
    "one of many tracks": zoo.wrapped(mod_ex=0, tracks="one"),
    "many tracks": zoo.wrapped(mod_ex=2, tracks="many"),
    "many tracks and codecs": zoo.wrapped(mod_ex=1, tracks="many codecs"),
    **{f"metadata: {form}": zoo.dirty_metadata(form=form) for form in DIRTY_METADATA},
    "G.711": zoo.sound_of_flv(),
    "Speex": zoo.sound_of_flv(codec="spex"),
}

COMPANIONABLE = sorted(name for name in ANIMALS if name not in ("no sound comes", "no pictures come"))
"""Those that may stand anywhere in a company. A track that first comes when the clock of the other is set back by 1 to
10 s is taken for one that lags (see `media.source_clock`), which no server can tell."""

OUT = """
workflow studio {
    rtmp_receive rtmp_app=live stream_key=*
    rtmp_watch rtmp_app=live stream_key=*
    ffmpeg_hls path="PATH"
    rtmp_push target=rtmp://elsewhere:2001/in/show
}
workflow elsewhere {
    rtmp_receive rtmp_app=in stream_key=* port=2001
    rtmp_watch rtmp_app=in stream_key=* port=2001
}
"""

WITH_HEADERS = ("avc1", "hvc1", "mp4a", "Opus")
"""Codecs that no decoder makes anything of before it has their sequence header."""

TOLERANCE_MS = 100
"""Between what the clocks of sound and of pictures say at one moment."""


# What goes in, and what comes out.


@define(eq=False)
class TappedClient(RtmpClient):
    """A client that keeps the bytes that it got."""

    taken: bytearray = field(factory=bytearray, init=False)

    def __attrs_post_init__(self) -> None:
        self.connection = ClientConnection(zeros, self.app, f"rtmp://server/{self.app}")

    async def read_some(self) -> None:
        data = await self.transport.receive_some(65_536)
        self.taken += data
        self.is_disconnected = not data
        self._take(self.connection.receive_data(data))
        await self.flush()


def media_in(data: bytes, pieces: int) -> list[MediaPacket]:
    """What a client finds in these bytes when they come in other pieces: single ones until it plays."""
    connection, packets, position, size = ClientConnection(zeros, "live", "rtmp://server/live"), [], 0, 1
    while position < len(data):
        events = connection.receive_data(data[position : position + size])
        position += size
        for event in events:
            if isinstance(event, ClientConnected):
                connection.play("show")
            elif isinstance(event, PlayStarted):
                size = pieces
            elif isinstance(event, MediaReceived):
                for one in event.messages:
                    parse = parse_audio if one.type_id == AUDIO else parse_video
                    packets.append(parse(StreamId("show"), one.timestamp, one.payload))
        connection.data_to_send()
    return packets


@define
class Outcome:
    """What came out, by the way that it took; several streams where there were several children."""

    ways: Mapping[str, Sequence[Sequence[MediaPacket]]]
    log: Sequence[Mapping[str, object]]

    def flaws(self, sent: OddStream) -> list[str]:
        found = [
            f"{way}: {flaw}"
            for way, streams in self.ways.items()
            for got in streams
            for flaw in flaws_of(sent, got, is_decoded=way == "hls")
        ]
        found += [f"{way}: nothing came" for way, streams in self.ways.items() if not any(streams)]
        return found + [f"logged: {line}" for line in self.log if line["log_level"] in ("error", "critical")]


async def sent_through(sent: OddStream) -> Outcome:
    ffmpeg = FakeFfmpeg()
    text = OUT.replace("PATH", str(Path(gettempdir()) / "mmids_trio-zoo"))
    with capture_logs() as log:
        async with Harness(text, spawner=ffmpeg) as h, trio.open_nursery() as nursery:
            watcher = await TappedClient.connected(await h.open(), "live")
            await watcher.watch("show")
            elsewhere = await h.watch("in/show", port=2001)
            for client in (watcher, elsewhere):
                nursery.start_soon(client.read_until_closed)
            publisher = await h.publish("live/show")
            await sent.send(publisher)
            await trio.sleep(2)
            await publisher.unpublish()
            await trio.sleep(5)
            nursery.cancel_scope.cancel()
        h.assert_quiet()
    captured = bytes(watcher.taken)
    ways = {
        "watch": [watcher.packets],
        "push": [elsewhere.packets],
        "captured bytes": [media_in(captured, 7), media_in(captured, 1_000)],
        "hls": [fed_packets(child) for child in ffmpeg.processes],
    }
    return Outcome(ways, log)


def flaws_of(sent: OddStream, got: Sequence[MediaPacket], *, is_decoded: bool = False) -> Iterator[str]:
    """What is wrong with a stream that was received, the first of each kind.

    `is_decoded`: who gets it makes something of it, and shall not even see frames that came before their headers.
    """
    for flaw in (went_backwards(got), has_a_gap(sent, got), lacks_its_header(sent, got, is_decoded=is_decoded)):
        if flaw is not None:
            yield flaw


def went_backwards(got: Sequence[MediaPacket]) -> str | None:
    last: dict[MediaKind, int] = {}
    for packet in got:
        if not packet.is_sequence_header:
            before = last.get(packet.kind, packet.timestamp)
            if is_after(before, packet.timestamp):
                return f"{packet.kind.value} went back from {before} to {packet.timestamp}"
            last[packet.kind] = packet.timestamp
    return None


def has_a_gap(sent: OddStream, got: Sequence[MediaPacket]) -> str | None:
    newest = None
    for packet in got:
        if not packet.is_sequence_header:
            step = 0 if newest is None or not is_after(packet.timestamp, newest) else packet.timestamp - newest
            if step % MODULUS > sent.longest_gap_ms + TOLERANCE_MS:
                return f"{packet.kind.value} leapt from {newest} to {packet.timestamp}"
            newest = packet.timestamp if newest is None or is_after(packet.timestamp, newest) else newest
    return None


def lacks_its_header(sent: OddStream, got: Sequence[MediaPacket], *, is_decoded: bool) -> str | None:
    needed: dict[bytes, set[bytes | None]] = {}
    headers: dict[MediaKind, bytes] = {}
    for packet in sent.packets:
        if packet.is_sequence_header:
            headers[packet.kind] = packet.data
        else:
            needed.setdefault(packet.data, set()).add(headers.get(packet.kind))
    headers = {}
    for packet in got:
        if packet.is_sequence_header:
            headers[packet.kind] = packet.data
        elif packet.codec in WITH_HEADERS and (
            headers.get(packet.kind) not in needed.get(packet.data, {None})
            or (is_decoded and packet.kind not in headers)
        ):
            return f"{packet.kind.value} at {packet.timestamp} came without its sequence header"
    return None


# The properties.


@pytest.mark.parametrize("name", first_are_fast(2, ANIMALS))
async def test_what_comes_out_is_a_good_stream(name: str, autojump_clock: MockClock) -> None:
    assert (await sent_through(ANIMALS[name])).flaws(ANIMALS[name]) == []


@pytest.mark.thorough
@given(st.lists(st.sampled_from(COMPANIONABLE), min_size=2, max_size=3))
@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
def test_so_is_what_comes_of_several_one_after_another(names: list[str]) -> None:
    first, *others = (ANIMALS[name] for name in names)
    sent = sum(others, first)
    outcome = trio.run(sent_through, sent, clock=MockClock(autojump_threshold=0))
    assert outcome.flaws(sent) == []


# The animals.


def headers_of(odd: OddStream) -> list[object]:
    return [read_configuration(packet) for packet in odd.packets if packet.is_sequence_header]


def test_sizes_profiles_rates_and_channels_are_those_asked_for() -> None:
    sizes = [(640, 360), (1918, 1078), (16, 16), (8192, 4320)]
    video = [one for one in headers_of(zoo.changing_size(sizes=sizes)) if isinstance(one, VideoConfiguration)]
    assert [one.size for one in video] == sizes
    video = [one for one in headers_of(zoo.changing_profile()) if isinstance(one, VideoConfiguration)]
    assert [(one.profile, one.size) for one in video] == [(66, (640, 360)), (77, (640, 360)), (100, (640, 360))]
    audio = [one for one in headers_of(zoo.changing_rate()) if isinstance(one, AudioConfiguration)]
    assert [one.sample_rate for one in audio] == [44_100, 48_000]
    audio = [one for one in headers_of(zoo.changing_channels()) if isinstance(one, AudioConfiguration)]
    assert [one.channels for one in audio] == [2, 1]


def test_late_sound_still_has_the_old_clock_when_it_wraps() -> None:
    frames = zoo.wrapping_clock(at=2**24, audio_lag_ms=60).frames
    wrapped = next(place for place, one in enumerate(frames) if one.timestamp < 1_000)
    assert frames[wrapped].kind is MediaKind.VIDEO
    late = [one for one in frames[wrapped:] if one.timestamp > 2**24 - 1_000]
    assert {one.kind for one in late} == {MediaKind.AUDIO}
    assert len(late) >= 2


def test_time_goes_by_as_ever_while_a_clock_leaps() -> None:
    odd = zoo.jump_forward(by_ms=3_600_000)
    assert odd.longest_gap_ms <= 40
    steps = [later.timestamp - earlier.timestamp for earlier, later in zip(odd.frames, odd.frames[1:], strict=False)]
    assert max(steps) >= 3_600_000


def test_one_behind_another_goes_on_in_time_and_clock() -> None:
    one, other = zoo.jump_forward(), zoo.restarting_clock()
    both = one + other
    assert both.milliseconds == one.milliseconds + 40 + other.milliseconds
    assert both.packets[: len(one.packets)] == one.packets
    assert len(both.packets) == len(one.packets) + len(other.packets)
    assert both.packets[len(one.packets)].timestamp == one.packets[-1].timestamp + 40


def test_a_form_of_metadata_that_there_is_not_is_an_error_that_lists_those_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"there are trailing zeros, .*, no name"):
        zoo.dirty_metadata(form="clean")


def test_the_same_numbers_give_the_same_stream() -> None:
    assert zoo.wrapped(mod_ex=2, tracks="many") == zoo.wrapped(mod_ex=2, tracks="many")
    assert zoo.wrapped(mod_ex=2, tracks="many") != zoo.wrapped(mod_ex=1, tracks="many")


@pytest.mark.parametrize("tracks", [None, "one", "many", "many codecs"])
@pytest.mark.parametrize("mod_ex", [0, 1, 3])
def test_what_is_wrapped_is_the_same_inside(mod_ex: int, tracks: str | None) -> None:
    plain, wrapped = zoo.wrapped(mod_ex=0), zoo.wrapped(mod_ex=mod_ex, tracks=tracks)  # type: ignore[arg-type]  # a word
    told = [(one.kind, one.codec, one.is_key_frame, one.is_sequence_header) for one in plain.packets]
    assert [(one.kind, one.codec, one.is_key_frame, one.is_sequence_header) for one in wrapped.packets] == told
    assert headers_of(wrapped) == headers_of(plain)


async def test_a_first_chunk_with_a_short_header_is_understood(autojump_clock: MockClock) -> None:
    text = "workflow w {\n rtmp_receive rtmp_app=live stream_key=*\n rtmp_watch rtmp_app=live stream_key=*\n}\n"
    frames = zoo.changing_size().packets
    async with Harness(text) as h:
        watcher = await h.watch("live/show")
        publisher = await h.publish("live/show", frames[:1])
        await publisher.transport.send_all(zoo.short_first_chunk(frames[2]))
        await publisher.send(frames[3:60])
        await watcher.receive(20)
        assert frames[2].data in [packet.data for packet in watcher.packets]
