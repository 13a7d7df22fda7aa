"""`/config` on a whole server (RTMP in memory): what is shown, planned and put in place, and what is refused."""

import gzip
from collections.abc import AsyncIterator

import httpx2
import pytest
import trio
from attrs import define, field

from mmids_trio.config.parameters import NoParameters
from mmids_trio.config.parser import parse
from mmids_trio.config.settings import Settings
from mmids_trio.http_api.routes import config as config_routes
from mmids_trio.http_api.routing import MAX_CONFIG_BYTES
from mmids_trio.media.flow import Flow
from mmids_trio.server.app import Server
from mmids_trio.server.building import World, build_server
from mmids_trio.steps.registry import StepType
from mmids_trio.testing.network import MemoryNetwork
from mmids_trio.workflow.status import WorkflowOwner
from mmids_trio.workflow.step import Inbox, Outbox

HANG_SECONDS = 20


def workflow(name: str, *steps: str) -> str:
    """The text of a workflow."""
    return "\n    ".join([f"workflow {name} {{", *steps]) + "\n}\n"


def live(name: str, app: str | None = None) -> str:
    """A workflow with a receiver and watchers."""
    return workflow(
        name, f"rtmp_receive rtmp_app={app or name} stream_key=*", f"rtmp_watch rtmp_app={app or name} stream_key=*"
    )


@define(eq=False)
class SlowStep:
    """A step that is ready when the test says so."""

    may_start: trio.Event = field(factory=trio.Event)
    flow: Flow = field(default=Flow.PASSES_ON, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        await self.may_start.wait()
        task_status.started()
        while True:
            await outbox.send(await inbox.receive())


@pytest.fixture
def slow() -> SlowStep:
    return SlowStep()


@pytest.fixture
async def server(nursery: trio.Nursery, slow: SlowStep) -> Server:
    """A server with nothing to do, whose API is open."""
    kind = StepType("slow", NoParameters, lambda _parameters, _context: slow)
    server = build_server(Settings(http_api_port=0), world=World(network=MemoryNetwork()), more_steps=[kind])
    await nursery.start(server.run)
    return server


@pytest.fixture
async def client(server: Server) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(
        base_url=server.api_url or "", trust_env=False, verify=False, timeout=HANG_SECONDS
    ) as client:
        yield client
    server.stop()


async def put(client: httpx2.AsyncClient, text: str, query: str = "?wait=20", **headers: str) -> httpx2.Response:
    """Put a configuration in place; headers are written `If_Match`."""
    return await client.put(
        f"/config{query}", content=text, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


async def test_a_whole_set_is_put_in_place_and_again_without_a_change(
    client: httpx2.AsyncClient, server: Server
) -> None:
    done = await put(client, live("a") + live("b"))
    assert done.status_code == 200
    plan = done.json()
    assert list(plan) == [
        *("changed", "publishers", "watchers", "workflows", "deleted", "cuts", "reactors", "owner", "summary")
    ]
    assert plan["changed"] is True
    assert [(part["workflow"], part["created"], part["changed"]) for part in plan["workflows"]] == [
        ("a", True, True),
        ("b", True, True),
    ]
    assert list(server.workflows.names()) == ["a", "b"]
    again = await put(client, live("a") + live("b"))
    assert (again.status_code, again.json()["changed"]) == (200, False)
    assert again.headers["etag"] == done.headers["etag"]


async def test_what_runs_is_shown_as_text_that_changes_nothing_when_it_is_applied(client: httpx2.AsyncClient) -> None:
    await put(client, live("b") + workflow("a", 'rtmp_receive stream_key="*" rtmp_app=x'))
    shown = await client.get("/config")
    assert shown.status_code == 200
    assert shown.headers["content-type"] == "text/plain; charset=utf-8"
    document = parse(shown.text, "shown")
    assert document.problems == ()
    assert [definition.name for definition in document.workflows] == ["b", "a"]
    assert "rtmp_receive rtmp_app=x stream_key=*" in shown.text
    applied = await put(client, shown.text, "?wait=20&prune=true", If_Match=shown.headers["etag"])
    assert (applied.status_code, applied.json()["changed"]) == (200, False)
    assert (await client.get("/config", headers={"If-None-Match": shown.headers["etag"]})).status_code == 304


async def test_a_plan_tells_what_would_happen_and_changes_nothing(client: httpx2.AsyncClient, server: Server) -> None:
    await put(client, live("a") + live("b") + live("c"))
    text = workflow("a", "rtmp_receive rtmp_app=a stream_key=*") + live("d")
    planned = await client.post("/config/plan?prune=true", content=text)
    assert planned.status_code == 200
    plan = planned.json()
    assert plan["changed"] is True
    assert [step["action"] for step in plan["workflows"][0]["steps"]] == ["keep", "stop"]
    assert [step["action"] for step in plan["workflows"][1]["steps"]] == ["start", "start"]
    assert plan["deleted"] == ["b", "c"]
    assert [(cut["workflow"], cut["step_type"], cut["publishers"], cut["watchers"]) for cut in plan["cuts"]] == [
        ("a", "rtmp_watch", 0, 0),
        ("b", "rtmp_receive", 0, 0),
        ("b", "rtmp_watch", 0, 0),
        ("c", "rtmp_receive", 0, 0),
        ("c", "rtmp_watch", 0, 0),
    ]
    assert list(server.workflows.names()) == ["a", "b", "c"]
    assert planned.headers["etag"] == (await client.get("/config")).headers["etag"]
    applied = await put(client, text, "?wait=20&prune=true", If_Match=planned.headers["etag"])
    assert (applied.status_code, applied.json()) == (200, plan)
    assert list(server.workflows.names()) == ["a", "d"]


async def test_plans_hide_exact_keys_of_publishers_unless_they_are_asked_for(client: httpx2.AsyncClient) -> None:
    def one(lag: int) -> str:
        return workflow(
            "a", "rtmp_receive rtmp_app=a stream_key=k9", f"rtmp_watch rtmp_app=b stream_key=* max_lag={lag}"
        )

    assert "k9" not in (await put(client, one(1))).text
    hidden = await client.post("/config/plan", content=one(2))
    kept, stopped, started = hidden.json()["workflows"][0]["steps"]
    assert kept["parameters"] == {"rtmp_app": "a", "stream_key": "***"}
    assert "changes" not in kept
    assert "changes" not in stopped
    assert started["step_id_before"] == stopped["step_id"]
    assert started["changes"] == [{"name": "max_lag", "before": "1", "after": "2"}]
    for asked in (
        await client.post("/config/plan?show_keys=true", content=one(2)),
        await client.put("/workflows?dry_run=true&show_keys=true", content=one(2)),
    ):
        assert "k9" in asked.text
    assert "k9" not in (await client.put("/workflows?dry_run=true", content=one(2))).text
    gone = "/config/plan?prune=true"
    assert "k9" not in (await client.post(gone, content="# nothing")).text
    assert "k9" in (await client.post(f"{gone}&show_keys=true", content="# nothing")).text
    refused = await client.put("/workflows?show_keys=true", content=one(2))
    assert (refused.status_code, "needs dry_run=true" in refused.text) == (400, True)


async def test_without_prune_what_is_not_named_stays(client: httpx2.AsyncClient, server: Server) -> None:
    await put(client, live("a"))
    assert (await put(client, live("b"))).json()["deleted"] == []
    assert list(server.workflows.names()) == ["a", "b"]
    assert (await put(client, "", "?wait=20&prune=true")).status_code == 400  # nobody means that by sending nothing
    assert (await put(client, "# nothing\n", "?wait=20&prune=true")).json()["deleted"] == ["a", "b"]
    assert list(server.workflows.names()) == []


async def test_a_set_of_which_one_part_fails_is_taken_back_as_a_whole(
    client: httpx2.AsyncClient, server: Server
) -> None:
    await put(client, live("a"))
    before = (await client.get("/config")).text
    refused = await put(client, live("b") + live("c", "a") + live("d"))
    assert refused.status_code == 409
    assert "rolled back" in refused.json()["error"]
    assert "'a'" in refused.json()["error"]
    assert (await client.get("/config")).text == before
    assert list(server.workflows.names()) == ["a"]


@pytest.mark.parametrize(
    ("text", "query", "said"),
    [
        ("settings {\n}\n" + live("a"), "", "settings belong in the server's own file"),
        (live("a") + live("a"), "", "duplicate workflow name 'a'"),
        (workflow("a", "rtmp_recieve x=y"), "", "did you mean 'rtmp_receive'?"),
        ("nonsense", "", "<request>:1:1:"),
        (live("a"), "?prune=yes", "'true'"),
        (live("a"), "?max_disconnects=-1", "whole number from 0"),
        (live("a"), "?on_error=ignore", "'rollback'"),
        (live("a"), "?pruen=true", "did you mean 'prune'?"),
        (live("a"), "?dry_run=true", "unknown query parameter"),
    ],
)
async def test_what_makes_no_sense_is_a_400_and_changes_nothing(
    client: httpx2.AsyncClient, server: Server, text: str, query: str, said: str
) -> None:
    refused = await put(client, text, query)
    assert refused.status_code == 400
    assert said in refused.json()["error"]
    assert list(server.workflows.names()) == []


async def test_every_problem_of_a_set_is_told_at_once(client: httpx2.AsyncClient) -> None:
    refused = await client.post("/config/plan", content=workflow("a", "nothing") + workflow("b", "nowhere"))
    assert refused.status_code == 400
    assert refused.json()["error"].count("unknown step type") == 2


async def test_a_set_has_a_bounded_number_of_workflows(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_routes, "MAX_NODES", 2)
    refused = await put(client, workflow("a") + workflow("b") + workflow("c"))
    assert refused.status_code == 400
    assert refused.json()["error"] == "more than 2 workflows and reactors; one request may bring so many"


@pytest.mark.thorough
async def test_a_configuration_may_be_larger_than_a_workflow_but_not_without_bound(client: httpx2.AsyncClient) -> None:
    padding = "#" * 60_000 + "\n"
    done = await put(client, live("a") + padding * 40 + live("z"))  # nothing behind the bound of a workflow is lost
    assert [part["workflow"] for part in done.json()["workflows"]] == ["a", "z"]
    refused = await put(client, padding * (MAX_CONFIG_BYTES // 60_000 + 1))
    assert refused.status_code == 413
    assert str(MAX_CONFIG_BYTES) in refused.json()["error"]
    assert (await client.put("/workflows", content=live("a") + padding * 40)).status_code == 413


@pytest.mark.thorough
async def test_a_configuration_of_the_very_largest_size_is_read_to_its_last_byte(
    client: httpx2.AsyncClient,
) -> None:
    last = live("z")
    lines = ("#" * 60_000 + "\n") * (MAX_CONFIG_BYTES // 60_001)
    text = lines + "#" * (MAX_CONFIG_BYTES - len(lines) - len(last) - 1) + "\n" + last
    assert len(text) == MAX_CONFIG_BYTES
    assert [part["workflow"] for part in (await put(client, text)).json()["workflows"]] == ["z"]
    assert (await put(client, "\n" + text)).status_code == 413


async def test_a_compressed_configuration_is_a_415(client: httpx2.AsyncClient) -> None:
    for path, method in (("/config", "PUT"), ("/config/plan", "POST")):
        response = await client.request(method, path, content=gzip.compress(live("a").encode()))
        assert (response.status_code, response.json()["error"]) == (
            415,
            "the body is compressed with gzip; expected it as it is",
        )


async def test_of_two_racing_sets_one_wins_and_the_other_is_told(client: httpx2.AsyncClient, server: Server) -> None:
    await put(client, live("a"))
    etag = (await client.get("/config")).headers["etag"]
    answers: list[httpx2.Response] = []

    async def job(name: str) -> None:
        answers.append(await put(client, live(name), "?prune=true&wait=20", If_Match=etag))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(job, "b")
        nursery.start_soon(job, "c")
    assert sorted(answer.status_code for answer in answers) == [200, 412]
    lost = next(answer.json() for answer in answers if answer.status_code == 412)
    assert lost["etag"] == (await client.get("/config")).headers["etag"]
    assert "read it again" in lost["error"]
    assert len(server.workflows.names()) == 1


@pytest.mark.thorough
async def test_a_set_that_is_pending_counts_as_current(
    client: httpx2.AsyncClient, server: Server, slow: SlowStep
) -> None:
    await put(client, live("a"))
    etag = (await client.get("/config")).headers["etag"]
    pending = await put(client, workflow("a", "slow"), "?wait=0", If_Match=etag)
    assert pending.status_code == 504
    assert (await put(client, live("b"), If_Match=etag)).status_code == 412
    changed = (await client.get("/config")).headers["etag"]
    assert changed != etag
    single = await client.put("/workflows", content=live("a"), headers={"If-Match": '"seen-before"'})
    assert single.status_code == 412
    slow.may_start.set()
    assert (await put(client, workflow("a", "slow"), If_Match=changed)).json()["changed"] is False


async def test_workflows_of_reactors_are_left_out_and_never_touched(client: httpx2.AsyncClient, server: Server) -> None:
    definition = server.workflows.validate(parse(live("theirs"), "x").workflows[0])
    await server.workflows.apply(definition, owner=WorkflowOwner("reactor", "r", "s")).wait_outcome()
    await put(client, live("ours"))
    assert "theirs" not in (await client.get("/config")).text
    assert (await put(client, live("ours"), "?prune=true&wait=20")).json()["deleted"] == []
    refused = await put(client, live("ours") + live("theirs"))
    assert refused.status_code == 409
    assert "'theirs' belongs to the reactor 'r'" in refused.json()["error"]
    assert (await client.post("/config/plan", content=live("theirs"))).status_code == 409
    assert list(server.workflows.names()) == ["theirs", "ours"]


async def test_there_is_no_reload_where_there_is_no_file(client: httpx2.AsyncClient) -> None:
    assert (await client.post("/config/reload")).status_code == 404
