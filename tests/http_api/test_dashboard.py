"""The dashboard as the server sees it: its files, its sign-in; the page itself is for `e2e/test_dashboard.py`."""

import gzip
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import segno
from quart_trio import QuartTrio

from mmids_trio.cli.client.plans import read_plan
from mmids_trio.http_api.app import create_app
from mmids_trio.http_api.assets import PLAYER, load_dashboard
from mmids_trio.http_api.routes.dashboard import MAX_ADDRESS
from mmids_trio.http_api.session_cookie import COOKIE, MAX_TOKEN_BYTES
from mmids_trio.http_api.token_file import TokenFile, changed
from mmids_trio.http_api.tokens import Scope, make_token
from mmids_trio.on_air.directory import OnAir
from mmids_trio.rejections import RejectCounters, RejectReason
from mmids_trio.workflow.plan_summary import summary
from tests.http_api.conftest import HANG_SECONDS, ScriptedWorkflows, Serve
from tests.support.waiting import eventually_answered

SHOW = "workflow show {\n rtmp_watch rtmp_app=a stream_key=b\n}\n"
MOST_COMPRESSED = 300_000
OWN = {"Sec-Fetch-Site": "same-origin"}
IMPORT = r'^(?:import|export)[^;]*?from\s*"([^"]+)"'
NO_SIGN_INS = [
    "",
    "{}",
    "[]",
    '"s3cret"',
    '{"token": 1}',
    "{" * 5000,
    json.dumps({"token": "x" * (MAX_TOKEN_BYTES + 1)}),
]


def create(workflows: ScriptedWorkflows, rejections: RejectCounters, **options: Any) -> QuartTrio:
    options = {"token": "s3cret", "ui": True, **options}
    return create_app(workflows, workflows, version="1", on_air=OnAir(), rejections=rejections, **options)


@pytest.fixture
async def page(
    serve_app: Serve, workflows: ScriptedWorkflows, rejections: RejectCounters
) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser's connection to a server with a token."""
    served = await serve_app(create(workflows, rejections))
    async with client_of(served.port) as client:
        yield client


def client_of(port: int) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, verify=False, timeout=HANG_SECONDS)


async def sign_in(client: httpx2.AsyncClient, token: str = "s3cret", **headers: str) -> httpx2.Response:
    return await client.post("/ui/session", json={"token": token}, headers={**OWN, **headers})


async def test_the_page_needs_no_token_and_may_run_nothing_but_its_own_files(page: httpx2.AsyncClient) -> None:
    response = await page.get("/ui")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    policy = response.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} <= set(policy)
    assert "unsafe" not in response.headers["content-security-policy"]
    assert not re.search(r"<script(?![^>]* src=)|<style| on\w+=|https?://", response.text)
    assert (await page.get("/ui/")).text == response.text


async def test_what_the_page_is_made_of_may_be_kept_for_ever_under_a_name_of_its_own(page: httpx2.AsyncClient) -> None:
    text = (await page.get("/ui")).text
    names = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert len(names) == 4
    for name in names:
        response = await page.get(name)
        assert response.status_code == 200
        assert "immutable" in response.headers["cache-control"]
        assert response.headers["content-encoding"] == "gzip"
        plain = await page.get(name, headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.content == response.content
    other = names[0].replace(load_dashboard("").files.version, "0" * 16)
    assert (await page.get(other)).status_code == 404


@pytest.mark.parametrize("name", ["../assets.py", "index.html", "vendor/README.md", "vendor", "", "%2e%2e/assets.py"])
async def test_nothing_else_is_served(page: httpx2.AsyncClient, name: str) -> None:
    response = await page.get(f"/ui/assets/{load_dashboard('').files.version}/{name}")
    assert response.status_code in (401, 404)


def test_all_files_together_are_small_and_import_each_other_alone() -> None:
    assets = load_dashboard("/ui/assets").files.by_name
    own = [asset for name, asset in assets.items() if name != PLAYER]
    assert 10_000 < sum(len(asset.compressed()) for asset in own) < MOST_COMPRESSED
    for name, asset in assets.items():
        assert gzip.decompress(asset.compressed()) == asset.data
        if name.endswith(".js"):
            for imported in re.findall(r'^(?:import|export)[^;]*?from\s*"([^"]+)"', asset.data.decode(), re.MULTILINE):
                place = str((Path("/") / Path(name).parent / imported).resolve())[1:]
                assert place in assets, f"{name} imports {imported}"


async def test_a_sign_in_is_a_cookie_that_no_script_and_no_other_site_has(page: httpx2.AsyncClient) -> None:
    assert (await page.get("/ui/session")).json()["caller"] is None
    response = await sign_in(page)
    assert response.json()["caller"] == {"name": "http_api_token", "scopes": ["admin"]}
    cookie = response.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/ui"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert "s3cret" not in cookie
    assert (await page.get("/ui/session")).json()["caller"]["name"] == "http_api_token"
    assert (await page.get("/ui/api/workflows")).json() == []


async def test_over_tls_the_cookie_goes_over_tls_alone(page: httpx2.AsyncClient) -> None:
    origin = str(page.base_url).replace("http://", "https://").rstrip("/")
    assert "Secure" in (await sign_in(page, Origin=origin)).headers["set-cookie"]


async def test_the_cookie_is_good_for_the_page_alone(page: httpx2.AsyncClient) -> None:
    value = (await sign_in(page)).cookies[COOKIE]
    response = await page.get("/workflows", headers={"Cookie": f"{COOKIE}={value}"})
    assert response.status_code == 401


async def test_media_is_there_for_who_is_signed_in_by_cookie_or_token(page: httpx2.AsyncClient) -> None:
    path = "/ui/media/s--1/live.flv"
    assert (await page.get(path)).status_code == 401
    assert (await page.get(path, headers={"Authorization": "Bearer s3cret"})).status_code == 404  # there is no stream
    await sign_in(page)
    assert (await page.get(path)).status_code == 404
    assert (await page.get(path, headers={"Sec-Fetch-Site": "cross-site"})).status_code == 403


async def test_signing_out_takes_the_cookie_away(page: httpx2.AsyncClient) -> None:
    await sign_in(page)
    await page.delete("/ui/session", headers=OWN)
    assert COOKIE not in page.cookies
    assert (await page.get("/ui/api/workflows")).status_code == 401


async def test_a_wrong_token_signs_nobody_in_and_is_counted(
    page: httpx2.AsyncClient, rejections: RejectCounters
) -> None:
    response = await sign_in(page, "guess")
    assert response.status_code == 401
    assert "set-cookie" not in response.headers
    assert rejections[RejectReason.API_TOKEN.value] == 1


@pytest.mark.parametrize(
    "body", ["", "{}", "[]", '"s3cret"', '{"token": 1}', "{" * 5000, f'{{"token": "{"x" * 3000}"}}']
)
async def test_what_is_no_sign_in_is_refused(page: httpx2.AsyncClient, body: str) -> None:
    response = await page.post("/ui/session", content=body, headers=OWN)
    assert response.status_code == 400


async def test_a_sign_in_outlives_a_restart_and_ends_with_its_token(
    serve_app: Serve, workflows: ScriptedWorkflows, rejections: RejectCounters
) -> None:
    async with client_of((await serve_app(create(workflows, rejections))).port) as before:
        value = (await sign_in(before)).cookies[COOKIE]
    headers = {"Cookie": f"{COOKIE}={value}"}
    async with client_of((await serve_app(create(workflows, rejections))).port) as after:
        assert (await after.get("/ui/api/workflows", headers=headers)).status_code == 200
    async with client_of((await serve_app(create(workflows, rejections, token="another"))).port) as changed:
        assert (await changed.get("/ui/api/workflows", headers=headers)).status_code == 401
        assert (await changed.get("/ui/session", headers=headers)).json()["caller"] is None


@pytest.mark.parametrize("value", ["", "s3cret", "!!!", "czNjcmV1", "czNjcmV0; mmids_session=czNjcmV0", "\xe9"])
async def test_no_other_cookie_signs_in(page: httpx2.AsyncClient, value: str) -> None:
    headers = {b"Cookie": f"{COOKIE}={value}".encode("latin-1")}
    assert (await page.get("/ui/api/workflows", headers=headers)).status_code == 401


FOREIGN = [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {}]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_no_other_site_can_change_anything_or_sign_in(
    page: httpx2.AsyncClient, workflows: ScriptedWorkflows, headers: dict[str, str]
) -> None:
    assert (await page.post("/ui/session", json={"token": "s3cret"}, headers=headers)).status_code == 403
    await sign_in(page)
    response = await page.put("/ui/api/workflows", content=SHOW, headers=headers)
    assert response.status_code == 403
    assert (await page.delete("/ui/api/workflows/show", headers=headers)).status_code == 403
    assert not workflows.changes
    assert not workflows.stopped


async def test_the_page_changes_what_the_signed_in_may(page: httpx2.AsyncClient, workflows: ScriptedWorkflows) -> None:
    await sign_in(page)
    await page.put("/ui/api/workflows", content=SHOW, headers=OWN)
    assert len(workflows.changes) == 1


async def test_a_link_on_another_site_leads_to_the_page_and_to_nothing_else(page: httpx2.AsyncClient) -> None:
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert (await page.get("/ui", headers=headers)).status_code == 200
    assert (await page.get("/ui/session", headers=headers)).status_code == 403


@pytest.mark.thorough
async def test_a_named_token_may_do_over_the_page_what_its_scopes_say(
    serve_app: Serve, workflows: ScriptedWorkflows, rejections: RejectCounters, tmp_path: Path
) -> None:
    file = TokenFile(tmp_path / "tokens.json")
    secret, token = make_token("viewer", [Scope.parse("read")], "2026-01-01T00:00:00.000Z")
    with changed(file.path) as tokens:
        tokens.append(token)
    async with client_of((await serve_app(create(workflows, rejections, tokens=file))).port) as client:
        assert (await sign_in(client, secret)).json()["caller"] == {"name": "viewer", "scopes": ["read"]}
        assert (await client.get("/ui/overview")).status_code == 200
        assert (await client.put("/ui/api/workflows", content="workflow a {\n}\n", headers=OWN)).status_code == 403
        with changed(file.path) as tokens:
            tokens.clear()

        async def refused() -> bool:
            return (await client.get("/ui/overview")).status_code == 401

        await eventually_answered(refused, "end of the sign-in")  # the file is looked at once a second


async def test_without_a_token_everybody_here_is_signed_in(
    serve_app: Serve, workflows: ScriptedWorkflows, rejections: RejectCounters
) -> None:
    async with client_of((await serve_app(create(workflows, rejections, token=None))).port) as client:
        session = (await client.get("/ui/session")).json()
        assert (session["locked"], session["caller"]["name"]) == (False, "anybody")
        headers = {"Host": "evil.example"}
        assert (await client.get("/ui/session", headers=headers)).status_code == 403


async def test_there_is_no_page_where_it_is_switched_off(
    serve_app: Serve, workflows: ScriptedWorkflows, rejections: RejectCounters
) -> None:
    async with client_of((await serve_app(create(workflows, rejections, token=None, ui=False))).port) as client:
        for path in ("/ui", "/ui/session", "/ui/overview", "/ui/api/workflows"):
            assert (await client.get(path)).status_code == 404


def plan_of(*, changed: bool) -> dict[str, Any]:
    view = {"workflow": "show", "created": True, "changed": changed, "steps": []}
    numbers = {"publishers": 1, "watchers": 40, "deleted": ["old"], "cuts": [], "reactors": []}
    return {"changed": changed, "workflows": [view], **numbers}


def test_the_sentence_of_a_plan_is_that_of_the_command() -> None:
    assert summary(read_plan(plan_of(changed=True))) == (
        "workflows: 1 new, 1 stopped; disconnects 1 publisher and 40 watchers"
    )


ADDRESS = "rtmp://example.com/live/talk?expires=1800000600&token=" + "5f" * 32


async def test_an_address_becomes_the_qr_code_that_segno_makes_of_it(page: httpx2.AsyncClient) -> None:
    assert (await page.post("/ui/qr", json={"address": ADDRESS}, headers=OWN)).status_code == 401
    await sign_in(page)
    response = await page.post("/ui/qr", json={"address": ADDRESS}, headers=OWN)
    assert response.status_code == 200
    wanted = segno.make_qr(ADDRESS, error="L", boost_error=False)
    assert response.json()["rows"] == ["".join(map(str, row)) for row in wanted.matrix]
    foreign = await page.post("/ui/qr", json={"address": ADDRESS}, headers={"Sec-Fetch-Site": "cross-site"})
    assert foreign.status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{}",
        "{" * 5000,
        json.dumps({"address": 1}),
        json.dumps({"address": "javascript:alert(1)"}),
        json.dumps({"address": "http://a b"}),
        json.dumps({"address": "http://" + "x" * (MAX_ADDRESS - 6)}),
    ],
    ids=range(8),
)
async def test_nothing_but_an_address_that_fits_becomes_a_qr_code(page: httpx2.AsyncClient, body: str) -> None:
    await sign_in(page)
    response = await page.post("/ui/qr", content=body, headers=OWN)
    assert response.status_code == 400
    assert "expected" in response.json()["error"]


async def test_the_longest_address_becomes_a_qr_code(page: httpx2.AsyncClient) -> None:
    await sign_in(page)
    address = "http://" + "x" * (MAX_ADDRESS - 7)
    response = await page.post("/ui/qr", json={"address": address}, headers=OWN)
    assert len(response.json()["rows"]) == 77
