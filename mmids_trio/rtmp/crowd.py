"""How many connections there may be at once. Pure but for one log line an episode."""

import structlog
from attrs import define, field

CALM_BELOW = 0.9
"""Part of the limit that the number has to fall to before another warning: one for each rush, not for each client."""

log = structlog.get_logger()


@define(eq=False)
class Crowd:
    """Counts connections up to `limit`."""

    limit: float
    present: int = field(default=0, init=False)
    turned_away: int = field(default=0, init=False)
    """How many found no room, ever."""
    _is_calm: bool = field(default=True, init=False)

    def enter(self) -> bool:
        """One more, if there is room."""
        if self.present >= self.limit:
            self.turned_away += 1
            if self._is_calm:
                log.warning("too many connections, new ones are closed at once", limit=self.limit)
            self._is_calm = False
            return False
        self.present += 1
        return True

    def leave(self) -> None:
        """One less."""
        self.present -= 1
        self._is_calm = self._is_calm or self.present < CALM_BELOW * self.limit
