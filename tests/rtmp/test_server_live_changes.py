"""Workflows that change again and again in mid-stream, seen by those who publish and watch all the while."""

from collections.abc import Callable
from random import Random

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.recorder import Recorder
from mmids_trio.workflow.status import OutcomeKind

Closings = Callable[[], list[str]]

RECEIVE = "rtmp_receive rtmp_app=live stream_key=*"
WATCH = "rtmp_watch rtmp_app=live stream_key=*"
OTHERS = ("record", "rtmp_watch rtmp_app=a stream_key=*", "rtmp_watch rtmp_app=b stream_key=key", "record")
PACKETS = generate_stream(seconds=20, gop=10)


def some_workflow(random: Random) -> str:
    """The two steps that stay, with any of the others anywhere behind the first."""
    behind = [WATCH, *random.sample(OTHERS, random.randrange(len(OTHERS) + 1))]
    random.shuffle(behind)
    return "workflow w {\n" + "\n".join([RECEIVE, *behind]) + "\n}\n"


@pytest.mark.schedules(5)
async def test_who_uses_steps_that_stay_notices_nothing_of_any_change(
    schedule_seed: int, autojump_clock: MockClock, closings: Closings
) -> None:
    random = Random(schedule_seed)
    async with Harness(f"workflow w {{\n{RECEIVE}\n{WATCH}\n}}\n", [Recorder().step_type()]) as h:
        watchers = [await h.watch("key") for _ in range(3)]
        publisher = await h.publish("key")
        async with trio.open_nursery() as nursery:
            for watcher in watchers:
                nursery.start_soon(watcher.read_until_closed)
            for place in range(0, len(PACKETS), 20):
                nursery.start_soon(publisher.send, PACKETS[place : place + 20])
                outcome = await h.put(some_workflow(random))
                assert outcome.kind is OutcomeKind.APPLIED
                await wait_all_tasks_blocked()
            assert closings() == []
            await h.stop("w")
        for watcher in watchers:
            assert watcher.report(PACKETS).is_flawless_from_join
            assert watcher.report(PACKETS).missed == ()
    h.assert_quiet()


async def test_a_watcher_of_a_step_that_comes_in_mid_stream_can_decode_from_the_first_frame_on(
    autojump_clock: MockClock,
) -> None:
    later = "rtmp_watch rtmp_app=later stream_key=*"
    async with Harness(f"workflow w {{\n{RECEIVE}\n{WATCH}\n}}\n") as h:
        publisher = await h.publish("key")
        await publisher.send_metadata({"title": "known before"})
        await publisher.send(PACKETS[:55])
        await wait_all_tasks_blocked()
        await h.put(f"workflow w {{\n{RECEIVE}\n{WATCH}\n{later}\n}}\n")
        watcher = await h.watch("later/key")
        await publisher.send(PACKETS[55:300])
        await watcher.read_until(lambda: PACKETS[299].data in [packet.data for packet in watcher.packets])
        report = watcher.report(PACKETS[:300])
        assert (report.repeated, report.out_of_order, report.undecodable, report.backwards) == ((), (), (), ())
        assert report.missed[-1] < 100
        assert watcher.metadata[0]["title"] == "known before"
