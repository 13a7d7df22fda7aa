"""The document at /openapi.json: it and the routes have the same operations, and schemas say what is written."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NewType

import pytest
import trio
from attrs import frozen

from mmids_trio.config.settings import Settings
from mmids_trio.http_api.app import create_app
from mmids_trio.http_api.event_feed import EventFeed
from mmids_trio.http_api.openapi import Schemas
from mmids_trio.http_api.schemas import to_json
from mmids_trio.reactors.registry import Reactors
from mmids_trio.reload.accepted import ReloadOptions
from mmids_trio.server.app import Server
from mmids_trio.server.building import build_server
from mmids_trio.server.draining import OwnDrain
from mmids_trio.server.log_recent import RecentLines
from mmids_trio.state.history import ChangeHistory
from mmids_trio.workflow.hub import EventHub
from mmids_trio.workflow.status import BY_API, NO_CLIENTS, Clients, StepStatus, WorkflowStatus

Name = NewType("Name", str)


class NoFile:
    """Never read again."""

    last = None

    async def plan(self, *, in_place: bool | None = None, show_keys: bool = False) -> Any:
        raise NotImplementedError

    async def reload(self, options: ReloadOptions) -> Any:
        raise NotImplementedError


@pytest.fixture
def server() -> Server:
    return build_server(Settings())


def app_of(server: Server, token: str | None = None) -> Any:
    """The API with everything that it can have."""
    return create_app(
        server.workflows,
        server.recorded,
        token=token,
        version="1.2.3",
        reactors=Reactors((), server.executors),
        events=EventFeed(EventHub(), trio.Event()),
        history=ChangeHistory(),
        recent_log=RecentLines(),
        sets=server.workflows,
        reloader=NoFile(),
        drains=OwnDrain(server.draining),
    )


async def document_of(app: Any, **headers: str) -> Any:
    response = await app.test_client().get("/openapi.json", headers={"Host": "localhost", **headers})
    assert response.status_code == 200
    return json.loads(await response.get_data())


@pytest.mark.thorough
async def test_the_document_has_every_route_and_no_other(server: Server) -> None:
    app = app_of(server)
    document = await document_of(app)
    described = {(path, method.upper()) for path, methods in document["paths"].items() for method in methods}
    routed = {
        (rule.rule.replace("<any_name:", "{").replace("<id:", "{").replace(">", "}"), method)
        for rule in app.url_map.iter_rules()
        for method in rule.methods
    }
    assert described == routed
    assert len(routed) > 15


def references(node: Any) -> set[str]:
    """Every `$ref` below a node."""
    if isinstance(node, dict):
        own = {node["$ref"]} if "$ref" in node else set()
        return own.union(*(references(value) for value in node.values()))
    return set().union(*(references(value) for value in node)) if isinstance(node, list) else set()


async def test_every_reference_leads_somewhere(server: Server) -> None:
    document = await document_of(app_of(server))
    found = references(document)
    assert "#/components/schemas/PlanView" in found
    for reference in found:
        target = document
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]
        assert target


async def test_operations_have_names_of_their_own(server: Server) -> None:
    document = await document_of(app_of(server))
    names = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(names) == len(set(names))


async def test_a_token_is_asked_for_where_one_is_set(server: Server) -> None:
    free = await document_of(app_of(server))
    assert free["security"] == []
    assert "401" not in free["paths"]["/workflows"]["get"]["responses"]
    locked = await document_of(app_of(server, "s3cret"), Authorization="Bearer s3cret")
    assert locked["security"] == [{"token": []}]
    assert "401" in locked["paths"]["/workflows"]["get"]["responses"]
    health = locked["paths"]["/"]["get"]
    assert health["security"] == []
    assert "401" not in health["responses"]


@frozen
class Inner:
    """Inner.

    More of it.
    """

    names: tuple[Name, ...]


@frozen
class Outer:
    """Outer."""

    inner: Sequence[Inner]
    values: Mapping[str, str | None]
    kind: Literal["a", "b"]
    seconds: float | None
    count: int
    good: bool
    other: Inner | None


def test_the_schema_of_a_type_is_exact() -> None:
    schemas = Schemas()
    assert schemas.of(list[Outer]) == {"type": "array", "items": {"$ref": "#/components/schemas/Outer"}}
    inner = {"$ref": "#/components/schemas/Inner"}
    assert schemas.components == {
        "Outer": {
            "type": "object",
            "description": "Outer.",
            "properties": {
                "inner": {"type": "array", "items": inner},
                "values": {"type": "object", "additionalProperties": {"type": ["string", "null"]}},
                "kind": {"type": "string", "enum": ["a", "b"]},
                "seconds": {"type": ["number", "null"]},
                "count": {"type": "integer"},
                "good": {"type": "boolean"},
                "other": {"anyOf": [inner, {"type": "null"}]},
            },
            "required": ["inner", "values", "kind", "seconds", "count", "good", "other"],
            "additionalProperties": False,
        },
        "Inner": {
            "type": "object",
            "description": "Inner.",
            "properties": {"names": {"type": "array", "items": {"type": "string"}}},
            "required": ["names"],
            "additionalProperties": False,
        },
    }


def test_a_type_without_a_schema_is_refused() -> None:
    with pytest.raises(TypeError, match="no schema is known for"):
        Schemas().of(set[int])


def test_fields_that_say_nothing_are_absent_and_not_required() -> None:
    quiet = StepStatus("1", "x", {}, "Active", (), NO_CLIENTS)
    busy = StepStatus("1", "x", {}, "Active", (), Clients(1, 2))
    assert to_json(quiet) == {"step_id": "1", "step_type": "x", "parameters": {}, "status": "Active"}
    assert to_json(WorkflowStatus("Running", (busy,), (), BY_API)) == {
        "status": "Running",
        "active_steps": [
            {
                "step_id": "1",
                "step_type": "x",
                "parameters": {},
                "status": "Active",
                "clients": {"publishers": 1, "watchers": 2},
            }
        ],
        "pending_steps": [],
        "owner": {"kind": "api", "set": "default"},
    }
    schemas = Schemas()
    schemas.of(StepStatus)
    step = schemas.components["StepStatus"]
    assert isinstance(step, dict)
    assert step["required"] == ["step_id", "step_type", "parameters", "status"]


@pytest.mark.thorough
async def test_the_document_follows_a_token_that_comes_with_a_reload(server: Server) -> None:
    tokens: list[str | None] = [None]
    app = create_app(server.workflows, server.recorded, token=lambda: tokens[-1], version="1")
    assert (await document_of(app))["security"] == []
    tokens.append("new")
    assert (await document_of(app, Authorization="Bearer new"))["security"] == [{"token": []}]
