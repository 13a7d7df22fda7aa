"""`wait` in virtual time, without sockets: 504 after exactly that long, and the change goes on."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from mmids_trio.http_api.app import create_app
from mmids_trio.workflow.status import OutcomeKind

WORKFLOW = b"workflow w {\n    rtmp_watch\n}\n"
HEADERS = {"Host": "localhost"}


async def put(workflows: Any, query: str) -> tuple[int, Any, float]:
    """Status, JSON and how long it took in virtual seconds."""
    client = create_app(workflows, workflows, token=None, version="1").test_client()
    began = trio.current_time()
    response = await client.put(f"/workflows?{query}", data=WORKFLOW, headers=HEADERS)
    return response.status_code, await response.get_json(), trio.current_time() - began


@pytest.mark.parametrize("seconds", ["1.5", "300"])
async def test_a_change_still_pending_is_a_504_after_the_wait(
    autojump_clock: MockClock, workflows: Any, seconds: str
) -> None:
    status, content, took = await put(workflows, f"wait={seconds}&on_error=rollback")
    assert status == 504
    assert "still pending" in content["error"]
    assert "goes on" in content["error"]
    assert took == pytest.approx(float(seconds))
    assert workflows.changes[0].outcome is None
    assert workflows.applied[0][1] is True


async def test_a_change_that_ends_in_time_is_answered_when_it_ends(
    autojump_clock: MockClock, workflows: Any, nursery: trio.Nursery
) -> None:
    async def end_later() -> None:
        await workflows.changed.wait()
        await trio.sleep(100)
        workflows.changes[0].end(OutcomeKind.APPLIED)

    nursery.start_soon(end_later)
    status, _, took = await put(workflows, "wait=200")
    assert status == 200
    assert took == pytest.approx(100)


async def test_without_wait_a_pending_change_is_answered_at_once(autojump_clock: MockClock, workflows: Any) -> None:
    status, content, took = await put(workflows, "")
    assert (status, took) == (200, 0)
    assert content["workflow"] == "w"


async def test_waiting_no_time_tells_a_pending_change_from_a_finished_one(
    autojump_clock: MockClock, workflows: Any, nursery: trio.Nursery
) -> None:
    assert (await put(workflows, "wait=0"))[0] == 504

    async def end_at_once() -> None:
        await workflows.changed.wait()
        workflows.changes[1].end(OutcomeKind.APPLIED)

    workflows.changed = trio.Event()
    nursery.start_soon(end_at_once)
    assert (await put(workflows, "wait=0"))[0] == 200


async def test_a_body_that_never_comes_is_a_408(autojump_clock: MockClock, workflows: Any) -> None:
    client = create_app(workflows, workflows, token=None, version="1").test_client()
    async with client.request("/workflows", method="PUT", headers=HEADERS) as connection:
        await connection.send(WORKFLOW)
        with trio.move_on_after(31):
            await trio.sleep_forever()
        await connection.send_complete()
    response = await connection.as_response()
    assert response.status_code == 408
    assert workflows.applied == []
