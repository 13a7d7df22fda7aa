"""What clients see of events: their names, and their data as JSON."""

import json
from typing import ClassVar, get_args

from attrs import fields, frozen

from mmids_trio.http_api.schemas import to_json
from mmids_trio.workflow.events import HubEvent


@frozen
class Reset:
    """The stream does not go on where the client was: look at the whole state again.

    `reason`: `restarted` (the id is from before a restart of the server) or `unknown` (it is none of its ids).
    """

    wire_name: ClassVar[str] = "reset"
    reason: str


@frozen
class Missed:
    """So many events (of all types) are gone for this client, which was away or slow for too long."""

    wire_name: ClassVar[str] = "missed"
    events: int


StreamEvent = HubEvent | Reset | Missed
"""What a stream carries: events of the hub, and what it says of itself, which a filter does not keep back."""

EVENT_TYPES: tuple[str, ...] = tuple(kind.wire_name for kind in get_args(HubEvent))
"""Names to filter by."""


HEAD = ("id", "type", "time", "count", "dropped", "data")
"""What clients and web services get beside the fields of an event; none of these has such a name."""


def event_json(event: StreamEvent, *, event_id: str | None = None, time: str | None = None, count: int = 1) -> str:
    """An event in one line of JSON: its fields, with `event_id` and `time` which one it is and when it happened.

    `count`: for how many it stands, if not for one.
    """
    head = {"id": event_id, "type": event.wire_name if event_id else None, "time": time}
    data: dict[str, object] = {name: value for name, value in head.items() if value is not None}
    data |= {attribute.name: to_json(getattr(event, attribute.name)) for attribute in fields(type(event))}
    if count > 1:
        data["count"] = count
    return json.dumps(data)
