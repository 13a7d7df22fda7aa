"""The moving pictures of the dashboard: which media comes, to whom, and what they may cost."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.http_api import previews
from mmids_trio.http_api.previews import MAX_QUEUED_BYTES, MAX_SECONDS, Preview, Previews
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
    async with Preview(of_server, entry) as shown:
        assert not of_server.has_room()
        assert rejections.raised() == {RejectReason.API_PREVIEWS.value: 1}
        async with Preview(of_server, entry) as late:
            assert [piece async for piece in late] == []
        entry.meter.note(TWO_GROUPS, 0.0)
        assert tags(await anext(shown))
    assert of_server.has_room()


async def test_who_takes_nothing_holds_no_more_than_its_bound_and_goes_on_at_a_key_frame(
    autojump_clock: MockClock,
) -> None:
    on_air, entry = directory()
    large = generate_stream(seconds=20, key_frame_bytes=400_000, frame_bytes=100_000, audio=False)
    async with Preview(Previews(on_air, RejectCounters()), entry) as preview:
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


async def test_one_lasts_no_longer_than_a_revoked_token_should(autojump_clock: MockClock) -> None:
    on_air, entry = directory()
    began = trio.current_time()
    async with Preview(Previews(on_air, RejectCounters()), entry) as preview:
        assert [piece async for piece in preview] == []
    assert trio.current_time() - began >= MAX_SECONDS


async def test_what_needs_another_decoder_begins_another_preview(autojump_clock: MockClock) -> None:
    on_air, entry = directory()
    other: list[MediaPacket] = generate_stream(seconds=2, video_codec="hvc1", audio=False, start_timestamp=4000)
    async with Preview(Previews(on_air, RejectCounters()), entry) as preview:
        entry.meter.note([*STREAM, *other], 0.0)
        pieces = [piece async for piece in preview]
    assert [tag.data for tag in tags(b"".join(pieces))] == [p.data for p in STREAM if p.kind is MediaKind.VIDEO]


async def test_the_end_of_the_server_is_the_end_of_all(autojump_clock: MockClock) -> None:
    on_air, entry = directory()
    is_over = [False]
    of_server = Previews(on_air, RejectCounters(), lambda: is_over[0])
    async with Preview(of_server, entry) as preview, trio.open_nursery() as nursery:

        async def read_all() -> None:
            assert [piece async for piece in preview] == []

        nursery.start_soon(read_all)
        await wait_all_tasks_blocked()
        is_over[0] = True
    assert not of_server.has_room()
