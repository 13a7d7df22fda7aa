"""`plan --fleet`, `apply --fleet` and `cluster`: what they send, show, and end with."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.commands import Result, invoke, scripted

TEXT = "workflow show {\n    rtmp_receive rtmp_app=live stream_key=*\n}\n"


def at_node(name: str, stage: str | None = "can", *reasons: str, watchers: int = 0) -> dict[str, Any]:
    plan = {"is_changed": True, "publishers": 0, "watchers": watchers, "summary": "starts 1 workflow"}
    return {"node": name, "stage": stage, "reasons": reasons, "plan": plan}


def answer(ending: str, *nodes: dict[str, Any], changed: bool = True) -> dict[str, Any]:
    cut = sum(node["plan"]["watchers"] for node in nodes)
    return {
        "ending": ending,
        "revision": 7,
        "changed": changed,
        "publishers": 0,
        "watchers": cut,
        "nodes": list(nodes),
    }


class Server:
    """Answers with what is given for a path, and keeps the requests."""

    def __init__(self, **answers: tuple[int, Any]) -> None:
        self.answers = answers
        self.requests: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        kinds = {"POST": "plan", "PUT": "apply", "GET": "cluster"}
        kind = "streams" if request.url.path == "/streams" else kinds[request.method]
        status, document = self.answers[kind]
        return httpx2.Response(status, json=document, headers={"ETag": f'"{kind}"'})


def run(server: Server, tmp_path: Path, *arguments: str, text: str = TEXT) -> Result:
    file = tmp_path / "show.mmids"
    file.write_text(text)
    return invoke(*arguments, str(file), transport=scripted(server))


def test_a_plan_says_what_each_node_would_do_and_whom_all_disconnect(tmp_path: Path) -> None:
    server = Server(plan=(200, answer("planned", at_node("a", watchers=2), at_node("b", watchers=3))))
    done = run(server, tmp_path, "plan", "--fleet", "--take-over")
    assert done.status == 2, done
    assert "node a: starts 1 workflow" in done.out
    assert "2 nodes; this disconnects 5 watchers" in done.out
    [request] = server.requests
    assert (request.url.path, request.url.query, request.content.decode()) == (
        "/cluster/config/plan",
        b"take_over=true",
        TEXT + "\n",
    )
    unchanged = Server(plan=(200, answer("planned", at_node("a"), changed=False)))
    assert run(unchanged, tmp_path, "plan", "--fleet").status == 0


def test_apply_sends_the_tag_of_its_plan_and_says_at_how_many_nodes_it_is(tmp_path: Path) -> None:
    server = Server(
        plan=(200, answer("planned", at_node("a"), at_node("b"))),
        apply=(200, answer("applied", at_node("a", "applied"), at_node("b", "applied"))),
    )
    done = run(server, tmp_path, "apply", "--fleet", "--wait", "5", "--max-disconnects", "0")
    assert done.status == 0, done
    assert "applied at 2 nodes as revision 7" in done.out
    planned, applied = server.requests
    assert (applied.method, applied.url.path, applied.headers["If-Match"]) == ("PUT", "/cluster/config", '"plan"')
    assert dict(applied.url.params) == {"wait": "5", "max_disconnects": "0"}
    assert planned.content == applied.content
    document = run(server, tmp_path, "apply", "--fleet", "--json").document
    assert (document["applied"], document["revision"], document["etag"]) == (True, 7, '"apply"')


def test_apply_ends_with_1_where_a_node_cannot_and_names_file_and_line(tmp_path: Path) -> None:
    refusal = {"error": "b cannot put it in place; nothing was changed", "ending": "refused", "revision": 6}
    nodes = [at_node("a"), at_node("b", "cannot", "<request>:2:5: no such step"), at_node("c", None)]
    for name in ("plan", "apply"):
        done = run(Server(plan=(409, {**refusal, "nodes": nodes})), tmp_path, name, "--fleet")
        assert done.status == 1, done
        assert "b cannot put it in place; nothing was changed" in done.err
        assert f"b: {tmp_path / 'show.mmids'}:2:5: no such step" in done.err
        assert "c: did not answer" in done.err
    partly = {"error": "revision 7 is decided, and not in place at b", "ending": "partly", "revision": 7}
    server = Server(
        plan=(200, answer("planned", at_node("a"))),
        apply=(409, {**partly, "nodes": [at_node("b", "failed", "no port")]}),
    )
    done = run(server, tmp_path, "apply", "--fleet")
    assert (done.status, "b: no port" in done.err) == (1, True)


def test_too_many_disconnects_or_a_change_since_the_plan_change_nothing(tmp_path: Path) -> None:
    server = Server(plan=(200, answer("planned", at_node("a", watchers=2))))
    done = run(server, tmp_path, "apply", "--fleet", "--max-disconnects", "1")
    assert (done.status, "--max-disconnects allows 1" in done.err, len(server.requests)) == (1, True, 1)
    lost = Server(plan=(200, answer("planned", at_node("a"))), apply=(412, {"error": "changed", "etag": '"x"'}))
    done = run(lost, tmp_path, "apply", "--fleet")
    assert (done.status, "somebody else has changed" in done.err) == (1, True)


@pytest.mark.parametrize(
    "options", [("--set", "x"), ("--prune",), ("--show-keys",), ("--on-error", "error")], ids=lambda each: each[0]
)
def test_options_that_make_no_sense_for_a_fleet_are_refused(tmp_path: Path, options: tuple[str, ...]) -> None:
    server = Server()
    done = run(server, tmp_path, "apply", "--fleet", *options)
    assert (done.status, "do not go together" in done.err, server.requests) == (1, True, [])


NODE = {
    "node": "a",
    "incarnation": "1f",
    "address": "rtmp://a:1935",
    "draining": False,
    "revision": 7,
    "streams": 3,
    "publishers": 2,
    "watchers": 40,
    "interrupted": 0,
    "waiting": [],
    "reasons": [],
}
CLUSTER = {"name": "tv", "node": "a", "registry": "up", "revision": 7, "warnings": []}


def test_the_command_cluster_lists_nodes_and_ends_with_1_where_something_is_wrong() -> None:
    unknown = dict.fromkeys(("streams", "publishers", "watchers", "interrupted"))
    silent = {**NODE, "node": "b", "draining": True, **unknown}
    well = invoke("cluster", transport=scripted(Server(cluster=(200, {**CLUSTER, "nodes": [NODE, silent]}))))
    assert well.status == 0, well
    assert "cluster tv: registry up, revision 7, seen from a" in well.out
    rows = [line.split() for line in well.out.splitlines()[2:]]
    assert rows == [
        ["a", "rtmp://a:1935", "serving", "7", "3", "2", "40", "0", "1f"],
        ["b", "rtmp://a:1935", "draining", "7", "?", "?", "?", "?", "1f"],
    ]
    warned = {**CLUSTER, "nodes": [NODE], "warnings": ["node b cannot"]}
    ill = invoke("cluster", transport=scripted(Server(cluster=(200, warned))))
    assert (ill.status, "node b cannot" in ill.err) == (1, True)
    document = invoke("cluster", "--json", transport=scripted(Server(cluster=(200, warned))))
    assert json.loads(document.out) == warned
    none = invoke("cluster", transport=scripted(Server(cluster=(404, {"error": "this server is in no cluster"}))))
    assert (none.status, "in no cluster" in none.err) == (1, True)


def test_top_shows_a_cluster_without_its_registry_too() -> None:
    stream = {"node": "b", "id": "s-1", "name": "talk", "workflow": "show", "state": "live", "bitrate": 2000}
    page = {"streams": [{**stream, "watchers": 4}], "next": None, "left_out": 0}
    server = Server(cluster=(200, {**CLUSTER, "nodes": [NODE]}), streams=(200, page))
    shown = invoke("top", "--cluster", transport=scripted(server))
    assert shown.status == 0, shown
    assert "stream=talk node=b workflow=show state=live kbits=2 watchers=4" in shown.out.splitlines()
    assert server.requests[1].url.params["scope"] == "cluster"
    away = {**CLUSTER, "nodes": [NODE], "registry": "away", "warnings": ["the registry is away"]}
    alone = invoke("top", "--cluster", transport=scripted(Server(cluster=(200, away))))
    assert alone.status == 0, alone
    assert alone.out.splitlines()[1] == "warning: the registry is away"


def test_the_command_cluster_names_keys_that_wait_for_their_publisher() -> None:
    waiting = [{"app": "live", "name": "show"}, {"app": "live", "name": "t\x1b[2J"}]
    nodes = [NODE, {**NODE, "node": "b", "interrupted": 5, "waiting": waiting}]
    done = invoke("cluster", transport=scripted(Server(cluster=(200, {**CLUSTER, "nodes": nodes}))))
    assert done.status == 0, done  # an encoder that comes back later is nothing that is wrong
    last = done.out.splitlines()[-1]
    assert last.startswith("waiting at b for a publisher: live/show, live/t")
    assert last.endswith(", 3 more")
    assert "\x1b" not in last
