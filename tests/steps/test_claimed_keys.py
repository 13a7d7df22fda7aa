"""Publishers of a cluster: a key is one node's, and whoever has lost it lets its publisher go."""

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock

from mmids_trio.cluster.directory import Incarnation, StreamKey
from mmids_trio.errors import ConfigurationError
from mmids_trio.rejections import RejectReason
from mmids_trio.server.building import World
from mmids_trio.testing.clients import ClientRefused
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.workflow.events import StreamInterrupted, StreamWentOff
from tests.support.edge_nodes import is_monotonic, running
from tests.support.fake_claims import FakeClaims, FakeCluster
from tests.support.publishing import WAIT_FOR_ALL
from tests.support.waiting import eventually

KEY = StreamKey("live", "key")
OTHER = Incarnation("other", "7")
FRAMES = generate_stream(seconds=1)


def harness(claims: FakeClaims, options: str = "", more: str = "") -> Harness:
    """A server of the cluster."""

    def in_world(world: World) -> World:
        return evolve(world, claims=claims)

    text = f"{WAIT_FOR_ALL}workflow w {{\nrtmp_receive rtmp_app=live stream_key=* cluster {options}\n}}\n{more}"
    return Harness(text, in_world=in_world)


async def refused(h: Harness, address: str = "live/key", port: int = 1935) -> str:
    """What a publisher is told that may not."""
    with pytest.raises(ClientRefused) as refusal:
        await h.publish(address, FRAMES, port=port)
    return str(refusal.value)


async def test_a_publisher_has_its_key_until_it_says_goodbye(autojump_clock: MockClock) -> None:
    cluster = FakeCluster()
    async with harness(cluster.node("a")) as h:
        publisher = await h.publish("live/key", FRAMES)
        assert cluster.present[KEY].owner.node == "a"
        await publisher.unpublish()
        await h.wait_event(StreamWentOff, since=0)
        assert cluster.present == {}


async def test_a_publisher_of_a_key_that_another_node_has_is_told_so_and_counted(autojump_clock: MockClock) -> None:
    cluster = FakeCluster()
    cluster.put(KEY, OTHER, "rtmp://192.0.2.9:1935")
    async with harness(cluster.node("a")) as h:
        assert "at another node" in await refused(h)
        await h.publish("live/free", FRAMES)
        assert h.server.rejections.raised() == {RejectReason.KEY_ELSEWHERE.value: 1}
    assert cluster.present.keys() == {KEY}


async def test_where_nobody_can_be_asked_and_that_matters_a_publisher_is_refused(autojump_clock: MockClock) -> None:
    cluster = FakeCluster(is_away=True)
    async with harness(cluster.node("a")) as h:
        assert "registry" in await refused(h)
        assert h.server.rejections.raised() == {RejectReason.REGISTRY_AWAY.value: 1}
        cluster.is_away = False
        await h.publish("live/key", FRAMES)


async def test_who_has_lost_the_key_is_sent_away_and_its_stream_ends(autojump_clock: MockClock) -> None:
    cluster = FakeCluster()
    async with harness(cluster.node("a")) as h:
        publisher = await h.publish("live/key", FRAMES)
        cluster.put(KEY, OTHER, "rtmp://192.0.2.9:1935")
        await publisher.read_until_closed()
        await h.wait_event(StreamWentOff, since=0)
        assert h.server.rejections.raised() == {RejectReason.KEY_LOST.value: 1}
    assert cluster.present[KEY].owner == OTHER  # the loser has released nothing of the winner's


async def test_a_publisher_that_vanishes_keeps_its_key_for_30_seconds(autojump_clock: MockClock) -> None:
    cluster = FakeCluster()
    async with harness(cluster.node("a")) as h:
        publisher = await h.publish("live/key", FRAMES)
        publisher.transport.close()
        interrupted = await h.wait_event(StreamInterrupted, since=0)
        assert interrupted.seconds == 30
        assert KEY in cluster.present
        await h.publish("live/key", FRAMES)  # back, and with the same claim
        assert cluster.present[KEY].epoch == 1


async def test_a_stream_that_nobody_comes_back_to_lets_its_key_go(autojump_clock: MockClock) -> None:
    cluster = FakeCluster()
    async with harness(cluster.node("a"), "grace=5") as h:
        publisher = await h.publish("live/key", FRAMES)
        publisher.transport.close()
        began = trio.current_time()
        await h.wait_event(StreamWentOff, since=0)
        assert trio.current_time() - began == pytest.approx(5, abs=0.5)
        assert cluster.present == {}


async def test_a_key_that_is_lost_while_nobody_publishes_it_ends_the_stream(autojump_clock: MockClock) -> None:
    cluster = FakeCluster()
    async with harness(cluster.node("a")) as h:
        (await h.publish("live/key", FRAMES)).transport.close()
        await h.wait_event(StreamInterrupted, since=0)
        cluster.put(KEY, OTHER, "rtmp://192.0.2.9:1935")
        began = trio.current_time()
        await h.wait_event(StreamWentOff, since=0)
        assert trio.current_time() == began
        assert h.server.rejections.raised() == {}


async def test_an_encoder_that_comes_back_at_another_node_is_taken_there(autojump_clock: MockClock) -> None:
    async with running("ab") as nodes:
        watcher = await nodes["a"].watch()
        former = await nodes["a"].publish(packets=FRAMES)
        await watcher.receive(len(FRAMES))
        with pytest.raises(ClientRefused, match="at another node"):
            await nodes["b"].publish()
        former.transport.close()
        await nodes["a"].harness.wait_event(StreamInterrupted, since=0)
        latter = await nodes["b"].publish()
        await nodes["a"].harness.wait_event(StreamWentOff, since=0)
        await eventually(lambda: nodes["b"].pulls == 1, "a pull for the watcher")
        await latter.send(FRAMES)
        await watcher.receive(2 * len(FRAMES))
        assert is_monotonic(watcher.packets)
        with pytest.raises(ClientRefused, match="at another node"):
            await nodes["a"].publish()


async def test_an_encoder_that_comes_back_at_its_node_has_its_key_for_itself(autojump_clock: MockClock) -> None:
    async with running("ab") as nodes:
        (await nodes["a"].publish(packets=FRAMES)).transport.close()
        await nodes["a"].harness.wait_event(StreamInterrupted, since=0)
        await nodes["a"].publish(packets=FRAMES)
        with pytest.raises(ClientRefused, match="at another node"):
            await nodes["b"].publish()


async def test_a_key_is_one_steps_of_a_node(autojump_clock: MockClock) -> None:
    cluster = FakeCluster()
    other = "workflow other {\nrtmp_receive rtmp_app=live stream_key=* port=1936 cluster\n}\n"
    async with harness(cluster.node("a"), more=other) as h:
        await h.publish("live/key", FRAMES)
        assert "is being published already" in await refused(h, port=1936)
    assert cluster.present == {}


async def test_a_takeover_goes_on_with_the_claim_that_there_is(autojump_clock: MockClock) -> None:
    cluster = FakeCluster()
    async with harness(cluster.node("a"), "on_busy=takeover") as h:
        first = await h.publish("live/key", FRAMES)
        second = await h.publish("live/key", FRAMES)
        await first.read_until_closed()
        assert cluster.present[KEY].epoch == 1
        cluster.put(KEY, OTHER, "rtmp://192.0.2.9:1935")
        await second.read_until_closed()


async def test_a_step_without_the_flag_claims_nothing(autojump_clock: MockClock) -> None:
    cluster = FakeCluster()
    cluster.put(KEY, OTHER, "rtmp://192.0.2.9:1935")
    plain = "workflow plain {\nrtmp_receive rtmp_app=live stream_key=* port=1936\n}\n"
    async with harness(cluster.node("a"), more=plain) as h:
        await h.publish("live/key", FRAMES, port=1936)
    assert cluster.present[KEY].owner == OTHER


@pytest.mark.parametrize("step", ["rtmp_receive rtmp_app=live", "rtmp_watch rtmp_app=live", "http_watch app=live"])
def test_a_step_can_only_take_part_in_a_cluster_that_there_is(step: str) -> None:
    with pytest.raises(ConfigurationError, match="'cluster' needs a cluster, and the configuration has none"):
        Harness(f"workflow w {{\n{step} stream_key=* cluster\n}}\n")
