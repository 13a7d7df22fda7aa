"""`/changes` and `/logs`: who has changed what, over the API, by a reload; and what the log says."""

import io
import logging
from pathlib import Path
from typing import Any

import pytest
import structlog

from mmids_trio.http_api.app import create_app
from mmids_trio.http_api.token_file import changed
from mmids_trio.http_api.tokens import Scope, make_token
from mmids_trio.server.log_recent import MOST_CHARACTERS, MOST_LINES, RecentLines
from mmids_trio.server.logs import Logging, configure
from mmids_trio.testing import Harness
from mmids_trio.workflow.events import WorkflowChanged
from tests.http_api.conftest import ScriptedWorkflows

SHOW = "workflow {name} {{\n    rtmp_receive rtmp_app=live stream_key={key} port=0\n}}\n"


def bearer(file: Path, name: str) -> dict[str, str]:
    secret, token = make_token(name, [Scope("admin")], "2026-01-01T00:00:00.000Z")
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
