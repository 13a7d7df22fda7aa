"""PUT and DELETE as a client sees them over a socket: bodies, content types, options, every refusal."""

import gzip
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmids_trio.definitions import StepDefinition, WorkflowDefinition, step_ids
from mmids_trio.http_api.app import create_app
from mmids_trio.workflow.status import Outcome, OutcomeKind
from tests.support.effort import some_of

WORKFLOW = b"workflow w {\n    rtmp_receive rtmp_app=live stream_key=*\n    rtmp_watch rtmp_app=live stream_key=*\n}\n"
LIMIT = 1024 * 1024


def padded(size: int) -> bytes:
    """A good workflow of exactly `size` bytes."""
    return WORKFLOW + b"#" * (size - len(WORKFLOW) - 1) + b"\n"


async def pieces(body: bytes) -> AsyncIterator[bytes]:
    """The body in chunks, of no known length."""
    for start in range(0, len(body), 50_000):
        yield body[start : start + 50_000]


async def test_a_good_workflow_is_applied_and_its_plan_comes_back(client: httpx2.AsyncClient, workflows: Any) -> None:
    response = await client.put("/workflows", content=WORKFLOW)
    parameters = {"rtmp_app": "live", "stream_key": "*"}
    steps = (StepDefinition("rtmp_receive", parameters), StepDefinition("rtmp_watch", parameters))
    assert response.status_code == 200
    assert workflows.applied == [(WorkflowDefinition("w", steps), False)]
    first, second = step_ids(steps)
    assert response.json() == {
        "workflow": "w",
        "created": True,
        "changed": True,
        "steps": [
            {"step_id": first, "step_type": "rtmp_receive", "action": "start", "parameters": {}},
            {"step_id": second, "step_type": "rtmp_watch", "action": "start", "parameters": {}},
        ],
        "owner": {"kind": "api", "set": "default"},
    }
    assert list(response.json()) == ["workflow", "created", "changed", "steps", "owner"]


@pytest.mark.parametrize(
    "content_type",
    [
        "application/vnd.mmids.workflow",
        "text/plain",
        "Text/Plain; charset=utf-8",
        "application/x-www-form-urlencoded",
        "",
        None,
    ],
)
async def test_these_content_types_are_taken(client: httpx2.AsyncClient, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    assert (await client.put("/workflows", content=WORKFLOW, headers=headers)).status_code == 200


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data; boundary=x", "text", "*/*"])
async def test_other_content_types_are_refused(client: httpx2.AsyncClient, workflows: Any, content_type: str) -> None:
    response = await client.put("/workflows", content=WORKFLOW, headers={"Content-Type": content_type})
    assert response.status_code == 400
    assert "text/plain" in response.json()["error"]
    assert workflows.applied == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", ""),
        (b"# nothing\n", ""),
        (WORKFLOW + WORKFLOW.replace(b"workflow w", b"workflow v"), ""),
        (WORKFLOW + b"settings {\n}\n", "settings"),
        (WORKFLOW + b"reactor r executor=simple_http {\n url http://localhost\n}\n", "reactor"),
        (b"workflow w {\n", ""),
        (b"workflow {\n}\n", ""),
        (b"workflow w {\n  rtmp_recieve\n}\n", "unknown step type 'rtmp_recieve'"),
        (b"workflow w {\n  rtmp_watch \xff\n}\n", "UTF-8"),
        (b"\xff\xfe" + "workflow w {\n}\n".encode("utf-16-le"), "UTF-8"),
    ],
)
async def test_a_bad_body_is_a_400_and_changes_nothing(
    client: httpx2.AsyncClient, workflows: Any, body: bytes, said: str
) -> None:
    response = await client.put("/workflows", content=body)
    assert response.status_code == 400
    assert list(response.json()) == ["error", "problems"]
    assert said in response.json()["error"]
    assert workflows.applied == []


async def test_an_error_names_line_and_column(client: httpx2.AsyncClient) -> None:
    response = await client.put("/workflows", content=b"workflow w {\n    rtmp_recieve\n}\n")
    assert response.json()["error"].startswith("<request>:2:5: ")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("wait=", "0 to 300"),
        ("wait", "0 to 300"),
        ("wait=-1", "0 to 300"),
        ("wait=300.1", "0 to 300"),
        ("wait=nan", "0 to 300"),
        ("wait=1e2", "0 to 300"),
        ("wait=%D9%A1", "0 to 300"),
        ("wait=1&wait=2", "2 times"),
        ("wait=1&on_error=rollbak", "'rollback'"),
        ("wait=1&on_error=", "'rollback'"),
        ("on_error=rollback", "wait"),
        ("on_error=rollbak", "'rollback'"),
        ("dry_run=1", "'true'"),
        ("dry_run", "'true'"),
        ("wiat=1", "did you mean 'wait'"),
        ("on-error=rollback&wait=1", "did you mean 'on_error'"),
        ("x=1", "wait, on_error, dry_run, show_keys, in_place, set"),
    ],
)
async def test_a_bad_option_is_a_400_and_changes_nothing(
    client: httpx2.AsyncClient, workflows: Any, query: str, said: str
) -> None:
    response = await client.put(f"/workflows?{query}", content=WORKFLOW)
    assert response.status_code == 400
    assert said in response.json()["error"]
    assert workflows.applied == []


async def test_a_dry_run_answers_the_plan_and_changes_nothing(client: httpx2.AsyncClient, workflows: Any) -> None:
    response = await client.put("/workflows?dry_run=true", content=WORKFLOW)
    assert (response.status_code, response.json()["workflow"]) == (200, "w")
    assert workflows.applied == []


async def test_a_dry_run_still_checks_the_body(client: httpx2.AsyncClient) -> None:
    response = await client.put("/workflows?dry_run=true", content=b"workflow w {\n x\n}\n")
    assert response.status_code == 400


@pytest.mark.parametrize("kind", [kind for kind in OutcomeKind if kind is not OutcomeKind.APPLIED])
async def test_waiting_for_a_change_that_fails_is_a_409_that_says_why(
    client: httpx2.AsyncClient, workflows: Any, kind: OutcomeKind
) -> None:
    workflows.ending = Outcome(kind, "Step id 7 failed: the port is taken")
    response = await client.put("/workflows?wait=5&on_error=rollback", content=WORKFLOW)
    assert response.status_code == 409
    assert response.json() == {"error": "Step id 7 failed: the port is taken"}
    assert [rollback for _, rollback in workflows.applied] == [True]


async def test_waiting_for_a_change_that_succeeds_answers_the_plan(client: httpx2.AsyncClient, workflows: Any) -> None:
    workflows.ending = Outcome(OutcomeKind.APPLIED, "")
    response = await client.put("/workflows?wait=5", content=WORKFLOW)
    assert (response.status_code, response.json()["workflow"]) == (200, "w")


async def test_a_body_of_exactly_the_limit_is_taken(client: httpx2.AsyncClient, workflows: Any) -> None:
    response = await client.put("/workflows", content=padded(LIMIT))
    assert (response.status_code, len(workflows.applied)) == (200, 1)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [("gzip", gzip.compress(WORKFLOW)), (None, gzip.compress(WORKFLOW)), ("identity, br", WORKFLOW), ("x" * 500, b"")],
    ids=["gzip", "gzip unnamed", "br", "unknown"],  # of their own: the bytes of gzip hold the time
)
async def test_a_compressed_body_is_a_415(
    encoding: str | None, body: bytes, client: httpx2.AsyncClient, workflows: Any
) -> None:
    headers = {} if encoding is None else {"Content-Encoding": encoding}
    response = await client.put("/workflows", content=body, headers=headers)
    assert (response.status_code, response.headers["Accept-Encoding"]) == (415, "identity")
    assert len(response.json()["error"]) < 200
    assert workflows.applied == []


async def test_a_body_that_is_called_what_it_is_is_read(client: httpx2.AsyncClient) -> None:
    assert (
        await client.put("/workflows", content=WORKFLOW, headers={"Content-Encoding": "Identity"})
    ).status_code == 200


@pytest.mark.parametrize("size", [LIMIT + 1, 4 * LIMIT])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_beyond_the_limit_is_a_413(
    client: httpx2.AsyncClient, workflows: Any, size: int, chunked: bool
) -> None:
    body = padded(size)
    response = await client.put("/workflows", content=pieces(body) if chunked else body)
    assert response.status_code == 413
    assert str(LIMIT) in response.json()["error"]
    assert workflows.applied == []


async def test_a_delete_stops_the_workflow_and_answers_afterwards(client: httpx2.AsyncClient, workflows: Any) -> None:
    workflows.may_stop = trio.Event()
    responses: list[httpx2.Response] = []

    async def delete() -> None:
        responses.append(await client.delete("/workflows/w"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(delete)
        while not workflows.stopped:
            assert (await client.get("/")).status_code == 200
        assert (await client.get("/")).status_code == 200
        assert responses == []
        workflows.may_stop.set()
    assert [response.status_code for response in responses] == [200]
    assert workflows.stopped == ["w"]


async def test_a_delete_of_what_does_not_run_is_fine(client: httpx2.AsyncClient) -> None:
    assert (await client.delete("/workflows/nobody")).status_code == 200


async def test_a_delete_ends_a_waiting_put_of_the_same_workflow(client: httpx2.AsyncClient, workflows: Any) -> None:
    responses: list[httpx2.Response] = []

    async def put() -> None:
        responses.append(await client.put("/workflows?wait=300", content=WORKFLOW))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(put)
        await workflows.changed.wait()
        assert (await client.get("/workflows/w")).status_code == 200
        await client.delete("/workflows/w")
    assert [response.status_code for response in responses] == [409]
    assert "stopped" in responses[0].json()["error"]


@settings(max_examples=some_of(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=300) | st.text("workfl{}w \n\t\"'#=\\\r", max_size=60).map(str.encode))
async def test_no_body_gives_a_500(workflows: Any, body: bytes) -> None:
    client = create_app(workflows, workflows, token=None, version="1").test_client()
    response = await client.put("/workflows?dry_run=true", data=body, headers={"Host": "localhost"})
    assert response.status_code in (200, 400, 415)  # the last: what begins as gzip does


@pytest.mark.parametrize("body", [WORKFLOW, WORKFLOW.replace(b"\n", b"")])
async def test_a_body_that_has_lost_its_line_ends_on_the_way_is_answered_with_how_to_keep_them(
    client: httpx2.AsyncClient, body: bytes
) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    response = await client.put("/workflows", content=body, headers=form)
    assert ("--data-binary" in response.text) == (b"\n" not in body)
    assert response.status_code == (200 if b"\n" in body else 400)
