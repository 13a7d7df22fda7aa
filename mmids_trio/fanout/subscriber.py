"""One client of a stream as the fan-out sees it: the output of its connection, and a position in a log.

The pass of the channel sends for it as long as its socket takes everything; only when the socket would
block does the output's own task wake up, drain to the head and go back to sleep.  Everything but that task
is synchronous, so that session and channel can use a subscriber without waiting for each other.

    NONE --attach--> FOLLOWING or WAITING             attach, detach: the channel's add and discard
    WAITING --a key frame, the end--> FOLLOWING
    FOLLOWING --fallen out of the log--> FOLLOWING at a later key frame, or WAITING; a third time in a row: the end
    FOLLOWING, WAITING --pause--> PAUSED --resume--> FOLLOWING or WAITING

A pass may hand over the shared bytes (`shares`) only to who FOLLOWS, wants all there is, and has nothing in its queue.
"""

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from mmids_trio.fanout.output import MAX_SEND, Output, OutputEnd
from mmids_trio.fanout.rendering import Readdress
from mmids_trio.fanout.stream_log import StampedHeaders, StreamLog
from mmids_trio.fanout.track_filter import TrackFilter
from mmids_trio.media.events import MediaKind, StreamId

if TYPE_CHECKING:
    from mmids_trio.fanout.channel import Channel

MAX_JUMPS = 3
"""Jumps in a row, without reaching the head in between, at which a subscriber is given up."""


class Delivery(Enum):
    """What a subscriber gets at present."""

    NONE = "it is in no channel"
    FOLLOWING = "what is in the log from its position on"
    WAITING = "nothing until the next key frame"
    PAUSED = "nothing until it resumes"


@frozen
class JoinPoint:
    """Where a late joiner begins, and what it has to be told before."""

    position: int
    headers: StampedHeaders | None = None


@define
class SubscriberCounters:
    """What subscribers have cost and missed in a channel."""

    bytes_sent: int = 0
    skips: int = 0
    skipped_packets: int = 0

    def add(self, other: "SubscriberCounters") -> None:
        """Sum up."""
        self.bytes_sent += other.bytes_sent
        self.skips += other.skips
        self.skipped_packets += other.skipped_packets


@define(eq=False)
class Subscriber:
    """Plugs a channel into an output, one channel at a time; see `MediaFeed`."""

    output: Output
    send: Callable[[bytes | memoryview], int] = field(init=False)
    """The output's, which is the transport's own; here as well, since each pass looks it up."""
    position: int = field(default=0, init=False)
    """Index of the entry that it gets next."""
    shares: StreamLog | None = field(default=None, init=False)
    """The log whose bytes a pass may hand it as they are; `None` when it needs a turn of its own."""
    skips: int = field(default=0, init=False)
    """How often it has jumped in its channel."""
    _skipped_packets: int = field(default=0, init=False)
    _sent_before: int = field(default=0, init=False)
    """Bytes that the output had sent before it came into its channel."""
    _channel: "Channel | None" = field(default=None, init=False)
    _delivery: Delivery = field(default=Delivery.NONE, init=False)
    _filter: TrackFilter | None = field(default=None, init=False)
    _headers: StampedHeaders | None = field(default=None, init=False)
    """Due before the next media. They are queued once nothing else is, so a player that does not read costs one set."""
    _audio_returns: bool = field(default=False, init=False)
    """Whether audio headers are due before the next media, since audio is wanted again."""
    _is_late_joiner: bool = field(default=True, init=False)
    _jumps: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.send = self.output.send
        self.output.feed = self

    # For the session.

    def pause(self) -> None:
        """Send no media until `resume`. A message that was begun is finished."""
        if self._delivery is not Delivery.NONE:
            self._set_delivery(Delivery.PAUSED)

    def resume(self) -> None:
        """Go on, at a key frame that was not sent yet."""
        if self._delivery is Delivery.PAUSED:
            self._is_late_joiner = True
            self._join()
            if not self.output.blocked:
                self.output.advance()

    def receive_audio(self, wanted: bool) -> None:
        """Whether to send audio (RTMP 1.0 §7.2.2.4)."""
        wishes = self._own_filter()
        if wanted != wishes.audio:
            self._audio_returns = wanted
        wishes.audio = wanted
        self._share_again()
        if self.output.has_due:
            self.output.advance()

    def receive_video(self, wanted: bool) -> None:
        """Whether to send video (RTMP 1.0 §7.2.2.5). Wanted again, it goes on at the next key frame."""
        wishes = self._own_filter()
        if wanted:
            wishes.resume_video()
        else:
            wishes.video = False
        self._share_again()

    # For the channel.

    def attach(self, channel: "Channel", readdress: Readdress | None) -> None:
        """Become a late joiner of `channel`, at its own address where it has one."""
        self._sent_before, self.skips, self._skipped_packets = self.output.bytes_sent, 0, 0
        self._channel, self.position = channel, 0
        self._jumps, self._is_late_joiner = 0, True
        self._headers, self._audio_returns = None, False
        if self._filter is not None or readdress is not None:
            self._own_filter().enter(readdress)
        self._share_again()
        self._join()
        if self.output.has_due:
            self.output.advance()

    def detach(self) -> None:
        """Get no more media. A message that was begun is finished, and replies still go out."""
        self._channel = self._headers = None
        self._set_delivery(Delivery.NONE)

    def key_frame_arrived(self, index: int) -> None:
        """Go on at the key frame at `index`, if that is what the subscriber waits for. The next pass sends."""
        if self._delivery is Delivery.WAITING:
            self._place(index)

    def end_of_stream(self, index: int) -> None:
        """Go on behind the stream, at `index`, rather than wait for a key frame that never comes."""
        if self._delivery is Delivery.WAITING:
            self._go_on_at(index, None)

    @property
    def needs(self) -> int | None:
        """Index of the oldest entry that it still has to get, `None` when it depends on none."""
        return self.position if self._delivery is Delivery.FOLLOWING and self.output.end is None else None

    def took(self, sent: int, size: int, stop: int) -> None:
        """The pass has sent `sent` of `size` shared bytes, which end before index `stop`."""
        self.output.bytes_sent += sent
        if sent < size:
            self._keep_rest(sent)
            self.output.set_blocked(True)
            return
        self.position = stop
        self.output.advance()

    @property
    def bytes_sent(self) -> int:
        """Since it came into its channel, replies included."""
        return self.output.bytes_sent - self._sent_before

    @property
    def delivery(self) -> Delivery:
        """What it gets at present."""
        return self._delivery

    @property
    def stream_id(self) -> StreamId | None:
        """Of the stream that is on its channel."""
        return None if self._channel is None else self._channel.stream_id

    @property
    def lag(self) -> tuple[int, int]:
        """Milliseconds and bytes of what is there for it and not sent; who waits or pauses has none but replies."""
        queued = self.output.queued_bytes
        if self._channel is None or self._delivery is not Delivery.FOLLOWING:
            return 0, queued
        behind_ms, behind = self._channel.log.behind(self.position)
        return behind_ms, behind + queued

    @property
    def counters(self) -> SubscriberCounters:
        """Of its time in its channel."""
        return SubscriberCounters(self.bytes_sent, self.skips, self._skipped_packets)

    # Within: joining.

    def _join(self) -> None:
        assert self._channel is not None
        point = self._channel.join_point()
        if point is None and self._channel.has_sound_alone:
            self._own_filter().await_video()
            self._go_on_at(self._channel.log.end_index, self._channel.stamped_headers())
        elif point is None:
            self._set_delivery(Delivery.WAITING)
        elif point.position >= self.position:
            self._go_on_at(point.position, point.headers)
        elif self._channel.log.has_video:  # that key frame was sent before the pause
            self._set_delivery(Delivery.WAITING)
        else:
            self._go_on_at(self.position, point.headers)

    def _place(self, index: int) -> None:
        """Go on at a key frame further on, with what changed in between."""
        assert self._channel is not None
        entry = self._channel.log.entry(index)
        if not self._is_late_joiner:
            self._skipped_packets += index - self.position
        is_untold = self._is_late_joiner or self._headers is not None
        changed = is_untold or entry.headers_since >= self.position
        self._go_on_at(index, entry.headers if changed else None)

    def _go_on_at(self, index: int, headers: StampedHeaders | None) -> None:
        """`headers` takes the place of one that is due still."""
        self.position = index
        self._is_late_joiner = False
        self._headers = headers
        self._set_delivery(Delivery.FOLLOWING)

    def _jump(self, channel: "Channel") -> None:
        """What comes next is no longer in the log: go on at the next key frame."""
        self._jumps += 1
        self.skips += 1
        if self._jumps >= MAX_JUMPS:
            self.output.finish(OutputEnd.TOO_SLOW)
            return
        index = channel.log.next_key_frame_at_or_after(channel.log.first_index)
        point = channel.join_point() if index is None else None
        if index is not None:
            self._place(index)
        elif point is not None:
            self._skipped_packets += point.position - self.position
            self._go_on_at(point.position, point.headers)
        else:
            self._set_delivery(Delivery.WAITING)

    # For the output.

    @property
    def is_due(self) -> bool:
        """See `MediaFeed`."""
        channel = self._channel
        return (
            channel is not None
            and self._delivery is Delivery.FOLLOWING
            and self.output.end is None
            and (self.position < channel.log.end_index or self._headers_are_due)
        )

    def send_next(self) -> bool:
        """See `MediaFeed`."""
        assert self._channel is not None
        log, wishes = self._channel.log, self._filter
        if self.position < log.first_index:
            self._jump(self._channel)
            return True
        if self._headers_are_due:
            self._queue_headers(self._channel)
            return True
        if wishes is None:
            data, stop = log.gather(self.position, MAX_SEND)
        else:
            data, stop = wishes.gather(log, self.position, MAX_SEND)
        sent = self.output.send_some(data) if data else 0
        if sent == len(data):
            self.position = stop
        else:
            self._keep_rest(sent)
        return sent == min(len(data), MAX_SEND)

    @property
    def _headers_are_due(self) -> bool:
        return self._headers is not None or self._audio_returns

    def _queue_headers(self, channel: "Channel") -> None:
        headers, wishes = self._headers or channel.stamped_headers(), self._filter
        entries = headers.entries() if headers is not None else ()
        if self._headers is None:
            entries = tuple(entry for entry in entries if entry.kind is MediaKind.AUDIO)
        self._headers, self._audio_returns = None, False
        if data := b"".join(entry.data if wishes is None else wishes.of(entry) for entry in entries):
            self.output.queue.append(data)

    def reached_head(self) -> None:
        """See `MediaFeed`."""
        if self._channel is not None and self._delivery is Delivery.FOLLOWING:
            self._jumps = 0
            if self._filter is not None and self._filter.settle(self.position):
                self._share_again()
            self._channel.caught_up()

    def output_changed(self) -> None:
        """See `MediaFeed`."""
        channel, output = self._channel, self.output
        as_all = self._delivery is Delivery.FOLLOWING and self._filter is None
        as_always = not (
            output.blocked or output.queue or output.end or self._headers_are_due or output.transport.takes_ahead
        )
        self.shares = channel.log if channel is not None and as_all and as_always else None

    def _keep_rest(self, sent: int) -> None:
        """Of the entries from the position on, the socket took `sent` bytes only: find where it stopped.

        Only the rest of one message is kept, a view into the bytes that all share.
        """
        while True:
            part = self._part(self.position)
            if sent < len(part):
                break
            sent -= len(part)
            self.position += 1
        if sent:
            self.output.queue.appendleft(memoryview(part)[sent:])
            self.position += 1

    def _part(self, index: int) -> bytes:
        assert self._channel is not None
        entry = self._channel.log.entry(index)
        return entry.data if self._filter is None else self._filter.part(entry, index)

    # Within: state.

    def _own_filter(self) -> TrackFilter:
        if self._filter is None:
            self._filter = TrackFilter()
        return self._filter

    def _share_again(self) -> None:
        """Wishes that come to nothing cost nothing."""
        if self._filter is not None and self._filter.is_everything:
            self._filter = None
        self.output_changed()

    def _set_delivery(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self.output_changed()
