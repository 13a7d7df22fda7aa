"""`POST /config/reload`: what it answers for what the one who knows the file says, over a scripted stand-in."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import trio
from attrs import define, field, frozen

from mmids_trio.definitions import WorkflowDefinition
from mmids_trio.errors import ConfigurationError, Place, Problem
from mmids_trio.http_api.app import create_app
from mmids_trio.reload.accepted import LastReload, RefusedReload, ReloadOptions, ReloadPlan
from mmids_trio.workflow.manager import WorkflowManager
from mmids_trio.workflow.plan import SetConflict, SetPlan
from mmids_trio.workflow.status import Outcome, OutcomeKind, PlanView

PLAN = SetPlan((PlanView("w", created=True, changed=True, steps=()),))


class NoSteps:
    """Nothing can be built."""

    def validate(self, definition: WorkflowDefinition) -> WorkflowDefinition:
        return definition

    def factory(self, definition: object) -> Any:
        raise AssertionError

    def works(self, definition: object) -> Any:
        return ()

    def announce(self, definition: object) -> Any:
        raise AssertionError

    def in_place(self, step_type: str) -> Any:
        raise AssertionError

    def read(self, definition: object) -> Any:
        raise AssertionError


@frozen
class Reloaded:
    """What a file brings."""

    outcome: Outcome | None
    plan: SetPlan = PLAN
    applied_settings: tuple[str, ...] = ("publisher_timeout",)
    needs_restart: tuple[str, ...] = ("http_api_port",)
    warnings: tuple[str, ...] = ("unknown setting",)
    kept_away: tuple[str, ...] = ("gone",)

    async def wait_outcome(self) -> Outcome:
        if self.outcome is None:
            await trio.sleep_forever()
        assert self.outcome is not None
        return self.outcome


@define
class File:
    """A file that reads as the test says."""

    content: Reloaded | Exception = field(factory=lambda: Reloaded(None))
    last: LastReload | None = None
    asked: list[ReloadOptions] = field(factory=list)

    async def plan(self, *, in_place: bool | None = None, show_keys: bool = False) -> ReloadPlan:
        await trio.lowlevel.checkpoint()
        return ReloadPlan(PLAN, ("publisher_timeout",), (), ("unknown setting",))

    async def reload(self, options: ReloadOptions) -> Reloaded:
        await trio.lowlevel.checkpoint()
        self.asked.append(options)
        if isinstance(self.content, Exception):
            raise self.content
        return self.content


@pytest.fixture
def file() -> File:
    return File()


@pytest.fixture
async def client(serve_app: Any, workflows: Any, file: File) -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app(workflows, workflows, token=None, version="1", sets=WorkflowManager(NoSteps()), reloader=file)
    served = await serve_app(app)
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{served.port}", trust_env=False, verify=False) as client:
        yield client


async def test_the_answer_has_the_plan_and_what_became_of_the_settings(client: httpx2.AsyncClient) -> None:
    response = await client.post("/config/reload")
    assert response.status_code == 200
    assert response.json() == {
        "plan": {
            "changed": True,
            "publishers": 0,
            "watchers": 0,
            "workflows": [{"workflow": "w", "created": True, "changed": True, "steps": []}],
            "deleted": [],
            "cuts": [],
            "reactors": [],
            "owner": {"kind": "api", "set": "default"},
            "summary": "workflows: 1 new; disconnects nobody",
        },
        "applied_settings": ["publisher_timeout"],
        "needs_restart": ["http_api_port"],
        "warnings": ["unknown setting"],
        "kept_away": ["gone"],
    }


@pytest.mark.parametrize(
    ("outcome", "status", "said"),
    [
        (Outcome(OutcomeKind.APPLIED, "running"), 200, "plan"),
        (Outcome(OutcomeKind.ROLLED_BACK, "rolled back: no port"), 409, "rolled back: no port"),
        (None, 504, "still pending after 0 s"),
    ],
)
async def test_a_wait_tells_how_it_ended(
    client: httpx2.AsyncClient, file: File, outcome: Outcome | None, status: int, said: str
) -> None:
    file.content = Reloaded(outcome)
    response = await client.post("/config/reload?wait=0")
    assert response.status_code == status
    assert said in response.text


async def test_a_file_that_cannot_be_used_is_a_400_with_every_problem(client: httpx2.AsyncClient, file: File) -> None:
    place = Place("mmids.config", 3, 5, "    rtmp_recieve")
    file.content = ConfigurationError([Problem(place, "unknown step type")] * 2)
    response = await client.post("/config/reload")
    assert response.status_code == 400
    assert response.json()["error"].count("mmids.config:3:5: unknown step type") == 2


async def test_a_file_that_cannot_be_put_in_place_is_a_409(client: httpx2.AsyncClient, file: File) -> None:
    file.content = SetConflict(["workflow 'w' belongs to a reactor"])
    response = await client.post("/config/reload")
    assert (response.status_code, response.json()["error"]) == (409, "workflow 'w' belongs to a reactor")


@pytest.mark.parametrize("query", ["?wait=never", "?force=true"])
async def test_options_that_make_no_sense_are_refused(client: httpx2.AsyncClient, query: str) -> None:
    assert (await client.post(f"/config/reload{query}")).status_code == 400


async def test_a_dry_run_answers_the_plan_and_asks_for_no_reload(client: httpx2.AsyncClient, file: File) -> None:
    response = await client.post("/config/reload?dry_run=true")
    assert response.status_code == 200
    assert response.json()["plan"]["workflows"][0]["workflow"] == "w"
    assert response.json()["warnings"] == ["unknown setting"]
    assert file.asked == []


async def test_the_guards_of_the_query_are_handed_on(client: httpx2.AsyncClient, file: File) -> None:
    await client.post("/config/reload?max_disconnects=3&allow_empty=true")
    await client.post("/config/reload")
    assert file.asked == [ReloadOptions("api", 3, True), ReloadOptions("api", None, False)]


async def test_what_a_guard_refuses_names_the_option_that_would_permit_it(
    client: httpx2.AsyncClient, file: File
) -> None:
    file.content = RefusedReload("too many; nothing was changed", PLAN, "max_disconnects")
    response = await client.post("/config/reload?max_disconnects=0")
    assert response.status_code == 409
    assert response.json() == {"error": "too many; nothing was changed", "refused_by": "max_disconnects"}


async def test_a_reload_of_what_has_changed_since_its_plan_is_a_lost_race(
    client: httpx2.AsyncClient, file: File
) -> None:
    response = await client.post("/config/reload", headers={"If-Match": '"of-something-else"'})
    assert response.status_code == 412
    assert file.asked == []


async def test_the_status_tells_of_the_last_reload(client: httpx2.AsyncClient, file: File) -> None:
    assert (await client.get("/config/status")).json() == {"last_reload": None}
    file.last = LastReload(1_800_000_000.5, "signal", "refused", "too many", PLAN)
    last = (await client.get("/config/status")).json()["last_reload"]
    assert {name: last[name] for name in ("time", "by", "result", "message")} == {
        "time": "2027-01-15T08:00:00.500Z",
        "by": "signal",
        "result": "refused",
        "message": "too many",
    }
    assert last["plan"]["workflows"][0]["workflow"] == "w"
