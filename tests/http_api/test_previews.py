"""The moving pictures of the dashboard: which media comes, to whom, and what they may cost."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.http_api import previews
from mmids_trio.http_api.previews import MAX_QUEUED_BYTES, MAX_SECONDS, TICK_SECONDS, Preview, Previews
from mmids_trio.http_api.token_file import CHECK_SECONDS, changed
from mmids_trio.http_api.tokens import Scope, make_token
from mmids_trio.media.events import MediaKind, MediaPacket, StreamId
from mmids_trio.media.flv import FlvReader, FlvTag, TagType
from mmids_trio.on_air.directory import OnAir, StreamEntry
from mmids_trio.on_air.views import StreamNow
from mmids_trio.rejections import RejectCounters, RejectReason
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.http import HttpStream
from mmids_trio.testing.media import generate_stream
from tests.http_api.test_streams import STREAM, listed, send_in_time
from tests.support.publishing import WAIT_FOR_ALL

WITHOUT_WATCHERS = "workflow show {\n rtmp_receive rtmp_app=live stream_key=* publish_token=t0ken\n}\n"
WITH_KEY = (
    "workflow show {\n rtmp_receive rtmp_app=live stream_key=*\n http_watch app=live stream_key=* play_key=k\n}\n"
)
TWO_GROUPS = [packet for packet in STREAM if packet.timestamp < 2000]
PICTURES = [packet for packet in TWO_GROUPS if packet.kind is MediaKind.VIDEO]


def tags(data: bytes) -> list[FlvTag]:
    return FlvReader().receive(data)


async def read(answer: HttpStream, number: int) -> list[FlvTag]:
    """So many tags from the beginning on."""
    data = b""
    while len(tags(data)) < number:
        data += await anext(answer)
    return tags(data)


@pytest.mark.parametrize("text", [WITHOUT_WATCHERS, WITH_KEY], ids=["no watchers", "a play_key"])
async def test_any_stream_is_shown_from_the_next_key_frame_on_without_its_sound(
    autojump_clock: MockClock, text: str
) -> None:
    async with Harness(WAIT_FOR_ALL + text) as h:
        publisher = await h.publish("live/key?token=t0ken")
        await publisher.send(TWO_GROUPS[:5])  # its headers and the first frames: nobody looks yet
        await wait_all_tasks_blocked()
        [stream] = await listed(h, "streams")
        async with h.http.stream("GET", f"/ui/media/{stream['id']}/live.flv") as answer:
            assert (answer.status, answer.headers["content-type"]) == (200, "video/x-flv")
            assert answer.headers["cache-control"] == "no-store"
            await publisher.send(TWO_GROUPS[5:])
            header, *frames = await read(answer, 26)
            assert [client["role"] for client in await listed(h, "clients")] == ["publisher"]  # it is no watcher
        assert {tag.type for tag in (header, *frames)} == {TagType.VIDEO}
        second_group = [packet for packet in PICTURES if packet.timestamp >= 1000]
        assert header.data == PICTURES[0].data
        assert [tag.data for tag in frames] == [packet.data for packet in second_group]
        assert [tag.timestamp for tag in frames] == [packet.timestamp - 1000 for packet in second_group]
    h.assert_quiet()


async def test_a_preview_ends_with_its_stream(autojump_clock: MockClock) -> None:
    async with Harness(WAIT_FOR_ALL + WITHOUT_WATCHERS) as h:
        publisher = await h.publish("live/key?token=t0ken")
        await send_in_time(publisher)
        [stream] = await listed(h, "streams")
        path = f"/ui/media/{stream['id']}/live.flv"
        async with h.http.stream("GET", path) as answer:
            publisher.close()
            assert [piece async for piece in answer] == []
        assert (await h.http.get(path)).status == 404
        assert (await h.http.get("/ui/media/s--99/live.flv")).status == 404
    h.assert_quiet()


async def always() -> bool:
    return True


def directory() -> tuple[OnAir, StreamEntry]:
    class Owner:
        workflow, step_id = "show", "1"

    on_air = OnAir(nonce="f00")
    return on_air, on_air.begin(StreamId("stream"), "key", Owner(), lambda: StreamNow("live"))


async def test_there_are_only_so_many_and_a_browser_that_hangs_up_makes_room(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    monkeypatch.setattr(previews, "MAX_PREVIEWS", 1)
    on_air, entry = directory()
    rejections = RejectCounters()
    of_server = Previews(on_air, rejections)
    assert of_server.has_room()
    async with Preview(of_server, entry, always) as shown:
        assert not of_server.has_room()
        assert rejections.raised() == {RejectReason.API_PREVIEWS.value: 1}
        async with Preview(of_server, entry, always) as late:
            assert [piece async for piece in late] == []
        entry.meter.note(TWO_GROUPS, 0.0)
        assert tags(await anext(shown))
    assert of_server.has_room()


@pytest.mark.thorough
async def test_who_takes_nothing_holds_no_more_than_its_bound_and_goes_on_at_a_key_frame(
    autojump_clock: MockClock,
) -> None:
    on_air, entry = directory()
    large = generate_stream(seconds=20, key_frame_bytes=400_000, frame_bytes=100_000, audio=False)
    async with Preview(Previews(on_air, RejectCounters()), entry, always) as preview:
        for packet in large:
            entry.meter.note([packet], 0.0)
        data = b""
        with trio.move_on_after(5):
            while True:
                data += await anext(preview)
        assert MAX_QUEUED_BYTES - 500_000 < len(data) <= MAX_QUEUED_BYTES
        taken = tags(data)
        after = [p for p in generate_stream(seconds=2, start_timestamp=30_000, audio=False) if not p.is_sequence_header]
        entry.meter.note(after, 0.0)
        more = FlvReader()
        more.receive(data)
        header, key_frame = more.receive(await anext(preview))[:2]
        assert (header.data, key_frame.data) == (taken[0].data, after[0].data)


async def test_one_of_a_stream_that_sends_nothing_ends_by_itself_one_day(autojump_clock: MockClock) -> None:
    on_air, entry = directory()
    began = trio.current_time()
    async with Preview(Previews(on_air, RejectCounters()), entry, always) as preview:
        assert [piece async for piece in preview] == []
    assert trio.current_time() - began >= MAX_SECONDS


async def test_what_needs_another_decoder_begins_another_preview(autojump_clock: MockClock) -> None:
    on_air, entry = directory()
    other: list[MediaPacket] = generate_stream(seconds=2, video_codec="hvc1", audio=False, start_timestamp=4000)
    async with Preview(Previews(on_air, RejectCounters()), entry, always) as preview:
        entry.meter.note([*STREAM, *other], 0.0)
        pieces = [piece async for piece in preview]
    assert [tag.data for tag in tags(b"".join(pieces))] == [p.data for p in STREAM if p.kind is MediaKind.VIDEO]


async def test_the_end_of_the_server_is_the_end_of_all(autojump_clock: MockClock) -> None:
    on_air, entry = directory()
    is_over = [False]
    of_server = Previews(on_air, RejectCounters(), lambda: is_over[0])
    async with Preview(of_server, entry, always) as preview, trio.open_nursery() as nursery:

        async def read_all() -> None:
            assert [piece async for piece in preview] == []

        nursery.start_soon(read_all)
        await wait_all_tasks_blocked()
        is_over[0] = True
    assert not of_server.has_room()


async def sign_in(h: Harness, secret: str) -> Mapping[str, str]:
    """The headers of a page that has signed in."""
    answer = await h.http.post("/ui/session", content=f'{{"token": "{secret}"}}', headers=OF_PAGE)
    assert answer.status == 200, answer
    return {**OF_PAGE, "cookie": answer.headers["set-cookie"].partition(";")[0]}


async def by_bearer(h: Harness, secret: str) -> Mapping[str, str]:
    return {"authorization": f"Bearer {secret}"}


OF_PAGE = {"sec-fetch-site": "same-origin"}
Opening = Callable[[Harness, str], Awaitable[Mapping[str, str]]]


def add_token(path: Path, name: str) -> str:
    secret, token = make_token(name, [Scope.parse("read")], "2026-01-01T00:00:00.000Z")
    with changed(path) as tokens:
        tokens.append(token)
    return secret


def revoke(path: Path, name: str) -> None:
    with changed(path) as tokens:
        tokens[:] = [token for token in tokens if token.name != name]


@pytest.mark.parametrize("opening", [sign_in, by_bearer])
async def test_a_preview_ends_with_the_token_that_it_was_opened_with_and_others_go_on(
    autojump_clock: MockClock, tmp_path: Path, opening: Opening
) -> None:
    path = tmp_path / "tokens.json"
    gone, kept = add_token(path, "gone"), add_token(path, "kept")
    async with Harness(WAIT_FOR_ALL + f"settings {{\n http_api_tokens_path {path}\n}}\n" + WITHOUT_WATCHERS) as h:
        publisher = await h.publish("live/key?token=t0ken")
        await publisher.send(TWO_GROUPS)
        h.http.headers["authorization"] = f"Bearer {kept}"
        [stream] = await listed(h, "streams")
        address = f"/ui/media/{stream['id']}/live.flv"
        del h.http.headers["authorization"]
        headers = await opening(h, gone)
        async with (
            h.http.stream("GET", address, headers=headers) as answer,
            h.http.stream("GET", address, headers=await opening(h, kept)) as other,
        ):
            assert (answer.status, other.status) == (200, 200)
            revoke(path, "gone")
            revoked_at = trio.current_time()
            assert [piece async for piece in answer] == []
            assert trio.current_time() - revoked_at <= CHECK_SECONDS + 2 * TICK_SECONDS
            await publisher.send([packet for packet in STREAM if packet.timestamp >= 2000])
            assert await read(other, 10)
        assert (await h.http.get(address, headers=headers)).status == 401
    h.assert_quiet()


async def test_what_was_queued_is_shown_to_nobody_whose_token_is_gone(autojump_clock: MockClock) -> None:
    on_air, entry = directory()
    may = [True]

    async def may_look() -> bool:
        return may[0]

    async with Preview(Previews(on_air, RejectCounters()), entry, may_look) as preview:
        entry.meter.note(TWO_GROUPS, 0.0)
        assert await anext(preview)
        entry.meter.note([packet for packet in STREAM if packet.timestamp >= 2000], 0.0)
        may[0] = False
        await trio.sleep(TICK_SECONDS)
        assert [piece async for piece in preview] == []


async def test_signing_out_ends_the_previews_of_that_sign_in_alone(autojump_clock: MockClock, tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    mine, other = add_token(path, "mine"), add_token(path, "other")
    async with Harness(WAIT_FOR_ALL + f"settings {{\n http_api_tokens_path {path}\n}}\n" + WITHOUT_WATCHERS) as h:
        publisher = await h.publish("live/key?token=t0ken")
        await publisher.send(TWO_GROUPS)
        headers, others = await sign_in(h, mine), await sign_in(h, other)
        [stream] = (await h.http.get("/ui/api/streams", headers=headers)).json()["streams"]
        address = f"/ui/media/{stream['id']}/live.flv"
        async with (
            h.http.stream("GET", address, headers=headers) as answer,
            h.http.stream("GET", address, headers=others) as going_on,
        ):
            assert (await h.http.delete("/ui/session", headers=headers)).status == 200
            signed_out_at = trio.current_time()
            assert [piece async for piece in answer] == []
            assert trio.current_time() == signed_out_at
            await publisher.send([packet for packet in STREAM if packet.timestamp >= 2000])
            assert await read(going_on, 10)
    h.assert_quiet()
