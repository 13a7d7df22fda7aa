"""Clients of the harness that send in real pace."""

import trio
from attrs import evolve
from trio.testing import MockClock

from mmids_trio.testing import Harness, Recorder, generate_stream

TEXT = "workflow w {\n rtmp_receive rtmp_app=live stream_key=*\n record\n}\n"


async def test_what_is_played_takes_its_time_and_what_is_published_none(autojump_clock: MockClock) -> None:
    packets, recorder = generate_stream(seconds=2), Recorder()
    async with Harness(TEXT, [recorder.step_type()]) as h:
        client = await h.publish("key", packets)
        assert trio.current_time() == 0
        await client.play(packets)
        assert trio.current_time() == (packets[-1].timestamp - packets[0].timestamp) / 1000


async def test_timestamps_that_wrap_or_go_back_are_played_too(autojump_clock: MockClock) -> None:
    packet = generate_stream(seconds=0.1)[0]
    times = [2**32 - 1_000, 0, 500, 100]
    async with Harness(TEXT, [Recorder().step_type()]) as h:
        client = await h.publish("key")
        await client.play([evolve(packet, timestamp=time) for time in times])
        assert trio.current_time() == 1.5
