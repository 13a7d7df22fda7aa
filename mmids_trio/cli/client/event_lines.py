"""The stream of events on the client's side: lines in (WHATWG HTML §9.2.6), events out, and events as lines to read."""

import json
from typing import Any

from attrs import define, field, frozen

from mmids_trio.cli.client.failures import ClientError
from mmids_trio.errors import printable

MAX_DATA = 1024 * 1024
"""Characters of one event; those of a server have some hundred."""


@frozen
class ServerEvent:
    """One event. `id` is what to come again with; `data` is empty where only the id is told."""

    name: str
    data: str
    id: str


@define
class EventReader:
    """Puts events together, line by line."""

    last_id: str = ""
    _name: str = field(default="", init=False)
    _data: list[str] = field(factory=list, init=False)
    _size: int = field(default=0, init=False)

    def receive(self, line: str) -> ServerEvent | None:
        """Take in a line without its end; the event that it completes."""
        if not line:
            event = ServerEvent(self._name or "message", "\n".join(self._data), self.last_id)
            self._name, self._data, self._size = "", [], 0
            return event
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "id" and "\0" not in value:
            self.last_id = value
        elif name == "event":
            self._name = value
        elif name == "data":
            self._add(value)
        return None

    def _add(self, value: str) -> None:
        self._size += len(value)
        if self._size > MAX_DATA:
            raise ClientError(f"the server sends an event of more than {MAX_DATA} characters")
        self._data.append(value)


def as_line(event: ServerEvent) -> str:
    """`09:05:06.789 workflow_failed workflow=show reason=...`, times in UTC."""
    data = details(event)
    time = str(data.pop("time", ""))
    clock = time.partition("T")[2].removesuffix("Z") or "-"
    words = [f"{name}={_word(value)}" for name, value in data.items()]
    return printable(" ".join([clock, event.name, *words]))


def as_document(event: ServerEvent) -> dict[str, Any]:
    """For machines: id and name beside what the event says."""
    return {"id": event.id, "event": event.name, **details(event)}


def details(event: ServerEvent) -> dict[str, Any]:
    """What an event says."""
    try:
        data = json.loads(event.data)
    except ValueError:
        data = None
    return data if isinstance(data, dict) else {"data": event.data}


def _word(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if " " in value or not value else value
    return json.dumps(value, ensure_ascii=False)
