"""What the API says of reactors, and of who owns a workflow."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx2
import pytest
from attrs import frozen

from mmids_trio.definitions import ReactorDefinition
from mmids_trio.http_api.app import create_app
from mmids_trio.reactors.views import LeaseView, ReactorView
from mmids_trio.workflow.status import BY_API, WorkflowOwner, WorkflowStatus

LEASE = LeaseView("abc", "publish", 2, True, ("abc_watch",), "valid, to run: abc_watch", None, 0, 12.5)
LOOKUP = ReactorView("lookup", "simple_http", 15, (LEASE,))
IDLE = ReactorView("idle", "simple_http", 0, ())

LOOKUP_JSON = {
    "name": "lookup",
    "executor": "simple_http",
    "update_interval": 15,
    "leases": [
        {
            "stream": "abc",
            "action": "publish",
            "holders": 2,
            "valid": True,
            "workflows": ["abc_watch"],
            "last_answer": "valid, to run: abc_watch",
            "last_error": None,
            "failures": 0,
            "next_update": 12.5,
        }
    ],
}


@frozen
class TwoReactors:
    def views(self) -> Sequence[ReactorView]:
        return [LOOKUP, IDLE]

    def view(self, name: str) -> ReactorView | None:
        return next((view for view in self.views() if view.name == name), None)

    @property
    def definitions(self) -> Sequence[ReactorDefinition]:
        return []


@pytest.fixture
async def client(serve_app: Any, workflows: Any) -> AsyncIterator[httpx2.AsyncClient]:
    served = await serve_app(create_app(workflows, workflows, token=None, version="1", reactors=TwoReactors()))
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{served.port}", trust_env=False, verify=False) as client:
        yield client


async def test_reactors_are_listed_with_their_leases(client: httpx2.AsyncClient) -> None:
    response = await client.get("/reactors")
    assert response.status_code == 200
    assert response.json() == [
        LOOKUP_JSON,
        {"name": "idle", "executor": "simple_http", "update_interval": 0, "leases": []},
    ]


async def test_one_reactor_is_shown(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/reactors/lookup")).json() == LOOKUP_JSON


async def test_an_unknown_reactor_is_not_found(client: httpx2.AsyncClient) -> None:
    response = await client.get("/reactors/nobody")
    assert (response.status_code, response.json()) == (404, {"error": "Reactor not found"})


@pytest.mark.parametrize("path", ["/reactors", "/reactors/lookup"])
async def test_reactors_can_only_be_looked_at(path: str, client: httpx2.AsyncClient) -> None:
    response = await client.put(path)
    assert response.status_code == 405
    assert "GET" in response.headers["allow"]


@pytest.mark.parametrize(
    ("owner", "shown"),
    [
        (BY_API, {"kind": "api", "set": "default"}),
        (WorkflowOwner("config", "mmids.config"), {"kind": "config", "name": "mmids.config"}),
        (WorkflowOwner("reactor", "lookup", "abc"), {"kind": "reactor", "name": "lookup", "stream": "abc"}),
    ],
)
async def test_a_workflow_says_whose_it_is(
    owner: WorkflowOwner, shown: dict[str, str], client: httpx2.AsyncClient, workflows: Any
) -> None:
    workflows.statuses["w"] = WorkflowStatus("Running", (), (), owner)
    assert (await client.get("/workflows/w")).json()["owner"] == shown
