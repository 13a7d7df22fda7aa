"""Who is refused: foreign origins, cross-site requests, foreign hosts, missing and wrong tokens."""

from typing import Any

import httpx2
import pytest
import trio
from werkzeug.datastructures import Headers

from mmids_trio.http_api.access import Access
from mmids_trio.http_api.app import create_app
from mmids_trio.http_api.safety import is_loopback_host, is_own_origin, refusal
from mmids_trio.http_api.tokens import ADMIN, Caller
from tests.http_api.conftest import HANG_SECONDS, Serve, Served

WORKFLOW = b"workflow w {\n    rtmp_watch\n}\n"
EVERY_ROW = [
    ("GET", "/workflows"),
    ("HEAD", "/workflows"),
    ("GET", "/workflows/w"),
    ("PUT", "/workflows"),
    ("DELETE", "/workflows/w"),
    ("GET", "/unknown"),
    ("POST", "/"),
]


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:9011",
        "localhost.",
        "localhost.:80",
        "localhost:",
        "127.0.0.1",
        "127.1.2.3:9011",
        "[::1]",
        "[::1]:9011",
        "[0:0:0:0:0:0:0:1]:1",
        "[::ffff:127.0.0.1]",
    ],
)
def test_these_hosts_are_loopback(host: str) -> None:
    assert is_loopback_host(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "localhost.evil.example",
        "evil.localhost.example:9011",
        "127.0.0.1.evil.example",
        "128.0.0.1",
        "0.0.0.0",
        "192.168.1.5:9011",
        "::1",
        "[::2]:9011",
        "[::1",
        "[::1]x",
        "[localhost]",
        "user@localhost",
        "localhost@evil.example",
        "localhost:9011:1",
        "localhost:x",
        "localhost/x",
        "localhost localhost",
        "localhost..",
        "2130706433",
        "127.0.0.1\n.evil",
        "localhost\xa0",
        "\x85localhost",
        "localhost\x1f",
        "127.0.0.1\x0b",
    ],
)
def test_these_hosts_are_not(host: str) -> None:
    assert not is_loopback_host(host)


@pytest.mark.parametrize(
    ("origin", "host", "is_own"),
    [
        ("http://localhost:9011", "localhost:9011", True),
        ("HTTP://LocalHost:9011", "localhost:9011", True),
        ("http://[::1]:9011", "[::1]:9011", True),
        ("http://localhost", "localhost:80", True),
        ("https://api.example", "api.example", True),
        ("https://api.example:443", "api.example", True),
        ("http://localhost:9012", "localhost:9011", False),
        ("http://127.0.0.1:9011", "localhost:9011", False),
        ("http://localhost", "localhost:9011", False),
        ("https://localhost", "localhost:80", False),
        ("http://evil.example", "localhost:9011", False),
        ("http://localhost:9011.evil.example", "localhost:9011", False),
        ("http://x@localhost:9011", "localhost:9011", False),
        ("null", "localhost:9011", False),
        ("", "localhost:9011", False),
        ("file://", "localhost:9011", False),
        ("http://localhost:9011/", "localhost:9011", False),
        ("http://localhost:9011 http://localhost:9011", "localhost:9011", False),
        ("http://localhost:9011\xa0", "localhost:9011", False),
        ("http://localhost:9011", "localhost:9011\x85", False),
    ],
)
def test_only_the_very_same_origin_is_the_apis_own(origin: str, host: str, is_own: bool) -> None:
    assert is_own_origin(origin, [host]) is is_own


@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"]])
@pytest.mark.parametrize("is_locked", [False, True])
def test_an_origin_is_nobodys_own_beside_none_or_two_hosts(hosts: list[str], is_locked: bool) -> None:
    headers = [("Origin", "http://localhost"), ("Authorization", "Bearer s3cret")]
    refused = refusal(Headers([*headers, *(("Host", host) for host in hosts)]), is_locked=is_locked, is_known=True)
    assert refused is not None
    assert refused.status == 403
    assert "Origin" in refused.message


async def test_an_origin_without_a_host_is_refused_over_the_wire(served: Served) -> None:
    """HTTP/1.0 needs no `Host`."""
    async with await served.connect(b"GET /workflows HTTP/1.0\r\nOrigin: http://localhost\r\n\r\n") as stream:
        with trio.fail_after(HANG_SECONDS):
            answer = b"".join([data async for data in stream])
    assert answer.split()[1] == b"403"
    assert b"Origin" in answer


@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"]])
def test_none_or_two_hosts_are_refused_without_a_token(hosts: list[str]) -> None:
    refused = refusal(Headers([("Host", host) for host in hosts]), is_locked=False)
    assert refused is not None
    assert refused.status == 403


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({"Host": "mmids.internal:9011"}, True),
        ({"Host": "MMIDS.internal"}, True),
        ({"Host": "mmids.internal", "Origin": "https://mmids.internal"}, True),
        ({"Origin": "https://mmids.internal"}, True),
        ({"Host": "other.internal"}, False),
        ({"Host": "mmids.internal.evil.example"}, False),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "https://mmids.internal@evil.example"}, False),
        ({"Origin": "https://mmids.internal", "Sec-Fetch-Site": "cross-site"}, False),
    ],
    ids=str,
)
async def test_names_of_a_proxy_pass_and_no_others(
    serve_app: Serve, workflows: Any, headers: dict[str, str], passes: bool
) -> None:
    own = frozenset({"mmids.internal"})
    served = await serve_app(create_app(workflows, workflows, token=None, version="1", own_hosts=own))
    async with httpx2.AsyncClient(trust_env=False, verify=False) as client:
        response = await client.get(f"http://127.0.0.1:{served.port}/workflows", headers=headers)
    assert response.status_code == (200 if passes else 403)


@pytest.mark.parametrize(("method", "path"), [*EVERY_ROW, ("GET", "/")])
@pytest.mark.parametrize(
    "header",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "Cross-Site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site, none"},
        {"Sec-Fetch-Site": ""},
        {"Sec-Fetch-Site": "none, same-origin"},
        {"Host": "evil.example"},
    ],
    ids=lambda header: "=".join(*header.items()),
)
async def test_without_a_token_foreign_requests_are_403(
    client: httpx2.AsyncClient, workflows: Any, method: str, path: str, header: dict[str, str]
) -> None:
    response = await client.request(method, path, content=WORKFLOW, headers=header)
    assert response.status_code == 403
    assert method == "HEAD" or "refused" in response.json()["error"]
    assert (workflows.applied, workflows.stopped) == ([], [])


@pytest.mark.parametrize("site", ["same-origin", "none", "None"])
async def test_other_fetch_sites_pass(client: httpx2.AsyncClient, site: str) -> None:
    assert (await client.get("/workflows", headers={"Sec-Fetch-Site": site})).status_code == 200


@pytest.mark.parametrize(("method", "path"), EVERY_ROW)
@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer wrong",
        "Bearer s3cre",
        "Bearer s3cret2",
        "Basic s3cret",
        "s3cret",
        "é",
        "Bearer s3cret\xa0",
    ],
)
async def test_a_missing_or_wrong_token_is_401(
    guarded: httpx2.AsyncClient, workflows: Any, method: str, path: str, authorization: str | None
) -> None:
    headers: dict[bytes, bytes] = {} if authorization is None else {b"Authorization": authorization.encode()}
    response = await guarded.request(method, path, content=WORKFLOW, headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert (workflows.applied, workflows.stopped) == ([], [])


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
@pytest.mark.parametrize("host", ["localhost", "mmids.example:9011", "192.168.1.5", "a..b", "x" * 70, "ä"])
async def test_with_the_token_any_host_will_do(guarded: httpx2.AsyncClient, scheme: str, host: str) -> None:
    headers = {b"Authorization": f"{scheme} s3cret".encode(), b"Host": host.encode()}
    assert (await guarded.get("/workflows", headers=headers)).status_code == 200


async def test_two_authorizations_are_refused(guarded: httpx2.AsyncClient) -> None:
    headers = [("Authorization", "Bearer s3cret"), ("Authorization", "Bearer x")]
    assert (await guarded.get("/workflows", headers=headers)).status_code == 401


async def test_the_health_check_needs_no_token(guarded: httpx2.AsyncClient) -> None:
    assert (await guarded.get("/", headers={"Host": "mmids.example"})).status_code == 200


async def test_a_foreign_origin_is_refused_even_with_the_token(guarded: httpx2.AsyncClient) -> None:
    headers = {"Authorization": "Bearer s3cret", "Origin": "http://evil.example"}
    assert (await guarded.get("/workflows", headers=headers)).status_code == 403


async def test_a_token_beyond_ascii_works() -> None:
    headers = Headers([("Authorization", "Bearer " + "schlüssel".encode().decode("latin-1"))])
    assert await Access(lambda: "schlüssel").caller(headers) == Caller("http_api_token", ADMIN)


def test_an_empty_token_is_refused_when_the_api_is_built(workflows: Any) -> None:
    with pytest.raises(ValueError, match="empty"):
        create_app(workflows, workflows, token="", version="1")
