"""Fragments: one `moof` with its `mdat`, which is also a part of Low-Latency HLS (RFC 8216bis §3.1, CMAF chunk).

The hot path of HTTP delivery: what is said of each sample is in one list, as it is written, and each run of samples is
packed in one call.
"""

from collections.abc import Sequence
from struct import Struct, pack

from attrs import frozen

_HEADS = Struct(">I4sI4sII")
"""`moof` (§8.8.4) and `mfhd` (§8.8.5)."""

_RUN_HEAD_BYTES = 64
"""Of `traf`, `tfhd`, `tfdt` and `trun` before the samples."""

_DEFAULT_BASE_IS_MOOF = 0x020000
_RUN_FLAGS = 0x01000F01
"""Version 1 (offsets may be negative); data offset; of each sample duration, size, flags, offset (§8.8.8)."""

SYNC, NOT_SYNC = 0x02000000, 0x01010000
"""Sample flags (§8.8.3.1): depends on no other; depends on others and is no sync sample."""

UNSIGNED = 0xFFFFFFFF
"""What a negative composition offset is written with."""

FIELDS = 4
"""Of one sample: duration and size, `SYNC` or `NOT_SYNC`, and offset from decoding to presentation, `UNSIGNED`; times
in the track's ticks."""


@frozen
class TrackRun:
    """Consecutive samples of one track; `start` is the decoding time of the first, in the track's ticks.

    `fields`: `FIELDS` of each sample.
    """

    track_id: int
    start: int
    fields: Sequence[int]
    data: Sequence[bytes]

    @property
    def duration(self) -> int:
        """Of all samples, in ticks."""
        return sum(self.fields[::FIELDS])


def fragment(sequence_number: int, runs: Sequence[TrackRun]) -> bytes:
    """`moof` and `mdat` of all `runs`, none of which may be empty (ISO/IEC 14496-12 §8.8)."""
    length = _HEADS.size + sum(_RUN_HEAD_BYTES + 4 * len(run.fields) for run in runs)
    pieces = [_HEADS.pack(length, b"moof", 16, b"mfhd", 0, sequence_number)]
    offset = length + 8  # the data's, from the beginning of the moof
    for run in runs:
        fields = run.fields
        count = len(fields)
        size = _RUN_HEAD_BYTES + 4 * count
        pieces.append(
            pack(
                f">I4sI4sIII4sIQI4sIII{count}I",
                *(size, b"traf"),
                *(16, b"tfhd", _DEFAULT_BASE_IS_MOOF, run.track_id),
                *(20, b"tfdt", 0x01000000, run.start),
                *(size - 44, b"trun", _RUN_FLAGS, count // FIELDS, offset),
                *fields,
            )
        )
        offset += sum(fields[1::FIELDS])
    pieces.append(pack(">I4s", offset - length, b"mdat"))
    for run in runs:
        pieces += run.data
    return b"".join(pieces)
