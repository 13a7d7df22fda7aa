"""Server-sent events on the client's side, split wherever they are split."""

import json

import pytest

from mmids_trio.cli.client.failures import ClientError
from mmids_trio.cli.commands.events import MAX_DATA, EventReader, ServerEvent, as_document, as_line
from mmids_trio.http_api.event_stream import render_event, render_heartbeat, render_start


def read(data: bytes) -> list[ServerEvent]:
    """What a reader makes of it."""
    reader = EventReader()
    events = [reader.add_line(line) for line in data.decode().split("\n")[:-1]]
    return [event for event in events if event is not None]


def test_what_the_server_renders_is_read() -> None:
    data = (
        render_start("ab-1") + render_event("workflow_started", '{"workflow": "w"}', "ab-2") + render_heartbeat("ab-3")
    )
    start, event, heartbeat = read(data)
    assert (start.id, start.data) == ("ab-1", "")
    assert event == ServerEvent("workflow_started", '{"workflow": "w"}', "ab-2")
    assert (heartbeat.id, heartbeat.data) == ("ab-3", "")


def test_data_of_several_lines_is_one_text_and_an_id_holds_until_the_next() -> None:
    first, second = read(render_event("a", "1\n2", "x-1") + render_event("b", ""))
    assert (first.data, second.id, second.name) == ("1\n2", "x-1", "b")


def test_an_event_without_end_is_given_up() -> None:
    reader = EventReader()
    for _ in range(MAX_DATA // 1000):
        reader.add_line("data: " + 1000 * "x")
    with pytest.raises(ClientError, match="an event of more than"):
        reader.add_line("data: " + 1000 * "x")


def test_an_event_is_shown_on_a_line() -> None:
    data = {
        "id": "ab-2",
        "type": "workflow_failed",
        "time": "2026-11-24T09:05:06.789Z",
        "workflow": "my show",
        "reason": "x\x1b[2J\ny",
        "number": 3,
        "empty": "",
    }
    line = as_line(ServerEvent("workflow_failed", json.dumps(data), "1"))
    assert line == '09:05:06.789 workflow_failed workflow="my show" reason=x\\x1b[2J\\ny number=3 empty=""'


def test_an_event_is_one_document_for_machines() -> None:
    event = ServerEvent("reset", '{"reason": "restarted"}', "ab-1")
    assert as_document(event) == {"id": "ab-1", "event": "reset", "type": "reset", "reason": "restarted"}
    assert as_line(event) == "- reset reason=restarted"


def test_data_that_is_no_json_is_shown_as_it_is() -> None:
    assert as_document(ServerEvent("odd", "text", "1"))["data"] == "text"
