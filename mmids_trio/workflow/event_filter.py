"""Which events somebody wants to hear of: by their type, and by the workflow that they are about. Pure."""

from collections.abc import Collection

from attrs import frozen

from mmids_trio.workflow.events import ClientJoined, ClientLeft, HubEvent

OF_CLIENTS: frozenset[str] = frozenset({ClientJoined.wire_name, ClientLeft.wire_name})
"""Those of which there may be thousands a minute."""


@frozen
class EventFilter:
    """`types` empty: all. `workflow` of `None`: whatever they are about."""

    types: Collection[str] = ()
    workflow: str | None = None

    def takes(self, event: HubEvent) -> bool:
        """Whether this one is wanted."""
        if self.types and event.wire_name not in self.types:
            return False
        return self.workflow is None or getattr(event, "workflow", None) == self.workflow
