"""The questions of the night and the command that answers each, as docs/operations.md has them, over a real API."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx2
import pytest
from trio.testing import wait_all_tasks_blocked

from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.workflow.events import StreamInterrupted
from tests.support.commands import Result, invoke, run, scripted
from tests.support.publishing import WAIT_FOR_ALL

pytestmark = pytest.mark.usefixtures("quiet_server")

PAGE = (Path(__file__).parents[3] / "docs" / "operations.md").read_text("utf-8")
ROWS: Sequence[tuple[str, str]] = re.findall(r"^\| (.+\?.*?) \| (.*`mmids_trio .*) \|$", PAGE, re.MULTILINE)
COMMANDS = [command for _, answer in ROWS for command in re.findall(r"`mmids_trio (.+?)`", answer)]

SHOW = """workflow show {
    rtmp_receive rtmp_app=live stream_key=* grace=600
    rtmp_watch rtmp_app=live stream_key=*
}
"""
MEDIA = generate_stream(seconds=1)
SOURCE, WATCHER = "192.0.2.1", "192.0.2.7"

GOES_ON = ("logs", "events")
"""What a harness has not, and what does not end by itself."""


def test_there_are_ten_questions() -> None:
    assert len(ROWS) == 10
    assert len(COMMANDS) == 11  # one has two


async def test_each_question_has_the_answer_that_its_command_gives() -> None:
    answers: dict[str, Result] = {}
    async with Harness(WAIT_FOR_ALL + SHOW) as h:
        await h.publish("live/talk", MEDIA, peer_host=SOURCE)
        gone = await h.publish("live/gone", MEDIA, peer_host=SOURCE)
        await h.watch("live/talk", peer_host=WATCHER)
        await wait_all_tasks_blocked()
        gone.close()
        await h.wait_event(lambda event: isinstance(event, StreamInterrupted), since=0)
        streams = {each["name"]: each["id"] for each in (await h.http.get("/streams")).json()["streams"]}
        [watcher] = [each for each in (await h.http.get("/clients")).json()["clients"] if each["role"] == "watcher"]
        # Who is kicked or banned is so in front of the questions of what has changed.
        for command in sorted(COMMANDS, key=lambda each: not each.startswith(("streams", "clients", "show"))):
            names = {"WORKFLOW": "show", "IP": WATCHER, "--stream ID": f"--stream {streams['talk']}"}
            names |= {"ban ID": f"ban {watcher['id']}", "kick ID": f"kick {streams['talk']}", "changes ID": "changes 1"}
            if not command.startswith(GOES_ON):
                answers[command] = await run(h, *asked(command, names).split())
    said = {command: answer.out for command, answer in answers.items()}
    assert "rtmp 192.0.2.1:" in said["streams"]
    assert "avc1 " in said["streams"]
    assert [name for name in ("talk", "gone") if name in said["streams --state interrupted"]] == ["gone"]
    assert "used by 1 publisher" in said["show WORKFLOW"]
    for command in ("clients --stream ID", "clients --address IP"):
        assert watcher["id"] in said[command]
    assert "LAG MS" in said["clients --stream ID"]
    assert said["ban ID --for 3600"] == f"client {watcher['id']} is sent away and banned for 3600 s\n"
    assert said["kick ID"] == f"stream {streams['talk']} is sent away\n"
    ended, kicked = said["changes"].splitlines()[1:]
    assert ended.endswith(f"show (kick)  applied: stream {streams['talk']} 'talk' was ended")
    assert f"watcher {watcher['id']} of 'talk' (192.0.2.7) was sent away, and may not come back for 3600 s" in kicked
    assert "was sent away" in said["changes ID"]
    assert all(not answer.err for answer in answers.values())


def asked(command: str, names: Mapping[str, str]) -> str:
    """With what stands for a name in the page."""
    for place, name in names.items():
        command = command.replace(place, name)
    return command


def test_lines_of_the_log_are_told_with_what_is_known_and_without_what_a_terminal_obeys() -> None:
    [command] = [each for each in COMMANDS if each.startswith("logs")]
    line = {
        "timestamp": "2026-01-31T02:13:00Z",
        "level": "error",
        "event": "step failed",
        "reason": "a\nb\x1b[2J",
        "n": 1,
    }

    def answer(request: httpx2.Request) -> httpx2.Response:
        assert dict(request.url.params) == {"level": "warning", "limit": "100"}
        return httpx2.Response(200, json={"lines": [line], "dropped": 0})

    done = invoke(*command.split(), transport=scripted(answer))
    assert done.out == "2026-01-31T02:13:00Z error step failed  n=1 reason=a\\nb\\x1b[2J\n"


def test_what_follows_events_is_a_command() -> None:
    [command] = [each for each in COMMANDS if each.startswith("events")]
    assert invoke(*command.split(), "--help").status == 0
