"""What attackers do, one function each, by its name: each attacks again and again until it is cancelled.

`needs` names the settings without which an attack takes the whole machine; without them it runs only if it is named.
An attack raises `Breach` when the server lets it have what nobody may have.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import trio
from attrs import frozen

from benchmarks.hostile.honest import KEY as HONEST_KEY
from benchmarks.hostile.wire import (
    AUDIO_HEADER,
    CHUNK_SIZE,
    LARGE_CHUNKS,
    UNREADABLE_HEADER,
    Breach,
    Target,
    avc_header,
    frames,
    log_in,
    media,
    metadata,
    play,
    publish,
)
from benchmarks.soak.traffic import STRANGERS
from mmids_trio.config.settings import KNOWN_SETTINGS
from mmids_trio.rtmp.protocol import amf
from mmids_trio.rtmp.protocol import message as types
from tests.support.rtmp import PLAIN_HANDSHAKE, command, message

SECRET = "s3cr3t-of-a-publisher"
"""A token that attackers put into keys, where a publisher mistypes; it may stand in no log."""

LONG_KEY = "k" * 60_000
PIECE = 512 * 1024
"""Bytes of media that are sent at once."""
HOLD_SECONDS = 15.0
"""How long an attacker that holds something waits before it begins again elsewhere."""
DRIP_SECONDS = 1.0
READ_SECONDS = 0.2
AIR_SECONDS = 1.5
"""More than the setting `grace_after` of the soak."""

Act = Callable[[Target], Awaitable[None]]


@frozen
class Attack:
    """One way to be hostile."""

    name: str
    act: Act
    """Once; it ends, or the server ends it."""
    lines: int
    """So many at once."""
    pause: float
    """Seconds between the end of one and the next."""
    needs: tuple[str, ...]
    is_constant: bool = False
    """Whether it goes on all the time, as the server comes to it when it likes."""

    @property
    def can_run(self) -> bool:
        """Whether the server has the settings that bound it."""
        return set(self.needs) <= KNOWN_SETTINGS.keys()

    async def run(self, target: Target) -> None:
        """Attack until cancelled. Raises `Breach`."""
        async with trio.open_nursery() as nursery:
            for _ in range(self.lines):
                nursery.start_soon(self._again_and_again, target)

    async def _again_and_again(self, target: Target) -> None:
        while True:
            target.counts[self.name] += 1
            with suppress(OSError, trio.BrokenResourceError):
                await self.act(target)
            await trio.sleep(self.pause * target.random.uniform(0.5, 1.5))


ATTACKS: dict[str, Attack] = {}
"""All, by name."""


def attack(
    *, lines: int = 1, pause: float = 0.01, needs: tuple[str, ...] = (), is_constant: bool = False
) -> Callable[[Act], Act]:
    """Make a function one of `ATTACKS`, under its name."""

    def add(act: Act) -> Act:
        name = act.__name__.replace("_", "-")
        ATTACKS[name] = Attack(name, act, lines, pause, needs, is_constant)
        return act

    return add


async def _until_closed(stream: trio.SocketStream) -> bytes:
    """Read to the end; what came, at most `PIECE` of it."""
    said = b""
    with suppress(trio.BrokenResourceError):
        async for data in stream:
            said = (said + data)[:PIECE]
    return said


# The log.


@attack(lines=2)
async def long_keys(target: Target) -> None:
    """`play` with a key of 60,000 bytes, again and again."""
    async with target.line() as stream:
        await stream.send_all(log_in("live") + LARGE_CHUNKS)
        payload = amf.encode_all(["play", 9, None, LONG_KEY])
        while True:
            await stream.send_all(media(types.COMMAND_AMF0, payload, chunk_size=CHUNK_SIZE, chunk_stream=3))


@attack(lines=4, pause=0.001)
async def garbage(target: Target) -> None:
    """What is no RTMP, on either port."""
    async with target.line(target.random.choice([target.rtmp, target.api])) as stream:
        await stream.send_all(target.random.choice(STRANGERS) + target.random.randbytes(20))


@attack(lines=4, pause=0.001)
async def reconnecting_publishers(target: Target) -> None:
    """Publishers that come, send a frame and are gone: lines of log, and events."""
    key = f"again{target.random.randrange(4)}"
    async with target.line() as stream:
        await stream.send_all(log_in("live") + publish(key) + media(types.VIDEO, avc_header(320, 176)))
        await stream.send_all(frames(2, b"\x65" + target.random.randbytes(200)))
        await stream.receive_some()


@attack(pause=0.05)
async def secrets_in_keys(target: Target) -> None:
    """Keys in which the query is mistyped."""
    for mark in ("&", ";", "%3F", "\uff1f", "?x=1?"):
        async with target.line() as stream:
            action = target.random.choice([publish, play])
            await stream.send_all(log_in("live") + action(f"{target.word()}{mark}token={SECRET}"))
            await stream.receive_some()


# Memory.


@attack(lines=20)
async def unfinished_messages(target: Target) -> None:
    """A player of a key that nobody publishes leaves a message of 2 MB unfinished, and adds a byte now and then."""
    whole = media(types.DATA_AMF0, b"\x02" + bytes(1_040_000), chunk_size=0xFFFFFF, chunk_stream=9)
    async with target.line() as stream:
        await stream.send_all(log_in("live") + play(target.word()) + message(1, (0xFFFFFF).to_bytes(4, "big")))
        await stream.send_all(whole[:1_000_000])
        for place in range(1_000_000, len(whole)):
            await stream.send_all(whole[place : place + 1])
            await trio.sleep(DRIP_SECONDS)


@attack(lines=8)
async def interrupted_streams(target: Target) -> None:
    """A stream under a new key, long enough to be waited for, then a reset: who publishes is gone, and it is kept."""
    async with target.line() as stream:
        await stream.send_all(log_in("graced") + publish(target.word()) + media(types.VIDEO, avc_header(320, 176)))
        for pause in (READ_SECONDS, AIR_SECONDS, READ_SECONDS):  # a reset would take with it what is not read yet
            await stream.send_all(frames(1, b"\x65" + bytes(20)))
            await trio.sleep(pause)


@attack(needs=("max_media_bytes",))
async def large_interrupted_streams(target: Target) -> None:
    """The same with 15 MiB."""
    async with target.line() as stream:
        await stream.send_all(log_in("graced") + publish(target.word()) + LARGE_CHUNKS)
        await stream.send_all(media(types.VIDEO, avc_header(320, 176), chunk_size=CHUNK_SIZE))
        for pause in (READ_SECONDS, AIR_SECONDS):
            await stream.send_all(frames(1, b"\x65" + bytes(20), chunk_size=CHUNK_SIZE))
            await trio.sleep(pause)
        data = b"\x27\x01\x00\x00\x00" + target.random.randbytes(PIECE)
        for at in range(1, 31):
            await stream.send_all(media(types.VIDEO, data, at=at, chunk_size=CHUNK_SIZE))
        await trio.sleep(READ_SECONDS)


@attack(lines=2, needs=("max_media_bytes", "max_streams_per_connection"))
async def message_streams(target: Target) -> None:
    """One connection that publishes under 16 keys, and sends under each as much as one may hold."""
    async with target.line() as stream:
        await stream.send_all(log_in("live", streams=16))
        await stream.send_all(b"".join(publish(target.word(), number) for number in range(1, 17)) + LARGE_CHUNKS)
        rest = target.random.randbytes(PIECE)
        for at in range(30):
            data = (b"\x27" if at else b"\x17") + b"\x01\x00\x00\x00" + rest
            for number in range(1, 17):
                await stream.send_all(media(types.VIDEO, data, at=at, stream=number, chunk_size=CHUNK_SIZE))
        await trio.sleep(HOLD_SECONDS)


# Children.


@attack(pause=0.5, needs=("max_encode_rate",))
async def huge_metadata(target: Target) -> None:
    """1,081 bytes that ask for a slate of 4096 by 4096 at 60 frames a second."""
    async with target.line() as stream:
        await stream.send_all(log_in("slated") + publish(target.word()))
        await stream.send_all(metadata(width=4096.0, height=4096.0, framerate=60.0, videocodecid=7.0))
        await stream.send_all(media(types.VIDEO, UNREADABLE_HEADER) + media(types.AUDIO, AUDIO_HEADER))
        await stream.send_all(frames(50, b"\x65\x88"))
        await trio.sleep(1)


@attack(pause=0.5, needs=("max_encode_rate",))
async def huge_pictures(target: Target) -> None:
    """A header that really says 4096 by 4096, where the server transcodes, and where it makes a slate."""
    async with target.line() as stream:
        await stream.send_all(log_in(target.random.choice(["transcoded", "slated"])) + publish(target.word()))
        await stream.send_all(media(types.VIDEO, avc_header(4096, 4096)) + frames(50, b"\x65\x88"))
        await trio.sleep(1)


@attack(pause=1, needs=("max_children",))
async def new_keys(target: Target) -> None:
    """3 kB that start a child for each of 8 keys, which leave their files behind."""
    async with target.line() as stream:
        await stream.send_all(log_in("hls", streams=8))
        for number in range(1, 9):
            header = media(types.VIDEO, avc_header(320, 176), stream=number)
            await stream.send_all(publish(target.word(), number) + header)
            for at in (0, 500, 1000):
                await stream.send_all(media(types.VIDEO, b"\x17\x01" + bytes(20), at=at, stream=number))
        await trio.sleep(0.5)


@attack(pause=1)
async def noisy_media(target: Target) -> None:
    """Pictures that do not decode: whatever the child says of each goes to its log."""
    async with target.line() as stream:
        await stream.send_all(log_in("transcoded") + publish("noise"))
        await stream.send_all(media(types.VIDEO, avc_header(320, 176)))
        for number in range(2000):
            body = b"\x17\x01\x00\x00\x00\x00\x00\x00\x40\x65" + target.random.randbytes(63)
            await stream.send_all(media(types.VIDEO, body, at=number))
            await trio.sleep(0.001)


# Time.


@attack(lines=12)
async def nested_arrays(target: Target) -> None:
    """Commands that nobody knows, of thousands of values each."""
    count = 12_000
    arrays = b"\x0a" + count.to_bytes(4, "big") + b"\x0a\0\0\0\0" * count
    said = media(types.COMMAND_AMF0, amf.encode_all(["madeUp", 9, None]) + arrays, chunk_stream=3)
    async with target.line() as stream:
        await stream.send_all(log_in("live") + said * 12)
        await stream.receive_some()


@attack()
async def small_messages(target: Target) -> None:
    """A publisher of messages of one byte, as fast as they are taken."""
    async with target.line() as stream:
        await stream.send_all(log_in("live") + publish(target.word()) + media(types.AUDIO, b"\x2f", chunk_stream=4))
        while True:
            await stream.send_all(b"\xc4\x2f" * (PIECE // 8))


@attack(lines=40, pause=0.1)
async def questions(target: Target) -> None:
    """Publishes that a reactor has to be asked about, eight at once on each connection."""
    async with target.line() as stream:
        await stream.send_all(log_in("asked", streams=8))
        await stream.send_all(b"".join(publish(target.word(), number) for number in range(1, 9)))
        await _until_closed(stream)


@attack(is_constant=True)
async def hostile_source(target: Target) -> None:
    """Where the server pulls a stream from: what is no answer, or answers without end."""
    listener = (await trio.open_tcp_listeners(target.source, host="127.0.0.1"))[0]
    async with listener:
        while True:
            async with await listener.accept() as stream:
                target.counts["connections to the hostile source"] += 1
                with suppress(trio.BrokenResourceError):
                    await _answer(target, stream)


async def _answer(target: Target, stream: trio.SocketStream) -> None:
    if target.random.random() < 0.5:  # noqa: PLR2004 (as often as not)
        await stream.send_all(b"\x03" + bytes(3072) + b"\xff" * 4000)
        return
    status = command("onStatus", 0, None, {"code": "x", "level": "status"})
    await stream.send_all(PLAIN_HANDSHAKE)
    with trio.move_on_after(HOLD_SECONDS):
        while True:
            await stream.send_all(status * 500)


# The HTTP API.

_GET = b"GET /workflows HTTP/1.1\r\nHost: localhost\r\n\r\n"
_UPGRADE = (
    b"GET /reactors/door HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
_HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")
_BODY = b"PUT /workflows HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


@attack(pause=0.2)
async def back_doors(target: Target) -> None:
    """Questions without the token by every protocol that some server might speak: none may be answered."""
    said = target.random.choice([_GET, _UPGRADE, _HTTP2, _GET.replace(b"Host:", b"Authorization: Bearer\r\nHost:")])
    async with target.line(target.api) as stream:
        await stream.send_all(said)
        answer = b""
        with trio.move_on_after(HOLD_SECONDS), suppress(trio.BrokenResourceError):
            answer = await stream.receive_some()
    if answer and not answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")):
        raise Breach(f"without the token {said[:40]!r} got {answer[:200]!r}")


@attack(lines=2, pause=0.02)
async def requests_without_token(target: Target) -> None:
    """Pipelined, as many as are taken."""
    async with target.line(target.api) as stream:
        for _ in range(20):
            await stream.send_all(_GET * 50)
            await stream.receive_some()


@attack(lines=40)
async def held_connections(target: Target) -> None:
    """Connections that say nothing, stop in the middle, or read no answer."""
    said = target.random.choice([b"", b"GET / HT", _BODY + b"5\r\nab", _GET * 2000])
    async with target.line(target.api) as stream:
        with trio.move_on_after(HOLD_SECONDS * 4):
            await stream.send_all(said)
            await trio.sleep_forever()


@attack(lines=4)
async def tiny_chunks(target: Target) -> None:
    """Bodies in chunks of one byte, each with an extension."""
    async with target.line(target.api) as stream:
        await stream.send_all(_BODY)
        while True:
            await stream.send_all(b"1;a=b\r\n#\r\n" * 4000)


# Viewers over HTTP.


def _get(path: str, *headers: str) -> bytes:
    lines = "".join(f"{header}\r\n" for header in ("Host: a", *headers))
    return f"GET /live/{HONEST_KEY}{path} HTTP/1.1\r\n{lines}\r\n".encode()


async def _ask(stream: trio.SocketStream, path: str, *headers: str) -> str:
    """One request, and what came of its answer in the first reads."""
    await stream.send_all(_get(path, *headers))
    said = b""
    while b"\r\n\r\n" not in said and (data := await stream.receive_some()):
        said += data
    head, _, body = said.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *([0-9]+)", head)
    while length and len(body) < int(length[1]) and (data := await stream.receive_some()):
        body += data
    return body.decode("latin-1")


async def _session(stream: trio.SocketStream) -> str:
    """The path of a media playlist with a session of its own, if there is anything to watch."""
    uri = re.search(r"^media\.m3u8\S+", await _ask(stream, "/index.m3u8"), re.MULTILINE)
    return f"/{uri[0]}" if uri else ""


@attack(lines=10)
async def viewers_that_do_not_read(target: Target) -> None:
    """HTTP-FLV, or the same segment asked for without end, and nothing is read."""
    async with target.line(target.media) as stream:
        playlist = await _session(stream)
        segment = re.search(r"^segment-\S+", await _ask(stream, playlist) if playlist else "", re.MULTILINE)
        is_hls = target.random.random() < 0.5  # noqa: PLR2004 (as often as not)
        said = _get(f"/{segment[0]}") * 1000 if segment and is_hls else _get(".flv")
        with trio.move_on_after(HOLD_SECONDS):
            await stream.send_all(said)
            await trio.sleep_forever()


@attack(lines=40)
async def parked_requests(target: Target) -> None:
    """Requests for what is to come, each on a connection that then says nothing, or leaves."""
    async with target.line(target.media) as stream:
        playlist = await _session(stream)
        hint = re.search(r'TYPE=PART,URI="([^"]+)', await _ask(stream, playlist) if playlist else "")
        if hint:
            await stream.send_all(_get(f"/{hint[1]}") * target.random.choice([1, 200]))
            await trio.sleep(target.random.choice([0, DRIP_SECONDS]))


@attack(lines=4)
async def sessions_without_end(target: Target) -> None:
    """A new session with each request, none of which is used."""
    async with target.line(target.media) as stream:
        for _ in range(100):
            await stream.send_all(_get("/index.m3u8") * 20)
            if not await stream.receive_some():
                return


@attack(lines=4)
async def tiny_ranges(target: Target) -> None:
    """A byte of a segment at a time, many requests in one piece; and ranges that make no sense."""
    async with target.line(target.media) as stream:
        playlist = await _session(stream)
        segment = re.search(r"^segment-\S+", await _ask(stream, playlist) if playlist else "", re.MULTILINE)
        if segment:
            for number in range(200):
                wanted = target.random.choice([f"{number}-{number}", "0-0,2-2,4-4", "-1", f"{'9' * 400}-"])
                await stream.send_all(_get(f"/{segment[0]}", f"Range: bytes={wanted}") * 50)
                if not await stream.receive_some():
                    return


def chosen(names: tuple[str, ...]) -> Mapping[str, Attack]:
    """The attacks of these names, or all that can run. Raises `KeyError`."""
    if names:
        return {name: ATTACKS[name] for name in names}
    return {name: found for name, found in ATTACKS.items() if found.can_run}
