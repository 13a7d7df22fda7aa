"""What each node says of itself every few seconds, for operators who ask any other: how much it has, and which streams.

And what one node is told by another: to be emptied.  Both are documents, which end by themselves.
"""

import json
from collections.abc import Mapping
from typing import Any

from attrs import asdict, field, frozen

from mmids_trio.cluster.directory import Incarnation, StreamKey
from mmids_trio.cluster.revisions import Unreadable

STATUS_PREFIX = "status/"

MAX_STREAMS = 500
"""That one node tells of; of more it says how many there are. 500 rows are about 15 KiB when they are compressed."""

MAX_INTERRUPTED = 50
"""Keys that one node names whose publisher is gone; of more it says how many there are."""

ORDER_TTL_SECONDS = 60.0
"""How long an order to a node waits for it."""


@frozen
class StreamRow:
    """A stream at a node. `bitrate`: bits a second of all its media."""

    id: str
    name: str
    workflow: str
    state: str
    bitrate: int
    watchers: int


@frozen
class NodeStatus:
    """How a node is. `reasons`: why it does not serve what is decided; `order`: the last that it has carried out.

    `interrupted`: so many keys that it has wait for their publisher, who may come to any node; some are in `waiting`.
    `drain` has the fields of the API's answer about it.
    """

    owner: Incarnation
    publishers: int = 0
    watchers: int = 0
    stream_count: int = 0
    interrupted: int = 0
    waiting: tuple[StreamKey, ...] = ()
    streams: tuple[StreamRow, ...] = ()
    reasons: tuple[str, ...] = ()
    drain: Mapping[str, Any] = field(factory=dict)
    order: str = ""

    def to_text(self) -> str:
        """As the document has it, before it is sealed."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> "NodeStatus":
        """Raises `Unreadable`."""
        try:
            found = json.loads(text)
            return cls(
                Incarnation(**found["owner"]),
                int(found["publishers"]),
                int(found["watchers"]),
                int(found["stream_count"]),
                int(found["interrupted"]),
                tuple(StreamKey(**key) for key in found["waiting"]),
                tuple(StreamRow(**row) for row in found["streams"]),
                tuple(map(str, found["reasons"])),
                dict(found["drain"]),
                str(found["order"]),
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            raise Unreadable("a node's status in the registry is not what this version writes") from None


def status_name(node: str) -> str:
    """Where a node says how it is."""
    return f"{STATUS_PREFIX}{node}"


@frozen
class DrainOrder:
    """That one life of a node is to be emptied, or to take publishers again; `id` tells orders apart."""

    id: str
    owner: Incarnation
    drains: bool
    deadline: float | None = None

    def to_text(self) -> str:
        """As the document has it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> "DrainOrder":
        """Raises `Unreadable`."""
        try:
            found = json.loads(text)
            deadline = None if found["deadline"] is None else float(found["deadline"])
            return cls(str(found["id"]), Incarnation(**found["owner"]), bool(found["drains"]), deadline)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise Unreadable("an order to a node in the registry is not what this version writes") from None


def order_name(node: str) -> str:
    """Where a node is told to be emptied."""
    return f"drain/{node}"
