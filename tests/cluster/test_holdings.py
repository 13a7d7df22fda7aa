"""A key is one node's at a time, and only an entry of another node takes it away."""

import pytest
import trio
from structlog.typing import EventDict
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.cluster.claims import KeyElsewhere
from mmids_trio.cluster.directory import (
    ASK_SECONDS,
    RENEW_SECONDS,
    STREAM_TTL_SECONDS,
    RegistryAway,
    StreamKey,
)
from mmids_trio.cluster.holdings import Loss
from tests.support.cluster_nodes import cluster
from tests.support.directories import KEY
from tests.support.faulty_directory import Faults


async def test_a_second_publisher_of_a_key_is_refused_on_every_node(autojump_clock: MockClock) -> None:
    async with cluster() as ours:
        a, b = await ours.start("a"), await ours.start("b")
        claim = await a.publish()
        assert claim.epoch is not None
        with pytest.raises(KeyElsewhere, match="node 'a' has 'live/show'"):
            await b.publish()
        with pytest.raises(KeyElsewhere, match="this node has"):
            await a.publish()
        await trio.sleep(60)
        assert a.losses == []
        with pytest.raises(KeyElsewhere):
            await b.publish()
        assert ours.registry.look_up(KEY) is not None


async def test_a_released_key_is_free_for_others_at_once(autojump_clock: MockClock) -> None:
    async with cluster() as ours:
        a, b = await ours.start("a"), await ours.start("b")
        claim = await a.publish()
        first = claim.epoch
        claim.release()
        claim.release()
        await wait_all_tasks_blocked()
        second = (await b.publish()).epoch
        assert first is not None
        assert second is not None
        assert second > first
        await trio.sleep(60)
        assert a.losses == b.losses == []
        assert a.why == b.why == []


async def test_who_releases_a_key_and_claims_it_at_once_has_it(autojump_clock: MockClock) -> None:
    async with cluster() as ours:
        a = await ours.start("a", faults=Faults(slowest_s=0.4))
        for _ in range(5):
            claim = await a.publish()
            claim.release()
        await a.publish()
        await trio.sleep(10)
        assert a.losses == []
        assert ours.registry.look_up(KEY) is not None


async def test_the_key_of_a_node_that_died_is_free_after_its_entry_has_ended(autojump_clock: MockClock) -> None:
    async with cluster() as ours:
        a, b = await ours.start("a"), await ours.start("b")
        await a.publish()
        a.die()
        with pytest.raises(KeyElsewhere):
            await b.publish()
        await trio.sleep(STREAM_TTL_SECONDS)
        await b.publish()


async def test_a_node_that_starts_again_frees_at_once_what_its_earlier_life_has_left(
    autojump_clock: MockClock,
) -> None:
    async with cluster() as ours:
        a, b = await ours.start("a"), await ours.start("b")
        await a.publish()
        a.die()
        await ours.start("a")
        await wait_all_tasks_blocked()
        await b.publish()


async def test_a_node_that_stops_in_good_order_leaves_nothing_in_the_registry(autojump_clock: MockClock) -> None:
    async with cluster() as ours:
        a = await ours.start("a")
        for number in range(40):
            await a.publish(StreamKey("live", str(number)))
        assert len(ours.registry.streams()) == 40
        assert len(ours.registry.nodes()) == 1
    assert ours.registry.streams() == []
    assert ours.registry.nodes() == []


async def test_a_node_that_was_stopped_finds_out_that_its_key_is_anothers(
    autojump_clock: MockClock, logs: list[EventDict]
) -> None:
    async with cluster() as ours:
        a, b = await ours.start("a"), await ours.start("b")
        await a.publish()
        a.way.away_for(20)  # as with SIGSTOP: it asks nothing that arrives
        await trio.sleep(STREAM_TTL_SECONDS)
        await b.publish()
        assert a.losses == []
        await trio.sleep(20)
        assert a.losses == ["node 'b' has 'live/show' now"]
        assert b.losses == []
        assert a.why == [Loss.EXPIRED]
        assert [line["why"] for line in logs if line["log_level"] == "warning" and "why" in line] == ["expired"]
        assert (a.membership.holdings.outcomes["lost"], a.membership.holdings.outcomes["moved"]) == (1, 0)
        assert a.membership.held() == []


@pytest.mark.thorough
async def test_nothing_is_lost_while_the_registry_is_away(autojump_clock: MockClock) -> None:
    async with cluster() as ours:
        a = await ours.start("a")
        claim = await a.publish()
        before = claim.epoch
        ours.away_for(3600)
        await trio.sleep(3600)
        assert a.losses == []
        await trio.sleep(RENEW_SECONDS + 2 * ASK_SECONDS)
        assert ours.registry.look_up(KEY) is not None
        assert before is not None
        assert claim.epoch is not None
        assert claim.epoch > before


async def test_an_empty_registry_is_filled_again(autojump_clock: MockClock) -> None:
    async with cluster() as ours:
        a = await ours.start("a")
        claim = await a.publish()
        before = claim.epoch
        ours.registry.forget_everything()
        await trio.sleep(RENEW_SECONDS)
        await wait_all_tasks_blocked()
        entry = ours.registry.look_up(KEY)
        assert entry is not None
        assert before is not None
        assert entry.epoch == claim.epoch
        assert entry.epoch > before
        assert a.losses == []


async def test_new_keys_are_allowed_without_a_registry_unless_that_is_forbidden(autojump_clock: MockClock) -> None:
    async with cluster() as ours:
        a, b = await ours.start("a"), await ours.start("b", allows_on_failure=False)
        ours.away_for(10)
        claim = await a.publish()
        assert claim.epoch is None
        with pytest.raises(RegistryAway):
            await b.publish()
        await trio.sleep(10 + RENEW_SECONDS + ASK_SECONDS)
        assert claim.epoch is not None
        with pytest.raises(KeyElsewhere):
            await b.publish()


async def test_of_two_publishers_during_an_outage_one_stays_within_five_seconds_of_its_end(
    autojump_clock: MockClock,
) -> None:
    async with cluster() as ours:
        a, b = await ours.start("a"), await ours.start("b")
        ours.away_for(10)
        claims = [await a.publish(), await b.publish()]
        assert [claim.epoch for claim in claims] == [None, None]
        await trio.sleep(8)
        assert a.losses == b.losses == []
        await trio.sleep(5)
        assert len(a.losses) + len(b.losses) == 1
        assert a.why + b.why == [Loss.OUTAGE]
        assert len(a.membership.held()) + len(b.membership.held()) == 1


async def test_a_claim_that_is_cancelled_leaves_nothing_even_if_it_arrives(autojump_clock: MockClock) -> None:
    async with cluster() as ours:
        a, b = await ours.start("a", faults=Faults(answer_lost=1.0)), await ours.start("b")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(a.publish)
            await wait_all_tasks_blocked()
            assert ours.registry.look_up(KEY) is not None
            nursery.cancel_scope.cancel()
        a.way.faults = Faults()
        await wait_all_tasks_blocked()
        await b.publish()
        assert a.membership.held() == []


async def test_a_key_that_was_released_while_it_was_claimed_again_is_free(autojump_clock: MockClock) -> None:
    async with cluster() as ours:
        a = await ours.start("a")
        claim = await a.publish()
        ours.registry.forget_everything()
        a.way.faults = Faults(slowest_s=0.5)
        await trio.sleep(RENEW_SECONDS + 0.01)  # the renewal is on its way
        claim.release()
        a.way.faults = Faults()
        await trio.sleep(2)
        assert ours.registry.look_up(KEY) is None


@pytest.mark.thorough
async def test_ways_that_lose_much_do_not_take_keys_away(autojump_clock: MockClock) -> None:
    async with cluster() as ours:
        faults = Faults(lost=0.1, answer_lost=0.1, late=0.1, slowest_s=0.5)
        a = await ours.start("a", faults=faults)
        b = await ours.start("b", faults=faults)
        claims = [await a.publish(), await b.publish(StreamKey("live", "other"))]
        await trio.sleep(600)
        assert a.losses == b.losses == []
        assert all(claim.epoch is not None for claim in claims)


async def test_two_nodes_of_one_name_are_noticed(autojump_clock: MockClock, logs: list[EventDict]) -> None:
    async with cluster() as ours:
        await ours.start("a")
        await wait_all_tasks_blocked()
        await ours.start("a")
        await wait_all_tasks_blocked()
        assert [line["node"] for line in logs if "another node of this name" in line["event"]] == ["a"]


async def test_a_node_says_that_it_drains_and_what_it_serves(autojump_clock: MockClock) -> None:
    async with cluster() as ours:
        a = await ours.start("a")
        await wait_all_tasks_blocked()
        a.membership.describe(is_draining=True)
        a.membership.describe(revision=7)
        await wait_all_tasks_blocked()
        [entry] = ours.registry.nodes()
        assert entry.is_draining
        assert entry.revision == 7
        await trio.sleep(60)
        assert ours.registry.nodes() == [entry]


async def test_a_key_whose_publisher_is_gone_is_another_nodes_as_soon_as_one_comes_there(
    autojump_clock: MockClock, logs: list[EventDict]
) -> None:
    async with cluster() as ours:
        a, b = await ours.start("a"), await ours.start("b")
        former = await a.publish()
        former.show(is_interrupted=True)
        await wait_all_tasks_blocked()
        latter = await b.publish()
        assert former.epoch is not None
        assert latter.epoch is not None
        assert latter.epoch > former.epoch
        await trio.sleep(RENEW_SECONDS)
        await wait_all_tasks_blocked()
        assert a.losses == ["node 'b' has 'live/show' now"]
        assert a.why == [Loss.MOVED]
        assert (a.membership.holdings.outcomes["lost"], a.membership.holdings.outcomes["moved"]) == (0, 1)
        assert [line for line in logs if line["log_level"] == "warning"] == []
        with pytest.raises(KeyElsewhere):
            await a.publish()
        await trio.sleep(60)
        assert b.losses == []


async def test_a_key_whose_publisher_is_back_is_refused_to_others_again(autojump_clock: MockClock) -> None:
    async with cluster() as ours:
        a, b = await ours.start("a"), await ours.start("b")
        claim = await a.publish()
        for is_interrupted in (True, True, False, True, False, False):
            claim.show(is_interrupted=is_interrupted)
        await wait_all_tasks_blocked()
        with pytest.raises(KeyElsewhere):
            await b.publish()
        await trio.sleep(60)
        assert a.losses == []


@pytest.mark.parametrize("comes_elsewhere_after_s", [0.0, 0.1, 0.2, 0.3, 0.4])
async def test_of_a_publisher_that_is_back_and_one_that_comes_elsewhere_at_that_moment_one_stays(
    comes_elsewhere_after_s: float, autojump_clock: MockClock
) -> None:
    async with cluster(seed=round(comes_elsewhere_after_s * 10)) as ours:
        a = await ours.start("a", faults=Faults(slowest_s=0.4))
        b = await ours.start("b", faults=Faults(slowest_s=0.4))
        claim = await a.publish()
        claim.show(is_interrupted=True)
        await trio.sleep(5)
        claim.show(is_interrupted=False)
        await trio.sleep(comes_elsewhere_after_s)
        refused = 0
        try:
            await b.publish()
        except KeyElsewhere:
            refused = 1
        await trio.sleep(5)
        assert refused + len(a.losses) == 1
        assert a.why in ([], [Loss.RACED])
        assert b.losses == []
        assert len(a.membership.held()) + len(b.membership.held()) == 1


async def test_who_waits_for_a_publisher_claims_its_key_again_and_gives_way_as_before(
    autojump_clock: MockClock,
) -> None:
    async with cluster() as ours:
        a, b = await ours.start("a"), await ours.start("b")
        (await a.publish()).show(is_interrupted=True)
        ours.registry.forget_everything()
        await trio.sleep(RENEW_SECONDS)
        await wait_all_tasks_blocked()
        entry = ours.registry.look_up(KEY)
        assert entry is not None
        assert entry.is_interrupted
        await b.publish()


async def test_what_could_not_be_released_does_not_make_the_next_publisher_give_way(
    autojump_clock: MockClock,
) -> None:
    async with cluster() as ours:
        a, b = await ours.start("a"), await ours.start("b")
        claim = await a.publish()
        claim.show(is_interrupted=True)
        await wait_all_tasks_blocked()
        a.way.away_for(1)
        claim.release()
        await trio.sleep(2)
        entry = ours.registry.look_up(KEY)
        assert entry is not None
        assert entry.is_interrupted
        await a.publish()
        await wait_all_tasks_blocked()
        with pytest.raises(KeyElsewhere):
            await b.publish()
