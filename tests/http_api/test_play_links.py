"""Signed links that the server makes: what they let in, for whom they are made, and that the key stays where it is."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx2
import pytest

from mmids_trio.config.parser import parse_workflow
from mmids_trio.http_api.app import create_app
from mmids_trio.http_api.refusals import BadRequest
from mmids_trio.http_api.routes.play_links import LEAST_SECONDS, MOST_SECONDS, parse_asked
from mmids_trio.http_api.token_file import TokenFile, changed
from mmids_trio.http_api.tokens import Scope, make_token
from mmids_trio.rtmp.protocol.requests import parse_query
from mmids_trio.rtmp.server.play_tokens import TokenVerdict, judge
from mmids_trio.workflow.status import BY_API
from tests.http_api.conftest import HANG_SECONDS, ScriptedWorkflows, Serve

PLAY_KEY = "An0ther-l0ng-rand0m-0ne"
SHOW = f"""workflow show {{
    rtmp_receive rtmp_app=live stream_key=*
    rtmp_watch rtmp_app=live stream_key=* play_key={PLAY_KEY}
    rtmp_watch rtmp_app=one stream_key=tonight play_key={PLAY_KEY}
}}
"""
DEFINITION = parse_workflow(SHOW, "test")
RECEIVE, WATCH, WATCH_ONE = DEFINITION.step_ids
ASKED = {"workflow": "show", "step_id": WATCH, "key": "talk", "seconds": 3600}


def expiry_of(query: str) -> int:
    return int(parse_qs(query)["expires"][0])


@pytest.fixture
async def api(serve_app: Serve, workflows: ScriptedWorkflows) -> AsyncIterator[httpx2.AsyncClient]:
    """A connection to a server that runs the show, without a token."""
    workflows.apply(DEFINITION, owner=BY_API)
    served = await serve_app(create_app(workflows, workflows, token=None, version="1"))
    async with httpx2.AsyncClient(
        base_url=f"http://127.0.0.1:{served.port}", trust_env=False, timeout=HANG_SECONDS
    ) as client:
        yield client


async def test_a_link_lets_a_player_in_until_it_expires_and_no_other_key(api: httpx2.AsyncClient) -> None:
    response = await api.post("/play-links", json=ASKED)
    assert response.status_code == 200, response.text
    assert PLAY_KEY not in response.text
    query = response.json()["query"]
    expires = expiry_of(query)
    assert judge(parse_query(query), PLAY_KEY, "talk", expires - 1) is TokenVerdict.GOOD
    assert judge(parse_query(query), PLAY_KEY, "talk", expires) is TokenVerdict.EXPIRED
    assert judge(parse_query(query), PLAY_KEY, "other", expires - 1) is TokenVerdict.WRONG


async def test_the_caller_chooses_how_long(api: httpx2.AsyncClient) -> None:
    short = (await api.post("/play-links", json={**ASKED, "seconds": LEAST_SECONDS})).json()
    long = (await api.post("/play-links", json={**ASKED, "seconds": MOST_SECONDS})).json()
    assert expiry_of(long["query"]) - expiry_of(short["query"]) >= MOST_SECONDS - LEAST_SECONDS
    assert short["expires"] < long["expires"]


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"workflow": "other"}, 404, "Workflow not found"),
        ({"step_id": "1"}, 404, "no such step"),
        ({"step_id": RECEIVE}, 409, "has no play_key"),
        ({"step_id": WATCH_ONE}, 400, "another stream key alone"),
        ({"seconds": LEAST_SECONDS - 1}, 400, "good for"),
    ],
)
async def test_what_cannot_be_signed_is_refused(
    api: httpx2.AsyncClient, change: dict[str, Any], status: int, message: str
) -> None:
    response = await api.post("/play-links", json={**ASKED, **change})
    assert response.status_code == status
    assert message in response.json()["error"]
    assert PLAY_KEY not in response.text


async def test_the_one_key_of_a_step_can_be_signed(api: httpx2.AsyncClient) -> None:
    response = await api.post("/play-links", json={**ASKED, "step_id": WATCH_ONE, "key": "tonight"})
    assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    "change",
    [
        {"seconds": MOST_SECONDS + 1},
        {"seconds": True},
        {"seconds": 60.5},
        {"seconds": "60"},
        {"seconds": None},
        {"key": ""},
        {"key": "talk?token=x"},
        {"key": "x" * 1001},
        {"key": ["talk"]},
        {"workflow": None},
        {"step_id": 1},
        {"more": 1},
    ],
    ids=str,
)
def test_a_body_that_is_not_as_it_must_be_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        parse_asked(json.dumps({**ASKED, **change}).encode())


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'"talk"', b"[" * 5000, b"\xff", b"[1, 2, 3, 4]"])
def test_a_body_that_is_something_else_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest, match="expected"):
        parse_asked(body)


async def test_who_may_not_change_the_workflow_gets_no_link(
    serve_app: Serve, workflows: ScriptedWorkflows, tmp_path: Path
) -> None:
    workflows.apply(DEFINITION, owner=BY_API)
    file = TokenFile(tmp_path / "tokens.json")
    secrets = {}
    for name, scopes in {"own": ["change:sh*"], "other": ["change:team-*"], "viewer": ["read", "kick"]}.items():
        secrets[name], token = make_token(name, [Scope.parse(scope) for scope in scopes], "2026-01-01T00:00:00.000Z")
        with changed(file.path) as tokens:
            tokens.append(token)
    served = await serve_app(create_app(workflows, workflows, token="s3cret", tokens=file, version="1"))
    async with httpx2.AsyncClient(
        base_url=f"http://127.0.0.1:{served.port}", trust_env=False, timeout=HANG_SECONDS
    ) as client:
        answers = {
            name: (
                await client.post("/play-links", json=ASKED, headers={"Authorization": f"Bearer {secret}"})
            ).status_code
            for name, secret in secrets.items()
        }
    assert answers == {"own": 200, "other": 403, "viewer": 403}
