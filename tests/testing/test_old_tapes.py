"""A tape that version 0.1.0 wrote, when capturing was called recording, still replays."""

from pathlib import Path

from mmids_trio.capture.records import KINDS, Belongs, Lost
from mmids_trio.capture.tape import read_tape
from mmids_trio.testing.replaying import run_replay
from mmids_trio.workflow.events import (
    ClientJoined,
    ClientLeft,
    ReactorAnswered,
    StreamWentLive,
    StreamWentOff,
    WorkflowChanged,
    WorkflowEnded,
    WorkflowStarted,
)

TAPE = (Path(__file__).parent / "tapes" / "of_0_1_0.mmtape").read_bytes()


def test_it_has_all_kinds_of_records_that_there_were() -> None:
    tape = read_tape(TAPE)
    assert tape.start.program == "0.1.0"
    assert tape.damage is None
    assert {type(tape.start), *map(type, tape.records)} == {*KINDS.values()} - {Lost, Belongs}


def test_what_happened_then_happens_again() -> None:
    replayed = run_replay(TAPE)
    since = (ClientJoined, ClientLeft, WorkflowChanged)  # there were no such events then
    assert [type(event) for event in replayed.events if not isinstance(event, since)] == [
        WorkflowStarted,
        ReactorAnswered,
        StreamWentLive,
        *[WorkflowStarted] * 3,
        StreamWentOff,
        *[WorkflowEnded] * 4,
    ]
    assert [line for line in replayed.lines if " event " not in line] == [
        "1.000000 connection 1 from 127.0.0.1: open",
        "7.500000 connection 4 from 127.0.0.1: open",
        "7.500000 reload of the configuration",
        "7.500000 request 5 PUT /workflows?wait=5: 200",
        "8.500000 request 6 GET /events: 200",
        "9.500000 connection 1: closed by the client",
        "9.500000 request 6: the client hung up",
        "9.500000 request 7 DELETE /workflows/other: 200",
        "10.500000 connection 4: closed by the client",
        "11.500000 the tape ends",
        "11.500000 the server has stopped",
    ]
    assert replayed.left == ()
