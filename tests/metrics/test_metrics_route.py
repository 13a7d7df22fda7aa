"""`GET /metrics` of a whole server: what clients do shows, and stays when they and their steps are gone."""

import pytest
from prometheus_client import Counter
from prometheus_client.parser import text_string_to_metric_families
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.metrics.catalog import METRICS
from mmids_trio.testing.clients import ClientRefused
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream

STREAM = generate_stream(seconds=2)
CONFIGURATION = """
settings {
    http_api_token secret
}
workflow show {
    rtmp_receive rtmp_app=live stream_key=*
    rtmp_watch rtmp_app=live stream_key=*
}
"""


async def scrape(harness: Harness) -> dict[str, float]:
    """The sum of each metric over its labels, by the name of its samples; one that has no series is missing."""
    answer = await harness.http.get("/metrics")
    assert answer.status == 200
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums


async def test_media_and_clients_show(autojump_clock: MockClock) -> None:
    async with Harness(CONFIGURATION) as harness:
        publisher = await harness.publish("key")
        watcher = await harness.watch("key")
        await publisher.send(STREAM)
        await watcher.receive(len(STREAM))
        seen = await scrape(harness)
        assert seen["mmids_rtmp_connections"] == 2
        assert seen["mmids_step_publishers"] == seen["mmids_step_watchers"] == 1
        assert seen["mmids_step_received_bytes_total"] == sum(len(packet.data) for packet in STREAM)
        assert seen["mmids_step_sent_bytes_total"] > seen["mmids_step_received_bytes_total"]
        assert seen["mmids_step_events_total"] == 2 * (len(STREAM) + 1)
        assert seen["mmids_step_pass_seconds_count"] > 0
        assert seen["mmids_loop_lag_seconds_count"] > 0
        assert seen["mmids_workflow_steps"] == 2


async def test_counters_stay_when_steps_and_clients_are_gone(autojump_clock: MockClock) -> None:
    async with Harness(CONFIGURATION) as harness:
        publisher = await harness.publish("key")
        watcher = await harness.watch("key")
        await publisher.send(STREAM)
        await watcher.receive(len(STREAM))
        before = await scrape(harness)
        await harness.server.workflows.stop("show")
        after = await scrape(harness)
        assert after["mmids_rtmp_connections"] == after["mmids_workflows"] == 0
        assert "mmids_step_watchers" not in after
        for name, value in before.items():
            if name.startswith("mmids_") and name.endswith(("_total", "_count", "_sum", "_bucket")):
                assert after[name] >= value, name


async def test_refusals_show_by_their_reason(autojump_clock: MockClock) -> None:
    async with Harness(CONFIGURATION) as harness:
        await harness.publish("key")
        for address in ("live/key", "nowhere/key"):
            with pytest.raises(ClientRefused):
                await harness.publish(address)
        await wait_all_tasks_blocked()
        text = (await harness.http.get("/metrics")).text
        assert 'mmids_turned_away_total{reason="key_busy"} 1\n' in text
        assert 'mmids_turned_away_total{reason="unknown_application_or_key"} 1\n' in text


async def test_the_route_needs_the_token_and_counts_requests(autojump_clock: MockClock) -> None:
    async with Harness(CONFIGURATION) as harness:
        refused = await harness.http.get("/metrics", headers={"Authorization": "Bearer wrong"})
        assert refused.status == 401
        answer = await harness.http.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert 'mmids_http_requests_total{method="GET",status="401"} 1\n' in answer.text


async def test_every_metric_is_announced_and_collectors_of_ones_own_are_shown(autojump_clock: MockClock) -> None:
    async with Harness(CONFIGURATION) as harness:
        Counter("mine", "Of one's own.", registry=harness.server.metrics.registry).inc(3)
        text = (await harness.http.get("/metrics")).text
        assert "mine_total 3.0\n" in text
        assert "process_resident_memory_bytes" in text
        for metric in METRICS:
            assert f"# TYPE {metric.name} {metric.kind.value}\n" in text
