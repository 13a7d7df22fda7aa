"""What viewers over HTTP get of each key: HTTP-FLV as from RTMP's channels, and HLS beside it, in all its qualities."""

from collections.abc import Callable, Sequence

import trio
from attrs import define, field, frozen

from mmids_trio.delivery.flv import FlvRendering
from mmids_trio.delivery.hls_channel import HlsChannel, News, Variant
from mmids_trio.delivery.hls_viewers import LEAST_SECONDS, TARGETS, HlsViewer, HlsViewers
from mmids_trio.fanout.channel import ChannelCounters
from mmids_trio.fanout.rendering import Rendering
from mmids_trio.media.events import StreamId, StreamStarted
from mmids_trio.steps.rtmp_audience import Audience
from mmids_trio.steps.stages import Stage, StageOutput

FORMATS = ("flv", "hls")
"""What media is served as."""

TICK_SECONDS = 1.0
"""How often sessions and waiting requests are looked at."""


@frozen
class HttpOptions:
    """Of one step: `formats` out of `FORMATS`, the rest as the parameters have it, in milliseconds."""

    formats: Sequence[str] = FORMATS
    segment_ms: float = 2_000
    part_ms: float = 200
    window_ms: float = 0


@define(eq=False)
class HttpAudience(Audience):
    """See the module. `now`: Unix time in seconds; `entropy`: so many random bytes."""

    rendering: Rendering = field(factory=FlvRendering)
    http: HttpOptions = field(factory=HttpOptions)
    now: Callable[[], float] = field(default=lambda: 0.0, kw_only=True)
    viewers: HlsViewers = field(kw_only=True)
    """Of HLS."""
    _news: News = field(factory=News, init=False)
    _stir: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)
    """Where the clock rests while there is nothing to time."""

    def make_outputs(self, key: str) -> tuple[StageOutput, ...]:
        """See `Stages`. HLS comes last, where it is looked for with each request."""
        outputs = list[StageOutput]()
        if "flv" in self.http.formats:
            outputs.append(self._make_channel())
        if "hls" in self.http.formats:
            outputs.append(self._make_hls(key))
        return tuple(outputs)

    def _make_hls(self, key: str) -> HlsChannel:
        http = self.http
        channel = HlsChannel(
            http.segment_ms, http.part_ms, http.window_ms, self.now, lambda: self._family(key), self._pace, self._news
        )
        channel.charge_to(self.memory)
        return channel

    @property
    def size(self) -> int:
        """How many watch, over both."""
        return super().size + len(self.viewers)

    def _watching(self, output: StageOutput) -> int:
        return output.viewers if isinstance(output, HlsChannel) else super()._watching(output)

    @property
    def hosts(self) -> Sequence[str]:
        """Where they come from."""
        return [*super().hosts, *(viewer.peer_host for viewer in self.viewers.all)]

    def counters(self) -> ChannelCounters:
        """Sums over all that there ever were."""
        sums = super().counters()
        sums.bytes_sent += self.viewers.bytes_sent
        return sums

    def served(self, key: str) -> StreamId | None:
        """The stream that is on a key."""
        stage = self._stages.get(key)
        return None if stage is None else stage.served

    def close(self) -> None:
        """The step ends: who watches in HLS has to begin anew, with whoever serves the key then."""
        self.viewers.end_all("what it used has ended")
        for channel in self._hls_channels:
            channel.close()
        super().close()

    # HLS.

    @property
    def _hls_channels(self) -> Sequence[HlsChannel]:
        return [channel for stage in self.stages if (channel := hls_of(stage)) is not None]

    def hls(self, key: str) -> HlsChannel | None:
        """The channel of a key that there is. Asked with each request, so without a call of `hls_of`."""
        stage = self._stages.get(key)
        last = None if stage is None else stage.outputs[-1]
        return last if isinstance(last, HlsChannel) else None

    def rendition(self, key: str, label: str) -> HlsChannel | None:
        """The one of what is on the key in the quality with that label."""
        return dict(self._renditions(key)).get(label)

    def variants(self, key: str) -> Sequence[Variant]:
        """All qualities of what is on a key, its own first."""
        own = self.hls(key)
        found = [("", own), *self._renditions(key)]
        return [channel.variant(label) for label, channel in found if channel is not None and channel.is_ready]

    def begin(self, viewer: HlsViewer) -> None:
        """It watches from now on."""
        channel = self.hls(viewer.key)
        assert channel is not None
        channel.viewers += 1
        self.viewers.admit(viewer)
        self._stir.unpark_all()

        def leave() -> None:
            channel.viewers -= 1

        viewer.when_over(leave)

    async def keep_time(self) -> None:
        """End viewers who ask for nothing, and requests that wait too long."""
        while True:
            if not (len(self.viewers) or any(channel.needs_clock for channel in self._hls_channels)):
                await self._stir.park()
            await trio.sleep(TICK_SECONDS)
            channels = self._hls_channels
            longest = max((channel.playlist.target_s for channel in channels), default=0)
            self.viewers.patience = max(LEAST_SECONDS, TARGETS * longest)
            while self.viewers.end_silent(trio.current_time()):
                await trio.lowlevel.checkpoint()
            for channel in channels:
                channel.look_at_clock()
                await channel.send_pass()

    def _renditions(self, key: str) -> Sequence[tuple[str, HlsChannel]]:
        stage = self._stages.get(key)
        source = None if stage is None else stage.served
        return [] if source is None else self._renditions_of(source)

    def _renditions_of(self, source: StreamId) -> Sequence[tuple[str, HlsChannel]]:
        """By label; the best quality first, as it was asked for."""
        return [
            (rendition.label, channel)
            for stage, rendition in self.renditions_of(source)
            if (channel := hls_of(stage)) is not None
        ]

    def _family(self, key: str) -> Sequence[tuple[str, HlsChannel]]:
        """All that show the same as what is on a key, itself included; alone, nothing."""
        stage = self._stages.get(key)
        if stage is None or stage.served is None:
            return ()
        rendition = self.rendition_on(stage)
        source = stage.served if rendition is None else rendition.of
        others = self._renditions_of(source)
        own = self.stage_of(source)
        leader = None if own is None else hls_of(own)
        return [("", leader), *others] if others and leader is not None else ()

    def _stage_for(self, event: StreamStarted) -> Stage[tuple[StageOutput, ...]]:
        """See `Stages`: renditions have their own stages, on the clock of what they show."""
        self._stir.unpark_all()
        if event.rendition is None:
            stage = super()._stage_for(event)
            leader = None
        else:
            stage = self.stage(event.stream_name)
            own = self.stage_of(event.rendition.of)
            leader = None if own is None else hls_of(own)
        channel = hls_of(stage)
        if channel is not None and not stage.feeds:
            channel.follow(leader)
        return stage


def hls_of(stage: Stage[tuple[StageOutput, ...]]) -> HlsChannel | None:
    """A stage's output for HLS, if it has one."""
    last = stage.outputs[-1]  # see `make_outputs`
    return last if isinstance(last, HlsChannel) else None
