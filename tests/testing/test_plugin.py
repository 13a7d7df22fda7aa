"""The fixtures of the plugin, and that it asks nothing of who does not use it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from mmids_trio.testing.ffmpeg import FakeFfmpeg
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.network import MemoryNetwork

LIVE = """
workflow w {
    rtmp_receive rtmp_app=live stream_key=*
    rtmp_watch rtmp_app=live stream_key=*
    ffmpeg_push target=rtmp://elsewhere/live/key
}
"""

Start = Callable[..., AbstractAsyncContextManager[Harness]]


async def test_a_server_runs_on_the_network_and_the_ffmpeg_of_the_fixtures(
    harness: Start, memory_network: MemoryNetwork, fake_ffmpeg: FakeFfmpeg, autojump_clock: MockClock
) -> None:
    async with harness(LIVE) as h:
        await h.publish("key", generate_stream(seconds=2))
        await trio.sleep(5)
        assert memory_network.open_ports == {1935}
        assert len(fake_ffmpeg.children.running) == 1
    assert not memory_network.open_ports
    assert not fake_ffmpeg.children.running


async def test_what_a_server_leaves_is_found_at_the_end_of_its_block(
    harness: Start, memory_network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    with pytest.raises(AssertionError, match=r"ports \[99\] are still open"):
        async with harness(LIVE):
            memory_network.listen(None, 99)


@pytest.mark.thorough
def test_markers_and_fixtures_explain_themselves(pytester: pytest.Pytester) -> None:
    plugin = ("-p", "mmids_trio.testing.plugin")
    markers = pytester.runpytest_inprocess(*plugin, "--markers").stdout
    markers.fnmatch_lines(["@pytest.mark.schedules(count=100, changes=None): *"])
    fixtures = pytester.runpytest_inprocess(*plugin, "--fixtures").stdout
    fixtures.fnmatch_lines_random([f"{name} *" for name in ("harness", "memory_network", "fake_ffmpeg")])
    pytester.runpytest_inprocess(*plugin, "--help").stdout.fnmatch_lines_random(
        ["*--schedules=N*", "*--schedule-base=N*", "*--schedule-seed=N*", "*--cancel-at=N:SEED*"]
    )


CLOCKS = """
import pytest
import trio

from mmids_trio.testing import Harness


@pytest.fixture
def asks(autojump_clock):
    return "no clock"


@pytest.fixture
def other_name(autojump_clock):
    return autojump_clock


@pytest.mark.trio
async def test_by_a_fixture(asks): ...


@pytest.mark.trio
@pytest.mark.usefixtures("mock_clock")
async def test_by_a_mark(): ...


@pytest.mark.trio
async def test_by_both(asks, autojump_clock):
    await trio.sleep(86_400)


@pytest.mark.trio
async def test_by_another_name(other_name):
    await trio.sleep(86_400)


def test_without_trio(asks): ...
"""


@pytest.mark.thorough
def test_a_clock_that_would_be_passed_by_fails_the_test(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    pytester.makepyfile(CLOCKS)
    result = pytester.runpytest_subprocess("-p", "mmids_trio.testing.plugin", "-p", "no:randomly", "-q")
    result.assert_outcomes(passed=3, failed=2)
    result.stdout.fnmatch_lines(
        [
            "autojump_clock has no effect: *make it an argument of test_by_a_fixture itself",
            "mock_clock has no effect: *make it an argument of test_by_a_mark itself",
        ]
    )
