"""Reloads of the configuration file in a running server, and what of the API's changes outlives it."""

import signal
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support.processes import HANG_SECONDS
from tests.support.program import Launch, Program, curl, run_program, serve

pytestmark = pytest.mark.e2e

RELOADED = "configuration reloaded"
NOT_RELOADED = "configuration not reloaded"


def workflow(name: str, key: str = "a") -> str:
    return f"workflow {name} {{\n    rtmp_receive rtmp_app={name} stream_key={key} port=0\n}}\n"


def rewrite(program: Program, workflows: str, settings: str = "") -> None:
    block = f"settings {{\n    http_api_port 0\n    {settings}\n}}\n"
    (program.directory / "mmids.config").write_text(block + workflows, encoding="utf-8")


async def keys(program: Program) -> dict[str, Any]:
    """The stream key of every workflow's only step."""
    found = {}
    for listed in (await program.get("/workflows")).json:
        [step] = (await program.status(listed["name"]))["active_steps"]
        found[listed["name"]] = step["parameters"]["stream_key"]
    return found


async def test_sighup_puts_the_file_in_place_and_leaves_what_the_api_has_made(launch: Launch) -> None:
    program = await launch(workflow("kept") + workflow("changed") + workflow("gone"))
    assert (await program.put(workflow("made"))).status == 200
    rewrite(program, workflow("kept") + workflow("changed", "b") + workflow("new"))
    program.child.send(signal.SIGHUP)
    await program.logged(RELOADED)
    assert await keys(program) == {"kept": "a", "changed": "b", "new": "a", "made": "a"}


async def test_a_file_with_an_error_changes_nothing_and_the_log_says_where(launch: Launch) -> None:
    program = await launch(workflow("live"))
    rewrite(program, workflow("live", "b") + "workflow more {\n    rtmp_recieve\n}\n")
    program.child.send(signal.SIGHUP)
    await program.logged(rf"{NOT_RELOADED}.*mmids\.config:9:5: unknown step type 'rtmp_recieve'")
    assert await keys(program) == {"live": "a"}


async def test_a_reload_over_the_api_answers_what_it_did(launch: Launch) -> None:
    program = await launch(workflow("live"), settings="publisher_timeout 20")
    rewrite(program, workflow("live", "b"), settings="publisher_timeout 25\n    log_path elsewhere")
    answer = await curl(f"{program.api}/config/reload?wait=20", "-X", "POST")
    assert answer.status == 200
    assert answer.json["applied_settings"] == ["publisher_timeout"]
    assert answer.json["needs_restart"] == ["log_path"]
    assert await keys(program) == {"live": "b"}


async def test_a_refused_reload_over_the_api_answers_the_problems(launch: Launch) -> None:
    program = await launch(workflow("live"))
    rewrite(program, "workflow {\n}\n")
    answer = await curl(f"{program.api}/config/reload", "-X", "POST")
    assert answer.status == 400
    assert "expected a workflow name" in answer.text


async def test_another_token_counts_from_the_reload_on(launch: Launch) -> None:
    program = await launch(settings="http_api_token old")
    rewrite(program, "", settings="http_api_token new")
    program.child.send(signal.SIGHUP)
    await program.logged(RELOADED)
    statuses = [
        (await curl(f"{program.api}/workflows", "-H", f"Authorization: Bearer {token}")).status
        for token in ("old", "new")
    ]
    assert statuses == [401, 200]


async def test_a_file_that_is_watched_is_reloaded_when_it_changes(launch: Launch) -> None:
    program = await launch(workflow("live"), settings="watch_config true")
    rewrite(program, workflow("live", "b"), settings="watch_config true")
    await program.logged(RELOADED)
    assert await keys(program) == {"live": "b"}


async def test_changes_over_the_api_outlive_a_restart_until_the_file_says_otherwise(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    settings = f"state_path {tmp_path / 'state.mmids'}"
    file = workflow("changed") + workflow("deleted") + workflow("edited")

    async def start(life: int, workflows: str) -> Program:
        (tmp_path / str(life)).mkdir()
        return await serve(nursery, tmp_path / str(life), workflows, settings=settings)

    async def stop(program: Program) -> None:
        program.child.send(signal.SIGTERM)
        assert await program.child.end(HANG_SECONDS) == 0

    program = await start(0, file)
    for change in (workflow("changed", "b"), workflow("edited", "b"), workflow("made")):
        assert (await program.put(change)).status == 200
    assert (await program.delete("deleted")).status == 200
    await stop(program)
    program = await start(1, file)
    assert await keys(program) == {"changed": "b", "edited": "b", "made": "a"}
    assert str((await program.status("made"))["owner"]) != str((await program.status("changed"))["owner"])
    await stop(program)
    program = await start(2, file.replace("rtmp_app=edited stream_key=a", "rtmp_app=edited stream_key=c"))
    assert await keys(program) == {"changed": "b", "edited": "c", "made": "a"}
    await program.logged("a change over the API is dropped.*has changed in the configuration file since")
    await stop(program)


async def test_two_servers_do_not_share_a_state_file(nursery: trio.Nursery, launch: Launch, tmp_path: Path) -> None:
    settings = f"state_path {tmp_path / 'state.mmids'}"
    program = await launch(settings=settings)
    other = await run_program(nursery, program.directory, "--config", str(program.directory / "mmids.config"))
    assert await other.end() == 1
    assert "error: another server keeps its state in" in other.err.text


async def test_a_state_file_that_was_edited_is_refused_with_the_place(nursery: trio.Nursery, tmp_path: Path) -> None:
    state = tmp_path / "state.mmids"
    state.write_text("# mmids-state version 1\nworkflow a {\n}\n# mmids-state end 123\n")
    (tmp_path / "mmids.config").write_text(f"settings {{\n    state_path {state}\n}}\n")
    child = await run_program(nursery, tmp_path)
    assert await child.end() == 1
    assert "state.mmids:4:1: the checksum does not fit" in child.err.text


async def test_reactors_and_those_who_ask_them_outlive_a_restart_together(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    settings = f"state_path {tmp_path / 'state.mmids'}"
    asks = "workflow asks {\n    rtmp_receive rtmp_app=a stream_key=* port=0 reactor=lookup\n}\n"
    wanted = "reactor lookup executor=simple_http {\n    url http://127.0.0.1:9/a\n}\n" + asks
    texts = []
    for life in range(2):
        (tmp_path / str(life)).mkdir()
        program = await serve(nursery, tmp_path / str(life), settings=settings)
        if life == 0:
            answer = await curl(f"{program.api}/config?wait=20", "-X", "PUT", body=wanted.encode())
            assert answer.status == 200
        texts.append((await program.get("/config")).text)
        program.child.send(signal.SIGKILL)
        await program.child.end()
    assert texts[0] == texts[1]
    assert "reactor lookup" in texts[1]
    assert "workflow asks" in texts[1]
