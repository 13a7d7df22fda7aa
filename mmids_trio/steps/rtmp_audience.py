"""Which stream the watchers of a key get: the channels of one `rtmp_watch` step, and the streams that feed them."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from attrs import define, field, frozen

from mmids_trio.addresses import AddressRules
from mmids_trio.config.settings import Settings
from mmids_trio.fanout.channel import Channel, ChannelCounters, Pace
from mmids_trio.fanout.rendering import Rendering
from mmids_trio.fanout.stream_log import MAX_GROUP_MS, StreamLog
from mmids_trio.rtmp.rendering import RtmpRendering
from mmids_trio.steps.stages import StageOutput, Stages
from mmids_trio.workflow.status import Clients


@frozen
class WatchOptions:
    """The trade-offs of serving watchers, as an operator sets them for a server or for one step.

    `send_interval_ms`: from one pass over the watchers to the next; 0: see `steps.passes`.  `gop_cache`: whether
    newcomers begin at the latest key frame.  `max_lag_s`: how much of the media is kept for watchers that are slow.
    """

    send_interval_ms: int
    gop_cache: bool
    max_lag_s: int

    @classmethod
    def of(cls, settings: Settings) -> "WatchOptions":
        """Those of a server."""
        return cls(settings.rtmp_send_interval, settings.gop_cache, settings.max_watcher_lag)

    @property
    def max_log_ms(self) -> int:
        """How much of the media a log keeps."""
        return 1000 * self.max_lag_s

    @property
    def max_group_ms(self) -> int:
        """How much of the current group of pictures it keeps beyond that."""
        return MAX_GROUP_MS if self.gop_cache else 0


@define(eq=False)
class Audience(Stages[tuple[StageOutput, ...]]):
    """The channels of one step. `key` is exact, and gets the first stream that comes, or `ANY_KEY`."""

    options: WatchOptions = field(factory=lambda: WatchOptions.of(Settings()))
    rendering: Rendering = field(factory=RtmpRendering)
    _pace: Pace = field(factory=Pace, init=False)
    """One for all channels, as one task passes over them."""
    _gone: ChannelCounters = field(factory=ChannelCounters, init=False)
    """Of channels that were forgotten."""

    def make_outputs(self, key: str) -> tuple[StageOutput, ...]:
        """See `Stages`."""
        return (self._make_channel(),)

    def _make_channel(self) -> Channel:
        log = StreamLog(max_ms=self.options.max_log_ms, max_group_ms=self.options.max_group_ms)
        channel = Channel(self.rendering, pace=self._pace, log=log, gop_cache=self.options.gop_cache)
        channel.charge_to(self.memory)
        return channel

    def forget(self, outputs: tuple[StageOutput, ...]) -> None:
        """See `Stages`."""
        for output in outputs:
            if isinstance(output, Channel):
                self._gone.add_channel(output.counters())

    @property
    def channels(self) -> Iterable[Channel]:
        """All that there are."""
        for stage in self.stages:
            yield from (output for output in stage.outputs if isinstance(output, Channel))

    @property
    def size(self) -> int:
        """How many watchers there are on all channels."""
        return sum(len(channel.subscribers) for channel in self.channels)

    def watching(self, key: str) -> int:
        """How many watch a key."""
        stage = self._stages.get(key)
        return 0 if stage is None else sum(self._watching(output) for output in stage.outputs)

    def _watching(self, output: StageOutput) -> int:
        return len(output.subscribers) if isinstance(output, Channel) else 0

    def count_excluded(self, rules: AddressRules) -> Clients:
        """How many of them address rules do not permit."""
        return Clients(watchers=sum(not rules.permit(host) for host in self.hosts))

    @property
    def hosts(self) -> Sequence[str]:
        """Where they come from."""
        return [
            subscriber.output.transport.peer_host for channel in self.channels for subscriber in channel.subscribers
        ]

    def take_options(self, options: WatchOptions) -> Callable[[], None]:
        """Go by these from now on, for who is here too; returns what takes that back."""
        before = self.options
        self._go_by(options)
        return partial(self._go_by, before)

    def _go_by(self, options: WatchOptions) -> None:
        self.options = options
        for channel in self.channels:
            channel.gop_cache = options.gop_cache
            channel.log.max_ms = options.max_log_ms
            channel.log.max_group_ms = options.max_group_ms

    def channel(self, key: str) -> Channel:
        """Where a watcher of `key` gets its media; it may wait there for a stream to begin."""
        return next(output for output in self.stage(key).outputs if isinstance(output, Channel))

    def counters(self) -> ChannelCounters:
        """Sums over all channels that there ever were."""
        sums = ChannelCounters()
        for counters in (self._gone, *(channel.counters() for channel in self.channels)):
            sums.add_channel(counters)
        return sums
