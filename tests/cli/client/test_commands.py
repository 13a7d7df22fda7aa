"""The commands against the real API of a server in memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.reactors import FakeReactorService
from mmids_trio.workflow.events import StreamSwitched
from tests.support.commands import run
from tests.support.reloading import configuration

pytestmark = pytest.mark.usefixtures("quiet_server")

LIVE = "workflow live {\n    rtmp_receive rtmp_app=live stream_key=*\n    rtmp_watch rtmp_app=live stream_key=*\n}\n"
OLD = "workflow old {\n    rtmp_receive rtmp_app=old stream_key=*\n}\n"
THIEF = "workflow thief {\n    rtmp_receive rtmp_app=live stream_key=*\n}\n"
SPARE = OLD.replace("old", "spare")
SHOW = """workflow show {
    rtmp_receive rtmp_app=live stream_key=*
    failover primary=main backup=spare output=show after=3600 revert=manual
    rtmp_watch rtmp_app=out stream_key=*
    rtmp_watch rtmp_app=preview stream_key=*
}
"""
REACTOR = "reactor lookup executor=simple_http {\n    url http://127.0.0.1:1/\n}\n"


def file(directory: Path, *texts: str) -> str:
    """A file with these texts."""
    path = directory / "wanted.mmids"
    path.write_text("".join(texts))
    return str(path)


@asynccontextmanager
async def made(text: str) -> AsyncIterator[Harness]:
    """A server that runs what somebody has put in place over the API."""
    async with Harness() as h:
        assert (await h.http.put("/config?wait=20", content=text)).status == 200
        yield h


async def test_plan_shows_what_apply_then_does(tmp_path: Path) -> None:
    async with made(LIVE + OLD) as h:
        wanted = file(tmp_path, LIVE.replace("rtmp_watch rtmp_app=live", "rtmp_watch rtmp_app=other"))
        planned = await run(h, "plan", "--prune", wanted, status=2)
        assert planned.out.splitlines() == [
            "~ workflow live",
            "    = rtmp_receive rtmp_app=live stream_key=*",
            "    - rtmp_watch rtmp_app=live stream_key=*",
            "    + rtmp_watch rtmp_app=other stream_key=*   rtmp_app live -> other",
            "- workflow old",
            "    - rtmp_receive rtmp_app=old stream_key=*",
            "workflows: 1 changed, 1 stopped; disconnects nobody",
        ]
        applied = await run(h, "apply", "--prune", wanted)
        assert applied.out.startswith(planned.out)
        assert applied.out.splitlines()[-1].startswith("applied in ")
        assert (await run(h, "plan", "--prune", wanted)).out == "No changes: 1 workflow is up to date\n"
        again = await run(h, "apply", "--prune", "--json", wanted)
        assert (again.document["applied"], again.document["changed"]) == (True, False)


RECEIVE, WATCH = "rtmp_receive rtmp_app=in stream_key=k9 publish_token=t1", "rtmp_watch rtmp_app=out stream_key=k9"


async def test_a_plan_tells_what_changes_within_steps_and_no_secret_or_key(tmp_path: Path) -> None:
    async with made(f"workflow w {{\n    {RECEIVE}\n    {WATCH} gop_cache=false\n}}\n") as h:
        wanted = file(tmp_path, f"workflow w {{\n    {RECEIVE[:-1]}2 on_busy=takeover\n    {WATCH} max_lag=3\n}}\n")
        planned = await run(h, "plan", wanted, status=2)
        assert planned.out.splitlines()[1:-1] == [
            "    - rtmp_receive rtmp_app=in stream_key=*** publish_token=***",
            "    + rtmp_receive rtmp_app=in stream_key=*** publish_token=*** on_busy=takeover"
            "   publish_token *** -> ***, on_busy (none) -> takeover",
            "    - rtmp_watch rtmp_app=out stream_key=*** gop_cache=false",
            "    + rtmp_watch rtmp_app=out stream_key=*** max_lag=3   max_lag (none) -> 3, gop_cache false -> (none)",
        ]
        shown = await run(h, "plan", "--show-keys", wanted, status=2)
        assert shown.out == planned.out.replace("stream_key=***", "stream_key=k9")
        applied = await run(h, "apply", "--json", wanted)
        assert "k9" not in applied.out
        assert "k9" not in (await run(h, "plan", "--prune", "--json", file(tmp_path, "# nothing"), status=2)).out


async def test_in_place_a_step_runs_on_and_the_plan_says_how_many_of_its_clients_are_cut(tmp_path: Path) -> None:
    async with made(LIVE) as h:
        stays = await h.watch("live/key", peer_host="10.0.0.1")
        for number in range(2, 4):
            await h.watch("live/key", peer_host=f"10.1.0.{number}")
        wanted = file(tmp_path, LIVE.replace("rtmp_watch", "rtmp_watch deny_ips=10.1.0.0/16"))
        assert "disconnects 3 watchers" in (await run(h, "plan", wanted, status=2)).out
        planned = await run(h, "plan", "--in-place", wanted, status=2)
        assert planned.out.splitlines() == [
            "~ workflow live",
            "    = rtmp_receive rtmp_app=live stream_key=*",
            "    ~ rtmp_watch deny_ips (none) -> 10.1.0.0/16   2 of 3 watchers are cut",
            "workflows: 1 changed; disconnects 2 watchers",
        ]
        refused = await run(h, "apply", "--in-place", "--max-disconnects", "1", wanted, status=1)
        assert "this would disconnect 2 watchers" in refused.err
        applied = await run(h, "apply", "--in-place", "--max-disconnects", "2", wanted)
        assert applied.out.startswith(planned.out)
        one_by_one = file(tmp_path, LIVE.replace("rtmp_watch", "rtmp_watch max_lag=5"))
        done = await run(h, "apply", "--in-place", "--on-error", "error", one_by_one)
        assert "    ~ rtmp_watch max_lag (none) -> 5, deny_ips 10.1.0.0/16 -> (none)" in done.out.splitlines()
        h.server.workflows.changes_in_place = True
        assert "    ~ rtmp_watch" in (await run(h, "plan", file(tmp_path, LIVE), status=2)).out
        assert "    ~ rtmp_watch" not in (await run(h, "plan", "--no-in-place", file(tmp_path, LIVE), status=2)).out
        assert not stays.is_disconnected
        assert h.workflow("live").active_steps[1].clients.watchers == 1


async def test_a_reload_changes_in_place_where_it_is_asked_to_or_the_setting_says_so() -> None:
    text = LIVE
    async with Harness(text, load_again=lambda: configuration(text)) as h:
        await h.publish("live/key")
        for number, options in enumerate((["--in-place"], [])):
            text = "settings {\n    changes_in_place true\n}\n" + LIVE.replace("*", f"* grace={number}", 1)
            planned = await run(h, "reload", "--dry-run", *options)
            assert "    ~ rtmp_receive" in planned.out
            await run(h, "reload", "--max-disconnects", "0", *options)
        assert h.workflow("live").active_steps[0].clients.publishers == 1


async def test_clients_that_would_be_cut_are_counted_and_protect_themselves(tmp_path: Path) -> None:
    async with made(LIVE) as h:
        await h.publish("live/key")
        await h.watch("live/key")
        empty = file(tmp_path, "# nothing\n")
        planned = await run(h, "plan", "--prune", empty, status=2)
        assert "disconnects 1 publisher and 1 watcher" in planned.out.splitlines()[-1]
        refused = await run(h, "apply", "--prune", "--max-disconnects", "1", empty, status=1)
        assert "this would disconnect 1 publisher and 1 watcher, and --max-disconnects allows 1" in refused.err
        assert h.workflow("live").status == "Running"
        await run(h, "apply", "--prune", "--max-disconnects", "2", empty)
        assert h.server.workflows.names() == []


async def test_a_set_that_fails_is_taken_back_and_the_reason_told(tmp_path: Path) -> None:
    async with made(LIVE) as h:
        refused = await run(h, "apply", file(tmp_path, OLD, THIEF), status=1)
        assert "not applied: rolled back: workflow 'thief': Step id" in refused.err
        assert h.server.workflows.names() == ["live"]


async def test_one_by_one_a_workflow_that_fails_stays_in_error_and_the_others_go_on(tmp_path: Path) -> None:
    async with made(LIVE) as h:
        wanted = file(tmp_path, REACTOR, LIVE, THIEF, OLD.replace("*", "* reactor=lookup"))
        done = await run(h, "apply", "--on-error", "error", "--json", wanted, status=1)
        assert [(each["workflow"], each["error"] is None) for each in done.document["workflows"]] == [
            ("thief", False),
            ("old", True),
        ]
        assert (await run(h, "wait", "old")).err == ""
        assert "is in error: Step id" in (await run(h, "wait", "thief", status=1)).err
        assert (
            "reactors" in (await run(h, "apply", "--on-error", "error", "--prune", file(tmp_path, LIVE), status=1)).err
        )
        await run(h, "apply", "--prune", file(tmp_path, LIVE))
        await run(h, "apply", "--on-error", "error", "--prune", file(tmp_path, OLD))
        assert h.server.workflows.names() == ["old"]


async def test_an_older_plan_is_refused_and_a_quoted_tag_is_the_same_as_a_bare_one(tmp_path: Path) -> None:
    async with made(LIVE) as h:
        wanted = file(tmp_path, LIVE, OLD)
        etag = (await run(h, "plan", "--json", wanted, status=2)).document["etag"]
        assert (await run(h, "export", "--etag")).out == f"{etag}\n"
        for mode in ("rollback", "error"):
            await h.put(OLD.replace("old", f"other-{mode}"))
            done = await run(h, "apply", "--if-match", etag, "--on-error", mode, wanted, status=1)
            assert "somebody else has changed the server since this plan was made" in done.err
        etag = (await run(h, "plan", "--json", wanted, status=2)).document["etag"]
        await run(h, "apply", "--if-match", etag.strip('"'), wanted)


async def test_what_is_exported_may_be_applied_again(tmp_path: Path) -> None:
    async with made(REACTOR + LIVE) as h:
        exported = await run(h, "export")
        copy = tmp_path / "copy.mmids"
        await run(h, "export", "--output", str(copy))
        assert copy.read_text() == exported.out
        assert copy.stat().st_mode & 0o777 == 0o600
        assert (await run(h, "plan", "--prune", "-", stdin=exported.out)).out.startswith("No changes")
        assert (await run(h, "export", "--json")).document["config"] == exported.out


async def test_errors_that_only_the_server_finds_are_told_with_places_in_files(tmp_path: Path) -> None:
    (tmp_path / "a.mmids").write_text("# one\n" + LIVE)
    (tmp_path / "b.mmids").write_text("\n\nworkflow b {\n    rtmp_recieve rtmp_app=live stream_key=*\n}\n")
    async with Harness(LIVE) as h:
        done = await run(h, "plan", str(tmp_path), status=1)
        assert f"{tmp_path}/b.mmids:4:5: unknown step type 'rtmp_recieve'; did you mean" in done.err


@pytest.mark.thorough
async def test_what_runs_is_listed_and_shown() -> None:
    async with Harness(LIVE + OLD) as h:
        await h.publish("live/key")
        listed = (await run(h, "list")).out.splitlines()
        assert [line.split()[:5] for line in listed[1:]] == [
            ["live", "Running", "2", "1", "0"],
            ["old", "Running", "1", "0", "0"],
        ]
        assert (await run(h, "list", "--names")).out == "live\nold\n"
        assert [each["publishers"] for each in (await run(h, "list", "--json")).document] == [1, 0]
        shown = (await run(h, "show", "live")).out
        assert shown.startswith("workflow live: Running\n")
        assert "Active, used by 1 publisher" in shown
        assert "did you mean 'live'?" in (await run(h, "show", "liv", status=1)).err


async def test_of_what_failed_the_reason_is_listed_and_not_the_id() -> None:
    async with Harness(LIVE) as h:
        await h.put(THIEF)
        reason = h.workflow("thief").reason
        assert reason is not None
        [line] = [line for line in (await run(h, "list")).out.splitlines() if line.startswith("thief")]
        assert line.split("  ")[1].startswith(f"Error: {reason[:30]}")
        assert (await run(h, "list", "--json")).document[1]["reason"] == reason
        status = (await h.http.get("/workflows/thief")).json()
        assert (status["state"], status["reason"]) == ("error", reason)
        assert status["status"].endswith(f" failed: {reason}")
        [step] = status["active_steps"]
        assert (step["state"], step["reason"], step["status"]) == ("error", reason, f"Error: {reason}")
        running = (await h.http.get("/workflows/live")).json()
        assert not {"state", "reason"} & {*running, *running["active_steps"][0]}


async def test_a_workflow_is_deleted_once() -> None:
    async with Harness(LIVE) as h:
        deleted = await run(h, "delete", "live", "--json")
        assert deleted.document == {"name": "live", "deleted": True}
        assert h.server.workflows.names() == []
        assert "there is no workflow 'live'" in (await run(h, "delete", "live", status=1)).err
        assert (await run(h, "list")).out == "No workflows are running\n"


async def test_several_are_deleted_or_none_where_one_of_them_is_missing() -> None:
    async with Harness(LIVE + OLD + SPARE) as h:
        await h.publish("live/key")
        assert "there is no workflow 'absent'" in (await run(h, "delete", "live", "absent", status=1)).err
        assert h.server.workflows.names() == ["live", "old", "spare"]
        deleted = await run(h, "delete", "live", "absent", "old", "live", "--ignore-not-found", "--json")
        assert deleted.document == {
            "workflows": [
                {"name": "live", "deleted": True},
                {"name": "absent", "deleted": False},
                {"name": "old", "deleted": True},
            ]
        }
        assert h.server.workflows.names() == ["spare"]
        assert (await run(h, "delete", "absent", "--ignore-not-found")).out == "nothing to stop\n"


async def test_all_but_the_workflows_of_reactors_are_deleted_at_a_word() -> None:
    service = FakeReactorService({"key": THIEF.replace("rtmp_app=live", "rtmp_app=other")})
    asking = OLD.replace("stream_key=*", "stream_key=* reactor=lookup")
    async with Harness("reactor lookup executor=scripted {\n}\n" + LIVE + asking, more_executors=[service.kind()]) as h:
        await h.publish("old/key")
        assert h.server.workflows.names() == ["live", "old", "thief"]
        lines = (await run(h, "delete", "--all")).out.splitlines()
        assert lines == [
            "- workflow live, 2 steps: disconnects nobody",
            "- workflow old, 1 step: disconnects 1 publisher",
            "stopped",
        ]


@pytest.mark.parametrize("arguments", [("delete",), ("delete", "--all", "x"), ("wait",), ("wait", "--all", "--ready")])
async def test_what_is_meant_must_be_said_in_one_way(arguments: tuple[str, ...]) -> None:
    async with Harness(LIVE) as h:
        assert "Give either NAME..." in (await run(h, *arguments, status=1)).err
        assert h.server.workflows.names() == ["live"]


async def test_a_wait_for_what_does_not_come_fails() -> None:
    async with Harness(LIVE) as h:
        assert (await run(h, "wait", "live", "--json")).document["name"] == "live"
        assert "there is no such workflow" in (await run(h, "wait", "absent", "--timeout", "0", status=1)).err


async def test_a_wait_for_several_tells_of_each_that_does_not_run() -> None:
    async with Harness(LIVE + OLD) as h:
        both = await run(h, "wait", "live", "old", "--json")
        assert [each["name"] for each in both.document["workflows"]] == ["live", "old"]
        assert (await run(h, "wait", "--all")).out.splitlines()[1:] == ["workflow 'live' runs", "workflow 'old' runs"]
        await h.put(THIEF)
        failed = await run(h, "wait", "thief", "live", "absent", "--timeout", "0", "--json", status=1)
        assert [problem["message"].split(": ")[0] for problem in failed.document["problems"]] == [
            "workflow 'thief' is in error",
            "workflow 'absent' does not run after 0 s",
        ]


async def test_a_step_switches_by_its_type_or_its_id() -> None:
    async with Harness(SHOW) as h:
        step = h.workflow("show").active_steps[1].step_id
        assert "there is no source at present" in (await run(h, "switch", "show", "failover", "spare", status=1)).err
        for name in ("main", "spare"):
            await h.publish(f"live/{name}", generate_stream(seconds=1))
        await h.wait_event(StreamSwitched, since=0)
        switched = await run(h, "switch", "show", "failover", "spare", "--json")
        assert switched.document == {"name": "show", "step_id": step, "sending": "main", "wanted": "spare"}
        assert (await run(h, "switch", "show", step, "main")).out == "sends 'main'\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sow", "failover", "spare"), "there is no workflow 'sow'; did you mean 'show'?"),
        (("show", "failovr", "spare"), "has no step 'failovr' (did you mean 'failover'?); its steps: rtmp_receive ("),
        (("show", "rtmp_watch", "spare"), "workflow 'show' has 2 steps of the type rtmp_watch; name one by its id"),
        (("show", "rtmp_receive", "spare"), "a rtmp_receive step has no sources to switch between"),
    ],
)
async def test_a_switch_that_cannot_be_says_what_there_is(arguments: tuple[str, ...], message: str) -> None:
    async with Harness(SHOW) as h:
        assert message in (await run(h, "switch", *arguments, status=1)).err


async def test_a_server_without_a_file_has_nothing_to_reload() -> None:
    async with Harness(LIVE) as h:
        done = await run(h, "reload", status=1)
        assert "error: this server was not started from a configuration file" in done.err


async def test_nothing_on_standard_input_takes_nothing_off_the_air() -> None:
    async with made(LIVE) as h:
        refused = await run(h, "apply", "--prune", "-", stdin="", status=1)
        assert "not applied: the body defines no workflow, which would stop the only workflow" in refused.err
        assert "--allow-empty allows it" in refused.err
        assert h.server.workflows.names() == ["live"]
        await run(h, "apply", "--prune", "--allow-empty", "-", stdin="")
        assert h.server.workflows.names() == []


@pytest.mark.thorough
async def test_reload_shows_its_plan_and_keeps_to_its_guards() -> None:
    text = LIVE
    h = Harness(text, load_again=lambda: configuration(text))
    async with h:
        await h.publish("live/key")
        await h.watch("live/key")
        text = LIVE.replace("rtmp_watch rtmp_app=live", "rtmp_watch rtmp_app=other")
        planned = await run(h, "reload", "--dry-run")
        assert "    - rtmp_watch rtmp_app=live stream_key=*   disconnects 1 watcher" in planned.out.splitlines()
        refused = await run(h, "reload", "--max-disconnects", "0", status=3)
        assert "refused: this would disconnect 1 watcher" in refused.err
        assert h.server.reloader is not None
        assert h.server.reloader.last is None  # the server has not even been asked
        text = ""
        refused = await run(h, "reload", status=3)
        assert "not reloaded: the file defines no workflow, which would stop the only workflow" in refused.err
        text = LIVE.replace("rtmp_watch rtmp_app=live", "rtmp_watch rtmp_app=other")
        text = text.replace("rtmp_receive rtmp_app=live stream_key=*", "rtmp_receive rtmp_app=live stream_key=k9")
        assert "k9" not in (await run(h, "reload", "--dry-run")).out
        assert "k9" in (await run(h, "reload", "--dry-run", "--show-keys")).out
        text = LIVE.replace("rtmp_watch rtmp_app=live", "rtmp_watch rtmp_app=other")
        done = await run(h, "reload", "--json", "--max-disconnects", "1")
        assert done.document["plan"]["watchers"] == 1
