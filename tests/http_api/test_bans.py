"""Who is banned stays away: over RTMP and HTTP, while it waits for an approval, over a restart, until it is lifted."""

from pathlib import Path
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.on_air.bans import MAX_BANS
from mmids_trio.rejections import RejectReason
from mmids_trio.testing.cancellation import cancel_everywhere
from mmids_trio.testing.clients import RtmpClient
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.reactors import FakeReactorService, valid
from tests.support.commands import command as run
from tests.support.publishing import WAIT_FOR_ALL

STREAM = generate_stream(seconds=1)
SHOW = """
workflow show {
    rtmp_receive rtmp_app=live stream_key=* grace=30
    rtmp_watch rtmp_app=live stream_key=*
}
"""


async def listed(h: Harness, kind: str) -> list[Any]:
    found: list[Any] = (await h.http.get(f"/{kind}")).json()[kind]
    return found


async def refused(client: RtmpClient) -> bool:
    """Whether it is sent away."""
    with trio.move_on_after(5):
        await client.read_until_closed()
    return client.is_disconnected


async def asks(h: Harness, what: str, host: str) -> RtmpClient:
    """A client that has asked for `live/key` and has not read an answer."""
    client = await h.connect(peer_host=host)
    if what == "publish":
        client.connection.publish("key")
    else:
        client.connection.play("key")
    await client.flush()
    return client


@pytest.mark.thorough
async def test_a_banned_address_may_neither_publish_nor_watch_until_the_ban_is_over(autojump_clock: MockClock) -> None:
    async with Harness(WAIT_FOR_ALL + SHOW) as h:
        await h.publish("key", STREAM, peer_host="192.0.2.1")
        watcher = await h.watch("key", peer_host="2001:db8::7")
        [_, shown] = await listed(h, "clients")
        answer = await h.http.delete(f"/clients/{shown['id']}?ban=60")
        assert answer.status == 201
        ban = answer.json()
        assert (ban["kind"], ban["address"], ban["seconds_left"]) == ("address", "2001:db8::/64", 60.0)
        assert await refused(watcher)
        for what in ("publish", "watch"):
            assert await refused(await asks(h, what, "2001:db8::99"))
        assert h.server.rejections[RejectReason.BANNED.value] == 2
        assert not await refused(await asks(h, "watch", "192.0.2.7"))
        assert [each["id"] for each in await listed(h, "bans")] == [ban["id"]]


async def test_a_banned_stream_ends_in_spite_of_grace_and_may_be_watched_and_not_published(
    autojump_clock: MockClock,
) -> None:
    async with Harness(WAIT_FOR_ALL + SHOW) as h:
        publisher = await h.publish("key", STREAM, peer_host="192.0.2.1")
        publisher.close()
        await wait_all_tasks_blocked()
        [stream] = await listed(h, "streams")
        assert stream["state"] == "interrupted"
        answer = await h.http.delete(f"/streams/{stream['id']}?ban=60")
        assert (answer.status, answer.json()["app"], answer.json()["name"]) == (201, "live", "key")
        assert await listed(h, "streams") == []
        assert await refused(await asks(h, "publish", "192.0.2.2"))
        assert not await refused(await asks(h, "watch", "192.0.2.1"))
        await h.publish("other", peer_host="192.0.2.1")
        assert (await h.http.delete(f"/bans/{answer.json()['id']}")).status == 200
        await h.publish("key", peer_host="192.0.2.2")


@pytest.mark.parametrize("what", ["publish", "watch"])
async def test_who_waits_for_an_approval_when_it_is_banned_is_not_let_in(what: str, autojump_clock: MockClock) -> None:
    service = FakeReactorService(otherwise=valid(), seconds=5)
    guarded = SHOW.replace("rtmp_receive", "rtmp_receive reactor=r").replace("rtmp_watch", "rtmp_watch reactor=r")
    text = WAIT_FOR_ALL + "reactor r executor=scripted {\n}\n" + guarded
    async with Harness(text, more_executors=[service.kind()]) as h:
        client = await asks(h, what, "192.0.2.1")
        await wait_all_tasks_blocked()
        h.server.on_air.bans.ban_address("192.0.2.1", 60)
        assert await refused(client)
        assert await listed(h, "clients") == await listed(h, "streams") == []
    h.assert_quiet()


@pytest.mark.parametrize("query", ["?ban=0", "?ban=x", "?ban=31622401", "?bann=1"])
async def test_a_query_that_makes_no_sense_sends_nobody_away(query: str, autojump_clock: MockClock) -> None:
    async with Harness(WAIT_FOR_ALL + SHOW) as h:
        await h.publish("key", STREAM)
        for kind in ("clients", "streams"):
            [one] = await listed(h, kind)
            assert (await h.http.delete(f"/{kind}/{one['id']}{query}")).status == 400
            assert len(await listed(h, kind)) == 1


@pytest.mark.thorough
async def test_one_ban_too_many_sends_nobody_away(autojump_clock: MockClock) -> None:
    async with Harness(WAIT_FOR_ALL + SHOW) as h:
        await h.publish("key", STREAM)
        for number in range(MAX_BANS):
            h.server.on_air.bans.ban_stream("live", f"banned {number}", 60)
        [client] = await listed(h, "clients")
        assert (await h.http.delete(f"/clients/{client['id']}?ban=60")).status == 409
        assert await listed(h, "clients") == [client]
        assert len(await listed(h, "bans")) == MAX_BANS


async def test_bans_survive_a_restart(autojump_clock: MockClock, tmp_path: Path) -> None:
    text = f"settings {{\n state_path {tmp_path / 'state'}\n}}\n{SHOW}"
    async with Harness(WAIT_FOR_ALL + text) as h:
        await h.watch("key", peer_host="192.0.2.7")
        [client] = await listed(h, "clients")
        ban = (await h.http.delete(f"/clients/{client['id']}?ban=9999999")).json()
        assert ban["id"] in (tmp_path / "state.bans").read_text()
        assert (tmp_path / "state.bans").stat().st_mode & 0o777 == 0o600
    async with Harness(WAIT_FOR_ALL + text) as h:
        assert [each["id"] for each in await listed(h, "bans")] == [ban["id"]]
        assert await refused(await asks(h, "watch", "192.0.2.7"))
        assert (await h.http.delete(f"/bans/{ban['id']}")).status == 200
        assert (await h.http.delete(f"/bans/{ban['id']}")).status == 404
    async with Harness(WAIT_FOR_ALL + text) as h:
        assert await listed(h, "bans") == []


@pytest.mark.thorough
async def test_a_request_that_is_cancelled_anywhere_has_banned_and_ended_or_neither(autojump_clock: MockClock) -> None:
    outcomes = set[tuple[bool, bool]]()

    async with Harness(WAIT_FOR_ALL + SHOW) as h:
        on_air = h.server.on_air

        async def go() -> None:
            with trio.CancelScope(shield=True):
                publisher = await h.publish("key", STREAM)
                [stream] = await listed(h, "streams")
            try:
                await h.http.delete(f"/streams/{stream['id']}?ban=60")
            finally:
                with trio.CancelScope(shield=True):
                    await wait_all_tasks_blocked()
                    ban = on_air.bans.of_stream("live", "key")
                    outcomes.add((ban is not None, on_air.stream(stream["id"]) is None))
                    on_air.bans.lift("" if ban is None else ban.id)
                    publisher.close()
                    await trio.sleep(60)

        assert await cancel_everywhere(go, lambda: None) > 5
    h.assert_quiet()
    assert outcomes == {(False, False), (True, True)}


async def test_the_command_bans_lists_and_lifts() -> None:
    """By the real clock: a command has a thread, for which a mock clock does not wait."""
    with capture_logs():
        async with Harness(WAIT_FOR_ALL + SHOW) as h:
            await h.publish("key", STREAM[:9], peer_host="192.0.2.1")
            [client], [stream] = await listed(h, "clients"), await listed(h, "streams")
            banned = await run(h.http, "ban", client["id"], "--for", "120")
            assert (banned.status, banned.out, banned.err) == (
                0,
                f"client {client['id']} is sent away and banned for 120 s\n",
                "",
            )
            missing = await run(h.http, "ban", stream["id"])
            assert (missing.status, f"there is no stream or client {stream['id']}" in missing.err) == (1, True)
            listing = await run(h.http, "ban", "--json")
            [ban] = listing.document
            assert "192.0.2.1" in (await run(h.http, "ban")).out
            lifted = await run(h.http, "ban", "--lift", ban["id"])
            assert (lifted.status, lifted.out) == (0, f"ban {ban['id']} is lifted\n")
            assert (await run(h.http, "ban")).out == "Nobody is banned\n"
            assert (await run(h.http, "ban", "--lift", ban["id"])).status == 1
