"""`events`: what happens, as it happens, or what has happened lately."""

import time
from collections.abc import Iterator
from contextlib import ExitStack

import click
from attrs import define

from mmids_trio.cli.client.api import Api, Params, Unreachable
from mmids_trio.cli.client.command import Session, client_command
from mmids_trio.cli.client.event_lines import EventReader, ServerEvent, as_document, as_line
from mmids_trio.cli.client.failures import ClientError

SILENCE_SECONDS = 45.0
"""After which a stream counts as lost: three of the comments that a server sends every 15 s."""

AGAIN_SECONDS = 2.0
"""From a loss to the next try: a server restarts in less."""

GIVE_UP_SECONDS = 60.0
"""How long a server may be away."""

OF_THE_STREAM = ("missed", "reset")
"""What a stream says of itself, whatever the types."""

STYLES = {"workflow_failed": "red", "target_down": "red", "stream_interrupted": "yellow", "missed": "yellow"}


@client_command("events")
@click.option("--follow", "-f", is_flag=True, help="Print new events until you interrupt it.")
@click.option("--types", metavar="TYPE,...", help="Print only these types, such as workflow_started,workflow_failed.")
@click.option("--last-id", metavar="ID", help="Continue after this event (`id` in the JSON).")
def events(session: Session, *, follow: bool, types: str | None, last_id: str | None) -> int:
    """Print events, one per line, with times in UTC: those that the server remembers, or with --follow new ones.

    --follow waits for a server that restarts. --json prints one JSON object per line.
    """
    with session.api() as api:
        feed = _Feed(session, api, {"types": types} if types else {}, last_id or "")
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

    _session: Session
    _api: Api
    _params: dict[str, str]
    last_id: str

    def print_recent(self) -> None:
        """From the oldest that the server remembers, or behind `last_id`, to the newest.

        The types are picked out here: a server that leaves events out says nothing until the next of its comments.
        """
        newest = self._newest_id()
        boot, _, number = newest.rpartition("-")
        if not number.isdecimal():
            raise ClientError("the stream of events begins without an id; is this the HTTP API of an mmids_trio?")
        if self.last_id and (self.last_id.rpartition("-")[0] != boot or _number(self.last_id) > int(number)):
            self._session.output.warn(f"the server has restarted and does not know the event {self.last_id}")
            self.last_id = ""
        self.last_id = self.last_id or f"{boot}-0"
        wanted = {*self._params.get("types", "").split(","), *OF_THE_STREAM}
        for event in self._stream({}):
            if "types" not in self._params or event.name in wanted:
                self._print(event)
            if _number(event.id) >= int(number):
                return

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
                event = reader.receive(line)
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
