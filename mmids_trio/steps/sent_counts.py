"""What is shown of channels, of whichever step."""

from mmids_trio.fanout.channel import ChannelCounters
from mmids_trio.metrics.catalog import STEP_CUT, STEP_JUMPS, STEP_REFUSED_HEADERS, STEP_SENT, STEP_SKIPPED
from mmids_trio.metrics.counts import Counts


def sent_counts(counters: ChannelCounters) -> Counts:
    """Of all watchers, or targets, of a step."""
    return {
        (STEP_SENT, ()): counters.bytes_sent,
        (STEP_SKIPPED, ()): counters.skipped_packets,
        (STEP_JUMPS, ()): counters.skips,
        (STEP_CUT, ()): counters.disconnects,
        (STEP_REFUSED_HEADERS, ()): counters.refused_headers,
    }
