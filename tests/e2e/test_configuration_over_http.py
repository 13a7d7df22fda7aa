"""Conditions, changes of everything at once and the stream of events, on real servers and through curl."""

import signal
from pathlib import Path

import pytest
import trio

from tests.support.processes import start
from tests.support.program import Answer, Launch, Program, curl

pytestmark = pytest.mark.e2e


def workflow(name: str, app: str) -> str:
    """The text of a workflow."""
    return f"workflow {name} {{\n    rtmp_receive rtmp_app={app} stream_key=* port=0\n}}\n"


async def etag(program: Program, path: str) -> str:
    """The ETag of a path."""
    answer = await curl(program.api + path, "--head")
    [value] = [line.partition(": ")[2] for line in answer.text.splitlines() if line.lower().startswith("etag: ")]
    return value


async def test_tags_are_the_same_after_a_restart(launch: Launch) -> None:
    paths = ("/workflows", "/workflows/w", "/config")
    before, after = (
        await launch(workflow("w", "a") + workflow("v", "b")),
        await launch(workflow("w", "a") + workflow("v", "b")),
    )
    assert [await etag(before, path) for path in paths] == [await etag(after, path) for path in paths]
    await after.put(workflow("w", "c"))
    assert await etag(after, "/workflows/w") != await etag(before, "/workflows/w")
    await after.put(workflow("w", "a"))
    assert [await etag(after, path) for path in paths] == [await etag(before, path) for path in paths]


async def test_of_many_racing_jobs_one_wins_and_the_others_are_told(launch: Launch) -> None:
    program = await launch(workflow("w", "a"))
    await program.hand_over()
    seen = await etag(program, "/workflows/w")
    answers: list[Answer] = []

    async def job(number: int) -> None:
        body = workflow("w", f"a{number}").encode()
        url = f"{program.api}/workflows?wait=20"
        answers.append(await curl(url, "-X", "PUT", "-H", f"If-Match: {seen}", body=body))

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(job, number)
    assert sorted(answer.status for answer in answers) == [200, 412, 412, 412, 412]
    now = await etag(program, "/workflows/w")
    for answer in answers:
        if answer.status == 412:
            assert answer.json["etag"] == now
            assert now in answer.json["error"]


async def test_a_directory_of_which_one_workflow_fails_leaves_all_as_it_was(launch: Launch) -> None:
    program = await launch(workflow("w0", "a0") + workflow("taken", "a5"))
    await program.hand_over()
    before = await program.get("/config")
    wanted = "".join(workflow(f"w{number}", f"a{number}") for number in range(9))
    refused = await curl(f"{program.api}/config?wait=20", "-X", "PUT", body=wanted.encode())
    assert refused.status == 409
    assert "'taken'" in refused.json["error"]
    assert await program.get("/config") == before
    done = await curl(f"{program.api}/config?wait=20&prune=true", "-X", "PUT", body=wanted.encode())
    assert (done.status, done.json["deleted"], len(done.json["workflows"])) == (200, ["taken"], 9)
    shown = await program.get("/config")
    again = await curl(f"{program.api}/config?wait=20&prune=true", "-X", "PUT", body=shown.text.encode())
    assert (again.status, again.json["changed"]) == (200, False)


async def test_a_watcher_of_events_sees_a_change_and_the_end_of_the_server(
    launch: Launch, nursery: trio.Nursery, tmp_path: Path
) -> None:
    program = await launch()
    command = ["curl", "--silent", "--no-buffer", "--noproxy", "*", f"{program.api}/events"]
    reader = await start(nursery, command, name="curl", directory=tmp_path)
    await reader.out.line("retry: ")
    await program.put(workflow("w", "a"))
    await reader.out.line("event: workflow_started")
    assert '"workflow": "w"' in await reader.out.line("data: ")
    program.child.send(signal.SIGTERM)
    assert await program.child.end() == 0
    assert await reader.end() == 0  # the stream ended in good order
