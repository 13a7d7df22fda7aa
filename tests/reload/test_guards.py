"""Nothing goes off the air by accident: what keeps a reload from stopping everything, or cutting too many."""

import pytest
import trio

from mmids_trio.reload.accepted import RefusedReload
from mmids_trio.testing.harness import Harness
from mmids_trio.workflow.events import ReloadRefused
from tests.support.reloading import File

LIVE = "workflow live {\n    rtmp_receive rtmp_app=live stream_key=*\n    rtmp_watch rtmp_app=live stream_key=*\n}\n"
MADE = "workflow made {\n    rtmp_receive rtmp_app=made stream_key=*\n}\n"
ELSEWHERE = LIVE.replace("rtmp_watch rtmp_app=live", "rtmp_watch rtmp_app=elsewhere")


@pytest.mark.parametrize("text", ["", "\n  \n", "settings {\n    publisher_timeout 20\n}\n"])
async def test_a_file_that_has_become_empty_stops_nothing(text: str) -> None:
    file = File(LIVE)
    async with file.harness as h:
        file.text = text
        await file.signal()
        assert file.running == ["live"]
        assert file.last == ("signal", "refused")
        [event] = [event for event in h.events() if isinstance(event, ReloadRefused)]
        assert event.by == "signal"
        assert "the file defines no workflow, which would stop the only workflow" in event.reason


@pytest.mark.parametrize("text", ["# off air\n", "\ufeff\n  # off\n# air\n"])
async def test_a_file_of_comments_alone_means_it(text: str) -> None:
    file = File(LIVE)
    async with file.harness:
        file.text = text
        await file.signal()
        assert file.running == []
        assert file.last == ("signal", "applied")


async def test_what_the_api_has_made_lets_no_empty_file_stop_all_that_is_the_files() -> None:
    file = File(LIVE)
    async with file.harness as h:
        assert (await h.http.request("PUT", "/workflows?wait=10", content=MADE)).status == 200
        file.text = ""
        await file.signal()
        assert (file.running, file.last) == (["live", "made"], ("signal", "refused"))
        file.text = "# off air\n"
        await file.signal()
        assert file.running == ["made"]


async def test_another_name_for_the_only_workflow_is_no_emptiness() -> None:
    file = File(LIVE)
    async with file.harness:
        file.text = MADE
        await file.signal()
        assert file.running == ["made"]


async def test_a_server_may_start_with_nothing_and_stay_so() -> None:
    file = File("")
    async with file.harness:
        await file.signal()  # the harness brings an ffmpeg of its own, which the file knows nothing of
        await file.signal()
        assert file.running == []
        assert file.last == ("signal", "unchanged")


async def test_a_signal_cuts_nobody_unless_the_setting_allows_it() -> None:
    file = File(LIVE)
    async with file.harness as h:
        await h.publish("live/key")
        watcher = await h.watch("live/key")
        file.text = ELSEWHERE
        await file.signal()
        assert file.last == ("signal", "refused")
        [event] = [event for event in h.events() if isinstance(event, ReloadRefused)]
        assert (event.publishers, event.watchers) == (0, 1)
        assert watcher.transport.has_unsent is False
        file.text = "settings {\n    reload_max_disconnects 1\n}\n" + LIVE
        await file.signal()  # the setting counts from the next reload on
        file.text = "settings {\n    reload_max_disconnects 1\n}\n" + ELSEWHERE
        await file.signal()
        assert file.last == ("signal", "applied")


async def test_the_api_has_no_limit_unless_it_is_asked_for_one() -> None:
    file = File(LIVE)
    async with file.harness as h:
        await h.publish("live/key")
        await h.watch("live/key")
        file.text = ELSEWHERE
        refused = await h.http.request("POST", "/config/reload?wait=10&max_disconnects=0")
        assert (refused.status, refused.json()["refused_by"]) == (409, "max_disconnects")
        planned = await h.http.request("POST", "/config/reload?dry_run=true")
        assert planned.json()["plan"]["watchers"] == 1
        assert (await h.http.request("GET", "/config/status")).json()["last_reload"]["result"] == "refused"
        assert (await h.http.request("POST", "/config/reload?wait=10")).status == 200
        last = (await h.http.request("GET", "/config/status")).json()["last_reload"]
        assert (last["by"], last["result"], last["plan"]["watchers"]) == ("api", "applied", 1)
        metrics = (await h.http.request("GET", "/metrics")).text
        assert 'mmids_reloads_total{result="refused"} 1' in metrics
        assert 'mmids_reloads_total{result="applied"} 1' in metrics


async def test_requests_that_allow_different_things_do_not_share_a_reload() -> None:
    file = File(LIVE)
    async with file.harness as h, trio.open_nursery() as nursery:
        file.text = ""
        answers: dict[str, int] = {}

        async def ask(query: str) -> None:
            answers[query] = (await h.http.request("POST", f"/config/reload?wait=10{query}")).status

        nursery.start_soon(ask, "")
        nursery.start_soon(ask, "&allow_empty=true")
    assert answers[""] in (200, 409)  # after the other one there is nothing left to stop
    assert answers["&allow_empty=true"] == 200


async def test_a_whole_configuration_over_the_api_is_guarded_alike() -> None:
    async with Harness() as h:
        await h.put(LIVE)
        await h.put(MADE)
        for body in ("\n", "reactor r executor=simple_http {\n    url http://127.0.0.1:1/\n}\n"):
            refused = await h.http.request("PUT", "/config?prune=true&wait=10", content=body)
            assert refused.status == 409
            assert refused.json()["refused_by"] == "allow_empty"
            assert (
                "which would stop all 2 workflows of the set 'default' of the HTTP API; nothing was changed"
                in refused.json()["error"]
            )
        assert h.server.workflows.names() == ["live", "made"]
        assert len([event for event in h.events() if isinstance(event, ReloadRefused)]) == 2
        allowed = await h.http.request("PUT", "/config?prune=true&wait=10&allow_empty=true", content="\n")
        assert allowed.json()["deleted"] == ["live", "made"]


async def test_a_refused_reload_says_what_it_would_have_done() -> None:
    file = File(LIVE)
    async with file.harness as h:
        reloader = h.server.reloader
        assert reloader is not None
        file.text = ""
        with pytest.raises(RefusedReload) as refused:
            await reloader.reload()
        assert refused.value.plan.deleted == ("live",)
        assert refused.value.guard == "allow_empty"


async def test_with_changes_in_place_a_signal_cuts_nobody_but_whom_a_rule_excludes_and_the_setting_counts_these() -> (
    None
):
    def text(rule: str, allowed: int) -> str:
        settings = f"settings {{\n    changes_in_place true\n    reload_max_disconnects {allowed}\n}}\n"
        return settings + LIVE.replace("rtmp_watch", f"rtmp_watch {rule}")

    file = File(text("deny_ips=10.9.0.0/16", 0))
    async with file.harness as h:
        for host in ("10.0.0.1", "10.1.0.1"):
            await h.watch("live/key", peer_host=host)
        file.text = text("deny_ips=10.8.0.0/16", 0)
        await file.signal()
        assert file.last == ("signal", "applied")
        file.text = text("deny_ips=10.1.0.0/16", 0)
        await file.signal()
        assert file.last == ("signal", "refused")
        assert h.workflow("live").active_steps[1].clients.watchers == 2
        file.text = text("deny_ips=10.8.0.0/16", 1)
        await file.signal()
        file.text = text("deny_ips=10.1.0.0/16", 1)
        await file.signal()
        assert file.last == ("signal", "applied")
        assert h.workflow("live").active_steps[1].clients.watchers == 1
