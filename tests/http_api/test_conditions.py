"""Conditional requests as clients see them over a socket: lost races, conditional reading, what a tag depends on."""

from typing import Any

import httpx2
import pytest
import trio
from attrs import evolve

from mmids_trio.workflow.status import OutcomeKind, StepStatus, WorkflowStatus

OLD = b"workflow w {\n    rtmp_receive rtmp_app=live stream_key=old\n}\n"
NEW = b"workflow w {\n    rtmp_receive rtmp_app=live stream_key=new\n}\n"
OTHER = b"workflow other {\n    rtmp_watch rtmp_app=live stream_key=*\n}\n"


async def tag_of(client: httpx2.AsyncClient, path: str = "/workflows/w") -> str:
    """The current ETag of a path."""
    response = await client.get(path)
    assert response.status_code == 200
    tag: str = response.headers["etag"]
    return tag


@pytest.mark.parametrize("path", ["/workflows", "/workflows/w"])
async def test_a_tag_depends_on_definitions_and_not_on_states(
    client: httpx2.AsyncClient, workflows: Any, path: str
) -> None:
    await client.put("/workflows", content=OLD)
    before = await tag_of(client, path)
    assert before.startswith('"')
    workflows.statuses["w"] = evolve(workflows.statuses["w"], status="Step id 1 failed: x")
    assert await tag_of(client, path) == before
    await client.put("/workflows", content=NEW)
    changed = await tag_of(client, path)
    assert changed != before
    await client.put(
        "/workflows", content=OLD.replace(b"rtmp_app=live stream_key=old", b"stream_key=old rtmp_app=live")
    )
    assert await tag_of(client, path) == before


async def test_the_tag_of_the_list_tells_which_workflows_there_are(client: httpx2.AsyncClient) -> None:
    empty = await tag_of(client, "/workflows")
    await client.put("/workflows", content=OLD)
    one = await tag_of(client, "/workflows")
    await client.put("/workflows", content=OTHER)
    both = await tag_of(client, "/workflows")
    assert len({empty, one, both}) == 3
    await client.delete("/workflows/other")
    assert await tag_of(client, "/workflows") == one


@pytest.mark.parametrize("path", ["/workflows", "/workflows/w"])
async def test_a_reader_with_the_current_tag_gets_no_body(client: httpx2.AsyncClient, path: str) -> None:
    await client.put("/workflows", content=OLD)
    etag = await tag_of(client, path)
    for known in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        response = await client.get(path, headers={"If-None-Match": known})
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["etag"] == etag
        assert "x-request-id" in response.headers
    assert (await client.get(path, headers={"If-None-Match": '"x"'})).status_code == 200
    assert (await client.get(path, headers={"If-Match": '"x"'})).status_code == 412


async def test_the_answer_to_a_put_has_the_new_tag(client: httpx2.AsyncClient) -> None:
    response = await client.put("/workflows", content=OLD)
    assert response.headers["etag"] == await tag_of(client)


async def test_a_change_with_the_current_tag_is_made(client: httpx2.AsyncClient, workflows: Any) -> None:
    await client.put("/workflows", content=OLD)
    response = await client.put("/workflows", content=NEW, headers={"If-Match": await tag_of(client)})
    assert response.status_code == 200
    assert len(workflows.applied) == 2


async def test_of_two_racing_jobs_one_wins_and_the_other_is_told(client: httpx2.AsyncClient, workflows: Any) -> None:
    await client.put("/workflows", content=OLD)
    etag = await tag_of(client)
    answers: list[httpx2.Response] = []

    async def job(body: bytes) -> None:
        answers.append(await client.put("/workflows", content=body, headers={"If-Match": etag}))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(job, NEW)
        nursery.start_soon(job, NEW.replace(b"=new", b"=newer"))
    assert sorted(answer.status_code for answer in answers) == [200, 412]
    lost = next(answer for answer in answers if answer.status_code == 412)
    now = await tag_of(client)
    assert lost.headers["etag"] == now
    assert lost.json()["etag"] == now
    assert now in lost.json()["error"]
    assert len(workflows.applied) == 2


async def test_a_pending_change_counts_as_current(client: httpx2.AsyncClient, workflows: Any) -> None:
    await client.put("/workflows", content=OLD)
    etag = await tag_of(client)
    workflows.changed = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: client.put("/workflows?wait=60", content=NEW, headers={"If-Match": etag}))
        await workflows.changed.wait()
        second = await client.put(
            "/workflows?wait=60", content=OTHER.replace(b"other", b"w"), headers={"If-Match": etag}
        )
        assert second.status_code == 412
        workflows.changes[-1].end(OutcomeKind.APPLIED)


async def test_only_create_does_not_touch_what_exists(client: httpx2.AsyncClient, workflows: Any) -> None:
    assert (await client.put("/workflows", content=OLD, headers={"If-None-Match": "*"})).status_code == 200
    refused = await client.put("/workflows", content=NEW, headers={"If-None-Match": "*"})
    assert refused.status_code == 412
    assert "exists" in refused.json()["error"]
    assert len(workflows.applied) == 1


async def test_only_change_does_not_create(client: httpx2.AsyncClient, workflows: Any) -> None:
    refused = await client.put("/workflows", content=NEW, headers={"If-Match": "*"})
    assert (refused.status_code, refused.json()["etag"]) == (412, None)
    assert "etag" not in refused.headers
    assert workflows.applied == []


async def test_conditions_hold_for_plans_too(client: httpx2.AsyncClient) -> None:
    await client.put("/workflows", content=OLD)
    response = await client.put("/workflows?dry_run=true", content=NEW, headers={"If-Match": '"x"'})
    assert response.status_code == 412


async def test_only_the_definition_that_was_seen_is_deleted(client: httpx2.AsyncClient, workflows: Any) -> None:
    await client.put("/workflows", content=OLD)
    etag = await tag_of(client)
    await client.put("/workflows", content=NEW)
    assert (await client.delete("/workflows/w", headers={"If-Match": etag})).status_code == 412
    assert workflows.stopped == []
    assert (await client.delete("/workflows/w", headers={"If-Match": await tag_of(client)})).status_code == 200
    assert (await client.delete("/workflows/w", headers={"If-Match": "*"})).status_code == 412
    assert (await client.delete("/workflows/w")).status_code == 200


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
async def test_a_malformed_condition_is_refused_everywhere(
    client: httpx2.AsyncClient, workflows: Any, header: str
) -> None:
    workflows.statuses["w"] = WorkflowStatus("Running", (StepStatus("1", "x", {}, "Active"),), ())
    malformed = {header: "abc"}
    for response in (
        await client.get("/workflows", headers=malformed),
        await client.get("/workflows/w", headers=malformed),
        await client.put("/workflows", content=OLD, headers=malformed),
        await client.delete("/workflows/w", headers=malformed),
    ):
        assert response.status_code == 400
        assert header in response.json()["error"]
    assert workflows.applied == workflows.stopped == []
