"""A Prometheus of Debian's that scrapes a server each second, and what it answers."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import trio
from attrs import frozen

from tests.support.processes import start
from tests.support.program import ROOT, curl

EXAMPLE = ROOT / "examples" / "prometheus"
DASHBOARD = EXAMPLE / "grafana.json"
STEP_SECONDS = 1

_SCRAPING = """global:
  scrape_interval: {step}s
  evaluation_interval: {step}s
rule_files: ["{alerts}"]
scrape_configs:
  - job_name: mmids_trio
    static_configs: [{{ targets: ["{target}"] }}]
"""


@frozen
class Prometheus:
    """A running one."""

    port: int

    async def ask(self, path: str, **query: object) -> Any:
        """The data of an answer of its API; nothing while it gives none."""
        answer = await curl(f"http://127.0.0.1:{self.port}/api/v1/{path}?{urlencode(query)}")
        return json.loads(answer.text)["data"] if answer.status == 200 else None


async def scrape(nursery: trio.Nursery, directory: Path, target: str, port: int) -> Prometheus:
    """Start one in `nursery`, with the alerts of the example; `target` is the host and port of a server's API."""
    config = directory / "prometheus.yml"
    config.write_text(_SCRAPING.format(step=STEP_SECONDS, alerts=EXAMPLE / "alerts.yml", target=target))
    options = [f"--config.file={config}", f"--storage.tsdb.path={directory / 'data'}"]
    command = ["prometheus", *options, f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    await start(nursery, command, name="prometheus", directory=directory)
    return Prometheus(port)
