"""The task that a harness runs its server in, apart so that all tasks of the server are below one that is known."""

from collections.abc import Sequence

import trio
from attrs import define, field

from mmids_trio.definitions import WorkflowDefinition
from mmids_trio.server.app import Server
from mmids_trio.workflow.change import Change


@define(eq=False)
class Host:
    """The task above the server's: whatever the server starts, from its first step on, has this one above it."""

    server: Server
    definitions: Sequence[WorkflowDefinition]
    changes: Sequence[Change] = ()
    up: trio.Event = field(factory=trio.Event)
    ended: trio.Event = field(factory=trio.Event)

    async def run(self) -> None:
        """Run the server to its end."""
        try:
            async with trio.open_nursery() as nursery:
                self.changes = await nursery.start(self.server.run, self.definitions)
                self.up.set()
        finally:
            self.ended.set()
