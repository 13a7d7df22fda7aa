"""A publisher that stays connected and sends nothing: told of once, and once when it goes on."""

from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_metadata, generate_stream
from mmids_trio.testing.recorder import Recorder
from mmids_trio.workflow.events import StreamInterrupted, StreamResumed, StreamStalled

STREAM = generate_stream(seconds=2)


def workflow(options: str) -> str:
    return f"workflow w {{\nrtmp_receive rtmp_app=live stream_key=* {options}\nrecord\n}}\n"


def harness(options: str = "stall_after=3") -> Harness:
    return Harness(
        f"settings {{\npublisher_timeout 1000\ngrace_after 0\n}}\n{workflow(options)}", [Recorder().step_type()]
    )


def told(h: Harness) -> list[str]:
    kinds = (StreamInterrupted, StreamResumed, StreamStalled)
    return [type(event).__name__.removeprefix("Stream") for event in h.events() if isinstance(event, kinds)]


def states(h: Harness) -> Sequence[str | None]:
    return [stream.state for stream in h.workflow("w").active_steps[0].streams]


async def test_it_is_told_once_and_again_after_media(autojump_clock: MockClock) -> None:
    async with harness() as h:
        client = await h.publish("key", STREAM[:10])
        await trio.sleep(2.9)
        assert (told(h), states(h)) == ([], [])
        await trio.sleep(0.2)
        assert (told(h), states(h)) == (["Stalled"], ["stalled"])
        await trio.sleep(100)
        assert told(h) == ["Stalled"]
        await client.send(STREAM[10:20])
        await wait_all_tasks_blocked()
        assert (told(h), states(h)) == (["Stalled", "Resumed"], [])
        [resumed] = [event for event in h.events() if isinstance(event, StreamResumed)]
        assert 103_000 <= resumed.gap_ms <= 103_200
        assert not resumed.took_over
        await trio.sleep(4)
        assert told(h) == ["Stalled", "Resumed", "Stalled"]


async def test_one_that_sends_is_never_stalled(autojump_clock: MockClock) -> None:
    async with harness() as h:
        client = await h.publish("key")
        for packet in STREAM[:20]:
            await client.send([packet])
            await trio.sleep(2.9)
        assert told(h) == []


async def test_metadata_are_no_media(autojump_clock: MockClock) -> None:
    async with harness() as h:
        client = await h.publish("key")
        for _ in range(4):
            await client.send_metadata(generate_metadata())
            await trio.sleep(1)
        assert told(h) == ["Stalled"]


async def test_by_default_nobody_looks(autojump_clock: MockClock) -> None:
    async with harness("") as h:
        await h.publish("key", STREAM)
        await trio.sleep(900)
        assert told(h) == []


@pytest.mark.thorough
async def test_many_publishers_stall_each_in_its_time(autojump_clock: MockClock) -> None:
    async with harness() as h:
        began = trio.current_time()
        for number in range(20):
            await trio.sleep_until(began + number / 10)
            await h.publish(f"key{number}", STREAM[:5])
        for number in range(21):
            await trio.sleep_until(began + 2.95 + number / 10)
            assert len(told(h)) == number


async def test_a_stalled_publisher_that_vanishes_is_interrupted_and_one_that_comes_back_goes_on(
    autojump_clock: MockClock,
) -> None:
    async with harness("stall_after=3 grace=60 on_busy=takeover") as h:
        first = await h.publish("key", STREAM[:10])
        await trio.sleep(4)
        first.close()
        await trio.sleep(30)
        assert (told(h), states(h)) == (["Stalled", "Interrupted"], ["interrupted"])
        await h.publish("key")
        await wait_all_tasks_blocked()
        assert (told(h)[2:], states(h)) == (["Resumed"], [])
        await trio.sleep(2.9)
        assert told(h)[3:] == []
        await trio.sleep(0.2)
        assert told(h)[3:] == ["Stalled"]
        await h.publish("key")
        await wait_all_tasks_blocked()
        assert told(h)[4:] == ["Resumed"]
    h.assert_quiet()
