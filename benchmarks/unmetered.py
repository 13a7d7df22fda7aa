"""A module for `load`: a server whose streams are not metered, beside which the row `metering` measures one as it is.

Streams and clients still begin and end in the directory; what is left of each batch is the sum of its bytes, which the
step itself needs.
"""

from collections.abc import Sequence

from mmids_trio.media.events import MediaEvent, MediaPacket
from mmids_trio.on_air.meters import StreamMeter

STEPS: Sequence[object] = []
"""It brings no kinds of steps."""


def only_bytes(_meter: StreamMeter, events: Sequence[MediaEvent], _now: float) -> int:
    """In place of `StreamMeter.note`."""
    return sum(len(event.data) for event in events if type(event) is MediaPacket)


StreamMeter.note = only_bytes  # type: ignore[assignment, method-assign]  # in a process that does nothing else
