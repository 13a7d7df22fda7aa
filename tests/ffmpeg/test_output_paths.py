"""Which step may write where, and when."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.errors import StepError
from mmids_trio.ffmpeg.output_paths import OutputPaths, PathClaim


def leaving(_workflow: str, _step_id: str) -> bool:
    return True


async def has_turn(claim: PathClaim) -> bool:
    """Whether it is its turn now."""
    with trio.move_on_after(0.001):
        await claim.wait_turn()
        return True
    return False


async def test_the_first_one_may_write_at_once() -> None:
    await OutputPaths().claim("/a", "x", "w", "1").wait_turn()


def test_the_second_one_is_told_who_was_first() -> None:
    paths = OutputPaths()
    paths.claim("/a", "x", "w", "1")
    with pytest.raises(StepError, match=r"'/a/x' is written already, by workflow 'w' \(step id 1\)"):
        paths.claim("/a", "x", "v", "2")
    paths.claim("/b", "x", "v", "2")


@pytest.mark.parametrize(("one", "other"), [(None, None), (None, "x"), ("x", None)])
def test_all_of_a_directory_is_also_each_file_of_it(one: str | None, other: str | None) -> None:
    paths = OutputPaths()
    paths.claim("/a", one, "w", "1")
    with pytest.raises(StepError, match=f"'/a/{one or r'[*]'}' is written already"):
        paths.claim("/a", other, "v", "2")


def test_different_files_of_a_directory_are_in_nobodys_way() -> None:
    paths = OutputPaths()
    paths.claim("/a", "x", "w", "1")
    paths.claim("/a", "y", "v", "2")


async def test_who_wants_all_of_a_directory_waits_for_each_file_of_it(autojump_clock: MockClock) -> None:
    paths = OutputPaths()
    files = [paths.claim("/a", name, "w", name) for name in ("x", "y")]
    everything = paths.claim("/a", None, "w", "3", leaving)
    for claim in files:
        assert not await has_turn(everything)
        paths.release(claim)
    assert await has_turn(everything)


def test_who_is_leaving_is_asked_of_the_holder() -> None:
    paths = OutputPaths()
    paths.claim("/a", "x", "w", "1")
    with pytest.raises(StepError):
        paths.claim("/a", "x", "w", "2", lambda workflow, step_id: (workflow, step_id) != ("w", "1"))
    paths.claim("/a", "x", "w", "2", lambda workflow, step_id: (workflow, step_id) == ("w", "1"))


def test_a_path_that_was_released_is_free() -> None:
    paths = OutputPaths()
    paths.release(paths.claim("/a", "x", "w", "1"))
    paths.claim("/a", "x", "v", "2")


async def test_a_successor_waits_for_the_end(autojump_clock: MockClock) -> None:
    paths = OutputPaths()
    old = paths.claim("/a", "x", "w", "1")
    new = paths.claim("/a", "x", "w", "2", leaving)
    waiting = 3
    async with trio.open_nursery() as nursery:
        for _ in range(waiting):
            nursery.start_soon(new.wait_turn)
        await wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == waiting
        paths.release(old)
    with pytest.raises(StepError, match="step id 2"):
        paths.claim("/a", "x", "v", "3")


async def test_a_claim_given_up_before_its_turn_leaves_the_one_before(autojump_clock: MockClock) -> None:
    paths = OutputPaths()
    old = paths.claim("/a", "x", "w", "1")
    paths.release(paths.claim("/a", "x", "w", "2", leaving))
    with pytest.raises(StepError, match="step id 1"):
        paths.claim("/a", "x", "v", "3")
    paths.release(old)
    paths.claim("/a", "x", "v", "3")


async def test_who_comes_after_a_claim_given_up_waits_for_all_before(autojump_clock: MockClock) -> None:
    paths = OutputPaths()
    first = paths.claim("/a", "x", "w", "1")
    second = paths.claim("/a", "x", "w", "2", leaving)
    third = paths.claim("/a", "x", "w", "3", leaving)
    paths.release(second)
    assert not await has_turn(third)
    paths.release(first)
    assert await has_turn(third)
    paths.release(third)
    paths.claim("/a", "x", "v", "4")


def test_claims_that_never_wait_do_not_keep_all_those_before() -> None:
    paths = OutputPaths()
    claim = paths.claim("/a", "x", "w", "0")
    for number in range(1, 10):
        before, claim = claim, paths.claim("/a", "x", "w", str(number), leaving)
        paths.release(before)
    [last] = claim.before
    assert last.before == ()
