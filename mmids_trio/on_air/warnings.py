"""What is wrong with a stream although it is on the air, with what an operator can do about it. Pure."""

from collections.abc import Iterator

from mmids_trio.on_air.meters import StreamMeter
from mmids_trio.on_air.views import StreamWarning, TrackView

FAR_MS = 1000
"""Between the newest sound and the newest picture. Players hold so much back at most, or show one without the other."""

LONG_GROUP_MS = 6000
"""From one key frame to the next: for so long newcomers and failovers wait, and HLS segments last at least."""

JUMP_MEMORY_SECONDS = 600.0
"""After a jump of the clock, for which it is said."""

UNEVEN_MS = 500
"""Jitter, on average."""


def warnings_of(meter: StreamMeter, clock_set_at: float | None, now: float) -> Iterator[StreamWarning]:
    """Those that its media show."""
    offset = meter.sound_offset_ms
    if offset is not None and abs(offset) > FAR_MS:
        ahead, behind = ("sound", "picture") if offset > 0 else ("picture", "sound")
        yield StreamWarning(
            "sound_far_from_picture",
            f"the {ahead} is {abs(offset)} ms ahead of the {behind}",
            "restart the encoder; if it stays, check that both come from one clock and that neither is starved",
        )
    jumps = [at for at in (meter.jumped_at, clock_set_at) if at is not None and now - at < JUMP_MEMORY_SECONDS]
    if jumps:
        yield StreamWarning(
            "clock_jumps",
            f"timestamps have jumped, {now - max(jumps):.0f} s ago last",
            "check the encoder's clock, and that one source alone is sent; an outage at the encoder looks the same",
        )
    for track in meter.tracks(now):
        yield from _of_track(track)


def _of_track(track: TrackView) -> Iterator[StreamWarning]:
    interval = track.key_frame_interval_ms
    if interval is not None and interval > LONG_GROUP_MS:
        yield StreamWarning(
            "key_frames_far_apart",
            f"key frames are {interval / 1000:.1f} s apart",
            "set the encoder's key frame interval to 2 s: newcomers, HLS and failover wait for a key frame",
        )
    if track.jitter_ms > UNEVEN_MS:
        yield StreamWarning(
            "comes_unevenly",
            f"{track.kind} comes {track.jitter_ms} ms early or late on average",
            "check the network between encoder and server, and the encoder's load",
        )
    if track.codec is None:
        yield StreamWarning(
            "codec_unknown",
            f"the codec of the {track.kind} is not known",
            "only players of the same protocol may know it; encode it in front (ffmpeg_transcode)",
        )
