"""Fragments: one `moof` with its `mdat`, which is also a part of Low-Latency HLS (RFC 8216bis §3.1, CMAF chunk).

The hot path of HTTP delivery, so the run of samples is packed in one call.
"""

from collections.abc import Sequence
from struct import Struct, pack

from attrs import frozen

from mmids_trio.media.fmp4.boxes import FOUR, box, full_box, number

_EIGHT = Struct(">Q")
_DEFAULT_BASE_IS_MOOF = 0x020000
_RUN_FLAGS = 0x000F01
"""Data offset; per sample duration, size, flags and composition offset (§8.8.8)."""

_SYNC, _NOT_SYNC = 0x02000000, 0x01010000
"""Sample flags (§8.8.3.1): depends on no other; depends on others and is no sync sample."""


@frozen
class Sample:
    """One frame. `duration` and `offset` (from decoding to presentation) in the track's ticks."""

    data: bytes
    duration: int
    offset: int = 0
    is_sync: bool = True


@frozen
class TrackRun:
    """Consecutive samples of one track; `start` is the decoding time of the first, in the track's ticks."""

    track_id: int
    start: int
    samples: Sequence[Sample]


def fragment(sequence_number: int, runs: Sequence[TrackRun]) -> bytes:
    """`moof` and `mdat` of all `runs`, none of which may be empty (ISO/IEC 14496-12 §8.8)."""
    header = full_box(b"mfhd", 0, 0, number(sequence_number))
    sizes = [sum(len(sample.data) for sample in run.samples) for run in runs]
    # The data's offset counts from the beginning of the moof, whose size does not depend on the offset's value.
    length = len(box(b"moof", header, *(_track_fragment(run, 0) for run in runs)))
    offset, fragments = length + 8, []
    for run, size in zip(runs, sizes, strict=True):
        fragments.append(_track_fragment(run, offset))
        offset += size
    data = [sample.data for run in runs for sample in run.samples]
    return b"".join((box(b"moof", header, *fragments), FOUR.pack(8 + sum(sizes)), b"mdat", *data))


def _track_fragment(run: TrackRun, offset: int) -> bytes:
    fields: list[int] = []
    for sample in run.samples:
        fields += (
            sample.duration,
            len(sample.data),
            _SYNC if sample.is_sync else _NOT_SYNC,
            sample.offset & 0xFFFFFFFF,
        )
    return box(
        b"traf",
        full_box(b"tfhd", 0, _DEFAULT_BASE_IS_MOOF, number(run.track_id)),
        full_box(b"tfdt", 1, 0, _EIGHT.pack(run.start)),
        full_box(b"trun", 1, _RUN_FLAGS, number(len(run.samples)), number(offset), pack(f">{len(fields)}I", *fields)),
    )
