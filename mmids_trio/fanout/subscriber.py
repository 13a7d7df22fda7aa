"""One player's connection as the fan-out sees it: the output of a connection, and a position in a log.

The pass of the channel sends for it as long as its socket takes everything; only when the socket would
block does the watcher's own task wake up, drain to the head and go back to sleep.  Everything but that task
is synchronous, so that session and channel can use a watcher without waiting for each other.
"""

from attrs import define, field

from mmids_trio.fanout.output import Output
from mmids_trio.fanout.stream_log import StampedPreface, StreamLog
from mmids_trio.fanout.track_filter import Selection
from mmids_trio.fanout.watching import MAX_JUMPS, MAX_SEND, Media, Source, WatcherCounters, WatcherEnd
from mmids_trio.media.events import MediaKind
from mmids_trio.rtmp.rendering import MESSAGE_STREAM


@define(eq=False)
class Watcher(Output):
    """An `Output` that a channel can be attached to, one at a time."""

    position: int = field(default=0, init=False)
    """Index of the entry that it gets next."""
    shares: StreamLog | None = field(default=None, init=False)
    """The log whose bytes a pass may hand it as they are; `None` when it needs a turn of its own."""
    _source: Source | None = field(default=None, init=False)
    _media: Media = field(default=Media.NONE, init=False)
    _selection: Selection | None = field(default=None, init=False)
    _preface: StampedPreface | None = field(default=None, init=False)
    """Due before the next media. It is queued once nothing else is, so a player that does not read costs one."""
    _audio_returns: bool = field(default=False, init=False)
    """Whether audio headers are due before the next media, since audio is wanted again."""
    _is_newcomer: bool = field(default=True, init=False)
    _jumps: int = field(default=0, init=False)

    # For the session.

    def pause(self) -> None:
        """Send no media until `resume`. A message that was begun is finished."""
        if self._media is not Media.NONE:
            self._set_media(Media.PAUSED)

    def resume(self) -> None:
        """Go on, at a key frame that was not sent yet."""
        if self._media is Media.PAUSED:
            self._is_newcomer = True
            self._join()
            if not self.blocked:
                self.advance()

    def receive_audio(self, wanted: bool) -> None:
        """Whether to send audio (RTMP 1.0 §7.2.2.4)."""
        selection = self._own_selection()
        if wanted != selection.audio:
            self._audio_returns = wanted
        selection.audio = wanted
        self._share_again()
        if self.has_due:
            self.advance()

    def receive_video(self, wanted: bool) -> None:
        """Whether to send video (RTMP 1.0 §7.2.2.5). Wanted again, it goes on at the next key frame."""
        selection = self._own_selection()
        if wanted:
            selection.resume_video()
        else:
            selection.video = False
        self._share_again()

    # For the channel.

    def attach(self, source: Source, message_stream_id: int) -> None:
        """Become a newcomer of `source`, under the message stream id that the client uses."""
        self.counters = WatcherCounters()
        self._source, self.position = source, 0
        self._jumps, self._is_newcomer = 0, True
        self._preface, self._audio_returns = None, False
        if self._selection is not None or message_stream_id != MESSAGE_STREAM:
            self._own_selection().enter(message_stream_id)
        self._share_again()
        self._join()
        if self.has_due:
            self.advance()

    def detach(self) -> None:
        """Get no more media. A message that was begun is finished, and replies still go out."""
        self._source = self._preface = None
        self._set_media(Media.NONE)

    def key_frame_arrived(self, index: int) -> None:
        """Go on at the key frame at `index`, if that is what the watcher waits for. The next pass sends."""
        if self._media is Media.WAITING:
            self._place(index)

    def stream_ended(self, index: int) -> None:
        """Go on behind the stream, at `index`, rather than wait for a key frame that never comes."""
        if self._media is Media.WAITING:
            self._go_on_at(index, None)

    @property
    def needs(self) -> int | None:
        """Index of the oldest entry that it still has to get, `None` when it depends on none."""
        return self.position if self._media is Media.FOLLOWING and self.end is None else None

    def took(self, sent: int, size: int, stop: int) -> None:
        """The pass has sent `sent` of `size` shared bytes, which end before index `stop`."""
        self.counters.bytes_sent += sent
        if sent < size:
            self._keep_rest(sent)
            self.set_blocked(True)
            return
        self.position = stop
        self.advance()

    # Within: joining.

    def _join(self) -> None:
        assert self._source is not None
        point = self._source.join_point()
        if point is None:
            self._set_media(Media.WAITING)
        elif point.position >= self.position:
            self._go_on_at(point.position, point.preface)
        elif self._source.log.has_video:  # that key frame was sent before the pause
            self._set_media(Media.WAITING)
        else:
            self._go_on_at(self.position, point.preface)

    def _place(self, index: int) -> None:
        """Go on at a key frame further on, with what changed in between."""
        assert self._source is not None
        entry = self._source.log.entry(index)
        if not self._is_newcomer:
            self.counters.skipped_packets += index - self.position
        is_untold = self._is_newcomer or self._preface is not None
        changed = is_untold or entry.headers_since >= self.position
        self._go_on_at(index, entry.preface if changed else None)

    def _go_on_at(self, index: int, preface: StampedPreface | None) -> None:
        """`preface` takes the place of one that is due still."""
        self.position = index
        self._is_newcomer = False
        self._preface = preface
        self._set_media(Media.FOLLOWING)

    def _jump(self, source: Source) -> None:
        """What comes next is no longer in the log: go on at the next key frame."""
        self._jumps += 1
        self.counters.skips += 1
        if self._jumps >= MAX_JUMPS:
            self.finish(WatcherEnd.TOO_SLOW)
            return
        index = source.log.next_key_frame_at_or_after(source.log.first_index)
        point = source.join_point() if index is None else None
        if index is not None:
            self._place(index)
        elif point is not None:
            self.counters.skipped_packets += point.position - self.position
            self._go_on_at(point.position, point.preface)
        else:
            self._set_media(Media.WAITING)

    # Within: sending, as `Output` asks for it.

    def _media_due(self) -> bool:
        source = self._source
        return (
            source is not None
            and self._media is Media.FOLLOWING
            and self.end is None
            and (self.position < source.log.end_index or self._preface_is_due)
        )

    def _send_media(self) -> bool:
        assert self._source is not None
        log, selection = self._source.log, self._selection
        if self.position < log.first_index:
            self._jump(self._source)
            return True
        if self._preface_is_due:
            self._queue_preface(self._source)
            return True
        if selection is None:
            data, stop = log.gather(self.position, MAX_SEND)
        else:
            data, stop = selection.gather(log, self.position, MAX_SEND)
        sent = self._send_some(data) if data else 0
        if sent == len(data):
            self.position = stop
        else:
            self._keep_rest(sent)
        return sent == min(len(data), MAX_SEND)

    @property
    def _preface_is_due(self) -> bool:
        return self._preface is not None or self._audio_returns

    def _queue_preface(self, source: Source) -> None:
        preface, selection = self._preface or source.preface(), self._selection
        entries = preface.entries() if preface is not None else ()
        if self._preface is None:
            entries = tuple(entry for entry in entries if entry.kind is MediaKind.AUDIO)
        self._preface, self._audio_returns = None, False
        if data := b"".join(entry.data if selection is None else selection.of(entry) for entry in entries):
            self._queue.append(data)

    def _reached_head(self) -> None:
        if self._source is not None and self._media is Media.FOLLOWING:
            self._jumps = 0
            self._source.caught_up()

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
            self._queue.appendleft(memoryview(part)[sent:])
            self.position += 1

    def _part(self, index: int) -> bytes:
        assert self._source is not None
        entry = self._source.log.entry(index)
        return entry.data if self._selection is None else self._selection.part(entry, index)

    # Within: state.

    def _own_selection(self) -> Selection:
        if self._selection is None:
            self._selection = Selection()
        return self._selection

    def _share_again(self) -> None:
        """Wishes that come to nothing cost nothing."""
        if self._selection is not None and self._selection.is_everything:
            self._selection = None
        self._changed()

    def _set_media(self, media: Media) -> None:
        self._media = media
        self._changed()

    def _changed(self) -> None:
        source = self._source
        as_all = self._media is Media.FOLLOWING and self._selection is None
        as_always = not (self.blocked or self._queue or self.end or self._preface_is_due or self.transport.takes_ahead)
        self.shares = source.log if source is not None and as_all and as_always else None
