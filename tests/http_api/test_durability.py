"""A change is answered when it is kept; where it cannot be kept, the answer says so."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest
from attrs import define

from mmids_trio.errors import MmidsError
from mmids_trio.http_api.app import create_app
from mmids_trio.workflow.status import Outcome, OutcomeKind

WORKFLOW = b"workflow w {\n    rtmp_receive rtmp_app=live stream_key=*\n}\n"


@define(eq=False)
class Disk:
    """Keeps what it is asked to keep, unless it is full."""

    is_full: bool = False
    asked: int = 0

    async def durable(self) -> None:
        self.asked += 1
        if self.is_full:
            raise MmidsError("could not be saved: the disk is full")


@define(eq=False)
class Desk:
    """The API over a disk."""

    disk: Disk
    url: str

    async def ask(self, method: str, path: str, content: bytes | None = None) -> httpx2.Response:
        async with httpx2.AsyncClient(base_url=self.url, trust_env=False, verify=False) as client:
            return await client.request(method, path, content=content)


@pytest.fixture
async def desk(serve_app: Callable[..., Awaitable[Any]], workflows: Any) -> Desk:
    disk = Disk()
    served = await serve_app(create_app(workflows, workflows, token=None, version="1", durability=disk))
    return Desk(disk, f"http://127.0.0.1:{served.port}")


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("PUT", "/workflows", WORKFLOW),
        ("DELETE", "/workflows/w", None),
        ("DELETE", "/workflows/plan", None),
        ("DELETE", "/workflows/w/switch", None),
    ],
)
async def test_a_change_is_answered_when_it_is_kept(desk: Desk, method: str, path: str, content: bytes | None) -> None:
    assert (await desk.ask(method, path, content)).status_code == 200
    assert desk.disk.asked == 1


async def test_a_change_that_cannot_be_kept_is_answered_with_the_reason(desk: Desk, workflows: Any) -> None:
    desk.disk.is_full = True
    answer = await desk.ask("PUT", "/workflows", WORKFLOW)
    assert (answer.status_code, answer.json()) == (507, {"error": "could not be saved: the disk is full"})
    assert len(workflows.applied) == 1


async def test_a_change_that_was_rolled_back_waits_too_and_is_answered_as_such(desk: Desk, workflows: Any) -> None:
    desk.disk.is_full = True
    workflows.ending = Outcome(OutcomeKind.ROLLED_BACK, "rolled back")
    answer = await desk.ask("PUT", "/workflows?wait=1&on_error=rollback", WORKFLOW)
    assert (answer.status_code, answer.json()) == (409, {"error": "rolled back"})
    assert desk.disk.asked == 1


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("GET", "/workflows", None),
        ("PUT", "/workflows?dry_run=true", WORKFLOW),
        ("PUT", "/workflows", b"nonsense"),
        ("DELETE", "/workflows/w?dry_run=true", None),
        ("PUT", "/nowhere", WORKFLOW),
    ],
)
async def test_what_changes_nothing_does_not_wait(desk: Desk, method: str, path: str, content: bytes | None) -> None:
    desk.disk.is_full = True
    assert (await desk.ask(method, path, content)).status_code != 507
    assert desk.disk.asked == 0


async def test_a_token_may_change(serve_app: Callable[..., Awaitable[Any]], workflows: Any) -> None:
    tokens = ["old"]
    served = await serve_app(create_app(workflows, workflows, token=lambda: tokens[-1], version="1"))
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{served.port}", trust_env=False, verify=False) as client:
        headers = {"Authorization": "Bearer new"}
        assert (await client.get("/workflows", headers=headers)).status_code == 401
        tokens.append("new")
        assert (await client.get("/workflows", headers=headers)).status_code == 200
