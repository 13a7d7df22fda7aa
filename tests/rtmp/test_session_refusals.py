"""Clients that may not do what they ask for: the right code, in time to be read, and then the close."""

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.rtmp.protocol.client_connection import ClientConnection
from mmids_trio.testing.clients import ClientRefused, RtmpClient
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.recorder import Recorder

Closings = Callable[[], list[str]]

CONFIGURATION = """
workflow w {
    rtmp_receive rtmp_app=live stream_key=in allow_ips=127.0.0.1,10.0.0.0/8,2001:db8::/32
    record
    rtmp_watch rtmp_app=live stream_key=out deny_ips=192.0.2.0/24,2001:db8::/32
}
workflow open {
    rtmp_receive rtmp_app=open stream_key=*
    rtmp_watch rtmp_app=open stream_key=*
}
"""


def harness(recorder: Recorder | None = None) -> Harness:
    return Harness(CONFIGURATION, [(recorder or Recorder()).step_type()])


async def refusal(attempt: Awaitable[object]) -> tuple[str, str]:
    """Code and description."""
    with pytest.raises(ClientRefused) as caught:
        await attempt
    return caught.value.code, caught.value.description


async def assert_closed_soon(client: RtmpClient) -> None:
    began = trio.current_time()
    await client.read_until_closed()
    assert trio.current_time() - began <= 1


@pytest.mark.parametrize("app", ["Live", "", "live/room", "nothing"])
async def test_an_application_that_nobody_registered_is_refused_at_connect(
    app: str, autojump_clock: MockClock, closings: Closings
) -> None:
    async with harness() as h:
        client = RtmpClient(await h.open(), app)
        assert await refusal(client.connect()) == (
            "NetConnection.Connect.Rejected",
            f"Application '{app}' is not served on port 1935.",
        )
        await assert_closed_soon(client)
        assert closings() == [f"refused: Application '{app}' is not served on port 1935."]


async def test_a_key_that_nobody_registered_is_refused(autojump_clock: MockClock) -> None:
    async with harness() as h:
        publisher, watcher = await h.connect(), await h.connect()
        assert await refusal(publisher.publish("out")) == (
            "NetStream.Publish.BadName",
            "application 'live' has no stream key 'out' for publishers",
        )
        assert await refusal(watcher.watch("in")) == (
            "NetStream.Play.StreamNotFound",
            "application 'live' has no stream key 'in' for watchers",
        )
        await assert_closed_soon(publisher)
        await assert_closed_soon(watcher)


@pytest.mark.parametrize("key", ["in", "in?token=1"])
async def test_a_second_publisher_of_a_live_key_is_refused_and_the_first_goes_on(
    key: str, autojump_clock: MockClock, closings: Closings
) -> None:
    recorder = Recorder()
    packets = generate_stream(seconds=2)
    async with harness(recorder) as h:
        first = await h.publish("in", packets[:20])
        second = await h.connect()
        assert await refusal(second.publish(key)) == (
            "NetStream.Publish.BadName",
            "stream key 'in' is being published already",
        )
        await assert_closed_soon(second)
        await first.send(packets[20:])
        await wait_all_tasks_blocked()
        assert [packet.data for packet in recorder.packets] == [packet.data for packet in packets]
        assert closings() == ["refused: stream key 'in' is being published already"]


@pytest.mark.parametrize("host", ["127.0.0.1", "10.1.2.3", "2001:db8::7"])
async def test_a_publisher_from_an_allowed_address_is_let_in(host: str, autojump_clock: MockClock) -> None:
    async with harness() as h:
        await h.publish("in", peer_host=host)


@pytest.mark.parametrize("host", ["127.0.0.2", "11.0.0.1", "2001:db9::7", "::1"])
async def test_a_publisher_from_another_address_is_refused(host: str, autojump_clock: MockClock) -> None:
    async with harness() as h:
        client = await h.connect(peer_host=host)
        assert await refusal(client.publish("in")) == ("NetStream.Publish.Denied", f"{host} is not allowed here")
        await assert_closed_soon(client)
        await h.publish("in")  # the key is as free as before


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "2001:db9::7"])
async def test_a_watcher_from_an_address_that_is_not_denied_is_let_in(host: str, autojump_clock: MockClock) -> None:
    async with harness() as h:
        await h.watch("out", peer_host=host)


@pytest.mark.parametrize("host", ["192.0.2.9", "::ffff:192.0.2.9", "2001:db8::7"])
async def test_a_watcher_from_a_denied_address_is_refused(host: str, autojump_clock: MockClock) -> None:
    async with harness() as h:
        client = await h.connect(peer_host=host)
        assert await refusal(client.watch("out")) == ("NetStream.Play.Failed", f"{host} is not allowed here")
        await assert_closed_soon(client)


async def test_a_second_play_on_one_connection_is_refused(autojump_clock: MockClock) -> None:
    async with harness() as h:
        client = await h.watch("open/a")
        await client.command("play", None, "b", stream=2)
        await assert_closed_soon(client)
        assert client.statuses[-1] == "NetStream.Play.Failed"


async def test_a_refused_client_that_does_not_close_is_closed_after_a_second(autojump_clock: MockClock) -> None:
    async with harness() as h:
        client = await h.connect()
        await refusal(client.publish("out"))
        began = trio.current_time()
        await client.read_until_closed()
        assert trio.current_time() - began == pytest.approx(1)


async def test_a_refused_client_that_closes_is_let_go_at_once(autojump_clock: MockClock) -> None:
    async with harness() as h:
        client = await h.connect()
        await refusal(client.publish("out"))
        began = trio.current_time()
        client.close()
        await wait_all_tasks_blocked()
        await h.stop("w")
        await h.stop("open")
        assert trio.current_time() == began
        h.assert_quiet()


async def test_a_refused_client_that_reads_slowly_gets_its_answer_all_the_same(autojump_clock: MockClock) -> None:
    async with harness() as h:
        client = RtmpClient(await h.open(), "nothing")
        await client.flush()
        await client.read_some()  # the handshake
        await client.flush()
        await trio.sleep(0.9)
        assert (await refusal(client.connect()))[0] == "NetConnection.Connect.Rejected"


async def test_a_refused_client_may_go_on_sending_before_it_reads(autojump_clock: MockClock) -> None:
    async with harness() as h:
        client = await h.connect(peer_host="192.0.2.9")
        client.connection.play("out")
        await client.flush()
        await client.read_some()
        await client.flush()
        for _ in range(100):
            await client.transport.send_all(bytes(1000))
        await client.read_until_closed()
        assert client.statuses == ["NetStream.Play.Failed"]


@pytest.mark.parametrize("length", [1_000, 60_000])
async def test_a_name_without_end_is_cut_short_in_answer_and_log(
    length: int, autojump_clock: MockClock, closings: Closings
) -> None:
    name = "x" * length
    async with harness() as h:
        client = RtmpClient(await h.open(), name)
        client.connection = ClientConnection(bytes, name, "rtmp://server/")
        _, description = await refusal(client.connect())
        assert description == f"Application '{'x' * 100}…' is not served on port 1935."
        _, description = await refusal((await h.connect()).publish(name))
        assert description == f"application 'live' has no stream key '{'x' * 100}…' for publishers"
        assert all(len(reason) < 200 for reason in closings())


@pytest.mark.parametrize("app", ["live", "open"])
async def test_a_url_without_a_stream_key_is_refused_with_what_is_expected(app: str, autojump_clock: MockClock) -> None:
    async with harness() as h:
        for attempt, code in (
            (h.publish(f"{app}/"), "NetStream.Publish.BadName"),
            (h.watch(f"{app}/"), "NetStream.Play.StreamNotFound"),
            (h.publish(f"{app}/?token=x"), "NetStream.Publish.BadName"),
        ):
            told = await refusal(attempt)
            assert told == (code, "the URL has no stream key; expected rtmp://HOST/APPLICATION/KEY")
