"""The workflow as its publishers and watchers meet it: a whole server in memory, on a clock that jumps."""

from pathlib import Path
from random import Random

import pytest
import trio
from studio import few_streams
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.testing import Harness, RtmpClient, StartHarness, cancel_everywhere, generate_stream

STUDIO = (Path(__file__).parents[1] / "workflows" / "studio.mmids").read_text("utf-8")
KEYS = ["anna", "ben", "carl"]
FILM = {key: generate_stream(key, seconds=2) for key in KEYS}


async def read_all(watcher: RtmpClient) -> None:
    """What comes within a second, which takes no time."""
    with trio.move_on_after(1):
        await watcher.read_until_closed()


async def test_a_watcher_sees_a_whole_stream(harness: StartHarness, autojump_clock: MockClock) -> None:
    async with harness(STUDIO, more_steps=[few_streams()]) as h:
        watcher = await h.watch("anna")
        await h.publish("anna", FILM["anna"])
        await read_all(watcher)
        assert watcher.report(FILM["anna"]).missed == ()


async def test_the_third_stream_is_on_when_another_has_left(harness: StartHarness, autojump_clock: MockClock) -> None:
    async with harness(STUDIO, more_steps=[few_streams()]) as h:
        watcher = await h.watch("carl")
        publishers = dict[str, RtmpClient]()
        for key in KEYS:
            publishers[key] = await h.publish(key, FILM[key])
            await wait_all_tasks_blocked()
        await read_all(watcher)
        assert watcher.packets == []
        publishers["ben"].close()
        publishers["carl"].close()
        await wait_all_tasks_blocked()
        await h.publish("carl", FILM["carl"])
        await read_all(watcher)
        assert watcher.report(FILM["carl"]).missed == ()


@pytest.mark.schedules(50)
async def test_whoever_comes_first_two_streams_are_on(
    harness: StartHarness, schedule_seed: int, autojump_clock: MockClock
) -> None:
    order = Random(schedule_seed).sample(KEYS, len(KEYS))
    async with harness(STUDIO, more_steps=[few_streams()]) as h:
        watchers = {key: await h.watch(key) for key in KEYS}
        async with trio.open_nursery() as nursery:
            for key in order:
                nursery.start_soon(h.publish, key, FILM[key])
        for watcher in watchers.values():
            await read_all(watcher)
        seen = [key for key in KEYS if watchers[key].packets]
        assert len(seen) == 2
        assert [watchers[key].report(FILM[key]).missed for key in seen] == [(), ()]


async def test_a_server_that_is_cancelled_anywhere_leaves_nothing(autojump_clock: MockClock) -> None:
    servers: list[Harness] = []

    async def run() -> None:
        servers.append(Harness(STUDIO, [few_streams()]))
        async with servers[-1] as h:
            await h.publish("anna", FILM["anna"][:10])

    def check() -> None:
        servers[-1].assert_quiet()

    assert await cancel_everywhere(run, check) > 20
