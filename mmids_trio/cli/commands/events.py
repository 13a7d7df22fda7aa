"""`events`: what happens, as it happens, or what has happened lately.

Lines of the stream come in (WHATWG HTML §9.2.6), events go out, and are printed as lines to read or as JSON.
"""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import click
from attrs import define, field, frozen

from mmids_trio.cli.client.api import ApiClient, Params, Unreachable
from mmids_trio.cli.client.command import CommandSession, client_command
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

    def add_line(self, line: str) -> ServerEvent | None:
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
    data = {name: value for name, value in data.items() if name not in ("id", "type")}
    clock = time.partition("T")[2].removesuffix("Z") or "-"
    words = [f"{name}={_word(value)}" for name, value in data.items()]
    return printable(" ".join([clock, event.name, *words]))


def as_document(event: ServerEvent) -> dict[str, Any]:
    """For machines: id and type beside what the event says. Servers of 0.1.0 say neither in it."""
    return {"id": event.id, "event": event.name, "type": event.name, **details(event)}


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


SILENCE_SECONDS = 45.0
"""After which a stream counts as lost: three of the comments that a server sends every 15 s."""

AGAIN_SECONDS = 2.0
"""From a loss to the next try: a server restarts in less."""

GIVE_UP_SECONDS = 60.0
"""How long a server may be away."""

OF_THE_STREAM = ("missed", "reset")
"""What a stream says of itself, whatever the types."""

STYLES = {
    **dict.fromkeys(("workflow_failed", "target_down", "fleet_failed", "registry_away"), "red"),
    **dict.fromkeys(("stream_interrupted", "key_lost", "drain_began", "missed"), "yellow"),
}


@client_command("events")
@click.option("--follow", "-f", is_flag=True, help="Print new events until you interrupt it.")
@click.option("--types", metavar="TYPE,...", help="Print only these types, such as workflow_started,workflow_failed.")
@click.option("--workflow", metavar="NAME", help="Print only events about this workflow.")
@click.option("--last-id", metavar="ID", help="Continue after this event (`id` in the JSON).")
def events(
    session: CommandSession, *, follow: bool, types: str | None, workflow: str | None, last_id: str | None
) -> int:
    """Print events, one per line, with times in UTC: those that the server remembers, or with --follow new ones.

    --follow waits for a server that restarts. --json prints one JSON object per line.
    """
    with session.api() as api:
        only = {name: value for name, value in (("types", types), ("workflow", workflow)) if value}
        feed = _Feed(session, api, only, last_id or "")
        if not follow:
            feed.print_recent()
            return 0
        try:
            feed.follow()
        except KeyboardInterrupt:
            return 0
    return 0


@define
class _Feed:
    """The events of one server; `last_id` is where to go on."""

    _session: CommandSession
    _api: ApiClient
    _params: dict[str, str]
    last_id: str

    def print_recent(self) -> None:
        """From the oldest that the server remembers, or behind `last_id`, to the newest.

        What is wanted is picked out here: a server that leaves events out says nothing until the next of its comments.
        """
        newest = self._newest_id()
        boot, _, number = newest.rpartition("-")
        if not number.isdecimal():
            raise ClientError("the stream of events begins without an id; is this the HTTP API of an mmids_trio?")
        if self.last_id and (self.last_id.rpartition("-")[0] != boot or _number(self.last_id) > int(number)):
            self._session.output.warn(f"the server has restarted and does not know the event {self.last_id}")
            self.last_id = ""
        self.last_id = self.last_id or f"{boot}-0"
        for event in self._stream({}):
            if self._is_wanted(event):
                self._print(event)
            if _number(event.id) >= int(number):
                return

    def _is_wanted(self, event: ServerEvent) -> bool:
        types, workflow = self._params.get("types"), self._params.get("workflow")
        if event.name in OF_THE_STREAM:
            return True
        if types is not None and event.name not in types.split(","):
            return False
        return workflow is None or details(event).get("workflow") == workflow

    def follow(self) -> None:
        """Until interrupted, or the server stays away."""
        lost_at: float | None = None
        while True:
            try:
                for event in self._stream(self._params):
                    lost_at = None
                    self._print(event)
                reason = "the stream of events has ended"
            except Unreachable as error:
                reason = str(error)
            if not self.last_id:
                raise ClientError(reason)  # it never began
            if lost_at is None:
                self._session.output.warn(f"{reason}; trying again for {GIVE_UP_SECONDS:g} s")
            lost_at = lost_at or time.monotonic()
            if time.monotonic() - lost_at > GIVE_UP_SECONDS:
                raise ClientError(reason)
            time.sleep(AGAIN_SECONDS)  # this program does nothing else meanwhile

    def _newest_id(self) -> str:
        with ExitStack() as stack:
            for line in stack.enter_context(
                self._api.stream("/events", params=self._params, headers={}, seconds=SILENCE_SECONDS)
            ):
                if line.startswith("id:"):
                    return line.removeprefix("id:").strip()
        return ""

    def _stream(self, params: Params) -> Iterator[ServerEvent]:
        """Events and, with empty data, what only tells an id."""
        headers = {"Last-Event-ID": self.last_id} if self.last_id else {}
        reader = EventReader(self.last_id)
        with self._api.stream("/events", params=params, headers=headers, seconds=SILENCE_SECONDS) as lines:
            for line in lines:
                event = reader.add_line(line)
                if event is not None:
                    self.last_id = reader.last_id
                    yield event

    def _print(self, event: ServerEvent) -> None:
        if event.data:
            self._session.output.say(as_line(event), STYLES.get(event.name, ""))
            self._session.output.document(as_document(event))


def _number(event_id: str) -> int:
    number = event_id.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0
