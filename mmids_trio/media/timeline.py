"""Timestamps that wrap (RTMP 1.0 §5.3.1.2, serial numbers as in RFC 1982), and successive streams on one clock."""

from attrs import Factory, define

from mmids_trio.media.events import MediaKind, MediaPacket

MODULUS = 1 << 32
HALF = 1 << 31
"""Of two timestamps that are less apart than this, the one ahead comes after the other."""

RESTART_MS = 1_000
"""A stream that goes back further than this has restarted its clock. Less is disorder between frames."""

SEAM_MS = 1
"""Between the last frame of one stream and the first of the next; more than 0, since many muxers refuse equals."""


def is_after(left: int, right: int) -> bool:
    """Whether `left` comes after `right`, given that they are less than 2**31 ms (24 days) apart."""
    return 0 < (left - right) % MODULUS < HALF


def shifted(timestamp: int, by: int) -> int:
    """`timestamp` moved by `by` milliseconds, wrapped."""
    return (timestamp + by) % MODULUS


def latest(left: int, right: int) -> int:
    """The later of the two."""
    return left if is_after(left, right) else right


@define
class ChannelTimeline:
    """Places packets of successive streams on one clock (milliseconds, modulo 2**32)."""

    offset: int = 0
    _offset_known: bool = True
    _last: dict[MediaKind, int] = Factory(dict)

    def begin_stream(self) -> None:
        """What comes from now on is another stream with a clock of its own."""
        self.offset = 0
        self._offset_known = not self._last

    def place(self, packet: MediaPacket) -> int:
        """The timestamp to send `packet` with.

        A sequence header never moves the clock: encoders give it any timestamp.
        """
        last = self._last.get(packet.kind)
        if packet.is_sequence_header:
            return self._place_header(packet, last)
        if not self._offset_known:
            self._offset_known = True
            if not is_after(shifted(packet.timestamp, self.offset), self.newest):
                self._continue_after(self.newest, packet)
        timestamp = (packet.timestamp + self.offset) % MODULUS  # `shifted`, and `is_after` below: a call each a packet
        if last is not None and 0 < (last - timestamp) % MODULUS < HALF:
            if is_after(shifted(last, -RESTART_MS), timestamp):
                self._continue_after(last, packet)
                timestamp = shifted(packet.timestamp, self.offset)
            else:
                timestamp = last
        self._last[packet.kind] = timestamp
        return timestamp

    def now(self, header: MediaPacket) -> int:
        """The timestamp for repeating a sequence header: that of the last frame of its kind."""
        last = self._last.get(header.kind)
        return shifted(header.timestamp, self.offset) if last is None else last

    @property
    def newest(self) -> int:
        """The latest timestamp of any kind, 0 before the first."""
        newest, *others = self._last.values() or (0,)
        for other in others:
            newest = latest(newest, other)
        return newest

    def _place_header(self, packet: MediaPacket, last: int | None) -> int:
        timestamp = shifted(packet.timestamp, self.offset)
        if last is not None and (not self._offset_known or is_after(last, timestamp)):
            return last
        return timestamp

    def _continue_after(self, timestamp: int, packet: MediaPacket) -> None:
        self.offset = shifted(timestamp, SEAM_MS - packet.timestamp)
