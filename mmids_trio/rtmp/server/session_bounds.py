"""What the sessions of one server share that bounds what clients make it hold and do; one object for all of them."""

from math import inf

from attrs import field, frozen

from mmids_trio.media_memory import MediaMemory
from mmids_trio.net.limits import SharedAllowances
from mmids_trio.on_air.directory import OnAir
from mmids_trio.rtmp.protocol.limits import MAX_TALK_BURST_OF_ADDRESS, MAX_TALK_RATE_OF_ADDRESS


def _allowances() -> SharedAllowances:
    return SharedAllowances(MAX_TALK_BURST_OF_ADDRESS, MAX_TALK_RATE_OF_ADDRESS)


@frozen(eq=False)
class SessionBounds:
    """`max_streams`: that one connection may publish at a time.  `talk`: what addresses may say that is no media.

    `memory`: where what clients hold is charged.
    """

    max_streams: float = inf
    talk: SharedAllowances = field(factory=_allowances)
    memory: MediaMemory = field(factory=MediaMemory)
    on_air: OnAir = field(factory=OnAir)
    """Where clients are seen."""
