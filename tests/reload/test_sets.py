"""Sets beside the configuration file: a reload stops what is the file's, and says what stays away from it."""

import pytest
from structlog.testing import capture_logs

from mmids_trio.testing.harness import Harness
from mmids_trio.workflow.events import WorkflowTakenOver
from mmids_trio.workflow.status import WorkflowOwner, of_set
from tests.support.reloading import FILE, File


def workflow(name: str, key: str = "a") -> str:
    return f"workflow {name} {{\n    rtmp_receive rtmp_app={name} stream_key={key}\n}}\n"


async def put(h: Harness, text: str, query: str = "") -> None:
    answer = await h.http.put(f"/config?wait=20{query}", content=text)
    assert answer.status == 200, answer.text


async def test_a_reload_stops_nothing_of_the_sets_and_not_what_one_has_taken_over() -> None:
    file = File(workflow("a") + workflow("b"))
    async with file.harness as h:
        await put(h, workflow("a") + workflow("team"), "&set=team&take_over=true")
        await put(h, workflow("made"))
        file.text = workflow("c")
        assert await file.signal() == "applied"
        assert sorted(h.server.workflows.names()) == ["a", "c", "made", "team"]
        assert (file.owner("a"), file.owner("c")) == (of_set("team"), WorkflowOwner("config", FILE))
        assert await file.signal() == "unchanged"


async def test_a_reload_of_the_same_file_leaves_what_a_set_has_taken_over() -> None:
    file = File(workflow("a") + workflow("b"))
    async with file.harness as h:
        await file.signal()  # the harness brings an ffmpeg of its own, which the file knows nothing of
        await put(h, workflow("a", "theirs"), "&set=team&take_over=true")
        assert await file.signal() == "unchanged"
        assert file.owner("a") == of_set("team")
        assert "stream_key=theirs" in (await h.http.get("/config?set=team")).text


async def test_whoever_edits_the_file_has_the_workflow_back_and_its_plan_says_so() -> None:
    file = File(workflow("a") + workflow("b"))
    async with file.harness as h:
        await put(h, workflow("a", "theirs"), "&set=team&take_over=true")
        file.text = workflow("a", "edited") + workflow("b")
        planned = (await h.http.post("/config/reload?dry_run=true")).json()
        assert planned["plan"]["owner"] == {"kind": "config", "name": FILE}
        [view] = [view for view in planned["plan"]["workflows"] if view["workflow"] == "a"]
        assert (view["owner"], view["taken_from"]) == (
            {"kind": "config", "name": FILE},
            {"kind": "api", "set": "team"},
        )
        assert "'a' was changed over the API" in planned["warnings"][0]
        assert await file.signal() == "applied"
        assert file.owner("a") == WorkflowOwner("config", FILE)
        taken = [event for event in h.events() if isinstance(event, WorkflowTakenOver)]
        assert [(event.workflow, event.owner) for event in taken] == [
            ("a", of_set("team")),
            ("a", WorkflowOwner("config", FILE)),
        ]
        done = await h.http.put("/config?wait=20&set=team&prune=true", content="# none\n")
        assert done.json()["deleted"] == []


async def test_a_file_that_cannot_be_put_in_place_leaves_sets_with_what_they_have() -> None:
    file = File(workflow("a"))
    async with file.harness as h:
        await put(h, workflow("a", "theirs") + workflow("team"), "&set=team&take_over=true")
        file.text = workflow("a", "edited") + workflow("x") + workflow("y").replace("rtmp_app=y", "rtmp_app=team")
        before = h.server.recorder.state
        assert await file.signal() == "failed"
        assert file.owner("a") == of_set("team")
        assert h.server.recorder.state == before


@pytest.mark.thorough
async def test_another_reactor_in_the_file_takes_none_from_a_set() -> None:
    reactor = "reactor {name} executor=simple_http {{\n    url http://127.0.0.1:{port}/\n}}\n"
    file = File(reactor.format(name="ours", port=1) + workflow("a"))
    asking = workflow("team").replace("=a\n", "=* reactor=theirs\n")
    async with file.harness as h:
        await put(h, reactor.format(name="theirs", port=2) + asking, "&set=team")
        file.text = reactor.format(name="ours", port=3) + workflow("a")
        assert await file.signal() == "applied"
        shown = {one["name"]: one.get("set") for one in (await h.http.get("/reactors")).json()}
        assert shown == {"ours": None, "theirs": "team"}
        assert "port=3" not in (await h.http.get("/config?set=team")).text
        assert await file.signal() == "unchanged"
        done = await h.http.put("/config?wait=20&set=team&prune=true", content="# none\n")
        assert [(one["name"], one["action"]) for one in done.json()["reactors"]] == [
            ("ours", "keep"),
            ("theirs", "stop"),
        ]
        assert h.server.recorder.state.reactors is None


async def test_a_reload_says_what_of_the_file_stays_away() -> None:
    file = File(workflow("a") + workflow("b"))
    async with file.harness as h:
        assert (await h.http.delete("/workflows/a")).status == 200
        for query in ("?dry_run=true", "?wait=10"):
            assert (await h.http.post(f"/config/reload{query}")).json()["kept_away"] == ["a"]
        with capture_logs() as logs:
            assert await file.signal() == "unchanged"
        [line] = [line for line in logs if "stay away" in line["event"]]
        assert line["workflows"] == ["a"]
        file.text = workflow("a", "edited") + workflow("b")
        assert (await h.http.post("/config/reload?wait=10")).json()["kept_away"] == []
        assert sorted(h.server.workflows.names()) == ["a", "b"]


async def test_what_was_deleted_and_made_again_is_the_sets_and_no_longer_the_files() -> None:
    file = File(workflow("a") + workflow("b"))
    async with file.harness as h:
        await file.signal()  # as above
        assert (await h.http.delete("/workflows/a")).status == 200
        await put(h, workflow("a"), "&set=team")
        assert (file.owner("a"), await file.signal()) == (of_set("team"), "unchanged")
        file.text = workflow("b")
        assert await file.signal() == "unchanged"
        assert file.owner("a") == of_set("team")
