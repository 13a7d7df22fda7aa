"""The fan-out: one stream to all watchers of a key, rendered once and sent in one synchronous pass.

A task per watcher that awaits its socket costs 3.5 times as much as one pass over all sockets, so tasks are
for the watchers alone whose sockets do not take everything at once.

`_send_to` is the loop that everything is paid for: one call a watcher, the socket's own `send`, on shared bytes.
Nothing in it calls a function of ours, logs or makes an object for a watcher; what is rare stands behind `took` and
`advance`. `tests/test_hot_paths.py` counts that.
"""

from collections.abc import Mapping

import trio
from attrs import Factory, define, field

from mmids_trio.fanout.stream_headers import Prologue
from mmids_trio.fanout.stream_log import Entry, StampedPreface, StreamLog
from mmids_trio.fanout.subscriber import Watcher
from mmids_trio.fanout.watching import MAX_SEND, JoinPoint, WatcherCounters, WatcherEnd
from mmids_trio.media.events import MediaKind, MediaPacket
from mmids_trio.media.timeline import ChannelTimeline
from mmids_trio.rtmp.rendering import MESSAGE_STREAM, Rendering, RtmpRendering

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
class ChannelCounters(WatcherCounters):
    """Sums over all watchers that a channel has had; `disconnects`: those given up because they were too slow.

    `refused_headers`: sequence headers of its streams that were too large to keep for newcomers.
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
    """All watchers of one key, and the log of what they are sent. It stays when a stream ends.

    One task feeds it and calls `send_pass` after; feeding is synchronous and sends nothing.
    """

    rendering: Rendering = field(factory=RtmpRendering)
    pace: Pace = field(factory=Pace)
    log: StreamLog = field(factory=StreamLog)
    gop_cache: bool = True
    """Whether a newcomer begins at the latest key frame, and so behind live, or else waits for the next one."""
    _timeline: ChannelTimeline = field(factory=ChannelTimeline, init=False)
    _prologue: Prologue = field(
        init=False, default=Factory(lambda self: Prologue(self.rendering, self._timeline), takes_self=True)
    )
    _watchers: dict[Watcher, None] = field(factory=dict, init=False)
    _departed: ChannelCounters = field(factory=ChannelCounters, init=False)
    _is_live: bool = field(default=False, init=False)
    _is_open: bool = field(default=False, init=False)
    """Whether the live stream has been announced, which its first frame does."""
    _has_key_frame: bool = field(default=False, init=False)
    _headers_since: int = field(default=0, init=False)

    # Watchers.

    def add(self, watcher: Watcher, message_stream_id: int = MESSAGE_STREAM) -> None:
        """Send to `watcher` from the latest key frame on, at once as far as its socket takes it.

        Without a stream it waits for one.  Its session has told it already that a stream begins.
        """
        self._watchers[watcher] = None
        watcher.attach(self, message_stream_id)

    def discard(self, watcher: Watcher) -> None:
        """Send no more media to `watcher`; do this before its transport is closed. May be repeated."""
        if watcher in self._watchers:
            del self._watchers[watcher]
            self._departed.add(watcher.counters)
            self._departed.disconnects += watcher.end in (WatcherEnd.STALLED, WatcherEnd.TOO_SLOW)
            watcher.detach()
            self.caught_up()

    @property
    def watchers(self) -> tuple[Watcher, ...]:
        """Those who are here."""
        return tuple(self._watchers)

    def counters(self) -> ChannelCounters:
        """Sums over all watchers, those who have left included."""
        refused = self._departed.refused_headers + self._prologue.refused_headers
        total = ChannelCounters(disconnects=self._departed.disconnects, refused_headers=refused)
        total.add(self._departed)
        for watcher in self._watchers:
            total.add(watcher.counters)
        return total

    def join_point(self) -> JoinPoint | None:
        """See `Source`."""
        if not (self._is_live and self._is_open):
            return JoinPoint(self.log.end_index)
        if not self.gop_cache and self.log.has_video:
            return None
        position = self.log.join_position()
        if position is None:
            return None
        entry = self.log.entry(position)
        return JoinPoint(position, entry.preface if entry.is_key_frame else self._prologue.preface())

    def preface(self) -> StampedPreface | None:
        """See `Source`."""
        return self._prologue.preface() if self._is_open else None

    def caught_up(self) -> None:
        """See `Source`. Between two streams no pass comes to forget what nobody needs any more."""
        if not self._is_live:
            self._release()

    # What feeds it.

    def stream_started(self) -> None:
        """Another stream begins. Watchers hear of it with its first frame."""
        if self._is_live:
            self.stream_ended()
        self._is_live, self._is_open, self._has_key_frame = True, False, False
        self._timeline.stream_started()
        self._departed.refused_headers += self._prologue.refused_headers
        self._prologue = Prologue(self.rendering, self._timeline)
        self.log.begin_stream()

    def metadata(self, values: Mapping[str, object]) -> None:
        """The stream's metadata, in place of what was known."""
        if self._prologue.set_metadata(values) and self._is_open:
            self._headers_since = self.log.end_index
            self.log.append(self._prologue.metadata_entry())

    def packet(self, packet: MediaPacket) -> None:
        """A frame or a sequence header. Video before the first key frame is of no use to anybody."""
        if not self._is_live or not packet.data:
            return
        if packet.is_sequence_header:
            self._header(packet)
            return
        is_video = packet.kind is MediaKind.VIDEO
        if is_video:
            self.log.has_video = True
            self._has_key_frame |= packet.is_key_frame
        if is_video and not self._has_key_frame:
            return
        if packet.kind is MediaKind.OTHER and not self._is_open:
            return
        self._frame(packet, self._timeline.place(packet))

    def stream_ended(self) -> None:
        """The stream is over; watchers stay for the next one."""
        if self._is_live and self._is_open:
            for watcher in self._watchers:
                watcher.stream_ended(self.log.end_index)
            self.log.append(Entry(self.rendering.stream_end(), None, self._timeline.newest))
        self._is_live = self._is_open = False
        self.log.end_stream()

    def _header(self, packet: MediaPacket) -> None:
        changed = self._prologue.set_header(packet)
        self._note_track(packet)
        if not self._is_open:
            return
        if changed:
            self._headers_since = self.log.end_index
        timestamp = self._timeline.place(packet)
        self.log.append(Entry(self.rendering.packet(packet, timestamp), packet.kind, timestamp))

    def _frame(self, packet: MediaPacket, timestamp: int) -> None:
        self._note_track(packet)
        if not self._is_open:
            self._open(timestamp)
        data = self.rendering.packet(packet, timestamp)
        if packet.kind is not MediaKind.VIDEO or not packet.is_key_frame:
            self.log.append(Entry(data, packet.kind, timestamp))
            return
        preface = self._prologue.preface()
        self.log.append(Entry(data, packet.kind, timestamp, True, preface, self._headers_since))
        for watcher in self._watchers:
            watcher.key_frame_arrived(self.log.end_index - 1)

    def _note_track(self, packet: MediaPacket) -> None:
        if self._prologue.note_track(packet) and self._is_open:
            self._headers_since = self.log.end_index
            self.log.append(self._prologue.metadata_entry())

    def _open(self, timestamp: int) -> None:
        """Announce the stream with what is known of it."""
        self._is_open = True
        self.log.append(Entry(self.rendering.stream_begin(), None, timestamp))
        for entry in self._prologue.preface().entries():
            self._headers_since = self.log.end_index
            self.log.append(entry)

    # The pass.

    async def send_pass(self) -> None:
        """Send to every watcher what it has not got yet, without waiting for any.

        Yields after each slice of work, so watchers may come, go and break meanwhile.  Never raises for one
        of them: a broken connection ends its watcher, whose `run` says so.
        """
        watchers = self.watchers
        size = self.pace.sends_per_slice
        for place in range(0, len(watchers), size):
            if self.pace.spend(self._send_to(watchers[place : place + size])):
                await trio.lowlevel.checkpoint()
        self._release()

    def _send_to(self, watchers: tuple[Watcher, ...]) -> int:
        """Send to those of `watchers` who are (still) here; returns the number of sends."""
        log, end, sends = self.log, self.log.end_index, 0
        start, data, stop, size = -1, b"", -1, 0
        for watcher in watchers:
            position = watcher.position
            if watcher.shares is not log:
                if watcher.has_due and watcher in self._watchers:
                    watcher.advance()
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
                watcher.advance()
                continue
            send = watcher.send  # a slot: called in one go, it would be looked up as a method first, and dearly
            try:
                sent = send(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                watcher.finish(WatcherEnd.BROKEN)
                continue
            if sent == size and stop == end:  # as good as always; a call would cost a tenth of the send
                watcher.counters.bytes_sent += sent
                watcher.position = end
            else:
                watcher.took(sent, size, stop)
        return sends

    def _release(self) -> None:
        log = self.log
        if log.first_index < log.newcomers_need:
            oldest = log.end_index
            for watcher in self._watchers:
                needs = watcher.needs
                if needs is not None and needs < oldest:
                    oldest = needs
            log.release(oldest)
