"""The events that clients may see: their names, and their data as JSON."""

import json
from typing import Any

from attrs import fields, frozen, has

from mmids_trio.http_api.schemas import to_json
from mmids_trio.reactors.views import ReactorAnswered
from mmids_trio.workflow import happenings, hub


@frozen
class Reset:
    """The stream does not go on where the client was: look at the whole state again.

    `reason`: `restarted` (the id is from before a restart of the server) or `unknown` (it is none of its ids).
    """

    reason: str


@frozen
class Missed:
    """So many events (of all types) are gone for this client, which was away or slow for too long."""

    events: int


EVENT_KINDS: tuple[type, ...] = (
    hub.WorkflowStarted,
    hub.WorkflowFailed,
    hub.WorkflowEnded,
    hub.StreamBegan,
    hub.StreamOver,
    happenings.StreamInterrupted,
    happenings.StreamResumed,
    happenings.StreamStalled,
    happenings.StreamSwitched,
    happenings.TargetUp,
    happenings.TargetDown,
    ReactorAnswered,
)
"""What the hub carries for the outside. What else is published there stays inside."""

STREAM_KINDS: tuple[type, ...] = (Reset, Missed)
"""What a stream says of itself; a filter does not keep it back."""


def type_name(kind: type) -> str:
    """`workflow_started` for `WorkflowStarted`."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in kind.__name__).removeprefix("_")


EVENT_TYPES = tuple(type_name(kind) for kind in EVENT_KINDS)
"""Names to filter by."""


def event_json(event: Any, *, time: str | None = None) -> str:
    """The data of an event, in one line; with `time`, when it happened."""
    assert has(type(event))
    data = {attribute.name: to_json(getattr(event, attribute.name)) for attribute in fields(type(event))}
    return json.dumps(data if time is None else {"time": time, **data})
