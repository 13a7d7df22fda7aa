"""The trade-offs of serving watchers, as an operator sets them for a server or for one step. Pure."""

from typing import cast

from attrs import frozen

from mmids_trio.config.settings import LONGEST_SEND_INTERVAL, LONGEST_WATCHER_LAG, switch, whole_number
from mmids_trio.steps.parameters import Parameter, Values

WATCH_PARAMETERS = (
    Parameter("send_interval", whole_number(0, LONGEST_SEND_INTERVAL, " of milliseconds")),
    Parameter("gop_cache", switch),
    Parameter("max_lag", whole_number(1, LONGEST_WATCHER_LAG, " of seconds")),
)
"""Those of `rtmp_watch`; one that is not given is the server's setting."""


@frozen
class WatchOptions:
    """`send_interval`: milliseconds from one pass over the watchers to the next; 0: see `steps.send_scheduler`.
    `gop_cache`: whether newcomers begin at the latest key frame.  `max_lag`: seconds of media that are kept for
    watchers that are slow.
    """

    send_interval: int = 0
    gop_cache: bool = True
    max_lag: int = 10

    def with_values(self, values: Values) -> "WatchOptions":
        """These, but for what a step says itself."""
        interval, cache, lag = (values[parameter.name] for parameter in WATCH_PARAMETERS)
        return WatchOptions(
            self.send_interval if interval is None else cast(int, interval),
            self.gop_cache if cache is None else cast(bool, cache),
            self.max_lag if lag is None else cast(int, lag),
        )
