"""A production incident becomes a test: the tape of one, as `record` wrote it, is in the folder `tapes`.

Somebody changed the `allow_ips` of a live workflow; its publisher was cut, came back, and was refused.
"""

from pathlib import Path

import pytest

from mmids_trio.capture.records import Closed, Opened, Received, Requested, Responded
from mmids_trio.capture.tape import read_tape
from mmids_trio.testing.replaying import run_replay
from mmids_trio.workflow.events import StreamWentLive, StreamWentOff, WorkflowEnded, WorkflowStarted

INCIDENT = (Path(__file__).parent / "tapes" / "shut_out.mmtape").read_bytes()


def test_the_incident_happens_again() -> None:
    replayed = run_replay(INCIDENT)
    of_streams = (WorkflowStarted, StreamWentLive, StreamWentOff, WorkflowEnded)
    assert [type(event) for event in replayed.events if isinstance(event, of_streams)] == list(of_streams)
    change, end = [
        next(line for line in replayed.lines if what in line)
        for what in ("request 2 PUT /workflows?wait=10: 200", "connection 1: closed by the server")
    ]
    assert change.split()[0] == end.split()[0] == "3.127983"
    assert "3.739799 connection 3: closed by the client" in replayed.lines
    assert replayed.left == ()


@pytest.mark.thorough
def test_the_order_of_tasks_changes_nothing_but_the_order_of_what_happens_at_once() -> None:
    logs = [run_replay(INCIDENT, seed=seed) for seed in range(6)]
    assert {tuple(sorted(log.lines)) for log in logs} == {tuple(sorted(logs[0].lines))}


def test_with_one_line_changed_the_publisher_stays() -> None:
    """What a fix looks like: the same clients, and a change that still lets the publisher in."""
    tape = read_tape(INCIDENT)
    for number, record in enumerate(tape.records):
        if isinstance(record, Requested):
            body = record.body.replace(b"allow_ips=10.0.0.0/8", b"allow_ips=127.0.0.0/8")
            tape.records[number] = Requested(
                record.time, record.request, record.method, record.target, record.headers, body
            )
    replayed = run_replay(tape)
    assert "3.127983 connection 1: closed by the server" not in replayed.lines
    [began] = [event for event in replayed.events if isinstance(event, StreamWentLive)]
    assert began.workflow == "studio"


def test_the_tape_holds_what_it_says_and_no_secret() -> None:
    tape = read_tape(INCIDENT)
    assert tape.damage is None
    kinds = {type(record) for record in tape.records}
    assert kinds >= {Opened, Received, Closed, Requested, Responded}
    for secret in (b"camera7", b"zufS3ojWq91"):
        assert secret not in INCIDENT
        assert not any(secret in record.data for record in tape.records if isinstance(record, Received))
        assert not any(secret in record.body for record in tape.records if isinstance(record, Requested))
