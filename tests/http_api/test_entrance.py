"""The outermost layer, called as a server calls it: nothing of the API is reached without the token."""

import json
from typing import Any

import pytest
import trio
from quart_trio import QuartTrio

from mmids_trio.http_api.app import create_app
from mmids_trio.http_api.counts import HttpCounts
from mmids_trio.http_api.event_feed import EventFeed
from mmids_trio.rejections import RejectCounters
from mmids_trio.workflow.hub import EventHub

METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PRI", "get", "MADEUP")
ROUTES = {
    "/",
    "/changes",
    "/changes/<id:id>",
    "/cluster",
    "/cluster/config",
    "/cluster/config/plan",
    "/config",
    "/config/plan",
    "/config/reload",
    "/config/status",
    "/events",
    "/logs",
    "/metrics",
    "/openapi.json",
    "/reactors",
    "/play-links",
    "/ready",
    "/reactors/<any_name:name>",
    "/streams",
    "/timeline",
    "/streams/<id:id>",
    "/streams/<id:id>/thumbnail.jpg",
    "/clients",
    "/bans",
    "/bans/<id:id>",
    "/clients/<id:id>",
    "/workflows",
    "/workflows/<any_name:name>",
    "/workflows/<any_name:name>/steps/<any_name:step_id>/switch",
}


PUBLIC = ("/", "/ready")


class Untouchable:
    """A part of the server that nobody may ask anything."""

    http = HttpCounts()

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"somebody asked for {name}")


class Call:
    """One scope given to an application; `sent` is what came of it."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    async def receive(self) -> Any:
        raise AssertionError("nobody may wait for what the client says")

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    async def make(self, app: Any, kind: str, path: str, method: str, headers: Any = ()) -> "Call":
        scope = {
            "type": kind,
            "asgi": {"spec_version": "2.1", "version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"localhost"), *headers],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
            "subprotocols": [],
            "state": {},
            "extensions": {},
        }
        await app(scope, self.receive, self.send)
        return self


@pytest.fixture
def app(rejections: RejectCounters) -> QuartTrio:
    """The API with all its routes and a token, over parts that must not be touched."""
    part: Any = Untouchable()
    events = EventFeed(EventHub(), trio.Event())
    return create_app(
        part,
        part,
        token="s3cret",
        version="1",
        reactors=part,
        on_air=part,
        thumbnails=part,
        events=events,
        history=part,
        timeline=part,
        recent_log=part,
        sets=part,
        reloader=part,
        durability=part,
        may_change=trio.Event(),
        metrics=part,
        readiness=part,
        rejections=rejections,
    )


def paths(app: QuartTrio) -> list[str]:
    """One of each route, and what is none."""
    routes = [rule.rule for rule in app.url_map.iter_rules()]
    return [
        route.replace("<any_name:name>", "r").replace("<any_name:step_id>", "1").replace("<id:id>", "c-0-1")
        for route in routes
    ] + ["/none"]


def test_all_routes_are_walked(app: QuartTrio) -> None:
    assert {rule.rule for rule in app.url_map.iter_rules()} == ROUTES


@pytest.mark.parametrize("method", METHODS)
async def test_without_the_token_a_request_gets_a_401_from_every_route(
    app: QuartTrio, rejections: RejectCounters, method: str
) -> None:
    asked = 0
    for path in paths(app):
        if path in PUBLIC and method in ("GET", "HEAD"):
            continue
        start, body = (await Call().make(app, "http", path, method)).sent
        assert (start["type"], start["status"]) == ("http.response.start", 401), path
        assert (b"www-authenticate", b"Bearer") in start["headers"]
        assert body["type"] == "http.response.body"
        assert not body["more_body"]
        if method == "HEAD":
            assert body["body"] == b""
        else:
            assert list(json.loads(body["body"])) == ["error"]
        asked += 1
    assert rejections.raised() == {"api_token_wrong": asked}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("headers", [(), ((b"authorization", b"Bearer s3cret"),)], ids=["no token", "token"])
async def test_a_websocket_is_closed_on_every_route(app: QuartTrio, method: str, headers: Any) -> None:
    for path in paths(app):
        call = await Call().make(app, "websocket", path, method, headers)
        assert [message["type"] for message in call.sent] == ["websocket.close"], path


@pytest.mark.parametrize("kind", ["webtransport", "", "HTTP", "http.extended"])
@pytest.mark.parametrize("headers", [(), ((b"authorization", b"Bearer s3cret"),)], ids=["no token", "token"])
async def test_a_scope_of_another_type_gets_nothing_from_any_route(app: QuartTrio, kind: str, headers: Any) -> None:
    for path in paths(app):
        call = Call()
        with pytest.raises(NotImplementedError, match="no scope of the type"):
            await call.make(app, kind, path, "GET", headers)
        assert call.sent == []


@pytest.mark.parametrize("path", ["/.", "/%2f", "/?x", "//ready", "http://localhost/workflows", "/workflows/"])
async def test_nothing_but_the_very_public_paths_needs_no_token(app: QuartTrio, path: str) -> None:
    start, _ = (await Call().make(app, "http", path, "GET")).sent
    assert start["status"] == 401


async def test_a_lifespan_reaches_the_application(app: QuartTrio) -> None:
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await app({"type": "lifespan", "asgi": {}, "state": {}}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
