"""What every registry keeps, whatever is behind it: checks that the tests of each of them run.

Time passes as it does on the clock of the test: virtual for memory, real for Redis and etcd.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import trio
from attrs import evolve, frozen

from mmids_trio.cluster.directory import (
    RENEW_SECONDS,
    STREAM_TTL_SECONDS,
    Directory,
    Document,
    Incarnation,
    NodeEntry,
    StreamEntry,
    StreamKey,
)
from tests.support.directories import KEY, A, B, wanted
from tests.support.waiting import eventually_answered


@frozen
class Registry:
    """One registry, asked by two nodes."""

    one: Directory
    other: Directory


Check = Callable[[Registry], Awaitable[None]]


async def a_claim_is_seen_by_all_and_refused_to_others(registry: Registry) -> None:
    held = await registry.one.claim(wanted(A))
    assert (held.owner, held.address, held.key) == (A, "rtmp://a:1935", KEY)
    assert await registry.other.look_up(KEY) == held
    assert await registry.other.claim(wanted(B)) == held
    assert list(await registry.other.streams()) == [held]


async def who_claims_again_keeps_its_entry(registry: Registry) -> None:
    held = await registry.one.claim(wanted(A))
    assert await registry.one.claim(wanted(A)) == held


async def each_change_of_hands_has_a_higher_epoch(registry: Registry) -> None:
    epochs = []
    for owner in (A, B, A, B):
        held = await registry.one.claim(wanted(owner))
        epochs.append(held.epoch)
        await registry.other.release(held)
    assert epochs == sorted(set(epochs))


async def an_epoch_is_higher_than_what_the_claimer_has_seen(registry: Registry) -> None:
    first = await registry.one.claim(wanted(A, epoch=5_000_000))
    assert first.epoch > 5_000_000
    await registry.one.release(first)
    assert (await registry.other.claim(wanted(B))).epoch > first.epoch


async def only_this_very_entry_is_renewed_and_released(registry: Registry) -> None:
    old = await registry.one.claim(wanted(A))
    await registry.one.release(old)
    assert await registry.one.renew(old) is None
    held = await registry.other.claim(wanted(B))
    assert await registry.one.renew(old) == held
    await registry.one.release(old)
    assert await registry.other.renew(held) == held
    again = await registry.other.renew(evolve(held, epoch=held.epoch + 1))
    assert again == held


async def an_entry_that_nobody_renews_ends(registry: Registry) -> None:
    await registry.one.claim(wanted(A))

    async def is_gone() -> bool:
        return await registry.other.look_up(KEY) is None

    await eventually_answered(is_gone, "end")
    assert (await registry.other.claim(wanted(B))).owner == B


async def an_entry_that_is_renewed_stays(registry: Registry) -> None:
    held = await registry.one.claim(wanted(A))
    until = trio.current_time() + STREAM_TTL_SECONDS + 2 * RENEW_SECONDS
    while trio.current_time() < until:
        await trio.sleep(RENEW_SECONDS)
        assert await registry.one.renew(held) == held
    assert await registry.other.look_up(KEY) == held


async def one_of_many_who_claim_at_once_gets_it(registry: Registry) -> None:
    seen: list[StreamEntry] = []

    async def claim(number: int) -> None:
        directory = registry.one if number % 2 else registry.other
        seen.append(await directory.claim(wanted(evolve(A, number=str(number)))))

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(claim, number)
    assert len(seen) == 20
    assert len(set(seen)) == 1


async def who_waits_for_a_publisher_gives_way_to_who_has_one(registry: Registry) -> None:
    held = await registry.one.claim(wanted(A))
    waiting = evolve(held, turn=1)
    assert await registry.one.renew(waiting) == waiting
    assert await registry.other.look_up(KEY) == waiting
    assert await registry.other.claim(wanted(B, turn=1)) == waiting  # which waits for one as well
    taken = await registry.other.claim(wanted(B))
    assert taken == evolve(wanted(B), epoch=taken.epoch)
    assert taken.epoch > held.epoch
    assert await registry.other.look_up(KEY) == taken
    for former in (held, waiting, evolve(held, turn=2)):
        assert await registry.one.renew(former) == taken
        await registry.one.release(former)
    assert await registry.one.claim(wanted(A, epoch=held.epoch)) == taken
    assert await registry.other.renew(taken) == taken
    await registry.other.renew(evolve(taken, turn=1))
    again = await registry.one.claim(wanted(A))
    assert again.epoch > taken.epoch
    await registry.one.release(again)
    assert (await registry.other.claim(wanted(B))).epoch > again.epoch


async def who_has_its_publisher_back_keeps_the_key(registry: Registry) -> None:
    held = await registry.one.claim(wanted(A))
    await registry.one.renew(evolve(held, turn=1))
    back = evolve(held, turn=2)
    assert await registry.one.renew(back) == back
    assert await registry.one.renew(evolve(held, turn=1)) == back  # late
    assert await registry.one.claim(wanted(A, turn=1)) == back
    assert await registry.other.claim(wanted(B)) == back
    waiting = evolve(held, turn=3)
    assert await registry.one.claim(wanted(A, turn=3)) == waiting
    await registry.one.release(held)
    assert await registry.other.look_up(KEY) is None


async def what_was_taken_over_lives_as_long_as_it_is_renewed(registry: Registry) -> None:
    held = await registry.one.claim(wanted(A))
    await registry.one.renew(evolve(held, turn=1))
    taken = await registry.other.claim(wanted(B))
    until = trio.current_time() + STREAM_TTL_SECONDS + RENEW_SECONDS
    while trio.current_time() < until:
        await trio.sleep(RENEW_SECONDS)
        assert await registry.one.renew(held) == taken
        assert await registry.other.renew(taken) == taken


async def of_an_owner_whose_publisher_is_back_and_another_node_one_gets_it(registry: Registry) -> None:
    for number in range(10):
        key = StreamKey("live", str(number))
        held = await registry.one.claim(wanted(A, key=key))
        await registry.one.renew(evolve(held, turn=1))
        answers: dict[Incarnation, StreamEntry | None] = {}

        async def come_back(held: StreamEntry = held, answers: dict[Incarnation, StreamEntry | None] = answers) -> None:
            answers[A] = await registry.one.renew(evolve(held, turn=2))

        async def come(key: StreamKey = key, answers: dict[Incarnation, StreamEntry | None] = answers) -> None:
            answers[B] = await registry.other.claim(wanted(B, key=key))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(come_back)
            nursery.start_soon(come)
        assert answers[A] == answers[B] == await registry.one.look_up(key)


async def odd_names_are_names(registry: Registry) -> None:
    keys = [StreamKey("live", name) for name in ("a/b", "a b", "ünï", "*?[x]", "\x00", "%2F", "a", "ab", '"{}\\')]
    for key in keys:
        assert (await registry.one.claim(wanted(A, key=key))).key == key
    assert {entry.key for entry in await registry.other.streams()} == set(keys)
    assert (await registry.one.claim(wanted(A, key=StreamKey("live/a", "b")))).key == StreamKey("live/a", "b")
    await registry.one.release(await registry.one.claim(wanted(A, key=StreamKey("live", "a"))))
    assert await registry.other.look_up(StreamKey("live", "ab")) is not None


async def nodes_are_there_until_they_leave_or_fall_silent(registry: Registry) -> None:
    node = NodeEntry(A, "rtmp://a:1935")
    await registry.one.announce(node)
    await registry.one.announce(NodeEntry(B, "rtmp://b:1935"))
    draining = evolve(node, is_draining=True, revision=7)
    await registry.one.announce(draining)
    assert draining in await registry.other.nodes()
    assert len(await registry.other.nodes()) == 2
    await registry.one.leave(A)
    assert [each.owner for each in await registry.other.nodes()] == [B]

    async def is_gone() -> bool:
        return not await registry.other.nodes()

    await eventually_answered(is_gone, "end")


async def the_generation_is_one_for_all(registry: Registry) -> None:
    drawn: list[str] = []

    async def ask(directory: Directory) -> None:
        drawn.append(await directory.generation())

    async with trio.open_nursery() as nursery:
        for directory in [registry.one, registry.other] * 5:
            nursery.start_soon(ask, directory)
    assert len(drawn) == 10
    assert len(set(drawn)) == 1
    assert drawn[0]


async def documents_are_written_where_their_version_is_the_expected_one(registry: Registry) -> None:
    assert await registry.one.read("config/f") is None
    assert await registry.one.write("config/f", "x", 1) is None
    assert await registry.one.write("config/f", "x", 0) == Document("x", 1)
    assert await registry.other.write("config/f", "y", 0) is None
    assert await registry.other.write("config/f", "y", 1) == Document("y", 2)
    assert await registry.one.write("config/f", "ü" * 50_000, None) == Document("ü" * 50_000, 3)
    assert await registry.other.read("config/f") == Document("ü" * 50_000, 3)


async def one_of_many_who_write_at_once_does(registry: Registry) -> None:
    written: list[Document | None] = []

    async def write(number: int) -> None:
        written.append(await registry.one.write("config/f", str(number), 0))

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(write, number)
    assert [each for each in written if each is not None] == [await registry.other.read("config/f")]


async def documents_are_found_by_the_beginning_of_their_names(registry: Registry) -> None:
    for name in ("apply/7/a", "apply/7/b", "apply/70/a", "config/f", "apply/7*/c"):
        await registry.one.write(name, name, 0)
    found = await registry.other.documents("apply/7/")
    assert sorted((name, document.text) for name, document in found) == [
        ("apply/7/a", "apply/7/a"),
        ("apply/7/b", "apply/7/b"),
    ]
    assert [name for name, _ in await registry.other.documents("apply/7*")] == ["apply/7*/c"]


async def a_document_with_a_time_to_live_ends(registry: Registry) -> None:
    await registry.one.write("apply/7/a", "x", None, ttl_s=2)
    await registry.one.write("apply/8/a", "x", None)

    async def is_gone() -> bool:
        return await registry.other.read("apply/7/a") is None

    await eventually_answered(is_gone, "end")
    assert [name for name, _ in await registry.other.documents("apply/")] == ["apply/8/a"]
    assert await registry.one.write("apply/7/a", "y", 0) == Document("y", 1)


async def changes_are_told(registry: Registry) -> None:
    seen: list[StreamKey | str] = []

    async def listen(task_status: trio.TaskStatus[None]) -> None:
        async with registry.other.changes() as changes:
            task_status.started()
            async for what in changes:
                seen.append(what)

    async with trio.open_nursery() as nursery:
        await nursery.start(listen)
        held = await registry.one.claim(wanted(A))
        await registry.one.write("config/f", "x", None)

        async def are_seen(*expected: StreamKey | str) -> bool:
            return set(expected) <= set(seen)

        await eventually_answered(partial(are_seen, KEY, "config/f"), "hints")
        seen.clear()
        await registry.one.release(held)
        await eventually_answered(partial(are_seen, KEY), "hint")
        nursery.cancel_scope.cancel()


CHECKS: Sequence[Check] = (
    a_claim_is_seen_by_all_and_refused_to_others,
    who_claims_again_keeps_its_entry,
    each_change_of_hands_has_a_higher_epoch,
    an_epoch_is_higher_than_what_the_claimer_has_seen,
    only_this_very_entry_is_renewed_and_released,
    an_entry_that_nobody_renews_ends,
    an_entry_that_is_renewed_stays,
    one_of_many_who_claim_at_once_gets_it,
    who_waits_for_a_publisher_gives_way_to_who_has_one,
    who_has_its_publisher_back_keeps_the_key,
    what_was_taken_over_lives_as_long_as_it_is_renewed,
    of_an_owner_whose_publisher_is_back_and_another_node_one_gets_it,
    odd_names_are_names,
    nodes_are_there_until_they_leave_or_fall_silent,
    the_generation_is_one_for_all,
    documents_are_written_where_their_version_is_the_expected_one,
    one_of_many_who_write_at_once_does,
    documents_are_found_by_the_beginning_of_their_names,
    a_document_with_a_time_to_live_ends,
    changes_are_told,
)
