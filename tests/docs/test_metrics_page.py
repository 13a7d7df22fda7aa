"""The page of the metrics, the example for Prometheus and the catalog say the same."""

import json
import re
from pathlib import Path

from mmids_trio.metrics.catalog import METRICS
from mmids_trio.metrics.totals import MAX_DEPARTED


def test_the_table_has_every_metric_as_it_is(root: Path) -> None:
    page = (root / "docs/metrics.md").read_text()
    rows = re.findall(r"^\| `(mmids_\w+)` \| (\w+) \| (.*?)\| (.*) \|$", page, re.MULTILINE)
    documented = [(name, kind, re.findall(r"`(\w+)`", labels), help) for name, kind, labels, help in rows]
    assert documented == [(m.name, m.kind.value, list(m.labels), m.help) for m in METRICS]


def test_the_page_gives_the_limit(root: Path) -> None:
    assert f"{MAX_DEPARTED:,} are kept apart" in (root / "docs/metrics.md").read_text()


def test_the_alerts_ask_for_metrics_and_labels_that_there_are(root: Path) -> None:
    known = {metric.name: metric for metric in METRICS}
    text = (root / "examples/prometheus/alerts.yml").read_text()
    expressions = re.findall(r"(mmids_[a-z_]+?)(?:_bucket)?(?=\W)(?:\{(\w+)=)?", text.replace("mmids_trio", ""))
    assert len(expressions) >= 7
    for name, label in expressions:
        assert name in known
        assert not label or label in known[name].labels
    assert text.count("- alert: ") >= 5


def test_the_dashboard_is_whole_and_asks_for_metrics_and_labels_that_there_are(root: Path) -> None:
    board = json.loads((root / "examples/prometheus/grafana.json").read_text())
    assert {"title", "uid", "schemaVersion", "panels", "templating"} <= set(board)
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"]) >= 8
    known = {metric.name: set(metric.labels) for metric in METRICS} | {"process_cpu_seconds_total": set[str]()}
    places = set()
    for panel in board["panels"]:
        places.add((panel["gridPos"]["x"], panel["gridPos"]["y"]))
        for target in panel["targets"]:
            [name] = re.findall(r"(?:mmids|process)_[a-z_]+?(?=_bucket|\W)", target["expr"])
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) - {"instance"} <= known[name]
    assert len(places) == len(board["panels"])
