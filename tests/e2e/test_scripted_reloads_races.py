"""Two CI jobs at once, an operator at a terminal, and commands as processes of their own."""

import json
import os
import re
from pathlib import Path

import pytest
import trio

from tests.support.commands import as_process
from tests.support.processes import Child, start
from tests.support.program import ROOT, Launch, Program, run_program

pytestmark = pytest.mark.e2e

LAST = "workflow last {\n    rtmp_receive rtmp_app=last stream_key=* port=0\n}\n"


def workflow(name: str, key: str) -> str:
    """The text of a workflow."""
    return f"workflow {name} {{\n    rtmp_receive rtmp_app={name} stream_key={key} port=0\n}}\n"


async def client(nursery: trio.Nursery, directory: Path, program: Program, *arguments: str) -> Child:
    """A command in a process of its own."""
    return await run_program(nursery, directory, *arguments, environment={"MMIDS_SERVER": program.api})


async def keys(program: Program) -> str:
    """What runs, as text."""
    return (await program.get("/config")).text


async def test_of_two_racing_jobs_one_wins_and_the_other_is_told_what_to_do(
    launch: Launch, nursery: trio.Nursery, tmp_path: Path
) -> None:
    program = await launch(workflow("show", "old"))
    await program.hand_over()
    reviewed = await client(nursery, tmp_path, program, "export", "--etag")
    assert await reviewed.end() == 0
    jobs = []
    for number in (1, 2):
        (tmp_path / f"{number}.mmids").write_text(workflow("show", f"job{number}"))
        command = ("apply", "--yes", "--if-match", reviewed.out.text, f"{number}.mmids")
        jobs.append(await client(nursery, tmp_path, program, *command))
    statuses = [await job.end() for job in jobs]
    assert sorted(statuses) == [0, 1]
    winner = statuses.index(0)
    assert f"stream_key=job{winner + 1}" in await keys(program)
    told = jobs[1 - winner].err.text
    assert "somebody else has changed the server since this plan was made (its ETag is now" in told
    assert "nothing was changed. Run `plan` again, then `apply`" in told
    assert "Traceback" not in told


async def test_who_hesitates_at_the_terminal_loses_to_a_job(
    launch: Launch, nursery: trio.Nursery, tmp_path: Path
) -> None:
    program = await launch(workflow("show", "old"))
    await program.hand_over()
    (tmp_path / "wanted.mmids").write_text(workflow("show", "operator"))
    terminal, end = os.openpty()
    try:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "MMIDS_SERVER": program.api}
        process = await trio.lowlevel.open_process(
            as_process("apply", str(tmp_path / "wanted.mmids")), stdin=end, stdout=end, stderr=end, env=environment
        )
        with trio.fail_after(30):
            seen = await _read_until(terminal, b"[y/N]")
            assert (await program.put(workflow("show", "job"))).status == 200
            await trio.to_thread.run_sync(os.write, terminal, b"y\n")
            seen += await _read_until(terminal, b"nothing was changed")
            assert await process.wait() == 1
    finally:
        os.close(terminal)
        os.close(end)
    assert re.search(r"\x1b\[[0-9;]*m~ workflow show", seen.decode())  # in colour
    assert "stream_key=job" in await keys(program)


async def _read_until(terminal: int, wanted: bytes) -> bytes:
    seen = b""
    while wanted not in seen:  # the read ends with the deadline, whether or not anything more is written
        seen += await trio.to_thread.run_sync(os.read, terminal, 4096, abandon_on_cancel=True)
    return seen


async def test_a_follower_of_events_sees_a_roll_out(launch: Launch, nursery: trio.Nursery, tmp_path: Path) -> None:
    program = await launch(workflow("show", "old"))
    await program.hand_over()
    follower = await client(nursery, tmp_path, program, "events", "--follow", "--json")
    recent = await client(nursery, tmp_path, program, "events")
    assert await recent.end() == 0
    assert "workflow_started workflow=show" in recent.out.text
    number = 0
    seen: list[dict[str, str]] = []  # from whenever it has begun, which may be in the midst of an update
    while not any(event["event"] == "workflow_started" for event in seen):
        number += 1
        await program.put(workflow(f"w{number}", "a"))
        seen = [json.loads(line) for line in follower.out.lines]
    assert {event["workflow"][:1] for event in seen} == {"w"}
    follower.process.send_signal(2)
    assert await follower.end() == 0
    assert "Traceback" not in follower.err.text


async def test_commands_are_processes_with_exit_statuses(launch: Launch, nursery: trio.Nursery, tmp_path: Path) -> None:
    program = await launch(workflow("show", "a"))
    await program.hand_over()
    wanted = tmp_path / "wanted"
    wanted.mkdir()
    (wanted / "1.mmids").write_text(workflow("show", "b"))
    (wanted / "2.mmids").write_text(LAST)
    (wanted / "notes.txt").write_text("not read")
    expected = [
        (("plan", "--prune", "wanted"), 2),
        (("apply", "--prune", "wanted"), 0),
        (("apply", "--prune", "wanted"), 0),
        (("plan", "--prune", "wanted"), 0),
        (("plan", "nowhere"), 1),
        (("plan", "--unknown", "wanted"), 1),
        (("wait", "last"), 0),
        (("list",), 0),
        (("show", "last"), 0),
        (("delete", "last"), 0),
        (("show", "last"), 1),
        (("reload",), 0),
        (("plan", "--server", "http://127.0.0.1:1", "wanted"), 1),
    ]
    for arguments, status in expected:
        child = await client(nursery, tmp_path, program, *arguments)
        assert (arguments, await child.end()) == (arguments, status), child.err.text
        assert "Traceback" not in child.err.text


async def test_a_refused_token_is_told_in_one_line_without_the_token(
    launch: Launch, nursery: trio.Nursery, tmp_path: Path
) -> None:
    program = await launch(workflow("show", "a"), settings="http_api_token open-sesame")
    for environment, word in (({}, "requires a token"), ({"MMIDS_TOKEN": "wrong-word"}, "refuses this token")):
        variables = {"MMIDS_SERVER": program.api, **environment}
        child = await start(nursery, as_process("list"), environment={"PYTHONPATH": str(ROOT), **variables})
        assert await child.end() == 1
        assert child.err.lines == [f"error: the server {word}: set MMIDS_TOKEN to its http_api_token"]
        assert "wrong-word" not in child.err.text + child.out.text
    variables = {"MMIDS_SERVER": program.api, "MMIDS_TOKEN": "open-sesame"}
    child = await start(nursery, as_process("list"), environment={"PYTHONPATH": str(ROOT), **variables})
    assert await child.end() == 0
    assert "show" in child.out.text
