"""The example for Prometheus with Prometheus itself: its alerts, and the queries of the dashboard for Grafana."""

import json
import re
import shutil
import signal
import subprocess
from functools import partial
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]  # it has no types

from tests.support.ffmpeg import Crew, Recording
from tests.support.panels import read_panels
from tests.support.program import Launch
from tests.support.prometheus import DASHBOARD, EXAMPLE, scrape
from tests.support.waiting import eventually_answered

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        shutil.which("promtool") is None or shutil.which("prometheus") is None, reason="not installed: prometheus"
    ),
]

SHOW = """reactor lookup executor=simple_http update_interval=60 {
    url http://127.0.0.1:9/
}
workflow show {
    rtmp_receive rtmp_app=live stream_key=* port=0
    failover primary=show backup=other output=out after=1 pass_others=true
    rtmp_push target=rtmp://127.0.0.1:9/live/nobody stream_name=out
    rtmp_watch rtmp_app=live stream_key=* port=0
}
"""


def promtool(*arguments: str) -> str:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def alerts_that_fire(tests: str) -> set[str]:
    """What the tests of the example expect to fire at some time."""
    rules = [rule for test in yaml.safe_load(tests)["tests"] for rule in test["alert_rule_test"]]
    return {rule["alertname"] for rule in rules if rule.get("exp_alerts")}


def test_promtool_finds_the_example_right_and_each_alert_fires_when_it_has_to() -> None:
    known = set(re.findall(r"- alert: (\w+)", (EXAMPLE / "alerts.yml").read_text()))
    assert f"{len(known)} rules found" in promtool("check", "config", str(EXAMPLE / "prometheus.yml"))
    promtool("test", "rules", str(EXAMPLE / "alerts.test.yml"))
    assert alerts_that_fire((EXAMPLE / "alerts.test.yml").read_text()) == known


async def test_prometheus_reads_a_server_and_answers_every_query_of_the_dashboard(
    launch: Launch, crew: Crew, show: Recording, tmp_path: Path, free_port: int
) -> None:
    program = await launch(SHOW)
    publisher = await crew.publish(show, program.url())
    await program.logged("publisher joined")
    watching = await crew.play(program.url("out"))
    await watching.gets(1)
    target = program.api.removeprefix("http://")
    prometheus = await scrape(crew.nursery, tmp_path, target, free_port)

    async def value(query: str) -> bool:
        found = await prometheus.ask("query", query=query)
        return bool(found and found["result"] and "NaN" not in str(found["result"][0]["value"]))

    board = json.loads(DASHBOARD.read_text())
    for panel in read_panels(board):
        for query in panel.queries:
            await eventually_answered(partial(value, query.expression), f"answer to {query.expression}")
    [names] = [each["query"] for each in board["templating"]["list"] if each["name"] == "instance"]
    assert names == "label_values(mmids_build_info, instance)"
    assert await prometheus.ask("label/instance/values") == [target]

    publisher.send(signal.SIGSTOP)

    async def alerts() -> bool:
        found = await prometheus.ask("alerts")
        names = {each["labels"]["alertname"] for each in found["alerts"]} if found else set()
        return {"MmidsPushDead", "MmidsSourceStalled"} <= names

    await eventually_answered(alerts, "pending alerts")
