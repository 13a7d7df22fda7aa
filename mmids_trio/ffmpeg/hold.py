"""What keeps children from running for a while, for a reason that has nothing to do with them.

Apart from the capacity for children: who is held asks for no place, and does not wait in a line.
"""

import trio
from attrs import define, field


@define(eq=False)
class Hold:
    """Of the children of one step. `reason`: why none may be started; `None` while they may."""

    reason: str | None = field(default=None, init=False)
    _released: trio.Event = field(factory=trio.Event, init=False)

    def set(self, reason: str) -> None:
        """From now on none is started; those that run are for the caller to end."""
        self.reason = reason

    def release(self) -> None:
        """They may be started again."""
        self.reason = None
        self._released.set()
        self._released = trio.Event()

    async def wait(self) -> None:
        """Until nothing holds them."""
        while self.reason is not None:
            await self._released.wait()
