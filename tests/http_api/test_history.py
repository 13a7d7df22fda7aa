"""`/changes` and `/logs`: who has changed what, over the API, by a reload; and what the log says."""

import io
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.http_api.app import create_app
from mmids_trio.http_api.token_file import changed
from mmids_trio.http_api.tokens import Scope, make_token
from mmids_trio.server.log_recent import MOST_CHARACTERS, MOST_LINES, RecentLines
from mmids_trio.server.logs import Logging, configure
from mmids_trio.testing import Harness
from mmids_trio.workflow.events import WorkflowChanged
from tests.http_api.conftest import ScriptedWorkflows

SHOW = "workflow {name} {{\n    rtmp_receive rtmp_app=live stream_key={key} port=0\n}}\n"


def bearer(file: Path, name: str, scope: str = "admin") -> dict[str, str]:
    secret, token = make_token(name, [Scope.parse(scope)], "2026-01-01T00:00:00.000Z")
    with changed(file) as tokens:
        tokens.append(token)
    return {"Authorization": f"Bearer {secret}"}


async def test_every_change_has_who_made_it_and_the_configuration_before_and_after(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    anna, bert = bearer(file, "anna"), bearer(file, "bert")
    async with Harness(f'settings {{\n    http_api_tokens_path "{file}"\n}}\n') as h:
        for content in (SHOW.format(name="show", key="*"), SHOW.format(name="show", key="*")):
            assert (await h.http.put("/workflows?wait=10", content=content, headers=anna)).status == 200
        two = SHOW.format(name="show", key="talk") + SHOW.format(name="other", key="b")
        assert (await h.http.put("/config?wait=10", content=two, headers=bert)).status == 200
        assert (await h.http.delete("/workflows/show", headers=anna)).status == 200
        assert (await h.http.delete("/workflows/none", headers=anna)).status == 200
        listed = (await h.http.get("/changes", headers=anna)).json()
        short: list[Any] = [
            (each["by"], each["outcome"], [(one["workflow"], one["action"]) for one in each["workflows"]])
            for each in listed["changes"]
        ]
        assert short == [
            ("anna", "applied", [("show", "stop")]),
            ("bert", "applied", [("show", "change"), ("other", "start")]),
            ("anna", "applied", [("show", "start")]),
        ]
        assert listed["next"] is None
        ids = [each["id"] for each in listed["changes"]]
        [_, middle, _] = [(await h.http.get(f"/changes/{name}", headers=bert)).json() for name in ids]
        assert middle["before"] == "workflow show {\n    rtmp_receive rtmp_app=live stream_key=* port=0\n}\n"
        assert "workflow other {" in middle["after"]
        assert {"before", "after"}.isdisjoint(listed["changes"][0])
        told = [event for event in h.events() if isinstance(event, WorkflowChanged)]
        assert [(event.workflow, event.by, event.action, event.change) for event in told] == [
            ("show", "anna", "start", ids[2]),
            ("show", "bert", "change", ids[1]),
            ("other", "bert", "start", ids[1]),
            ("show", "anna", "stop", ids[0]),
        ]


async def test_who_may_change_some_workflows_sees_what_was_done_with_these_alone(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    owner, team, deploy = bearer(file, "owner"), bearer(file, "team", "change:sho*"), bearer(file, "all", "change:*")
    both = SHOW.format(name="show", key="*") + SHOW.format(name="other", key="b-key").replace("=live", "=theirs")
    async with Harness(f'settings {{\n    http_api_tokens_path "{file}"\n}}\n') as h:
        assert (await h.http.put("/config?wait=10", content=both, headers=owner)).status == 200
        assert (await h.http.delete("/workflows/other", headers=owner)).status == 200
        assert (await h.http.delete("/workflows/show", headers=team)).status == 200
        of_owner = (await h.http.get("/changes", headers=owner)).json()["changes"]
        assert (await h.http.get("/changes", headers=deploy)).json()["changes"] == of_owner
        last, others, first = of_owner
        seen = (await h.http.get("/changes", headers=team)).json()["changes"]
        assert [(each["id"], each["by"]) for each in seen] == [(last["id"], "team"), (first["id"], "owner")]
        assert [[one["workflow"] for one in each["workflows"]] for each in seen] == [["show"], ["show"]]
        assert (await h.http.get(f"/changes?after={last['id']}", headers=team)).json()["changes"] == seen[1:]
        change = await h.http.get(f"/changes/{first['id']}", headers=team)
        assert change.json()["after"] == SHOW.format(name="show", key="*")
        assert "other" not in change.text
        assert "theirs" not in change.text
        whole = await h.http.get(f"/changes/{last['id']}", headers=team)
        assert whole.json() == (await h.http.get(f"/changes/{last['id']}", headers=owner)).json()
        for path in (f"/changes/{others['id']}", f"/changes?after={others['id']}"):
            assert (await h.http.get(path, headers=team)).status == 404
        kinds = (await h.http.get("/openapi.json", headers=team)).json()["x-kinds"]
        assert "rtmp_watch" in [kind["name"] for kind in kinds]


CUT = """workflow show {
    rtmp_receive rtmp_app=live stream_key=*
    rtmp_watch rtmp_app=live stream_key=*
    rtmp_watch rtmp_app=also stream_key=*
}
"""


async def put_one(h: Harness) -> None:
    text = CUT.replace(
        "rtmp_app=live stream_key=*\n    rtmp_watch rtmp_app=also",
        "rtmp_app=more stream_key=*\n    rtmp_watch rtmp_app=also",
    )
    assert (await h.http.put("/workflows?wait=10", content=text)).status == 200


async def put_in_place(h: Harness) -> None:
    text = CUT.replace(
        "rtmp_watch rtmp_app=live stream_key=*", "rtmp_watch rtmp_app=live stream_key=* deny_ips=192.0.2.7"
    )
    assert (await h.http.put("/workflows?wait=10&in_place=true", content=text)).status == 200


async def put_all(h: Harness) -> None:
    text = CUT.replace("    rtmp_watch rtmp_app=also stream_key=*\n", "")
    assert (await h.http.put("/config?wait=10&take_over=true", content=text)).status == 200


async def put_nothing_else(h: Harness) -> None:
    assert (
        await h.http.put("/config?wait=10", content=CUT.replace("show", "other").replace("rtmp_app=", "rtmp_app=o"))
    ).status == 200


async def delete(h: Harness) -> None:
    assert (await h.http.delete("/workflows/show")).status == 200


async def end_stream(h: Harness) -> None:
    [stream] = (await h.http.get("/streams")).json()["streams"]
    assert (await h.http.delete(f"/streams/{stream['id']}?ban=60")).status == 201


async def kick_watcher(h: Harness) -> None:
    [*_, client] = (await h.http.get("/clients")).json()["clients"]
    assert (await h.http.delete(f"/clients/{client['id']}")).status == 200


@pytest.mark.parametrize(
    ("change", "cut"),
    [
        (put_one, (0, 2)),
        (put_in_place, (0, 1)),
        (put_all, (0, 1)),
        (put_nothing_else, (0, 0)),
        (delete, (1, 3)),
        (end_stream, (1, 0)),
        (kick_watcher, (0, 1)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_whichever_way_it_is_made_a_change_says_how_many_it_cuts(
    change: Callable[[Harness], Awaitable[None]], cut: tuple[int, int], autojump_clock: MockClock
) -> None:
    async with Harness(CUT) as h, trio.open_nursery() as nursery:
        clients = [await h.publish("live/key")]
        for address in ("live/key", "live/key", "also/key"):
            host = f"192.0.2.{6 + len(clients)}"
            clients.append(await h.watch(address, peer_host=host))
        for client in clients:
            nursery.start_soon(client.read_until_closed)
        await change(h)
        await wait_all_tasks_blocked()
        [latest] = (await h.http.get("/changes?limit=1")).json()["changes"]
        assert (latest["publishers"], latest["watchers"]) == cut
        assert latest["outcome"] == "applied"
        gone = [client.is_disconnected for client in clients]
        assert (sum(gone[:1]), sum(gone[1:])) == cut
        nursery.cancel_scope.cancel()


async def test_who_is_sent_away_stands_among_the_changes_with_who_did_it(autojump_clock: MockClock) -> None:
    async with Harness(CUT) as h:
        await h.publish("live/key", peer_host="192.0.2.1")
        await h.watch("live/key", peer_host="192.0.2.7")
        before = [event for event in h.events() if isinstance(event, WorkflowChanged)]
        [_, watcher] = (await h.http.get("/clients")).json()["clients"]
        await kick_watcher(h)
        await end_stream(h)
        [ended, kicked] = (await h.http.get("/changes")).json()["changes"]
        assert kicked["message"] == f"watcher {watcher['id']} of 'key' (192.0.2.7) was sent away"
        assert ended["message"].startswith("stream s-")
        assert ended["message"].endswith(" 'key' was ended, and may not come back for 60 s")
        assert (kicked["by"], kicked["workflows"][0]["action"]) == ("anybody", "kick")
        one = (await h.http.get(f"/changes/{kicked['id']}")).json()
        assert (one["before"], one["after"]) == ("", "")
        assert [event for event in h.events() if isinstance(event, WorkflowChanged)] == before


async def test_pages_and_filters() -> None:
    async with Harness() as h:
        for number in range(5):
            await h.http.put("/workflows?wait=10", content=SHOW.format(name=f"w{number % 2}", key=f"k{number}"))
        first = (await h.http.get("/changes?limit=2")).json()
        rest = (await h.http.get(f"/changes?limit=1000&after={first['next']}")).json()
        assert [each["id"] for each in (*first["changes"], *rest["changes"])] == ["5", "4", "3", "2", "1"]
        assert rest["next"] is None
        only = (await h.http.get("/changes?workflow=w1")).json()["changes"]
        assert [each["id"] for each in only] == ["4", "2"]
        assert len((await h.http.get("/changes?by=anybody")).json()["changes"]) == 5
        assert (await h.http.get("/changes?by=anna")).json()["changes"] == []
        for path, status in (("/changes/17", 404), ("/changes?after=17", 404), ("/changes?limit=0", 400)):
            assert (await h.http.get(path)).status == status


@pytest.fixture
def log() -> RecentLines:
    """As `configure` fills it, with what libraries log too."""
    bounds = Logging()
    with configure(level=logging.DEBUG, directory=None, console=io.StringIO(), form="none", bounds=bounds):
        lines = structlog.get_logger("mmids_trio.test")
        lines.info("one", workflow="a", publish_token="s3cret")
        lines.debug("two", workflow="a")
        lines.error("three", workflow="b")
        logging.getLogger("library").warning("four of a %s", "library")
    return bounds.recent


async def lines_of(log: RecentLines, query: str) -> Any:
    workflows = ScriptedWorkflows()
    client = create_app(workflows, workflows, token=None, version="1", recent_log=log).test_client()
    response = await client.get(f"/logs{query}", headers={"Host": "localhost"})
    return response.status_code, await response.get_json()


@pytest.mark.parametrize(
    ("query", "events"),
    [
        ("", ["one", "three", "four of a library"]),
        ("?level=debug", ["one", "two", "three", "four of a library"]),
        ("?level=warning", ["three", "four of a library"]),
        ("?workflow=a&level=debug", ["one", "two"]),
        ("?limit=1", ["four of a library"]),
        ("?since=2000-01-01T00:00:00%2B01:00", ["one", "three", "four of a library"]),
        ("?since=2999-01-01T00:00:00Z", []),
    ],
)
async def test_lines_are_as_wanted_and_in_their_order(log: RecentLines, query: str, events: list[str]) -> None:
    status, body = await lines_of(log, query)
    assert status == 200
    assert [line["event"] for line in body["lines"]] == events
    assert body["dropped"] == 0
    assert "s3cret" not in str(body)


@pytest.mark.parametrize("query", ["?level=loud", "?since=yesterday", "?since=2026-01-01T00:00:00", "?limit=1001"])
async def test_what_cannot_be_asked_for_is_a_400(log: RecentLines, query: str) -> None:
    assert (await lines_of(log, query))[0] == 400


def test_the_log_in_memory_is_bounded_in_lines_and_characters() -> None:
    lines = RecentLines()
    for number in range(MOST_LINES + 10):
        lines.add({"event": f"{number}", "level": "info"})
    newest = lines.newest(10_000, workflow=None, level="debug", since=None)
    assert (len(newest), newest[0]["event"], lines.dropped) == (MOST_LINES, "10", 10)
    for _ in range(1_000):
        lines.add({"event": "x" * 16_000, "level": "info"})
    kept = lines.newest(10_000, workflow=None, level="debug", since=None)
    assert sum(len(str(line["event"])) for line in kept) <= MOST_CHARACTERS
    assert len(kept) > 200
