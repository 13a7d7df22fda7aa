"""Named tokens: which scope each request takes, read from the API's own document; and the file that they are in."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio
from quart_trio import QuartTrio
from structlog.testing import LogCapture, capture_logs
from trio.testing import MockClock

from mmids_trio.config.settings import Settings
from mmids_trio.http_api.app import create_app
from mmids_trio.http_api.event_feed import EventFeed
from mmids_trio.http_api.event_stream import LOOK_SECONDS
from mmids_trio.http_api.token_file import CHECK_SECONDS, TokenFile, changed, read_file
from mmids_trio.http_api.tokens import (
    KINDS,
    MAX_TOKENS,
    Caller,
    NamedToken,
    Scope,
    TokenFileError,
    bearer_of,
    check_name,
    make_token,
    read_tokens,
    write_tokens,
)
from mmids_trio.moments import rfc3339
from mmids_trio.rejections import RejectCounters
from mmids_trio.server.building import build_server
from mmids_trio.testing import Harness
from mmids_trio.workflow.hub import EventHub
from tests.http_api.conftest import HANG_SECONDS, ScriptedWorkflows, Serve
from tests.http_api.test_entrance import Untouchable

MADE = "2026-01-01T00:00:00.000Z"

SCOPES = {
    ("GET", "/"): "none",
    ("GET", "/ready"): "none",
    ("GET", "/changes"): "read or change",
    ("GET", "/changes/{id}"): "read or change",
    ("GET", "/logs"): "admin",
    ("GET", "/clients"): "read",
    ("GET", "/config"): "change",
    ("GET", "/config/status"): "read",
    ("GET", "/events"): "read",
    ("GET", "/metrics"): "read",
    ("GET", "/openapi.json"): "read or change",
    ("GET", "/bans"): "read",
    ("GET", "/reactors"): "read",
    ("GET", "/reactors/{name}"): "read",
    ("GET", "/streams"): "read",
    ("GET", "/streams/{id}"): "read",
    ("GET", "/streams/{id}/thumbnail.jpg"): "read",
    ("GET", "/timeline"): "read",
    ("GET", "/workflows"): "read",
    ("GET", "/workflows/{name}"): "read",
    ("PUT", "/config"): "change",
    ("POST", "/config/plan"): "change",
    ("POST", "/config/reload"): "change",
    ("PUT", "/workflows"): "change",
    ("DELETE", "/workflows/{name}"): "change",
    ("POST", "/workflows/{name}/steps/{step_id}/switch"): "change",
    ("POST", "/play-links"): "change",
    ("GET", "/cluster"): "read",
    ("GET", "/cluster/config"): "admin",
    ("PUT", "/cluster/config"): "admin",
    ("POST", "/cluster/config/plan"): "admin",
    ("GET", "/cluster/drain"): "read",
    ("POST", "/cluster/drain"): "admin",
    ("DELETE", "/cluster/drain"): "admin",
    ("DELETE", "/bans/{id}"): "kick",
    ("DELETE", "/clients/{id}"): "kick",
    ("DELETE", "/streams/{id}"): "kick",
}
"""What every request takes: who adds one says here what it takes, and on purpose."""


def scopes(*texts: str) -> tuple[Scope, ...]:
    return tuple(map(Scope.parse, texts))


@pytest.fixture
def file(tmp_path: Path) -> TokenFile:
    return TokenFile(tmp_path / "tokens.json")


def add(file: TokenFile, name: str, *texts: str) -> str:
    """A token in the file, as the command makes one."""
    secret, token = make_token(name, scopes(*texts), MADE)
    with changed(file.path) as tokens:
        tokens.append(token)
    return secret


@pytest.fixture
def app(file: TokenFile, rejections: RejectCounters) -> QuartTrio:
    """Everything that the API can have, over parts that fail when they are asked: a 500 was let in."""
    part: Any = Untouchable()
    may_change = trio.Event()
    may_change.set()
    return create_app(
        part,
        part,
        token="s3cret",
        tokens=file,
        version="1",
        reactors=part,
        on_air=part,
        events=EventFeed(EventHub(), trio.Event()),
        history=part,
        timeline=part,
        recent_log=part,
        thumbnails=part,
        sets=part,
        reloader=part,
        may_change=may_change,
        metrics=part,
        readiness=part,
        drains=part,
        rejections=rejections,
    )


async def document(app: QuartTrio) -> Any:
    response = await app.test_client().get("/openapi.json", headers={"Authorization": "Bearer s3cret"})
    return json.loads(await response.get_data())


async def described(app: QuartTrio) -> dict[tuple[str, str], str]:
    """The scope of each request, as the document says."""
    paths = (await document(app))["paths"]
    return {
        (method.upper(), path): operation["x-scope"]
        for path, methods in paths.items()
        for method, operation in methods.items()
    }


async def test_the_document_says_what_each_request_takes(app: QuartTrio) -> None:
    found = await described(app)
    assert {request: scope for request, scope in found.items() if request[0] != "HEAD"} == SCOPES
    assert all(found["HEAD", path] == scope for (method, path), scope in SCOPES.items() if method == "GET")


@pytest.mark.thorough
@pytest.mark.parametrize("texts", [("read",), ("change:*",), ("kick",), ("admin",), ("read", "kick")], ids=" ".join)
async def test_every_request_takes_the_scope_that_the_document_says(
    app: QuartTrio, file: TokenFile, rejections: RejectCounters, texts: tuple[str, ...]
) -> None:
    headers = {"Authorization": f"Bearer {add(file, 'somebody', *texts)}"}
    held = {scope.kind for scope in scopes(*texts)}
    table = await described(app)
    refused = 0
    for (method, path), scope in table.items():
        if path == "/events" and method == "GET" and held & {"read", "admin"}:
            continue  # it does not end
        concrete = path.replace("{name}", "w").replace("{id}", "c-0-1").replace("{step_id}", "1")
        response = await getattr(app.test_client(), method.lower())(concrete, headers=headers)
        is_good = scope == "none" or bool(held & {*scope.split(" or "), "admin"})
        assert (response.status_code != 403) is is_good, (method, path, response.status_code)
        assert response.status_code != 401
        refused += not is_good
    assert rejections.raised() == ({"api_token_not_good_for_it": refused} if refused else {})
    assert refused or "admin" in held


@pytest.fixture
async def locked(serve_app: Serve, workflows: ScriptedWorkflows, file: TokenFile) -> AsyncIterator[httpx2.AsyncClient]:
    """A client without credentials of an API with named tokens alone."""
    served = await serve_app(create_app(workflows, workflows, token=None, tokens=file, version="1"))
    url = f"http://127.0.0.1:{served.port}"
    async with httpx2.AsyncClient(base_url=url, trust_env=False, verify=False, timeout=HANG_SECONDS) as client:
        yield client


def bearing(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


PUT = "workflow {name} {{\n    rtmp_receive rtmp_app=live stream_key=a\n}}\n"


async def test_a_pattern_says_which_workflows_may_be_changed(
    locked: httpx2.AsyncClient, workflows: ScriptedWorkflows, file: TokenFile
) -> None:
    token = bearing(add(file, "team-a", "change:team-a-*"))
    other = await locked.put("/workflows", content=PUT.format(name="team-b-show"), headers=token)
    assert other.status_code == 403
    assert other.json() == {"error": "the token 'team-a' may not change workflow 'team-b-show'; nothing was changed"}
    assert (await locked.delete("/workflows/team-b-show", headers=token)).status_code == 403
    assert (await locked.post("/workflows/team-b-show/steps/1/switch?to=b", headers=token)).status_code == 403
    assert (workflows.applied, workflows.stopped) == ([], [])
    assert (await locked.put("/workflows", content=PUT.format(name="team-a-x"), headers=token)).status_code == 200
    assert (await locked.delete("/workflows/team-a-x", headers=token)).status_code == 200
    assert [definition.name for definition, _ in workflows.applied] == workflows.stopped == ["team-a-x"]


SET = """{reactor}workflow team-a-show {{
    rtmp_receive rtmp_app=live stream_key=a port=0
}}
workflow {other} {{
    rtmp_receive rtmp_app=live stream_key=b port=0
}}
"""
REACTOR = "reactor r executor=simple_http {\n    url http://127.0.0.1:9/\n}\n"


@pytest.mark.parametrize(
    ("reactor", "other", "message"),
    [
        ("", "team-b-show", "the token 'team-a' may not change workflow 'team-b-show'; nothing was changed"),
        (REACTOR, "team-a-x", "the token 'team-a' may not change reactors, which takes change:*; nothing was changed"),
    ],
    ids=["a workflow", "a reactor"],
)
async def test_a_set_is_refused_as_a_whole_for_what_the_token_may_not_change(
    reactor: str, other: str, message: str, file: TokenFile
) -> None:
    token = bearing(add(file, "team-a", "change:team-a-*"))
    text = SET.format(reactor=reactor, other=other)
    async with Harness(f'settings {{\n    http_api_tokens_path "{file.path}"\n}}\n') as h:
        for ask, path in ((h.http.post, "/config/plan"), (h.http.put, "/config")):
            answer = await ask(path, content=text, headers=token)
            assert (answer.status, answer.json()) == (403, {"error": message})
        assert h.server.workflows.names() == []
        allowed = SET.format(reactor="", other="team-a-x")
        assert (await h.http.put("/config?wait=10", content=allowed, headers=token)).status == 200
        assert h.server.workflows.names() == ["team-a-show", "team-a-x"]


RUNNING = (
    REACTOR.replace("9/", "9/?key=reactor-secret")
    + """workflow team-a-show {
    rtmp_receive rtmp_app=live stream_key=a-key port=0
}
workflow team-b-show {
    rtmp_receive rtmp_app=live stream_key=b-key publish_token=b-secret-0123456789 port=0
}
"""
)
TEAM_A_SHOWN = """# What runs, without settings and without the workflows of reactors.
# Only the workflows that the token may change.

workflow team-a-show {
    rtmp_receive port=0 rtmp_app=live stream_key=a-key
}
"""
NOTHING_BY_MISTAKE = 'values {\n    KEY "1"\n}\n'


async def test_who_may_change_some_workflows_sees_and_changes_them_as_if_there_were_no_others(file: TokenFile) -> None:
    team, viewer, everything = (
        bearing(add(file, name, scope))
        for name, scope in (("a", "change:team-a-*"), ("v", "read"), ("all", "change:*"))
    )
    async with Harness(f'settings {{\n    http_api_tokens_path "{file.path}"\n}}\n') as h:
        assert (await h.http.put("/config?wait=10", content=RUNNING, headers=everything)).status == 200
        assert (await h.http.get("/config", headers=viewer)).status == 403
        whole = (await h.http.get("/config", headers=everything)).text
        assert "reactor-secret" in whole
        assert "b-secret" in whole
        shown = await h.http.get("/config", headers=team)
        assert shown.text == TEAM_A_SHOWN
        of_set = await h.http.get("/config?set=default", headers=team)
        assert of_set.text.partition("\n\n")[2] == TEAM_A_SHOWN.partition("\n\n")[2]

        others = RUNNING.replace("b-key", "another")
        assert (await h.http.put("/config?wait=10", content=others, headers=everything)).status == 200
        unchanged = {**team, "If-Match": shown.headers["etag"]}  # what others change is no race
        wanted = shown.text.replace("a-show", "a-next")
        plan = await h.http.post("/config/plan?prune=true", content=wanted, headers=unchanged)
        assert (plan.status, plan.json()["deleted"]) == (200, ["team-a-show"])
        assert "team-b" not in plan.text
        done = await h.http.put("/config?prune=true&wait=10", content=wanted, headers=unchanged)
        assert done.status == 200
        assert h.server.workflows.names() == ["team-b-show", "team-a-next"]
        assert [one["name"] for one in (await h.http.get("/reactors", headers=viewer)).json()] == ["r"]
        lost = await h.http.put("/config", content=wanted, headers=unchanged)
        assert (lost.status, lost.json()["etag"]) == (412, done.headers["etag"])
        emptied = await h.http.put("/config?prune=true", content=NOTHING_BY_MISTAKE, headers=team)
        assert (emptied.status, emptied.json()["refused_by"]) == (409, "allow_empty")


async def test_who_only_reads_does_not_see_what_lets_anybody_push(file: TokenFile) -> None:
    readers = [bearing(add(file, "v", "read")), bearing(add(file, "other", "read", "change:team-b-*"))]
    changers = [bearing(add(file, "a", "read", "change:team-a-*")), bearing(add(file, "all", "admin"))]
    text = """workflow team-a-show {
    rtmp_receive rtmp_app=live stream_key=show
    rtmp_push target=rtmp://there.example:1/app/push-secret
}
"""
    async with Harness(f'settings {{\n    http_api_tokens_path "{file.path}"\n}}\n') as h:
        assert (await h.http.put("/workflows?wait=10", content=text, headers=changers[1])).status == 200

        async def target(headers: dict[str, str]) -> str:
            shown = await h.http.get("/workflows/team-a-show", headers=headers)
            assert "show" in shown.text
            targets = [step["parameters"].get("target") for step in shown.json()["active_steps"]]
            assert ("push-secret" in shown.text) is ("rtmp://there.example:1/app/push-secret" in targets)
            return str(targets[-1])

        assert [await target(each) for each in readers] == ["rtmp://there.example:1/app/***"] * 2
        assert [await target(each) for each in changers] == ["rtmp://there.example:1/app/push-secret"] * 2


async def test_no_answer_tells_whether_a_guess_of_what_others_have_is_right(file: TokenFile) -> None:
    team, everything = (
        bearing(add(file, name, scope)) for name, scope in (("a", "change:team-a-*"), ("all", "change:*"))
    )
    async with Harness(f'settings {{\n    http_api_tokens_path "{file.path}"\n}}\n') as h:
        assert (await h.http.put("/config?set=b&wait=10", content=RUNNING, headers=everything)).status == 200
        same = await h.http.post("/config/plan?take_over=changed", content=RUNNING, headers=everything)
        assert same.json()["changed"] is False  # so it is left out as equal, for who may see it
        for guess in (RUNNING, RUNNING.replace("b-secret", "b-guess")):
            for part in (guess, guess[guess.index("workflow team-b") :], guess[: guess.index("workflow team-b")]):
                answer = await h.http.post("/config/plan?take_over=changed", content=part, headers=team)
                assert answer.status == 403
                assert "may not change" in answer.json()["error"]


@pytest.mark.thorough
async def test_reloads_take_the_right_to_change_everything(app: QuartTrio, file: TokenFile) -> None:
    some, all_of_it = (bearing(add(file, name, text)) for name, text in (("a", "change:a*"), ("b", "change:*")))
    client = app.test_client()
    assert (await client.post("/config/reload", headers=some)).status_code == 403
    assert (await client.post("/config/reload", headers=all_of_it)).status_code == 500  # it was let in


async def test_with_a_file_of_tokens_nobody_gets_in_without_one(locked: httpx2.AsyncClient, file: TokenFile) -> None:
    assert not file.path.exists()
    assert (await locked.get("/workflows")).status_code == 401
    assert (await locked.get("/workflows", headers=bearing("mmids_guessed"))).status_code == 401
    assert (await locked.get("/")).status_code == 200


@pytest.mark.thorough
async def test_the_token_of_the_settings_may_do_everything_beside_named_ones(app: QuartTrio, file: TokenFile) -> None:
    add(file, "viewer", "read")
    response = await app.test_client().get("/config", headers=bearing("s3cret"))
    assert response.status_code == 500  # it was let in


async def test_the_log_says_who_has_changed_something(
    workflows: ScriptedWorkflows, file: TokenFile, logs: LogCapture
) -> None:
    token = bearing(add(file, "anna", "change:*"))
    client = create_app(workflows, workflows, token=None, tokens=file, version="1").test_client()
    await client.put("/workflows", data=PUT.format(name="w"), headers=token)
    [line] = [line for line in logs.entries if line["event"] == "http request"]
    assert (line["method"], line["by"], line["status"]) == ("PUT", "anna", 200)
    assert token["Authorization"].removeprefix("Bearer ") not in str(logs.entries)


async def test_a_revoked_token_is_worth_nothing_once_the_file_was_looked_at(
    file: TokenFile, autojump_clock: trio.testing.MockClock
) -> None:
    secret = add(file, "anna", "read")
    await file.load()
    assert bearer_of(secret.encode(), file.tokens) is not None
    with changed(file.path) as tokens:
        tokens.clear()
    await file.refresh()
    assert bearer_of(secret.encode(), file.tokens) is not None  # it was looked at just before
    await trio.sleep(CHECK_SECONDS)
    await file.refresh()
    assert bearer_of(secret.encode(), file.tokens) is None


async def test_a_token_that_has_expired_is_refused_as_one_that_nobody_knows(
    file: TokenFile, autojump_clock: trio.testing.MockClock
) -> None:
    made = 1_800_000_000.0 + trio.current_time()
    guest, short = make_token("guest", scopes("read"), MADE, rfc3339(made + 3600))
    longer, long = make_token("longer", scopes("read"), MADE, rfc3339(made + 7200))
    with changed(file.path) as tokens:
        tokens.extend((short, long))
    settings = f'settings {{\n    http_api_tokens_path "{file.path}"\n}}\n'
    async with Harness(settings, now=lambda: 1_800_000_000.0 + trio.current_time()) as h:
        await trio.sleep(3600 - CHECK_SECONDS)
        assert (await h.http.get("/workflows", headers=bearing(guest))).status == 200
        await trio.sleep(CHECK_SECONDS)
        expired, unknown = [await h.http.get("/workflows", headers=bearing(secret)) for secret in (guest, "mmids_x")]
        assert (expired.status, expired.text) == (unknown.status, unknown.text)
        assert expired.status == 401
        assert (await h.http.get("/workflows", headers=bearing(longer))).status == 200
    h.assert_quiet()


async def test_a_file_that_was_deleted_revokes_all_tokens(
    file: TokenFile, autojump_clock: trio.testing.MockClock
) -> None:
    add(file, "anna", "read")
    await file.load()
    file.path.unlink()
    await trio.sleep(CHECK_SECONDS)
    await file.refresh()
    assert file.tokens == ()


async def test_a_file_that_cannot_be_used_leaves_the_tokens_of_before_and_is_told_of_once(
    file: TokenFile, autojump_clock: trio.testing.MockClock
) -> None:
    add(file, "anna", "read")
    await file.load()
    file.path.write_text("{")
    with capture_logs() as lines:
        for _ in range(3):
            await trio.sleep(CHECK_SECONDS)
            await file.refresh()
    assert [token.name for token in file.tokens] == ["anna"]
    assert [(line["log_level"], line["event"]) for line in lines] == [
        ("error", "the file of tokens cannot be used, those of before stay valid")
    ]
    with changed(file.path.with_name("good")) as tokens:
        tokens.append(make_token("bert", scopes("admin"), MADE)[1])
    os.replace(file.path.with_name("good"), file.path)
    await trio.sleep(CHECK_SECONDS)
    await file.refresh()
    assert [token.name for token in file.tokens] == ["bert"]


async def test_a_server_does_not_start_with_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    path.write_text("{}")
    server = build_server(Settings(http_api_tokens_path=str(path), log_path=None))
    with pytest.RaisesGroup(TokenFileError, allow_unwrapped=True, flatten_subgroups=True):
        await server.run()


def test_the_file_has_no_token_and_is_its_owners_alone(file: TokenFile) -> None:
    secret = add(file, "anna", "read", "change:team-*")
    assert secret not in file.path.read_text()
    assert file.path.stat().st_mode & 0o777 == 0o600
    [token] = read_file(file.path)
    assert (token.name, token.scopes, token.made) == ("anna", scopes("read", "change:team-*"), MADE)
    assert bearer_of(secret.encode(), [token]) is token
    assert bearer_of(token.digest.encode(), [token]) is None


def test_what_is_written_is_read_again() -> None:
    tokens = tuple(make_token(name, scopes("admin", "change:ü*"), MADE)[1] for name in ("a", "b.c_d-e"))
    expiring = make_token("e", scopes("read"), MADE, "2026-02-28T00:00:00.000Z")[1]
    assert read_tokens(write_tokens([*tokens, expiring])) == (*tokens, expiring)
    assert b"expires" not in write_tokens(tokens)


def entry(**changes: Any) -> dict[str, Any]:
    return {"name": "a", "sha256": "0" * 64, "scopes": ["read"], "made": MADE, **changes}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b'{"tokens": 1}',
        b'{"tokens": [1]}',
        *(
            json.dumps({"tokens": tokens}).encode()
            for tokens in (
                [entry(name="")],
                [entry(name="http_api_token")],
                [entry(name=1)],
                [entry(sha256="")],
                [entry(sha256="G" * 64)],
                [entry(scopes=[])],
                [entry(scopes="admin")],
                [entry(scopes=["write"])],
                [entry(scopes=["read"] * 100)],
                [entry(expires=1)],
                [entry(expires="")],
                [entry(expires="2026-02-28T00:00:00Z")],
                [entry(expires="2026-02-30T00:00:00.000Z")],
                [entry(), entry()],
                [entry(name=f"a{number}") for number in range(MAX_TOKENS + 1)],
            )
        ),
    ],
)
def test_a_file_that_the_command_did_not_write_is_refused(content: bytes) -> None:
    with pytest.raises(TokenFileError) as caught:
        read_tokens(content)
    assert "0" * 64 not in str(caught.value)


@pytest.mark.parametrize("text", ["", "write", "change", "change:", "read:a", "admin:*", "change:" + "a" * 300])
def test_what_is_no_scope_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|most"):
        Scope.parse(text)


@pytest.mark.parametrize("name", ["", "anybody", "nobody", "http_api_token", "a b", "ä", "-a", "a" * 65, "a\n"])
def test_what_can_be_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no token can be called"):
        check_name(name)


def test_of_scopes_only_admin_has_others_in_it() -> None:
    for kind in KINDS:
        scope = Scope(kind, "*" if kind == "change" else None)
        may = {other for other in KINDS if Caller("a", (scope,)).may(other)}
        assert may == (set(KINDS) if kind == "admin" else {kind})


def test_every_token_is_compared_whether_or_not_one_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [make_token(f"t{number}", scopes("read"), MADE) for number in range(5)]
    tokens: list[NamedToken] = [token for _, token in made]
    compared: list[str] = []

    def compare(one: str, other: str) -> bool:
        compared.append(one)
        return one == other

    monkeypatch.setattr("mmids_trio.http_api.tokens.hmac.compare_digest", compare)
    assert bearer_of(made[1][0].encode(), tokens) is tokens[1]
    assert compared == [token.digest for token in tokens]


async def test_who_hears_of_events_hears_nothing_more_once_the_token_is_revoked(
    autojump_clock: MockClock, file: TokenFile
) -> None:
    gone, kept = bearing(add(file, "gone", "read")), bearing(add(file, "kept", "read"))
    show = "workflow show {\n rtmp_receive rtmp_app=live stream_key=*\n}\n"
    async with (
        Harness(f"settings {{\n http_api_tokens_path {file.path}\n}}\n{show}") as h,
        h.http.stream("GET", "/events", headers=gone) as events,
        h.http.stream("GET", "/events", headers=kept) as others,
    ):
        assert [(await anext(each)).startswith(b"retry: ") for each in (events, others)] == [True, True]
        with changed(file.path) as tokens:
            del tokens[0]
        await trio.sleep(LOOK_SECONDS + CHECK_SECONDS)
        await h.stop("show")
        assert [piece async for piece in events] == []
        assert b"workflow_ended" in await anext(others)
