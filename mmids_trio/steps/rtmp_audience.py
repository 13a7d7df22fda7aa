"""Which stream the watchers of a key get: the channels of one `rtmp_watch` step, and the streams that feed them."""

from collections.abc import Callable, Sequence
from functools import partial

import structlog
from attrs import define, field, frozen

from mmids_trio.addresses import AddressRules
from mmids_trio.config.settings import Settings
from mmids_trio.fanout.channel import Channel, ChannelCounters, Pace
from mmids_trio.fanout.stream_log import MAX_GROUP_MS, StreamLog
from mmids_trio.media.events import (
    MediaEvent,
    MediaPacket,
    StreamEnded,
    StreamId,
    StreamMetadata,
    StreamStarted,
)
from mmids_trio.media.tracks import TrackKey, remember_header
from mmids_trio.media_memory import MediaMemory, MediaOwner
from mmids_trio.rtmp.rendering import RtmpRendering
from mmids_trio.rtmp.server.registrations import ANY_KEY
from mmids_trio.workflow.status import Clients

log = structlog.get_logger()


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


FIRST_PURGE = 64
"""Keys at which unused ones are looked for the first time; a watcher may ask for any key there is."""


@define(eq=False)
class _Stage:
    """One key: its channel, and the streams that want to be on it, the served one first."""

    key: str
    channel: Channel
    feeds: list["_Feed"] = field(factory=list)

    @property
    def is_used(self) -> bool:
        return bool(self.feeds or self.channel.subscribers)


@define(eq=False)
class _Feed:
    """One live stream, the stage that it wants, and what the stage's channel must be told when it turns to it."""

    stage: _Stage
    stream_id: StreamId
    name: str
    owner: MediaOwner
    metadata: StreamMetadata | None = None
    headers: dict[TrackKey, MediaPacket] = field(factory=dict)

    @property
    def is_served(self) -> bool:
        return self.stage.feeds[0] is self

    def show(self) -> None:
        """Put the stream on its stage, with all that is known of it."""
        channel = self.stage.channel
        channel.begin_stream(self.owner, self.stream_id)
        if self.metadata is not None:
            channel.metadata(self.metadata.values)
        for header in self.headers.values():
            channel.packet(header)


@define(eq=False)
class Audience:
    """The channels of one step. `key` is exact, and gets the first stream that comes, or `ANY_KEY`."""

    key: str
    options: WatchOptions = field(factory=lambda: WatchOptions.of(Settings()))
    memory: MediaMemory = field(factory=MediaMemory)
    """Where the logs are charged."""
    _pace: Pace = field(factory=Pace, init=False)
    """One for all channels, as one task passes over them."""
    _feeds: dict[StreamId, _Feed] = field(factory=dict, init=False)
    _stages: dict[str, _Stage] = field(factory=dict, init=False)
    _gone: ChannelCounters = field(factory=ChannelCounters, init=False)
    """Of channels that were forgotten."""
    _purge_at: int = field(default=FIRST_PURGE, init=False)

    @property
    def size(self) -> int:
        """How many watchers there are on all channels."""
        return sum(len(stage.channel.subscribers) for stage in self._stages.values())

    def count_excluded(self, rules: AddressRules) -> Clients:
        """How many of them address rules do not permit."""
        hosts = [
            subscriber.output.transport.peer_host
            for stage in self._stages.values()
            for subscriber in stage.channel.subscribers
        ]
        return Clients(watchers=sum(not rules.permit(host) for host in hosts))

    def take_options(self, options: WatchOptions) -> Callable[[], None]:
        """Go by these from now on, for who is here too; returns what takes that back."""
        before = self.options
        self._go_by(options)
        return partial(self._go_by, before)

    def _go_by(self, options: WatchOptions) -> None:
        self.options = options
        for stage in self._stages.values():
            stage.channel.gop_cache = options.gop_cache
            stage.channel.log.max_ms = options.max_log_ms
            stage.channel.log.max_group_ms = options.max_group_ms

    def channel(self, key: str) -> Channel:
        """Where a watcher of `key` gets its media; it may wait there for a stream to begin."""
        return self._stage(key).channel

    def close(self) -> None:
        """The step ends: nothing is held any more."""
        for stage in self._stages.values():
            stage.channel.log.trim()

    def counters(self) -> ChannelCounters:
        """Sums over all channels that there ever were."""
        sums = ChannelCounters()
        for counters in (self._gone, *(stage.channel.counters() for stage in self._stages.values())):
            sums.add_channel(counters)
        return sums

    def feed(self, events: Sequence[MediaEvent]) -> list[Channel]:
        """Hand events to the channels; returns those that now have something to send."""
        touched: dict[Channel, None] = {}
        for event in events:
            channel = self._feed_one(event)
            if channel is not None:
                touched[channel] = None
        return list(touched)

    def _feed_one(self, event: MediaEvent) -> Channel | None:
        if isinstance(event, StreamStarted):
            return self._start(event)
        feed = self._feeds.get(event.stream_id)
        if feed is None:
            return None
        channel = feed.stage.channel
        if isinstance(event, MediaPacket):
            if event.is_sequence_header:
                remember_header(feed.headers, event)
            if not feed.is_served:
                return None
            channel.packet(event)
        elif isinstance(event, StreamMetadata):
            feed.metadata = event
            if not feed.is_served:
                return None
            channel.metadata(event.values)
        else:
            self._end(event, feed)
        return channel

    def _start(self, event: StreamStarted) -> Channel | None:
        stage = self._stage(event.stream_name if self.key == ANY_KEY else self.key)
        feed = self._feeds[event.stream_id] = _Feed(
            stage, event.stream_id, event.stream_name, self.memory.owner_of(event.source_id)
        )
        stage.feeds.append(feed)
        if not feed.is_served:
            log.warning("stream waits, its stream key is taken", stream=feed.name, served=stage.feeds[0].name)
            return None
        feed.show()
        return stage.channel

    def _end(self, event: StreamEnded, feed: _Feed) -> None:
        stage = feed.stage
        was_served = feed.is_served
        stage.feeds.remove(feed)
        del self._feeds[event.stream_id]
        if was_served:
            stage.channel.end_stream()
            if stage.feeds:
                stage.feeds[0].show()

    def _stage(self, key: str) -> _Stage:
        stage = self._stages.get(key)
        if stage is None:
            self._purge()
            stage = self._stages[key] = _Stage(key, self._channel())
        return stage

    def _channel(self) -> Channel:
        log = StreamLog(max_ms=self.options.max_log_ms, max_group_ms=self.options.max_group_ms)
        channel = Channel(RtmpRendering(), pace=self._pace, log=log, gop_cache=self.options.gop_cache)
        channel.charge_to(self.memory)
        return channel

    def _purge(self) -> None:
        """Forget keys that nobody publishes or watches any more, now and then."""
        if len(self._stages) >= self._purge_at:
            for stage in self._stages.values():
                if not stage.is_used:
                    stage.channel.log.trim()
                    self._gone.add_channel(stage.channel.counters())
            self._stages = {key: stage for key, stage in self._stages.items() if stage.is_used}
            self._purge_at = max(FIRST_PURGE, 2 * len(self._stages))
