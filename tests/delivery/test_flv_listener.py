"""`http_watch` serves HTTP-FLV: who gets what, who is refused, and what strangers may not do."""

from collections.abc import Sequence

import h11
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.delivery.requests import MAX_HEAD
from mmids_trio.delivery.session import HEAD_SECONDS, IDLE_SECONDS, MAX_REFUSALS, WAIT_SECONDS
from mmids_trio.media.events import MediaKind, MediaPacket
from mmids_trio.media.flv import FlvReader, FlvTag, TagType
from mmids_trio.rtmp.server.play_tokens import sign
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.network import MemoryTransport
from mmids_trio.testing.web import WebClient

LIVE = "workflow live {{\n rtmp_receive rtmp_app=live stream_key=*\n http_watch app=live stream_key=* {}\n}}\n"
PLAIN = LIVE.format("")
ENDED = (StopAsyncIteration, trio.BrokenResourceError, h11.RemoteProtocolError)
"""How a client sees that the server has hung up."""

PACKETS = generate_stream(seconds=4)
TYPES = {MediaKind.AUDIO: TagType.AUDIO, MediaKind.VIDEO: TagType.VIDEO}


def bodies(packets: Sequence[MediaPacket]) -> list[tuple[TagType, bytes]]:
    return [(TYPES[packet.kind], packet.data) for packet in packets]


async def client(h: Harness) -> WebClient:
    return WebClient(await h.open(port=8080))


class Viewer:
    """Reads FLV as it comes."""

    def __init__(self, client: WebClient) -> None:
        self.client, self.tags, self._reader = client, list[FlvTag](), FlvReader()
        self.headers: dict[str, str] = {}

    async def begin(self, path: str = "/live/key.flv", **headers: str) -> "Viewer":
        await self.client.begin(path, **headers)
        status, self.headers = await self.client.head()
        assert status == 200
        return self

    async def gets(self, count: int) -> None:
        """Read until `count` tags of media have come."""
        while len(self.media) < count:
            self.tags += self._reader.receive(await anext(self.client))

    @property
    def media(self) -> list[tuple[TagType, bytes]]:
        return [(tag.type, tag.data) for tag in self.tags if tag.type is not TagType.SCRIPT]


async def said(transport: MemoryTransport, data: bytes) -> bytes:
    """All that a connection answers to `data`, to its end."""
    await transport.send_all(data)
    got = bytearray()
    while piece := await transport.receive_some(65536):
        got += piece
    return bytes(got)


async def test_a_viewer_who_waits_and_one_who_comes_late_get_every_packet_from_a_key_frame_on(
    autojump_clock: MockClock,
) -> None:
    async with Harness(PLAIN) as h:
        early = await Viewer(await client(h)).begin()
        publisher = await h.publish("live/key", PACKETS[: len(PACKETS) // 2])
        await wait_all_tasks_blocked()
        late = await Viewer(await client(h)).begin()
        await publisher.send(PACKETS[len(PACKETS) // 2 :])
        await early.gets(len(PACKETS))
        assert early.media == bodies(PACKETS)
        await late.gets(20)
        start = bodies(PACKETS).index(late.media[2])
        assert PACKETS[start].is_key_frame
        assert late.media[2:] == bodies(PACKETS)[start : start + len(late.media) - 2]
        assert early.headers["content-type"] == "video/x-flv"
        assert early.headers["cache-control"] == "no-store"
        assert early.headers["access-control-allow-origin"] == "*"
        assert early.headers["transfer-encoding"] == "chunked"
    h.assert_quiet()


async def test_a_client_of_http_1_0_gets_the_same_without_chunks(autojump_clock: MockClock) -> None:
    async with Harness(PLAIN) as h:
        transport = await h.open(port=8080)
        await transport.send_all(b"GET /live/key.flv HTTP/1.0\r\n\r\n")
        await h.publish("live/key", PACKETS)
        await wait_all_tasks_blocked()
        data, reader, tags = bytearray(), FlvReader(), list[FlvTag]()
        while piece := transport.receive_nowait(1 << 20):
            data += piece
            await wait_all_tasks_blocked()
        head, _, body = bytes(data).partition(b"\r\n\r\n")
        assert b"chunked" not in head
        assert b"Connection: close" in head
        tags += reader.receive(body)
        assert [(tag.type, tag.data) for tag in tags if tag.type is not TagType.SCRIPT] == bodies(PACKETS)


async def test_a_viewer_is_listed_counted_and_kicked_as_one_of_rtmp(autojump_clock: MockClock) -> None:
    async with Harness(PLAIN) as h:
        await h.publish("live/key", PACKETS)
        viewer = await Viewer(await client(h)).begin(user_agent="tester/1.0")
        await viewer.gets(10)
        [shown] = [one for one in (await h.http.get("/clients")).json()["clients"] if one["role"] == "watcher"]
        assert (shown["protocol"], shown["agent"], shown["name"], shown["state"]) == (
            "http-flv",
            "tester/1.0",
            "key",
            "watching",
        )
        assert "mmids_step_watchers{" in (text := (await h.http.get("/metrics")).text)
        assert 'step_type="http_watch"} 1' in text
        assert "\nmmids_media_connections 1\n" in text
        assert (await h.http.delete(f"/clients/{shown['id']}")).status == 200
        with pytest.raises(ENDED):
            await viewer.gets(10_000)
        await wait_all_tasks_blocked()
        assert all(one["role"] == "publisher" for one in (await h.http.get("/clients")).json()["clients"])


@pytest.mark.parametrize(
    ("parameters", "path", "status", "reason"),
    [
        ("", "/other/key.flv", 404, "unknown_application_or_key"),
        ("play_key=secret", "/live/key.flv", 403, "play_token_wrong"),
        ("play_key=secret", "/live/key.flv?expires=1&token=" + sign("secret", "key", 1), 403, "play_token_expired"),
        ("allow_ips=10.0.0.0/8", "/live/key.flv", 403, "address_not_allowed"),
    ],
)
async def test_who_may_not_watch_hears_so_and_is_counted(
    autojump_clock: MockClock, parameters: str, path: str, status: int, reason: str
) -> None:
    async with Harness(LIVE.format(parameters)) as h:
        answer = await (await client(h)).get(path)
        assert answer.status == status
        assert h.server.rejections.raised() == {reason: 1}
        assert (await h.http.get("/clients")).json()["clients"] == []


async def test_a_good_token_lets_a_viewer_in(autojump_clock: MockClock) -> None:
    async with Harness(LIVE.format("play_key=secret")) as h:
        expires = int(h.now()) + 100
        await Viewer(await client(h)).begin(f"/live/key.flv?expires={expires}&token={sign('secret', 'key', expires)}")


async def test_requests_are_answered_one_after_another_on_one_connection(autojump_clock: MockClock) -> None:
    async with Harness(PLAIN) as h:
        web = await client(h)
        assert (await web.get("/live/key")).status == 200
        assert (await web.get("/nothing")).status == 404
        assert (await web.get("/live/key.flv", method="HEAD")).headers["content-type"] == "video/x-flv"


async def test_a_preflight_is_answered_and_other_methods_are_not(autojump_clock: MockClock) -> None:
    async with Harness(PLAIN) as h:
        web = await client(h)
        preflight = await web.get("/live/key.flv", method="OPTIONS", origin="https://elsewhere.example")
        assert (preflight.status, preflight.headers["access-control-allow-headers"]) == (204, "Range")
        refused = await web.get("/live/key.flv", method="PUT")
        assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize(
    ("setting", "origin", "allowed"),
    [
        ("*", "https://a.example", "*"),
        ("none", "https://a.example", None),
        ("https://a.example,https://b.example:81", "https://a.example", "https://a.example"),
        ("https://a.example", "https://evil.example", None),
    ],
)
async def test_the_setting_says_which_pages_may_read_media(
    autojump_clock: MockClock, setting: str, origin: str, allowed: str | None
) -> None:
    async with Harness(f"settings {{\n http_media_origins {setting}\n}}\n{PLAIN}") as h:
        answer = await (await client(h)).get("/live/key", origin=origin)
        assert answer.headers.get("access-control-allow-origin") == allowed


async def test_requests_that_come_together_are_answered_in_their_order(autojump_clock: MockClock) -> None:
    async with Harness(PLAIN) as h:
        one = b"GET /live/key HTTP/1.1\r\nHost: a\r\n\r\n"
        last = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        got = await said(await h.open(port=8080), one * 300 + last)
        assert got.count(b"HTTP/1.1 200 OK") == 300
        assert got.count(b"HTTP/1.1 404 Not Found") == 1
        assert b"404" in got[-300:]


async def test_what_is_no_request_is_answered_counted_and_ends_the_connection(autojump_clock: MockClock) -> None:
    async with Harness(PLAIN) as h:
        got = await said(await h.open(port=8080), b"\x16\x03\x01 hello\r\n\r\n")
        assert got.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert h.server.rejections.raised() == {"media_request_malformed": 1}


async def test_a_connection_that_asks_for_nothing_or_too_slowly_ends(autojump_clock: MockClock) -> None:
    async with Harness(PLAIN) as h:
        began = trio.current_time()
        assert await said(await h.open(port=8080), b"") == b""
        assert trio.current_time() - began <= IDLE_SECONDS + HEAD_SECONDS
        began = trio.current_time()
        assert await said(await h.open(port=8080), b"GET /live/key") == b""
        assert trio.current_time() - began <= 2 * HEAD_SECONDS
        assert h.server.rejections.raised() == {"media_idle_or_request_too_slow": 2}


async def test_a_viewer_waits_for_a_stream_but_not_for_ever(autojump_clock: MockClock) -> None:
    async with Harness(PLAIN) as h:
        began = trio.current_time()
        viewer = await Viewer(await client(h)).begin()
        with pytest.raises(ENDED):
            await viewer.gets(1)
        assert WAIT_SECONDS <= trio.current_time() - began <= 3 * WAIT_SECONDS


async def test_who_is_refused_again_and_again_has_to_connect_anew(autojump_clock: MockClock) -> None:
    async with Harness(PLAIN) as h:
        got = await said(await h.open(port=8080), b"GET /nothing/at/all HTTP/1.1\r\nHost: a\r\n\r\n" * 100)
        assert got.count(b"HTTP/1.1 404") + got.count(b"HTTP/1.1 200") <= 100
        again = await said(await h.open(port=8080), b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n" * 100)
        assert again.count(b"HTTP/1.1 404") == MAX_REFUSALS


async def test_a_viewer_who_talks_is_cut_off(autojump_clock: MockClock) -> None:
    async with Harness(PLAIN) as h:
        await h.publish("live/key", PACKETS)
        web = await client(h)
        await Viewer(web).begin()
        await web.transport.send_all(b"a" * (MAX_HEAD + 1))
        await wait_all_tasks_blocked()
        with pytest.raises(trio.BrokenResourceError):
            await web.transport.send_all(b"a")
        assert h.server.rejections.raised() == {"media_request_malformed": 1}


async def test_viewers_stay_over_a_change_in_place_and_hear_of_the_next_stream(autojump_clock: MockClock) -> None:
    async with Harness(PLAIN) as h:
        publisher = await h.publish("live/key", PACKETS)
        viewer = await Viewer(await client(h)).begin()
        await viewer.gets(10)
        await h.put(LIVE.format("play_key=secret"), in_place=True)
        publisher.close()
        await wait_all_tasks_blocked()
        await h.publish("live/key", PACKETS)
        with trio.fail_after(60):
            while viewer.media[-len(PACKETS) :] != bodies(PACKETS):
                await viewer.gets(len(viewer.media) + 1)


async def test_viewers_are_disconnected_when_their_step_ends(autojump_clock: MockClock) -> None:
    async with Harness(PLAIN) as h:
        viewer = await Viewer(await client(h)).begin()
        await h.stop("live")
        with pytest.raises(ENDED):
            await viewer.gets(1)
        assert 8080 not in h.network.open_ports
    h.assert_quiet()
