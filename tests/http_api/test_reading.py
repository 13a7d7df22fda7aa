"""The rows of the API that change nothing, what unknown paths and methods get, and request ids."""

from typing import Any

import httpx2
import pytest
import trio.testing
from structlog.testing import LogCapture

from mmids_trio.workflow.status import StepStatus, WorkflowStatus

RECEIVE = StepStatus(
    "17261577973137769032",
    "rtmp_receive",
    {"rtmp_app": "publish", "stream_key": "*", "rtmps": None},
    "Active",
)
WAITING = StepStatus("5", "rtmp_watch", {}, "Created")


async def test_the_root_tells_the_version(client: httpx2.AsyncClient) -> None:
    response = await client.get("/")
    assert (response.status_code, response.text) == (200, "Mmids version 1.2.3")
    assert response.headers["content-type"].startswith("text/plain")


async def test_workflows_are_listed_in_the_order_of_their_start(client: httpx2.AsyncClient, workflows: Any) -> None:
    workflows.statuses = {name: WorkflowStatus("Running", (), ()) for name in ("zebra", "ant", "mole")}
    response = await client.get("/workflows")
    assert response.headers["content-type"] == "application/json"
    assert response.json() == [{"name": "zebra"}, {"name": "ant"}, {"name": "mole"}]


async def test_no_workflows_are_an_empty_list(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/workflows")).json() == []


async def test_a_workflow_is_shown_with_its_fields_in_order(client: httpx2.AsyncClient, workflows: Any) -> None:
    workflows.statuses["w"] = WorkflowStatus("Running", (RECEIVE,), (WAITING,))
    response = await client.get("/workflows/w")
    assert response.status_code == 200
    assert "".join(response.text.split()) == (
        '{"status":"Running","active_steps":[{"step_id":"17261577973137769032","step_type":"rtmp_receive",'
        '"parameters":{"rtmp_app":"publish","stream_key":"*","rtmps":null},"status":"Active"}],'
        '"pending_steps":[{"step_id":"5","step_type":"rtmp_watch","parameters":{},"status":"Created"}]}'
    )


async def test_an_unknown_workflow_is_not_found(client: httpx2.AsyncClient) -> None:
    response = await client.get("/workflows/nobody")
    assert (response.status_code, response.json()) == (404, {"error": "Workflow not found"})


@pytest.mark.parametrize("name", ["a b", "ä", "a/b", "/", "100%", "x?y#z", "a//b", "..", ".", "a\n", "\n"])
async def test_any_name_can_be_asked_for_percent_encoded(client: httpx2.AsyncClient, workflows: Any, name: str) -> None:
    workflows.statuses[name] = WorkflowStatus("Running", (), ())
    encoded = "".join(f"%{byte:02x}" for byte in name.encode())
    assert (await client.get(f"/workflows/{encoded}")).status_code == 200


async def test_a_slash_at_the_end_of_a_path_does_not_matter(client: httpx2.AsyncClient, workflows: Any) -> None:
    workflows.statuses = {"show": WorkflowStatus("Running", (), ()), "a/": WorkflowStatus("Running", (RECEIVE,), ())}
    assert (await client.get("/workflows/")).json() == [{"name": "show"}, {"name": "a/"}]
    assert (await client.get("/workflows/show/?x=/")).json()["status"] == "Running"
    assert (await client.get("/workflows/a%2F/")).json()["active_steps"][0]["step_id"] == RECEIVE.step_id
    assert (await client.put("/workflows/", content=b"workflow more {\n}\n")).status_code == 200
    assert (await client.delete("/workflows/show/")).status_code == 200
    assert workflows.stopped == ["show"]


@pytest.mark.parametrize("path", ["/", "/workflows", "/workflows/w"])
async def test_reading_ignores_query_parameters_that_it_does_not_know(
    client: httpx2.AsyncClient, workflows: Any, path: str
) -> None:
    workflows.statuses["w"] = WorkflowStatus("Running", (), ())
    assert (await client.get(path, params={"source": "ci", "pretty": ""})).status_code == 200


@pytest.mark.parametrize("path", ["/workflow", "/workflows//", "/favicon.ico", "/static/x"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_unknown_paths_are_not_found(client: httpx2.AsyncClient, method: str, path: str) -> None:
    response = await client.request(method, path)
    assert response.status_code == 404
    assert "error" in response.json()


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/", {"GET", "HEAD"}),
        ("OPTIONS", "/", {"GET", "HEAD"}),
        ("POST", "/workflows", {"GET", "HEAD", "PUT"}),
        ("DELETE", "/workflows", {"GET", "HEAD", "PUT"}),
        ("OPTIONS", "/workflows", {"GET", "HEAD", "PUT"}),
        ("PUT", "/workflows/w", {"GET", "HEAD", "DELETE"}),
        ("PATCH", "/workflows/w", {"GET", "HEAD", "DELETE"}),
        ("BREW", "/workflows/w", {"GET", "HEAD", "DELETE"}),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(
    client: httpx2.AsyncClient, method: str, path: str, allowed: set[str]
) -> None:
    response = await client.request(method, path)
    assert response.status_code == 405
    assert set(response.headers["allow"].split(", ")) == allowed
    assert "error" in response.json()


async def test_no_answer_carries_cors_or_server_headers(client: httpx2.AsyncClient) -> None:
    own_origin = str(client.base_url).rstrip("/")
    response = await client.get("/workflows", headers={"Origin": own_origin})
    assert response.status_code == 200
    names = [name for name in response.headers if name.startswith("access-control") or name == "server"]
    assert names == []


@pytest.mark.parametrize("path", ["/", "/workflows", "/workflows/none", "/unknown"])
async def test_every_answer_carries_the_callers_request_id(client: httpx2.AsyncClient, path: str) -> None:
    response = await client.get(path, headers={"X-Request-Id": "a-Z_0.9" * 18})
    assert response.headers.get_list("x-request-id") == ["a-Z_0.9" * 18]


@pytest.mark.parametrize("insane", ["", "a b", "x" * 129, "a/b", 'a"b', "é"])
async def test_an_insane_request_id_is_replaced(client: httpx2.AsyncClient, insane: str) -> None:
    response = await client.get("/", headers=[(b"x-request-id", insane.encode())])
    (given,) = response.headers.get_list("x-request-id")
    assert len(given) == 32
    assert given.isalnum()


async def test_request_ids_that_are_made_up_differ(client: httpx2.AsyncClient) -> None:
    ids = {(await client.get("/")).headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3


async def test_each_request_has_one_access_line_with_its_id(client: httpx2.AsyncClient, logs: LogCapture) -> None:
    await client.get("/workflows", headers={"X-Request-Id": "one"})
    await client.delete("/workflows/w", headers={"X-Request-Id": "two"})
    await trio.testing.wait_all_tasks_blocked()
    lines = [
        (line["log_level"], line["request_id"], line["method"], line["path"], line["status"])
        for line in logs.entries
        if line["event"] == "http request"
    ]
    assert lines == [
        ("debug", "one", "GET", "/workflows", 200),
        ("info", "two", "DELETE", "/workflows/w", 200),
    ]


async def test_refused_requests_are_no_lines_at_info(client: httpx2.AsyncClient, logs: LogCapture) -> None:
    statuses = [(await client.delete("/workflows/../x")).status_code, (await client.post("/nothing")).status_code]
    statuses.append((await client.put("/workflows", content=b"workflow {")).status_code)
    await trio.testing.wait_all_tasks_blocked()
    assert statuses == [404, 404, 400]
    assert [line["log_level"] for line in logs.entries] == ["debug"] * 3


async def test_a_failure_inside_is_a_500_that_tells_nothing_and_a_log_line(
    client: httpx2.AsyncClient, workflows: Any, logs: LogCapture
) -> None:
    workflows.failure = RuntimeError("a secret path")
    response = await client.get("/workflows", headers={"X-Request-Id": "three"})
    assert response.status_code == 500
    assert "secret" not in response.text
    (line,) = [line for line in logs.entries if line["event"] == "http request failed"]
    assert line["request_id"] == "three"
    assert line["exc_info"] is workflows.failure
