"""Grace, failover and slate together, whatever publishers do: the table of docs/continuity.md, as a property."""

from collections.abc import Sequence
from itertools import pairwise

import trio
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.errors import CannotSwitch
from mmids_trio.media.events import MediaEvent, MediaKind, MediaPacket, StreamEnded, StreamStarted
from mmids_trio.testing.clients import RtmpClient
from mmids_trio.testing.ffmpeg import FakeFfmpeg, Script
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.recorder import Recorder
from tests.support.effort import some_of
from tests.support.numbered_events import legality

GRACE, FAILOVER_AFTER, SLATE_AFTER, SLATE_MAX = 5.0, 1.0, 2.0, 6.0
MEDIA = {
    name: generate_stream(name, seconds=3, seed=seed, gop=25, audio=False) for name, seed in (("main", 1), ("spare", 2))
}
ORIGINS = {packet.data: name for name, media in MEDIA.items() for packet in media if not packet.is_sequence_header}
BARS = generate_stream("slate", seconds=1, seed=3, fps=10, gop=10, b_frames=0, audio=False)
ODD = 0.37
"""Part of a second in each wait, so that no check is in the very instant in which something happens."""

SHOW = f"""
settings {{
    publisher_timeout 10000
    grace_after 0
}}
workflow w {{
    rtmp_receive rtmp_app=live stream_key=* on_busy=takeover grace={GRACE}
    failover primary=main backup=spare output=show after={FAILOVER_AFTER}
    slate after={SLATE_AFTER} max={SLATE_MAX}
    record
    rtmp_watch rtmp_app=out stream_key=*
}}
"""

Action = tuple[str, str, int]
ACTIONS = st.tuples(
    st.sampled_from(["play", "play", "kill", "bye", "wait", "wait", "switch"]),
    st.sampled_from(["main", "spare"]),
    st.integers(1, 9),
)


@define(eq=False)
class Studio:
    """The publishers, and what a simple model knows of them."""

    h: Harness
    recorder: Recorder
    clients: dict[str, RtmpClient] = field(factory=dict)
    gone_at: dict[str, float] = field(factory=dict)
    """When the connection of a stream that waits for its publisher broke."""
    times: list[tuple[float, int]] = field(factory=list)
    """When so many events had been recorded."""

    async def act(self, what: str, name: str, seconds: int) -> None:
        match what:
            case "play":
                await self._play(name, 2 + seconds % 2)
            case "kill" if name in self.clients:
                self.clients.pop(name).close()
                self.gone_at[name] = trio.current_time()
            case "bye" if name in self.clients:
                await self.clients.pop(name).unpublish()
            case "wait":
                await self._pass(seconds + ODD)
            case "switch":
                self._switch(name)
        await wait_all_tasks_blocked()
        self.check()

    async def _play(self, name: str, seconds: int) -> None:
        self.clients[name] = client = await self.h.publish(f"live/{name}")
        self.gone_at.pop(name, None)
        began = trio.current_time()
        for packet in MEDIA[name]:
            if packet.timestamp < seconds * 1000:
                await self._pass(began + packet.timestamp / 1000 - trio.current_time())
                await client.send([packet])
        await wait_all_tasks_blocked()
        self.note()
        if seconds * 1.0 > FAILOVER_AFTER + 1:
            assert self.origin(self.live_frames()[-1]) == name, "who alone sends is sent after a key frame"

    async def _pass(self, seconds: float) -> None:
        await trio.sleep(max(seconds, 0))
        self.note()

    def note(self) -> None:
        self.times.append((trio.current_time(), len(self.recorder.events)))

    def _switch(self, name: str) -> None:
        step = self.h.workflow("w").active_steps[1]
        try:
            switched = self.h.server.workflows.switch("w", step.step_id, name)
        except CannotSwitch:
            return
        assert name in (switched.sending, switched.wanted)

    def origin(self, frame: MediaPacket) -> str:
        return ORIGINS.get(frame.data, "slate")

    def live_frames(self) -> list[MediaPacket]:
        return [frame for frame in video(self.recorder.events) if self.origin(frame) != "slate"]

    # What has to hold.

    def check(self) -> None:
        now = trio.current_time()
        is_on = bool(self.clients) or any(now < gone_at + GRACE for gone_at in self.gone_at.values())
        boundaries = [event for event in self.recorder.events if isinstance(event, (StreamStarted, StreamEnded))]
        shown = self.h.workflow("w").active_steps[2].streams
        assert (bool(boundaries) and isinstance(boundaries[-1], StreamStarted)) == is_on == bool(shown)
        for stream in shown:
            if "not ready" not in stream.message and stream.state != "starting":
                assert stream.state == self.expected(now)

    def expected(self, now: float) -> str:
        """The state of the slate, by how long ago the last live picture was recorded."""
        last = self.recorder.events.index(self.live_frames()[-1])
        recorded_at = min(time for time, count in self.times if count > last)
        quiet = now - recorded_at
        if quiet < SLATE_AFTER:
            return "live"
        return "slate" if quiet < SLATE_AFTER + SLATE_MAX else "silent"


def video(events: Sequence[MediaEvent]) -> list[MediaPacket]:
    frames = [event for event in events if isinstance(event, MediaPacket) and not event.is_sequence_header]
    return [frame for frame in frames if frame.kind is MediaKind.VIDEO]


def assert_one_show(studio: Studio) -> None:
    """Each stream is legal, goes forward, and changes its source at key frames alone."""
    events = studio.recorder.events
    assert legality(events) is None
    for stream_id in {event.stream_id for event in events}:
        frames = [frame for frame in video(events) if frame.stream_id == stream_id]
        assert not frames or frames[0].is_key_frame
        for before, frame in pairwise(frames):
            assert frame.timestamp >= before.timestamp
            assert frame.is_key_frame or studio.origin(before) == studio.origin(frame)


async def perform(script: list[Action]) -> None:
    recorder = Recorder()
    ffmpeg = FakeFfmpeg(script=Script().brings(BARS).exits(at=1.0))
    async with Harness(SHOW, [recorder.step_type()], spawner=ffmpeg) as h:
        studio = Studio(h, recorder)
        watcher = await h.watch("out/show")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watcher.read_until_closed)
            for what, name, seconds in [("play", "main", 3), *script]:
                await studio.act(what, name, seconds)
            assert not watcher.is_disconnected
            nursery.cancel_scope.cancel()
        assert_one_show(studio)
    h.assert_quiet()


@settings(max_examples=some_of(12, fast=2), deadline=None)
@given(script=st.lists(ACTIONS, min_size=3, max_size=9))
def test_whatever_publishers_do_the_show_is_in_the_state_that_the_table_says(script: list[Action]) -> None:
    trio.run(perform, script, clock=MockClock(autojump_threshold=0))
