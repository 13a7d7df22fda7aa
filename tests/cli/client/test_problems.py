"""What is wrong with a text: found by `check`, `plan` and `apply` alike, in one shape for programs, also by the API."""

from pathlib import Path

import pytest

from mmids_trio.testing.harness import Harness
from tests.support.commands import Result, command, invoke

pytestmark = pytest.mark.usefixtures("quiet_server")

ONE = "workflow one {\n    rtmp_receive rtmp_app=live stream_key=*\n}\n"
THIEF = "workflow thief {\n    rtmp_receive rtmp_app=live stream_key=cam\n}\n"
TAKEN = "port 1935, application 'live', stream key 'cam' for publishers is taken by workflow 'one'"


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", ["plan", "apply"])
async def test_what_two_workflows_of_the_files_want_is_found_before_anything_is_touched(
    tmp_path: Path, name: str
) -> None:
    one, thief = write(tmp_path / "one.mmids", ONE), write(tmp_path / "thief.mmids", "\n" + THIEF)
    async with Harness() as h:
        done = await command(h.http, name, "--json", one, thief)
        assert done.status == 1
        assert f"{thief}:3:5: {TAKEN}" in done.err
        [problem] = done.document["problems"]
        assert problem["message"].startswith(TAKEN)
        assert (problem["file"], problem["line"], problem["column"]) == (thief, 3, 5)
        assert h.server.workflows.names() == []
    checked = invoke("check", "--json", one, thief)
    assert checked.document["problems"] == [problem]


@pytest.mark.parametrize("name", ["check", "plan", "apply"])
def test_an_unknown_setting_is_an_error_wherever_files_are_read(tmp_path: Path, name: str) -> None:
    file = write(tmp_path / "w.mmids", "settings {\n    http_api_prot 9011\n}\n" + ONE)
    done = invoke(name, "--json", file)
    assert done.status == 1
    assert done.document["problems"] == [
        {
            "file": file,
            "line": 2,
            "column": 5,
            "message": "unknown setting 'http_api_prot'; did you mean 'http_api_port'?",
            "hint": "did you mean 'http_api_port'?",
        }
    ]


async def test_what_only_the_server_finds_has_the_places_of_the_files(tmp_path: Path) -> None:
    one, other = write(tmp_path / "a.mmids", ONE), write(tmp_path / "b.mmids", "workflow b {\n    rtmp_receve\n}\n")
    async with Harness() as h:
        results: list[Result] = [await command(h.http, name, "--json", one, other) for name in ("plan", "apply")]
    checked = invoke("check", "--json", one, other)
    for done in (*results, checked):
        assert done.status == 1
        [problem] = done.document["problems"]
        assert (problem["file"], problem["line"], problem["column"]) == (other, 2, 5)
        assert problem["hint"] == "did you mean 'rtmp_receive'?"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "line"),
    [
        ("PUT", "/workflows", "workflow b {\n    rtmp_receve\n}\n", 400, 2),
        ("PUT", "/config", "workflow b {\n    rtmp_receve\n}\n", 400, 2),
        ("POST", "/config/plan", "workflow b {\n", 400, 1),
        ("PUT", "/config", ONE + THIEF, 409, 5),
    ],
)
async def test_the_api_lists_problems_beside_its_error(
    method: str, path: str, body: str, status: int, line: int
) -> None:
    async with Harness() as h:
        answer = await h.http.request(method, path, content=body)
        assert answer.status == status
        [problem] = answer.json()["problems"]
        assert list(problem) == ["file", "line", "column", "message", "hint"]
        assert (problem["file"], problem["line"]) == ("<request>", line)
        assert problem["message"] in answer.json()["error"]


async def test_a_plan_has_the_problems_that_would_keep_it_from_being_put_in_place() -> None:
    async with Harness() as h:
        plan = await h.http.request("POST", "/config/plan", content=ONE + THIEF)
        assert plan.status == 200
        [problem] = plan.json()["problems"]
        refused = await h.http.request("PUT", "/config", content=ONE + THIEF)
        assert refused.json()["problems"] == [problem]
        assert "problems" not in (await h.http.request("POST", "/config/plan", content=ONE)).json()


async def test_other_refusals_have_no_problems() -> None:
    async with Harness() as h:
        refused = await h.http.request("PUT", "/config", content="")
        assert (refused.status, list(refused.json())) == (400, ["error"])
