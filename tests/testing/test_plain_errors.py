"""What a block with a harness raises comes out as it was raised."""

from math import inf

import pytest
import trio
from trio.testing import MockClock

from mmids_trio.testing import Harness

LIVE = "workflow w {\n rtmp_receive rtmp_app=live stream_key=*\n rtmp_watch rtmp_app=live stream_key=*\n}\n"


async def test_an_error_of_the_block_is_no_group(autojump_clock: MockClock) -> None:
    with pytest.raises(ConnectionRefusedError):
        async with Harness(LIVE) as h:
            await h.open(port=99)


async def test_the_traceback_of_an_assertion_ends_at_its_line(autojump_clock: MockClock) -> None:
    with pytest.raises(AssertionError, match="here it is") as caught:
        async with Harness(LIVE):
            raise AssertionError("here it is")
    assert caught.value.__context__ is None
    assert str(caught.traceback[-1].path) == __file__


async def test_groups_that_the_block_makes_itself_stay(autojump_clock: MockClock) -> None:
    async def fail() -> None:
        raise KeyError("x")

    with pytest.RaisesGroup(KeyError):
        async with Harness(LIVE), trio.open_nursery() as nursery:
            nursery.start_soon(fail)


async def test_a_server_that_fails_alone_says_it_itself(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    h = Harness()
    monkeypatch.setattr(h.server.workflows, "run", _fail)
    with pytest.raises(KeyError, match="of the server"):
        async with h:
            await trio.sleep(inf)


async def _fail(*_: object, task_status: trio.TaskStatus[None]) -> None:
    task_status.started()
    await trio.sleep(1)
    raise KeyError("of the server")


async def _fail_when_cancelled() -> None:
    try:
        await trio.sleep(inf)
    finally:
        raise ZeroDivisionError


@pytest.mark.thorough
async def test_of_a_server_that_fails_with_the_block_a_note_tells(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    h = Harness()
    monkeypatch.setattr(h.server.workflows, "run", _fail)
    with pytest.raises(ZeroDivisionError) as caught:
        async with h:
            await _fail_when_cancelled()
    assert caught.value.__notes__ == ["the server failed as well: KeyError('of the server')"]


async def test_who_cancels_around_a_harness_gets_no_error(autojump_clock: MockClock) -> None:
    with trio.move_on_after(1) as scope:
        async with Harness(LIVE):
            await trio.sleep(inf)
    assert scope.cancelled_caught


@pytest.mark.thorough
def test_skip_and_xfail_work_and_assertions_are_not_nested(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from mmids_trio.testing import Harness

        pytestmark = pytest.mark.trio

        async def test_skip(autojump_clock):
            async with Harness():
                pytest.skip("not today")

        async def test_xfail(autojump_clock):
            async with Harness():
                pytest.xfail("known")

        async def test_assertion(autojump_clock):
            async with Harness():
                assert 1 == 2
        """
    )
    result = pytester.runpytest_inprocess("-p", "mmids_trio.testing.plugin", "-p", "no:randomly")
    result.assert_outcomes(skipped=1, xfailed=1, failed=1)
    result.stdout.fnmatch_lines(["*>*assert 1 == 2", "E*assert 1 == 2"])
    result.stdout.no_fnmatch_line("*Exception Group*")
