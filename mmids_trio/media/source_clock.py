"""The border of a way in: what a source says of time, as one legal timeline for all that stands behind.

Encoders' clocks wrap (at 2^24, say), start again, are set while they run, and not for all tracks at once.  Behind the
border no track goes back, and none leaps.  A track that leaves its clock goes on within a frame of where it was; the
others follow when they reach the same new clock, so picture and sound stay together.  `timeline` joins successive
streams, of which each is legal in itself.
"""

from attrs import Factory, define

from mmids_trio.media.events import OTHER, MediaKind, MediaPacket
from mmids_trio.media.timeline import MODULUS, RESTART_MS, is_after, latest, shifted

JUMP_MS = 10_000
"""A clock that is this far ahead of all tracks has been set anew. Less is a gap: frames that the source left out."""

MAX_CLOCKS = 4
"""Clocks of one source that are remembered: the present one, and those that some track may be late in."""

_LONGEST_FRAME_MS = 1_000
_FRAME_MS = 1
"""How long a frame is taken to last before there were two."""

_HALF = MODULUS // 2


@define
class _Track:
    offset: int
    """What its clock is moved by."""
    last: int
    """Where it stands on the timeline."""
    frame_ms: int = _FRAME_MS


@define(eq=False)
class SourceClock:
    """Places the packets of one source, from its first to its last."""

    clocks_set: int = 0
    """How often a clock was found to be another one."""
    _tracks: dict[MediaKind, _Track] = Factory(dict)
    _offsets: list[int] = Factory(lambda: [0])
    """Of the clocks that were met, the newest first."""
    _last_data: int | None = None

    def place(self, packet: MediaPacket) -> MediaPacket:
        """`packet` where it stands on the timeline; it is the same object where that is its own time."""
        track = self._tracks.get(packet.kind)
        if track is None or packet.is_sequence_header:
            return _at(packet, self._rare(packet, track))
        timestamp = (packet.timestamp + track.offset) % MODULUS
        step = timestamp - track.last
        if 0 <= step < _LONGEST_FRAME_MS:
            track.frame_ms = step or track.frame_ms
        else:
            timestamp = self._stepped(packet.timestamp, timestamp, track)
        track.last = timestamp
        return packet if timestamp == packet.timestamp else _at(packet, timestamp)

    def _rare(self, packet: MediaPacket, track: _Track | None) -> int:
        if packet.is_sequence_header:
            return self._header(packet, track)
        if packet.kind is OTHER:
            return self._data(packet)
        return self._begin(packet)

    def _stepped(self, raw: int, timestamp: int, track: _Track) -> int:
        """Where a frame stands that does not follow the last one closely."""
        if self._fits(timestamp, track.last):
            return latest(timestamp, track.last)
        offset = next((known for known in self._offsets if self._fits(shifted(raw, known), track.last)), None)
        if offset is None:
            self._set_clock(offset := shifted(self._continuation(track), -raw))
        track.offset = offset
        return latest(shifted(raw, offset), track.last)

    def _begin(self, packet: MediaPacket) -> int:
        """A track's first frame."""
        raw, newest = packet.timestamp, self._newest
        if newest is None:
            offset = self._offsets[0]
        else:
            fitting = (known for known in self._offsets if abs(_signed(shifted(raw, known) - newest)) <= JUMP_MS)
            found = next(fitting, None)
            if found is None:
                self._set_clock(found := shifted(newest, -raw))
            offset = found
        timestamp = shifted(raw, offset)
        self._tracks[packet.kind] = _Track(offset, timestamp)
        return timestamp

    def _header(self, packet: MediaPacket, track: _Track | None) -> int:
        """It moves no clock: encoders give it any timestamp."""
        last = self._newest if track is None else track.last
        if last is None:
            return packet.timestamp
        timestamp = shifted(packet.timestamp, self._offsets[0] if track is None else track.offset)
        return timestamp if 0 <= _signed(timestamp - last) < _LONGEST_FRAME_MS else last

    def _data(self, packet: MediaPacket) -> int:
        """Data moves no clock either: many senders give it 0."""
        newest, timestamp = self._newest, shifted(packet.timestamp, self._offsets[0])
        if newest is not None and abs(_signed(timestamp - newest)) > JUMP_MS:
            timestamp = newest
        if self._last_data is not None and newest is not None and is_after(self._last_data, timestamp):
            timestamp = self._last_data
        self._last_data = timestamp
        return timestamp

    @property
    def _newest(self) -> int | None:
        newest = None
        for track in self._tracks.values():
            newest = track.last if newest is None else latest(track.last, newest)
        return newest

    def _fits(self, timestamp: int, last: int) -> bool:
        """Whether a track that stands at `last` can go on there without a new clock."""
        newest = self._newest
        assert newest is not None  # there is a track
        return _signed(timestamp - last) >= -RESTART_MS and _signed(timestamp - newest) <= JUMP_MS

    def _continuation(self, track: _Track) -> int:
        """Where a track goes on whose clock is another one: a frame later, or with the others if it was silent."""
        newest = self._newest
        assert newest is not None  # there is a track
        is_silent = _signed(newest - track.last) > _LONGEST_FRAME_MS
        return newest if is_silent else shifted(track.last, track.frame_ms)

    def _set_clock(self, offset: int) -> None:
        self.clocks_set += 1
        self._offsets = [offset, *self._offsets[: MAX_CLOCKS - 1]]


def _signed(difference: int) -> int:
    return (difference + _HALF) % MODULUS - _HALF


def _at(packet: MediaPacket, timestamp: int) -> MediaPacket:
    """By hand and not by `evolve`, since after a jump every packet comes by here."""
    if timestamp == packet.timestamp:
        return packet
    return MediaPacket(
        packet.stream_id,
        packet.kind,
        timestamp,
        packet.data,
        packet.codec,
        packet.is_key_frame,
        packet.is_sequence_header,
        packet.composition_offset,
    )
