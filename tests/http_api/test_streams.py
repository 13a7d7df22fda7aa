"""Who is on the air, as an operator sees it over the API and with the commands, and how they are sent away."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from attrs import define, evolve
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.http_api.routes.streams import OBJECTS_PER_SLICE
from mmids_trio.on_air.directory import OnAir
from mmids_trio.testing.clients import RtmpClient
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from tests.support.commands import command as run
from tests.support.publishing import WAIT_FOR_ALL
from tests.support.rtmp import PLAIN_HANDSHAKE, command, connect

RECEIVE = "rtmp_receive rtmp_app=live stream_key=* grace=5"
WATCH = "rtmp_watch rtmp_app=live stream_key=*"
SHOW = f"workflow show {{\n {RECEIVE}\n {WATCH}\n}}\n"
STREAM = generate_stream(seconds=4)


async def listed(h: Harness, kind: str, query: str = "") -> list[Any]:
    """All of one page, which has to be the only one."""
    answer = await h.http.get(f"/{kind}{query}")
    assert answer.status == 200, answer
    assert answer.json()["next"] is None
    found: list[Any] = answer.json()[kind]
    return found


async def send_in_time(publisher: RtmpClient) -> None:
    """Packet by packet, as an encoder does."""
    began = trio.current_time()
    for packet in STREAM:
        await trio.sleep_until(began + packet.timestamp / 1000)
        await publisher.send([packet])


@define(eq=False)
class Turns(trio.abc.Instrument):
    """How many clients were shown in one turn of a task."""

    shown: int = 0
    most: int = 0

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """See `trio.abc.Instrument`."""
        self.most, self.shown = max(self.most, self.shown), 0


@asynccontextmanager
async def on_air(text: str = SHOW) -> AsyncIterator[tuple[Harness, RtmpClient, list[RtmpClient]]]:
    """A publisher that has sent four seconds of media, and two watchers that have read it."""
    async with Harness(WAIT_FOR_ALL + text) as h, trio.open_nursery() as nursery:
        publisher = await h.publish("live/key", peer_host="192.0.2.1", peer_port=4001)
        watchers = [await h.watch("live/key", peer_host=host) for host in ("192.0.2.7", "2001:db8::7")]
        for client in watchers:
            nursery.start_soon(client.read_until_closed)
        with capture_logs():
            await send_in_time(publisher)
        await wait_all_tasks_blocked()
        yield h, publisher, watchers
        nursery.cancel_scope.cancel()
    h.assert_quiet()


@pytest.mark.thorough
async def test_a_stream_says_who_sends_what(autojump_clock: MockClock) -> None:
    async with on_air() as (h, _, _):
        [stream] = await listed(h, "streams")
        assert (stream["name"], stream["workflow"], stream["state"]) == ("key", "show", "live")
        assert stream["bytes"] == sum(len(packet.data) for packet in STREAM)
        assert (stream["watchers"], stream["made_from"], stream["clocks_set"]) == (2, None, 0)
        source = stream["source"]
        assert (source["protocol"], source["address"], source["port"]) == ("rtmp", "192.0.2.1", 4001)
        video, audio = stream["tracks"]
        assert (video["kind"], video["codec"], video["profile"], video["level"]) == ("video", "avc1", 66, 31)
        assert (video["frame_rate"], video["key_frame_interval_ms"]) == (pytest.approx(25, rel=0.03), 1000)
        assert video["bitrate_10s"] == pytest.approx(8 * (24 * 400 + 2000), rel=0.05)
        assert (audio["codec"], audio["sample_rate"], audio["channels"]) == ("mp4a", 44_100, 2)
        assert (await h.http.get(f"/streams/{stream['id']}")).json() == stream


@pytest.mark.thorough
async def test_clients_say_whose_they_are_and_how_far_behind(autojump_clock: MockClock) -> None:
    async with on_air() as (h, _, _):
        [stream] = await listed(h, "streams")
        clients = await listed(h, "clients")
        assert [(c["role"], c["address"], c["state"]) for c in clients] == [
            ("publisher", "192.0.2.1", "publishing"),
            ("watcher", "192.0.2.7", "watching"),
            ("watcher", "2001:db8::7", "watching"),
        ]
        assert clients[0]["id"] == stream["source"]["client"]
        assert clients[0]["bytes"] == stream["bytes"] <= clients[1]["bytes"]
        assert {c["stream"] for c in clients} == {stream["id"]}
        assert {(c["lag_ms"], c["lag_bytes"], c["skips"]) for c in clients} == {(0, 0, 0)}
        ids = [c["id"] for c in clients] + [stream["id"]]
        assert len(set(ids)) == 4
        assert all(len(one) <= 32 and one.replace("-", "").isalnum() for one in ids)


async def test_a_watcher_that_reads_nothing_is_behind_by_what_it_has_not_been_sent(autojump_clock: MockClock) -> None:
    async with Harness(WAIT_FOR_ALL + SHOW) as h:
        publisher = await h.publish("live/key")
        await h.watch("live/key")
        large = [evolve(packet, data=packet.data + bytes(20_000)) for packet in STREAM if packet.kind.value == "video"]
        began = trio.current_time()
        for packet in large:
            await trio.sleep_until(began + packet.timestamp / 1000)
            await publisher.send([packet])
        await wait_all_tasks_blocked()
        [_, watcher] = await listed(h, "clients")
        total = sum(len(packet.data) for packet in large)
        sent = watcher["bytes"]
        assert watcher["lag_bytes"] + sent == pytest.approx(total, rel=0.05)
        assert watcher["lag_ms"] == pytest.approx(4000 * watcher["lag_bytes"] / total, abs=100)
        assert watcher["lag_ms"] > 1000


async def test_a_watcher_without_a_stream_waits(autojump_clock: MockClock) -> None:
    async with Harness(WAIT_FOR_ALL + SHOW) as h:
        await h.watch("live/key?token=secret")
        [watcher] = await listed(h, "clients")
        assert (watcher["state"], watcher["stream"], watcher["name"]) == ("waiting", None, "key")


@pytest.mark.thorough
async def test_filters_leave_only_those_that_are_asked_for(autojump_clock: MockClock) -> None:
    other = "workflow other {\n rtmp_receive rtmp_app=other stream_key=*\n}\n"
    async with on_air(SHOW + other) as (h, _, _):
        await h.publish("other/else", STREAM[:2], peer_host="192.0.2.7")
        await wait_all_tasks_blocked()
        [show, else_] = await listed(h, "streams")
        assert await listed(h, "streams", "?workflow=other") == [else_]
        assert [s["id"] for s in await listed(h, "streams", "?state=live")] == [show["id"], else_["id"]]
        assert await listed(h, "streams", "?state=stalled") == []
        assert [c["role"] for c in await listed(h, "clients", "?workflow=other")] == ["publisher"]
        for address in ("192.0.2.7", "::ffff:192.0.2.7", "192.0.2.7/32"):
            assert [c["name"] for c in await listed(h, "clients", f"?address={address}")] == ["key", "else"], address
        for address in ("2001:db8::7", "2001:DB8:0::0007", "2001:db8::/64"):
            assert [c["address"] for c in await listed(h, "clients", f"?address={address}")] == ["2001:db8::7"], address
        for address in ("", "nowhere", "192.0.2.8", "192.0.2.7,2001:db8::7"):
            assert await listed(h, "clients", f"?address={address}") == [], address
        assert len(await listed(h, "clients", f"?stream={show['id']}")) == 3


@pytest.mark.thorough
async def test_pages_show_everybody_once_also_where_the_last_of_one_has_left(autojump_clock: MockClock) -> None:
    async with on_air() as (h, _, _):
        first = (await h.http.get("/clients?limit=2")).json()
        assert [c["role"] for c in first["clients"]] == ["publisher", "watcher"]
        assert (await h.http.delete(f"/clients/{first['next']}")).status == 200
        await wait_all_tasks_blocked()
        rest = (await h.http.get(f"/clients?limit=2&after={first['next']}")).json()
        assert [c["address"] for c in rest["clients"]] == ["2001:db8::7"]
        assert rest["next"] is None


@pytest.mark.parametrize(
    "path",
    ["/streams?limit=0", "/streams?limit=1001", "/clients?limit=x", "/streams?state=odd"],
)
async def test_a_query_that_makes_no_sense_is_refused(path: str, autojump_clock: MockClock) -> None:
    async with Harness(WAIT_FOR_ALL + SHOW) as h:
        assert (await h.http.get(path)).status == 400


async def test_an_unknown_id_is_not_found(autojump_clock: MockClock) -> None:
    async with Harness(WAIT_FOR_ALL + SHOW) as h:
        for path in ("/streams/s-1-1", "/clients/c-1-1"):
            assert (await h.http.delete(path)).status == 404
        for path in ("/streams/s-1-1", "/clients?after=s-00-1", "/streams?after="):
            assert (await h.http.get(path)).status == 404


async def test_a_page_does_not_begin_behind_who_has_not_come_yet(autojump_clock: MockClock) -> None:
    async with on_air() as (h, _, _):
        [*_, last] = await listed(h, "clients")
        kind, nonce, number = last["id"].split("-")
        assert (await h.http.get(f"/clients?after={last['id']}")).json() == {"clients": [], "next": None}
        for never in (0, int(number) + 1, 10**18 - 1):
            for path in ("clients", "streams"):
                assert (await h.http.get(f"/{path}?after={kind}-{nonce}-{never}")).status == 404


@pytest.mark.thorough
async def test_a_kicked_watcher_leaves_and_nobody_else(autojump_clock: MockClock) -> None:
    async with on_air() as (h, publisher, watchers):
        [_, _, last] = await listed(h, "clients")
        assert (await h.http.delete(f"/clients/{last['id']}")).status == 200
        await wait_all_tasks_blocked()
        assert [client.is_disconnected for client in (publisher, *watchers)] == [False, False, True]
        assert len(await listed(h, "clients")) == 2
        assert (await h.http.delete(f"/clients/{last['id']}")).status == 404


@pytest.mark.thorough
@pytest.mark.parametrize("what", ["streams", "clients"])
async def test_who_is_sent_away_has_no_grace(what: str, autojump_clock: MockClock) -> None:
    async with on_air() as (h, publisher, watchers):
        [first, *_] = await listed(h, what)
        assert (await h.http.delete(f"/{what}/{first['id']}")).status == 200
        assert await listed(h, "streams") == []
        await publisher.read_until_closed()
        assert {(c["state"], c["stream"]) for c in await listed(h, "clients")} == {("waiting", None)}
        assert not any(watcher.is_disconnected for watcher in watchers)


async def test_all_that_a_kicked_connection_publishes_ends(autojump_clock: MockClock) -> None:
    async with Harness(WAIT_FOR_ALL + SHOW) as h:
        transport = await h.open()
        created = (command("createStream", number, None) for number in (2, 3))
        published = (command("publish", 4, None, key, stream=stream) for stream, key in ((1, "one"), (2, "two")))
        await transport.send_all(b"".join([PLAIN_HANDSHAKE, connect(), *created, *published]))
        await wait_all_tasks_blocked()
        streams = await listed(h, "streams")
        assert {stream["name"] for stream in streams} == {"one", "two"}
        assert (await h.http.delete(f"/streams/{streams[0]['id']}")).status == 200
        assert await listed(h, "streams") == []


@pytest.mark.thorough
async def test_an_interrupted_stream_says_how_long_and_can_be_ended(autojump_clock: MockClock) -> None:
    async with on_air() as (h, publisher, _):
        publisher.close()
        await trio.sleep(2)
        [stream] = await listed(h, "streams", "?state=interrupted")
        assert (stream["seconds_left"], stream["source"]["client"]) == (3.0, None)
        assert stream["source"]["address"] == "192.0.2.1"
        assert (await h.http.delete(f"/streams/{stream['id']}")).status == 200
        assert await listed(h, "streams") == []


@pytest.mark.thorough
async def test_a_publisher_that_comes_back_has_the_same_stream(autojump_clock: MockClock) -> None:
    async with on_air() as (h, publisher, _):
        [before] = await listed(h, "streams")
        publisher.close()
        await trio.sleep(1)
        await h.publish("live/key", STREAM[:9], peer_host="192.0.2.2")
        await wait_all_tasks_blocked()
        [after] = await listed(h, "streams")
        assert (after["id"], after["source"]["address"]) == (before["id"], "192.0.2.2")


@pytest.mark.thorough
async def test_a_put_keeps_ids(autojump_clock: MockClock) -> None:
    async with on_air() as (h, _, _):
        before = [[item["id"] for item in await listed(h, kind)] for kind in ("streams", "clients")]
        more = SHOW.replace(WATCH, f"{WATCH}\n rtmp_watch rtmp_app=more stream_key=*")
        assert (await h.http.put("/workflows?wait=10", content=more)).status == 200
        assert [[item["id"] for item in await listed(h, kind)] for kind in ("streams", "clients")] == before


@pytest.mark.thorough
async def test_a_put_that_stops_them_forgets_them(autojump_clock: MockClock) -> None:
    async with on_air() as (h, _, _):
        assert (await h.http.delete("/workflows/show")).status == 200
        assert [await listed(h, kind) for kind in ("streams", "clients")] == [[], []]


async def test_no_token_and_no_query_is_shown_and_long_names_are_shortened(autojump_clock: MockClock) -> None:
    guarded = SHOW.replace("grace=5", "grace=5 publish_token=letmein")
    async with Harness(WAIT_FOR_ALL + guarded) as h:
        await h.publish("live/" + "k" * 500 + "?token=letmein&user=zoe", STREAM[:9])
        await wait_all_tasks_blocked()
        texts = [(await h.http.get(path)).text for path in ("/streams", "/clients")]
        [stream] = await listed(h, "streams")
        assert stream["name"] == "k" * 100 + "…"
        assert not any(word in text for word in ("letmein", "zoe", "token=") for text in texts)
        assert stream["source"]["token"] == (await listed(h, "clients"))[0]["token"] == "publish_token"


@pytest.mark.thorough
async def test_others_have_a_turn_after_each_slice(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    turns, view_of = Turns(), OnAir.view_of

    def counted(*arguments: Any) -> Any:
        turns.shown += 1
        return view_of(*arguments)

    async with Harness("settings {\n max_connections_per_ip 1000\n}\n" + SHOW) as h:
        for _ in range(3 * OBJECTS_PER_SLICE):
            await h.watch("live/key")
        monkeypatch.setattr(OnAir, "view_of", counted)
        trio.lowlevel.add_instrument(turns)
        assert len(await listed(h, "clients")) == 3 * OBJECTS_PER_SLICE
        trio.lowlevel.remove_instrument(turns)
    assert turns.most == OBJECTS_PER_SLICE


async def test_the_commands_show_and_kick() -> None:
    """By the real clock: a command has a thread, for which a mock clock does not wait."""
    with capture_logs():
        async with Harness(WAIT_FOR_ALL + SHOW) as h:
            publisher = await h.publish("live/key", STREAM[:9], peer_host="192.0.2.1", peer_port=4001)
            watcher_here = await h.watch("live/key", peer_host="2001:db8::7")
            await h.watch("live/key")
            shown = await run(h.http, "streams")
            assert shown.status == 0, shown
            heading, line = shown.out.splitlines()
            assert heading.split() == [
                "ID",
                "NAME",
                "WORKFLOW",
                "STATE",
                "SOURCE",
                "VIDEO",
                "AUDIO",
                "KBIT/S",
                "WATCHERS",
            ]
            assert "rtmp 192.0.2.1:4001" in line
            assert "avc1" in line
            listing = await run(h.http, "clients", "--address", "2001:db8::7", "--json")
            [watcher] = listing.document
            assert (await run(h.http, "clients")).out.count("watcher") == 2
            kicked = await run(h.http, "kick", watcher["id"])
            assert (kicked.status, kicked.out) == (0, f"client {watcher['id']} is sent away\n")
            await watcher_here.read_until_closed()
            missing = await run(h.http, "kick", watcher["id"], watcher["stream"])
            assert missing.status == 1
            assert f"there is no stream or client {watcher['id']}" in missing.err
            await publisher.read_until_closed()
            assert (await run(h.http, "streams")).out == "No streams are on the air\n"
