"""Sets over HTTP: what each team has, what nobody takes by accident, and what is taken over on purpose."""

from typing import Any

import pytest
import trio

from mmids_trio.config.parser import parse_workflow
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.reactors import FakeReactorService, valid
from mmids_trio.workflow.events import ReloadRefused, WorkflowTakenOver
from mmids_trio.workflow.status import WorkflowOwner, of_set

FILE_OWNER = WorkflowOwner("config")


def workflow(name: str, key: str = "a") -> str:
    return f"workflow {name} {{\n    rtmp_receive rtmp_app={name} stream_key={key}\n}}\n"


def reactor(name: str, url: str = "http://127.0.0.1:1/") -> str:
    return f"reactor {name} executor=simple_http {{\n    url {url}\n}}\n"


async def put(h: Harness, text: str, query: str = "", status: int = 200, *, if_match: str = "") -> Any:
    """Put a set in place; the answer, which has this status."""
    headers = {"If-Match": if_match} if if_match else {}
    answer = await h.http.put(f"/config?wait=20{query}", content=text, headers=headers)
    assert answer.status == status, answer.text
    return answer.json()


def owners(h: Harness) -> dict[str, WorkflowOwner | None]:
    return {name: h.workflow(name).owner for name in h.server.workflows.names()}


async def test_prune_stops_workflows_of_its_own_set_only() -> None:
    async with Harness(workflow("of-file")) as h:
        await put(h, workflow("a1") + workflow("a2"), "&set=a&prune=true")
        await put(h, workflow("b1"), "&set=b&prune=true")
        await put(h, workflow("d1"), "&prune=true")
        done = await put(h, workflow("a2"), "&set=a&prune=true")
        assert done["deleted"] == ["a1"]
        assert owners(h) == {"of-file": FILE_OWNER, "a2": of_set("a"), "b1": of_set("b"), "d1": of_set("default")}
        assert (await put(h, workflow("d2"), "&prune=true&set=default"))["deleted"] == ["d1"]


async def test_a_plan_says_whose_each_workflow_is() -> None:
    async with Harness(workflow("of-file")) as h:
        planned = (await h.http.post("/config/plan?set=a", content=workflow("a1"))).json()
        assert planned["owner"] == planned["workflows"][0]["owner"] == {"kind": "api", "set": "a"}
        assert "taken_from" not in planned["workflows"][0]
        taking = (await h.http.post("/config/plan?set=a&take_over=true", content=workflow("of-file"))).json()
        assert taking["workflows"][0]["owner"] == {"kind": "api", "set": "a"}
        assert taking["workflows"][0]["taken_from"] == {"kind": "config"}
        assert taking["changed"] is True
        single = (await h.http.put("/workflows?dry_run=true", content=workflow("of-file"))).json()
        assert single["owner"] == {"kind": "config"}


async def test_the_list_and_the_details_say_whose_a_workflow_is() -> None:
    async with Harness(workflow("of-file")) as h:
        await put(h, workflow("a1"), "&set=a")
        await put(h, workflow("d1"))
        listed = (await h.http.get("/workflows")).json()
        assert listed == [{"name": "of-file"}, {"name": "a1", "set": "a"}, {"name": "d1"}]
        shown = [(await h.http.get(f"/workflows/{name}")).json()["owner"] for name in ("of-file", "a1", "d1")]
        assert shown == [{"kind": "config"}, {"kind": "api", "set": "a"}, {"kind": "api", "set": "default"}]


@pytest.mark.parametrize("path", ["/config?set=b&wait=20", "/config/plan?set=b"])
@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("of-file", "the configuration file"),
        ("a1", "the set 'a' of the HTTP API"),
        ("leased", "the reactor 'r' (for stream 's')"),
    ],
)
async def test_what_somebody_else_has_is_a_conflict_that_names_the_owner(path: str, name: str, owner: str) -> None:
    async with Harness(workflow("of-file")) as h:
        await put(h, workflow("a1"), "&set=a")
        await lease(h, workflow("leased"))
        before = owners(h)
        method = "POST" if "plan" in path else "PUT"
        refused = await h.http.request(method, path, content=workflow("b1") + workflow(name))
        assert refused.status == 409
        assert f"workflow '{name}' belongs to {owner}; leave it out, or take it over" in refused.json()["error"]
        assert refused.json()["refused_by"] == "take_over"
        assert owners(h) == before


async def lease(h: Harness, text: str) -> None:
    """A workflow that a reactor has started."""
    definition = h.server.workflows.validate(parse_workflow(text, "test"))
    await h.server.workflows.apply(definition, owner=WorkflowOwner("reactor", "r", "s")).wait_outcome()


@pytest.mark.parametrize("key", ["a", "new"])
async def test_what_is_taken_over_belongs_to_the_set_and_its_clients_stay(key: str) -> None:
    async with Harness(workflow("of-file")) as h:
        await put(h, workflow("b1"), "&set=b")
        await lease(h, workflow("leased"))
        await h.publish("b1/a")
        text = workflow("of-file", key) + workflow("b1") + workflow("leased")
        done = await put(h, text, "&set=a&take_over=true&max_disconnects=0")
        assert [view.get("taken_from") for view in done["workflows"]] == [
            {"kind": "config"},
            {"kind": "api", "set": "b"},
            {"kind": "reactor", "name": "r", "stream": "s"},
        ]
        assert set(owners(h).values()) == {of_set("a")}
        taken = [event for event in h.events() if isinstance(event, WorkflowTakenOver)]
        assert taken[1] == WorkflowTakenOver("b1", of_set("b"), of_set("a"))
        assert len(taken) == 3
        assert not h.transports[0].is_over
        assert (await put(h, text, "&set=a&prune=true"))["changed"] is False
        assert (await put(h, "# nothing\n", "&set=b&prune=true"))["deleted"] == []


async def test_a_take_over_that_fails_leaves_all_with_its_owner() -> None:
    async with Harness(workflow("of-file")) as h:
        await put(h, workflow("b1"), "&set=b")
        before = owners(h)
        thief = workflow("thief").replace("rtmp_app=thief", "rtmp_app=b1")
        await lease(h, workflow("leased"))
        before = owners(h)
        text = workflow("of-file", "new") + workflow("leased") + thief
        refused = await put(h, text, "&set=a&take_over=true", status=409)
        assert "rolled back" in refused["error"]
        assert owners(h) == before
        assert list(h.server.recorder.state.entries) == ["b1"]
        assert [event for event in h.events() if isinstance(event, WorkflowTakenOver)] == []


async def test_put_creates_in_the_default_set_and_leaves_a_workflow_whose_it_is() -> None:
    async with Harness(workflow("of-file")) as h:
        await put(h, workflow("a1"), "&set=a")
        for name in ("of-file", "a1", "new"):
            assert (await h.http.put("/workflows?wait=20", content=workflow(name, "b"))).status == 200
        assert owners(h) == {"of-file": FILE_OWNER, "a1": of_set("a"), "new": of_set("default")}
        assert (await h.http.put("/workflows?wait=20&set=b", content=workflow("b1"))).json()["owner"]["set"] == "b"
        for name, owner in (("a1", "the set 'a' of the HTTP API"), ("of-file", "the configuration file")):
            refused = await h.http.put("/workflows?set=b", content=workflow(name, "c"))
            assert (refused.status, refused.json()["error"]) == (
                409,
                f"workflow '{name}' belongs to {owner}, not to the set 'b'; nothing was changed",
            )
        assert (await h.http.delete("/workflows/a1")).status == 200
        assert owners(h)["b1"] == of_set("b")
        assert (await h.http.put("/workflows?wait=20", content=workflow("a1"))).json()["owner"]["set"] == "default"


async def test_a_set_is_shown_with_its_reactors_and_can_be_applied_again() -> None:
    async with Harness(reactor("of-file")) as h:
        await put(h, reactor("ra") + workflow("a1"), "&set=a")
        await put(h, workflow("b1"), "&set=b")
        shown = await h.http.get("/config?set=a")
        assert shown.text == (
            f"# What runs of the set a.\n\n{reactor('ra')}\n"
            "workflow a1 {\n    rtmp_receive rtmp_app=a1 stream_key=a\n}\n"
        )
        again = await put(h, shown.text, "&set=a&prune=true", if_match=shown.headers["etag"])
        assert again["changed"] is False
        assert (await h.http.get("/config?set=nobody")).text == "# What runs of the set nobody.\n"
        whole = (await h.http.get("/config")).text
        assert all(name in whole for name in ("of-file", "ra", "a1", "b1"))


async def test_what_one_team_changes_is_no_race_for_another() -> None:
    async with Harness() as h:
        await put(h, workflow("a1"), "&set=a")
        tags = {query: (await h.http.get(f"/config{query}")).headers["etag"] for query in ("", "?set=a", "?set=b")}
        planned = await h.http.post("/config/plan?set=a", content=workflow("a2"))
        assert planned.headers["etag"] == tags["?set=a"]
        await put(h, workflow("b1"), "&set=b", if_match=tags["?set=b"])
        await put(h, workflow("a2"), "&set=a", if_match=tags["?set=a"])
        await put(h, workflow("a3"), "&set=a", 412, if_match=tags["?set=a"])
        await put(h, workflow("d1"), "", 412, if_match=tags[""])
        everything = (await h.http.get("/config")).headers["etag"]
        taking = await h.http.post("/config/plan?set=a&take_over=true", content=workflow("b1"))
        assert taking.headers["etag"] == everything  # what is taken is another's, who may have changed it


@pytest.mark.thorough
async def test_prune_leaves_reactors_of_others_and_naming_them_is_a_conflict() -> None:
    async with Harness(reactor("of-file")) as h:
        await put(h, reactor("ra") + reactor("ra2"), "&set=a")
        await put(h, reactor("rb"), "&set=b")
        done = await put(h, reactor("ra"), "&set=a&prune=true")
        shown = (await h.http.get("/reactors")).json()
        assert {each["name"]: each.get("set") for each in shown} == {"of-file": None, "ra": "a", "rb": "b"}
        assert (await h.http.get("/reactors/ra")).json()["set"] == "a"
        actions = {each["name"]: each["action"] for each in done["reactors"]}
        assert actions == {"of-file": "keep", "ra": "keep", "rb": "keep", "ra2": "stop"}
        for name, owner in (("of-file", "configuration file"), ("ra", "set 'a' of the HTTP API")):
            refused = await put(h, reactor(name), "&set=b", 409)
            assert f"reactor '{name}' belongs to the {owner}; leave it out, or take it over" in refused["error"]
        taken = await put(h, reactor("ra") + reactor("rb"), "&set=b&take_over=true&prune=true")
        assert taken["changed"] is True
        assert [each.get("taken_from") for each in taken["reactors"] if each["name"] == "ra"] == [
            {"kind": "api", "set": "a"}
        ]
        assert (await put(h, "# none\n", "&set=b&prune=true"))["reactors"] == [
            {"name": "of-file", "action": "keep"},
            {"name": "ra", "action": "stop"},
            {"name": "rb", "action": "stop"},
        ]


async def test_an_empty_body_stops_no_whole_set_by_accident() -> None:
    async with Harness(workflow("of-file")) as h:
        await put(h, workflow("a1") + workflow("a2"), "&set=a")
        await put(h, workflow("b1"), "&set=b")
        refused = await put(h, "\n", "&set=a&prune=true", 409)
        assert "would stop all 2 workflows of the set 'a' of the HTTP API; nothing was changed" in refused["error"]
        assert refused["refused_by"] == "allow_empty"
        assert [event.reason for event in h.events() if isinstance(event, ReloadRefused)] == [refused["error"]]
        assert (await put(h, "\n", "&set=c&prune=true"))["changed"] is False  # which has nothing to lose
        assert (await put(h, "# nothing\n", "&set=b&prune=true"))["deleted"] == ["b1"]
        assert (await put(h, "\n", "&set=a&prune=true&allow_empty=true"))["deleted"] == ["a1", "a2"]
        assert list(owners(h)) == ["of-file"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "plain word"),
        ("a%20b", "plain word"),
        ("%23a", "plain word"),
        ("a%3Db", "plain word"),
        ("a%7B", "plain word"),
        ("a%0Ab", "plain word"),
        ("..", "path segment"),
        ("a/./b", "path segment"),
        ("x" * 1001, "at most 1,000 bytes"),
        ("a&set=b", "2 times"),
    ],
)
async def test_names_of_sets_are_held_to_the_rule_of_workflows(name: str, said: str) -> None:
    async with Harness() as h:
        for method, path in (("PUT", "/config"), ("POST", "/config/plan"), ("GET", "/config"), ("PUT", "/workflows")):
            content = "" if method == "GET" else workflow("w")
            refused = await h.http.request(method, f"{path}?set={name}", content=content)
            assert (refused.status, said in refused.json()["error"]) == (400, True), refused.text
        assert (await h.http.put(f"/config?wait=20&set={'x' * 1000}", content=workflow("w"))).status == 200
        assert h.workflow("w").owner == of_set("x" * 1000)


async def test_a_reactor_lets_go_of_what_was_taken_over() -> None:
    service = FakeReactorService({"key": valid(workflow("leased"))})
    text = "reactor r executor=scripted {\n}\nworkflow in {\n    rtmp_receive rtmp_app=in stream_key=* reactor=r\n}\n"
    async with Harness(text, more_executors=[service.kind()]) as h:
        publisher = await h.publish("in/key")
        with trio.fail_after(10):
            while "leased" not in h.server.workflows.names():
                await trio.lowlevel.checkpoint()
        await put(h, workflow("leased"), "&set=a&take_over=true")
        publisher.transport.close()
        with trio.fail_after(10):
            while h.server.reactors.leased:
                await trio.lowlevel.checkpoint()
        assert owners(h)["leased"] == of_set("a")
