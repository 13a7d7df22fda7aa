"""What a request for a switch may look like."""

import httpx2
import pytest

from mmids_trio.http_api.options import parse_switch
from mmids_trio.http_api.refusals import BadRequest


@pytest.mark.parametrize(
    ("query", "content_type", "body"),
    [
        ({"to": ["cam 2"]}, None, b""),
        ({}, "application/json", b'{"to": "cam 2"}'),
        ({}, "application/json; charset=utf-8", b' {"to": "cam 2"}\n'),
        ({}, "application/x-www-form-urlencoded", b'{"to": "cam 2"}'),
        ({}, None, b'{"to": "cam 2"}'),
    ],
)
def test_a_name_is_in_the_query_or_in_the_body(
    query: dict[str, list[str]], content_type: str | None, body: bytes
) -> None:
    assert parse_switch(query, content_type, body) == "cam 2"


@pytest.mark.parametrize(
    ("query", "content_type", "body"),
    [
        ({}, None, b""),
        ({"to": [""]}, None, b""),
        ({"to": ["a", "b"]}, None, b""),
        ({"to": ["a"], "wait": ["1"]}, None, b""),
        ({"to": ["a"]}, None, b'{"to": "a"}'),
        ({}, "text/plain", b'{"to": "a"}'),
        ({}, None, b'{"to": 3}'),
        ({}, None, b'{"to": "a", "for": 3}'),
        ({}, None, b'["to"]'),
        ({}, None, b"\xff\xfe"),
        ({}, None, b"[" * 100_000),
        ({}, None, b"nonsense"),
    ],
)
def test_everything_else_is_refused_with_what_is_expected(
    query: dict[str, list[str]], content_type: str | None, body: bytes
) -> None:
    with pytest.raises(BadRequest, match="expected"):
        parse_switch(query, content_type, body)


async def test_names_in_the_path_may_have_slashes(client: httpx2.AsyncClient) -> None:
    response = await client.post("/workflows/a%2Fb/c/steps/17/switch?to=x")
    assert (response.status_code, response.json()) == (404, {"error": "a/b/c, 17 and x"})


async def test_a_switch_is_asked_for_with_post(client: httpx2.AsyncClient) -> None:
    assert (await client.put("/workflows/w/steps/1/switch?to=x")).status_code == 405


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_the_address_of_a_step_is_not_that_of_a_workflow_with_such_a_name(
    method: str, client: httpx2.AsyncClient
) -> None:
    response = await client.request(method, "/workflows/w/steps/1/switch")
    assert (response.status_code, response.headers["Allow"]) == (405, "POST")


async def test_a_workflow_with_such_a_name_is_refused(client: httpx2.AsyncClient) -> None:
    response = await client.put("/workflows", content=b"workflow a/steps/1/switch {\n}\n")
    assert response.status_code == 400
    assert "cannot end in /steps/<id>/switch" in response.json()["error"]
    assert (await client.put("/workflows", content=b"workflow a/steps/1/switch/more {\n}\n")).status_code == 200
