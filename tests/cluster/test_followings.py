"""Who follows a key knows who has it, by the highest epoch, and takes no loss of a registry for a stream's end."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.cluster.contact import UNSETTLED_SECONDS
from mmids_trio.cluster.directory import RENEW_SECONDS, STREAM_TTL_SECONDS, StreamEntry
from mmids_trio.cluster.followings import Known, judge
from mmids_trio.cluster.hints import Hints
from tests.support.cluster_nodes import Cluster, Node, cluster
from tests.support.directories import KEY, A, B, wanted


async def follow(node: Node) -> list[tuple[str | None, bool]]:
    """What is told about the key, each time that it changes."""
    told: list[tuple[str | None, bool]] = []

    def note() -> None:
        entry = following.entry
        told.append((None if entry is None else entry.owner.node, following.is_present))

    following = node.membership.follow(KEY, note)
    await following.wait_looked_up()
    return told


async def two(ours: Cluster) -> tuple[Node, Node]:
    return await ours.start("a"), await ours.start("b")


async def test_who_follows_hears_of_the_owner_at_once_and_of_its_end(autojump_clock: MockClock) -> None:
    async with cluster() as ours:
        a, b = await two(ours)
        told = await follow(b)
        assert told == []
        begun = trio.current_time()
        claim = await a.publish()
        await wait_all_tasks_blocked()
        assert told == [("a", True)]
        claim.release()
        await wait_all_tasks_blocked()
        assert told == [("a", True), ("a", False)]
        assert trio.current_time() == begun


async def test_a_key_that_moves_is_followed_without_an_absence_between(autojump_clock: MockClock) -> None:
    async with cluster() as ours:
        a, b = await two(ours)
        edge = await ours.start("edge")
        await a.publish()
        told = await follow(edge)
        a.way.away_for(60)
        ours.registry.release(ours.registry.streams()[0])
        await b.publish()
        await wait_all_tasks_blocked()
        assert told[-1] == ("b", True)
        assert edge.membership.follow(KEY, lambda: None).is_present


async def test_who_finds_a_stream_ended_asks_at_once_who_has_the_key_even_if_no_hint_comes(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hints, "tell", lambda *_: None)
    async with cluster() as ours:
        a, b = await two(ours)
        edge = await ours.start("edge")
        claim = await a.publish()
        following = edge.membership.follow(KEY, lambda: None)
        await following.wait_looked_up()
        claim.show(is_interrupted=True)
        await wait_all_tasks_blocked()
        await b.publish()
        began = trio.current_time()
        await wait_all_tasks_blocked()
        assert (following.entry is not None, following.entry and following.entry.owner.node) == (True, "a")
        following.look_again()
        await wait_all_tasks_blocked()
        assert following.entry is not None
        assert (following.entry.owner.node, trio.current_time()) == ("b", began)


async def test_the_end_of_a_node_that_died_is_seen(autojump_clock: MockClock) -> None:
    async with cluster() as ours:
        a, b = await two(ours)
        await a.publish()
        told = await follow(b)
        a.die()
        await trio.sleep(2 * STREAM_TTL_SECONDS + RENEW_SECONDS)
        assert told == [("a", True), ("a", False)]


async def test_an_absence_means_nothing_after_the_registry_has_lost_its_memory(autojump_clock: MockClock) -> None:
    async with cluster() as ours:
        a, b = await two(ours)
        await a.publish()
        told = await follow(b)
        a.way.away_for(1e6)  # it cannot say that it is well
        ours.registry.forget_everything()
        await trio.sleep(UNSETTLED_SECONDS)
        assert told == [("a", True)]
        await trio.sleep(STREAM_TTL_SECONDS + RENEW_SECONDS)
        assert told == [("a", True), ("a", False)]


async def test_an_absence_means_nothing_while_and_after_the_registry_was_away(autojump_clock: MockClock) -> None:
    async with cluster() as ours:
        a, b = await two(ours)
        await a.publish()
        told = await follow(b)
        ours.away_for(8)
        await trio.sleep(60)
        assert told in ([("a", True)], [("a", True), ("a", True)])
        assert b.membership.follow(KEY, lambda: None).is_present


async def test_what_a_node_has_itself_is_not_elsewhere(autojump_clock: MockClock) -> None:
    async with cluster() as ours:
        a, _ = await two(ours)
        following = a.membership.follow(KEY, lambda: None)
        await a.publish()
        await trio.sleep(10)
        assert following.entry is None
        assert not following.is_present


async def test_a_pull_of_what_an_earlier_life_has_left_would_be_a_loop(autojump_clock: MockClock) -> None:
    async with cluster() as ours:
        a, _ = await two(ours)
        ours.registry.claim(wanted(A))  # node `a`, another incarnation
        following = a.membership.follow(KEY, lambda: None)
        await following.wait_looked_up()
        assert not following.is_present


async def test_who_waits_for_the_first_look_does_not_wait_for_a_registry_that_is_away(
    autojump_clock: MockClock,
) -> None:
    async with cluster() as ours:
        a, _ = await two(ours)
        ours.away_for(3600)
        following = a.membership.follow(KEY, lambda: None)
        with trio.fail_after(2):
            await following.wait_looked_up()
        assert not following.is_present


async def test_many_who_follow_one_key_ask_as_one_and_stop_asking_with_the_last(autojump_clock: MockClock) -> None:
    async with cluster() as ours:
        a, _ = await two(ours)
        followings = [a.membership.follow(KEY, lambda: None) for _ in range(50)]
        await trio.sleep(RENEW_SECONDS * 10)
        asked = a.membership.contact.questions["look_up"]
        assert asked <= 11
        for following in followings:
            following.stop()
            following.stop()
        await trio.sleep(60)
        assert a.membership.contact.questions["look_up"] == asked
        assert len(a.membership.followings) == 0


@pytest.mark.parametrize(
    ("answer", "is_settled", "generation", "expected"),
    [
        (None, True, "1", False),
        (None, False, "1", True),
        (wanted(B, 6), True, "1", "b"),
        (wanted(B, 5), True, "1", "b"),  # a registry that failed over may give an epoch twice
        (wanted(B, 4), True, "1", True),
        (wanted(B, 4), False, "2", True),
        (wanted(B, 4), True, "2", "b"),
    ],
)
def test_the_highest_epoch_counts_and_absences_only_where_they_mean_something(
    answer: StreamEntry | None, is_settled: bool, generation: str, expected: bool | str
) -> None:
    known = Known(wanted(A, 5), True, 5, "1")
    after = judge(known, answer, is_here=False, is_settled=is_settled, generation=generation)
    assert after.entry is not None
    if isinstance(expected, str):
        assert (after.entry.owner.node, after.is_present) == (expected, True)
    else:
        assert (after.entry.owner, after.is_present) == (A, expected)
