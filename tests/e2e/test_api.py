"""The HTTP contract on the real server, through curl and its default content type."""

import pytest

from tests.support.program import Answer, Launch, Program, curl

pytestmark = pytest.mark.e2e

RECEIVE = "rtmp_receive rtmp_app=live stream_key=show port=0"
WATCH = "rtmp_watch rtmp_app=live stream_key=show port=0"


def workflow(name: str, *steps: str) -> str:
    """The text of a workflow."""
    return "\n    ".join([f"workflow {name} {{", *steps]) + "\n}\n"


def actions(answer: Answer) -> list[tuple[str, str]]:
    """Type and action of each step in a plan."""
    return [(step["step_type"], step["action"]) for step in answer.json["steps"]]


def refusal(answer: Answer) -> str:
    """The message of a 400."""
    assert answer.status == 400, answer
    assert set(answer.json) <= {"error", "problems"}
    assert all(problem["message"] in answer.json["error"] for problem in answer.json.get("problems", ()))
    message: str = answer.json["error"]
    return message


@pytest.fixture
async def program(launch: Launch) -> Program:
    """A server with nothing to do."""
    return await launch("")


async def test_a_workflow_is_created_shown_changed_and_stopped(program: Program) -> None:
    assert (await program.get("/")).text.startswith("Mmids version ")
    created = await program.put(workflow("w", RECEIVE, WATCH), "")
    assert created.status == 200
    assert (created.json["workflow"], created.json["created"], created.json["changed"]) == ("w", True, True)
    assert actions(created) == [("rtmp_receive", "start"), ("rtmp_watch", "start")]
    same = await program.put(workflow("w", "rtmp_receive stream_key=show port=0 rtmp_app=live", WATCH))
    assert (same.status, same.json["changed"]) == (200, False)
    status = await program.status("w")
    assert status["status"] == "Running"
    assert status["pending_steps"] == []
    assert [step["status"] for step in status["active_steps"]] == ["Active", "Active"]
    assert [step["step_id"] for step in status["active_steps"]] == [step["step_id"] for step in created.json["steps"]]
    assert status["active_steps"][0]["parameters"] == {"rtmp_app": "live", "stream_key": "show", "port": "0"}
    changed = await program.put(workflow("w", WATCH))
    assert actions(changed) == [("rtmp_receive", "stop"), ("rtmp_watch", "keep")]
    assert (await program.get("/workflows")).json == [{"name": "w"}]
    assert (await program.delete("w")).status == 200
    assert (await program.delete("w")).status == 200
    assert await program.get("/workflows/w") == Answer(404, '{"error": "Workflow not found"}\n')


async def test_a_dry_run_tells_the_plan_and_changes_nothing(program: Program) -> None:
    planned = await program.put(workflow("w", RECEIVE), "?dry_run=true")
    assert (planned.status, actions(planned)) == (200, [("rtmp_receive", "start")])
    assert (await program.get("/workflows")).json == []
    await program.put(workflow("w", RECEIVE))
    planned = await program.put(workflow("w", WATCH), "?dry_run=true")
    assert actions(planned) == [("rtmp_receive", "stop"), ("rtmp_watch", "start")]
    assert [step["step_type"] for step in (await program.status("w"))["active_steps"]] == ["rtmp_receive"]


async def test_a_second_workflow_with_the_same_registration_goes_into_error_and_names_the_first(
    program: Program,
) -> None:
    assert (await program.put(workflow("first", RECEIVE, WATCH))).status == 200
    second = await program.put(workflow("second", RECEIVE, WATCH))
    status = await program.status("second")
    assert (second.status, second.json["error"]) == (409, status["status"])
    assert status["status"].startswith("Step id ")
    assert "is taken by workflow 'first'" in status["status"]
    assert {step["status"] for step in status["active_steps"]} <= {"Shut Down", *_errors(status["active_steps"])}
    assert (await program.status("first"))["status"] == "Running"
    await program.delete("first")
    assert (await program.put(workflow("second", RECEIVE, WATCH))).status == 200
    assert (await program.status("second"))["status"] == "Running"


def _errors(steps: list[dict[str, str]]) -> list[str]:
    return [step["status"] for step in steps if step["status"].startswith("Error: ")]


async def test_the_wildcard_conflicts_with_every_key_of_its_application(program: Program) -> None:
    assert (await program.put(workflow("first", WATCH))).status == 200
    conflict = await program.put(workflow("second", WATCH.replace("show", "*")))
    assert conflict.status == 409
    assert "'first'" in conflict.json["error"]
    for harmless in (WATCH.replace("show", "other"), RECEIVE, WATCH.replace("live", "other")):
        assert (await program.put(workflow("second", harmless))).status == 200


async def test_with_rollback_nothing_is_left_of_a_failed_creation(program: Program) -> None:
    assert (await program.put(workflow("first", RECEIVE))).status == 200
    refused = await program.put(workflow("second", WATCH, RECEIVE), "?wait=20&on_error=rollback")
    assert refused.status == 409
    assert "rolled back" in refused.json["error"]
    assert "'first'" in refused.json["error"]
    assert (await program.get("/workflows")).json == [{"name": "first"}]
    assert (await program.put(workflow("third", WATCH))).status == 200


async def test_with_rollback_a_failed_change_leaves_the_old_definition_running(program: Program) -> None:
    assert (await program.put(workflow("first", RECEIVE))).status == 200
    assert (await program.put(workflow("second", WATCH))).status == 200
    before = await program.status("second")
    refused = await program.put(workflow("second", RECEIVE), "?wait=20&on_error=rollback")
    assert refused.status == 409
    assert await program.status("second") == before


@pytest.mark.parametrize(
    ("body", "place", "reason"),
    [
        (workflow("w", "rtmp_recieve rtmp_app=a stream_key=b"), ":2:5:", "did you mean 'rtmp_receive'?"),
        (workflow("w", RECEIVE, "rtmp_watch rtmp_app=a"), ":3:5:", "stream_key"),
        (workflow("w", RECEIVE + " port=70000"), ":2:", "port"),
        (workflow("w", WATCH.replace("port=0", "port=x")), ":2:", "port"),
        (workflow("w", WATCH + " allow_ips=10.0.0.0/99"), ":2:", "10.0.0.0/99"),
        ('workflow w {\n    rtmp_watch rtmp_app="a\n}\n', ":2:25:", "closing quote"),
        ("settings {\n}\n", ":1:1:", "settings"),
        (workflow("a", WATCH) + workflow("b", RECEIVE), ":4:", "one workflow"),
        ("", ":1:1:", "workflow"),
    ],
)
async def test_what_is_wrong_in_a_body_is_told_with_line_and_column(
    program: Program, body: str, place: str, reason: str
) -> None:
    message = refusal(await program.put(body))
    assert place in message
    assert reason in message
    assert (await program.get("/workflows")).json == []


async def test_a_body_that_is_no_utf_8_is_refused(program: Program) -> None:
    body = b"workflow w {\n    rtmp_watch rtmp_app=caf\xe9 stream_key=*\n}\n"
    answer = await curl(f"{program.api}/workflows", "-X", "PUT", body=body)
    message = refusal(answer)
    assert ":2:28:" in message
    assert "UTF-8" in message


@pytest.mark.parametrize("query", ["?wait=never", "?wait=301", "?on_error=rollback", "?dry_run=1", "?wiat=3"])
async def test_options_that_make_no_sense_are_refused(program: Program, query: str) -> None:
    refusal(await program.put(workflow("w", RECEIVE), query))
    assert (await program.get("/workflows")).json == []


async def test_other_paths_methods_types_and_origins_are_refused(program: Program) -> None:
    url = f"{program.api}/workflows"
    assert (await program.get("/nowhere")).status == 404
    assert (await curl(url, "-X", "POST", body=b"x")).status == 405
    assert (await curl(url, "-X", "PUT", "-H", "Content-Type: application/json", body=b"{}")).status == 400
    assert (await curl(url, "-H", "Origin: http://example.com")).status == 403
    assert (await curl(url, "-H", "Host: example.com")).status == 403
    assert (await curl(url, "-X", "PUT", body=b"#" * 1_100_000)).status == 413
