"""The fan-out: one stream to all subscribers of a key, rendered once and sent in one synchronous pass.

Frames are appended to a log of bytes that all share; a subscriber is a position in it.  A pass gathers what lies
between a position and the end, once for all who stand there (all, as a rule), and calls each one's `send` on it:

    the socket took all of it     position = end; nothing more to do for it
    it took a part of it          the output's own task sends the rest, and the subscriber leaves the shared path
                                  (`shares` is None) until it has caught up
    its position is out of the    it jumps to a later key frame, with the headers that have changed in between
    log, or it wants less         and sends by itself (`Output.advance`)

A task per subscriber that awaits its socket costs 3.5 times as much as one pass over all sockets, so tasks are
for those alone whose sockets do not take everything at once.

`_send_to` is the loop that everything is paid for: one call a subscriber, the socket's own `send`, on shared bytes.
Nothing in it calls a function of ours, logs or makes an object for a subscriber; what is rare stands behind `took` and
`advance`. `tests/test_hot_paths.py` counts that.
"""

from collections.abc import Mapping

import trio
from attrs import Factory, define, field

from mmids_trio.fanout.output import MAX_SEND, OutputEnd
from mmids_trio.fanout.rendering import Readdress, Rendering
from mmids_trio.fanout.stream_headers import StreamHeaders
from mmids_trio.fanout.stream_log import LogEntry, StampedHeaders, StreamLog
from mmids_trio.fanout.subscriber import JoinPoint, Subscriber, SubscriberCounters
from mmids_trio.media.events import OTHER, VIDEO, MediaKind, MediaPacket, StreamId
from mmids_trio.media.timeline import ChannelTimeline
from mmids_trio.media_memory import MediaHolding, MediaMemory, MediaOwner

SENDS_PER_SLICE = 64
"""Sends before the scheduler gets a turn: half a millisecond at some 7 µs each."""


@define
class Pace:
    """Counts sends so that passes yield; one for all channels that one task passes over."""

    sends_per_slice: int = SENDS_PER_SLICE
    _sends: int = 0

    def spend(self, sends: int) -> bool:
        """Count `sends`; whether it is time to yield."""
        self._sends += sends
        if self._sends < self.sends_per_slice:
            return False
        self._sends = 0
        return True


@define
class ChannelCounters(SubscriberCounters):
    """Sums over all subscribers that a channel has had; `disconnects`: those given up because they were too slow.

    `refused_headers`: sequence headers of its streams that were too large to keep for late joiners.
    """

    disconnects: int = 0
    refused_headers: int = 0

    def add_channel(self, other: "ChannelCounters") -> None:
        """Sum up all of it."""
        self.add(other)
        self.disconnects += other.disconnects
        self.refused_headers += other.refused_headers


@define(eq=False)
class Channel:
    """All subscribers of one key, and the log of what they are sent. It stays when a stream ends.

    One task feeds it and calls `send_pass` after; feeding is synchronous and sends nothing.
    """

    rendering: Rendering
    pace: Pace = field(factory=Pace)
    log: StreamLog = field(factory=StreamLog)
    gop_cache: bool = True
    """Whether a late joiner begins at the latest key frame, and so behind live, or else waits for the next one."""
    _timeline: ChannelTimeline = field(factory=ChannelTimeline, init=False)
    _headers: StreamHeaders = field(
        init=False, default=Factory(lambda self: StreamHeaders(self.rendering, self._timeline), takes_self=True)
    )
    _subscribers: dict[Subscriber, None] = field(factory=dict, init=False)
    _departed: ChannelCounters = field(factory=ChannelCounters, init=False)
    stream_id: StreamId | None = field(default=None, init=False)
    """Of the live stream, where it has been said."""
    _is_live: bool = field(default=False, init=False)
    _is_open: bool = field(default=False, init=False)
    """Whether the live stream has been announced, which its first frame does."""
    _has_key_frame: bool = field(default=False, init=False)
    _headers_since: int = field(default=0, init=False)

    # Subscribers.

    def add(self, subscriber: Subscriber, readdress: Readdress | None = None) -> None:
        """Send to `subscriber` from the latest key frame on, at once as far as its socket takes it.

        Without a stream it waits for one.  Its session has told it already that a stream begins.
        """
        self._subscribers[subscriber] = None
        subscriber.attach(self, readdress)

    def discard(self, subscriber: Subscriber) -> None:
        """Send no more media to `subscriber`; do this before its transport is closed. May be repeated."""
        if subscriber in self._subscribers:
            del self._subscribers[subscriber]
            self._departed.add(subscriber.counters)
            self._departed.disconnects += subscriber.output.end in (OutputEnd.STALLED, OutputEnd.TOO_SLOW)
            subscriber.detach()
            self.caught_up()
            holding = self.log.holding
            if not self._subscribers and holding is not None and holding.owner.is_away:
                self.log.trim()

    @property
    def subscribers(self) -> tuple[Subscriber, ...]:
        """Those who are here."""
        return tuple(self._subscribers)

    @property
    def is_watched(self) -> bool:
        """Whether anybody is here."""
        return bool(self._subscribers)

    @property
    def is_live(self) -> bool:
        """Whether a stream is on it."""
        return self._is_live

    def has_track(self, kind: MediaKind) -> bool:
        """Whether the stream that is on it has shown media of that kind."""
        return self._is_live and self._headers.has_track(kind)

    def charge_to(self, memory: MediaMemory) -> None:
        """What the log holds is charged there, to the owner of the stream that it is of."""
        self.log.holding = MediaHolding(memory, MediaOwner(), self.log.trim, lambda: self.is_watched)

    def let_go(self) -> None:
        """Nobody is served any more: hold nothing."""
        self.log.trim()

    def counters(self) -> ChannelCounters:
        """Sums over all subscribers, those who have left included."""
        refused = self._departed.refused_headers + self._headers.refused_headers
        total = ChannelCounters(disconnects=self._departed.disconnects, refused_headers=refused)
        total.add(self._departed)
        for subscriber in self._subscribers:
            total.add(subscriber.counters)
        return total

    def join_point(self) -> JoinPoint | None:
        """Where a late joiner begins now; `None`: at the next key frame, which will be announced to it."""
        if not (self._is_live and self._is_open):
            return JoinPoint(self.log.end_index)
        if not self.gop_cache and self.log.has_video:
            return None
        position = self.log.join_position()
        if position is None:
            return None
        if position == self.log.end_index:  # the log was trimmed, and nothing has come since
            return JoinPoint(position, self._headers.stamped())
        entry = self.log.entry(position)
        return JoinPoint(position, entry.headers if entry.is_key_frame else self._headers.stamped())

    @property
    def has_sound_alone(self) -> bool:
        """Whether who joins now can have sound at once, and a picture at the next key frame only.

        That is so if the current group of pictures is too long to be kept. One that was not kept because late joiners
        waited for the next one, as they do no more, is none of these: they wait for the end of it.
        """
        is_too_long = self.log.latest_key_frame is None and not self.log.is_group_unwanted
        lacks_group = self.gop_cache and self._has_key_frame and is_too_long
        return self._is_live and self._is_open and lacks_group and self._headers.has_track(MediaKind.AUDIO)

    def stamped_headers(self) -> StampedHeaders | None:
        """Metadata and sequence headers as of now; `None` when there is no stream."""
        return self._headers.stamped() if self._is_open else None

    def caught_up(self) -> None:
        """A subscriber has got everything there is.

        Between two streams no pass comes to forget what nobody needs any more.
        """
        if not self._is_live:
            self._release()

    # What feeds it.

    def begin_stream(self, owner: MediaOwner | None = None, stream_id: StreamId | None = None) -> None:
        """Another stream begins, of `owner`. Subscribers hear of it with its first frame."""
        if self._is_live:
            self.end_stream()
        self._is_live, self._is_open, self._has_key_frame = True, False, False
        self.stream_id = stream_id
        self._timeline.begin_stream()
        self._departed.refused_headers += self._headers.refused_headers
        self._headers = StreamHeaders(self.rendering, self._timeline)
        self.log.begin_stream()
        if self.log.holding is not None:
            self.log.holding.pass_to(owner or MediaOwner())

    def metadata(self, values: Mapping[str, object]) -> None:
        """The stream's metadata, in place of what was known."""
        if self._headers.set_metadata(values) and self._is_open:
            self._headers_since = self.log.end_index
            self.log.append(self._headers.metadata_entry())

    def packet(self, packet: MediaPacket) -> None:
        """A frame or a sequence header. Video before the first key frame is of no use to anybody."""
        if not self._is_live or not packet.data:
            return
        if packet.is_sequence_header:
            self._header(packet)
            return
        is_video = packet.kind is VIDEO
        if is_video:
            self.log.has_video = True
            self._has_key_frame |= packet.is_key_frame
        if is_video and not self._has_key_frame:
            return
        if packet.kind is OTHER and not self._is_open:
            return
        timestamp = self._timeline.place(packet)
        if self._headers.codecs.get(packet.kind, "") != packet.codec:  # not a call for each packet
            self._note_track(packet)
        if not self._is_open:
            self._open(timestamp)
        if is_video and packet.is_key_frame:
            self._key_frame(packet, timestamp)
        else:
            render = self.rendering.packet
            self.log.append(LogEntry(None, packet.kind, timestamp, False, None, 0, packet, render))

    def end_stream(self) -> None:
        """The stream is over; subscribers stay for the next one."""
        if self._is_live and self._is_open:
            for subscriber in self._subscribers:
                subscriber.end_of_stream(self.log.end_index)
            self.log.append(LogEntry(self.rendering.stream_end(), None, self._timeline.newest))
        self._is_live = self._is_open = False
        self.stream_id = None
        self.log.end_stream()

    def _header(self, packet: MediaPacket) -> None:
        changed = self._headers.set_header(packet)
        self._note_track(packet)
        if not self._is_open:
            return
        if changed:
            self._headers_since = self.log.end_index
        timestamp = self._timeline.place(packet)
        self.log.append(LogEntry(self.rendering.packet(packet, timestamp), packet.kind, timestamp))

    def _key_frame(self, packet: MediaPacket, timestamp: int) -> None:
        headers, render = self._headers.stamped(), self.rendering.packet
        self.log.append(LogEntry(None, VIDEO, timestamp, True, headers, self._headers_since, packet, render))
        for subscriber in self._subscribers:
            subscriber.key_frame_arrived(self.log.end_index - 1)

    def _note_track(self, packet: MediaPacket) -> None:
        if self._headers.note_track(packet) and self._is_open:
            self._headers_since = self.log.end_index
            self.log.append(self._headers.metadata_entry())

    def _open(self, timestamp: int) -> None:
        """Announce the stream with what is known of it."""
        self._is_open = True
        self.log.append(LogEntry(self.rendering.stream_begin(), None, timestamp))
        for entry in self._headers.stamped().entries():
            self._headers_since = self.log.end_index
            self.log.append(entry)

    # The pass.

    async def send_pass(self) -> None:
        """Send to every subscriber what it has not got yet, without waiting for any.

        Yields after each slice of work, so subscribers may come, go and break meanwhile.  Never raises for one
        of them: a broken connection ends its output, whose `run` says so.
        """
        subscribers = self.subscribers
        if subscribers and self.log.holding is not None:
            self.log.holding.owner.served_at = trio.current_time()
        size = self.pace.sends_per_slice
        for place in range(0, len(subscribers), size):
            if self.pace.spend(self._send_to(subscribers[place : place + size])):
                await trio.lowlevel.checkpoint()
        self._release()

    def _send_to(self, subscribers: tuple[Subscriber, ...]) -> int:
        """Send to those of `subscribers` who are (still) here; returns the number of sends."""
        log, end, sends = self.log, self.log.end_index, 0
        start, data, stop, size = -1, b"", -1, 0
        for subscriber in subscribers:
            position = subscriber.position
            if subscriber.shares is not log:
                if subscriber.output.has_due and subscriber in self._subscribers:
                    subscriber.output.advance()
                    sends += 1
                continue
            if position == end:
                continue
            sends += 1
            if position != start and position >= log.first_index:
                start = position
                data, stop = log.gather(start, MAX_SEND)
                size = len(data)
            if position != start or size > MAX_SEND:
                subscriber.output.advance()
                continue
            send = subscriber.send  # a slot: called in one go, it would be looked up as a method first, and dearly
            try:
                sent = send(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                subscriber.output.finish(OutputEnd.BROKEN)
                continue
            if sent == size and stop == end:  # as good as always; a call would cost a tenth of the send
                subscriber.output.bytes_sent += sent
                subscriber.position = end
            else:
                subscriber.took(sent, size, stop)
        return sends

    def _release(self) -> None:
        log = self.log
        if log.first_index < log.late_joiners_need:
            oldest = log.end_index
            for subscriber in self._subscribers:
                needs = subscriber.needs
                if needs is not None and needs < oldest:
                    oldest = needs
            log.release(oldest)
