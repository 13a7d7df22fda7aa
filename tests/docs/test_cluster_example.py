"""The examples of a cluster: Kubernetes takes the manifests, HAProxy its file, and the server its configuration."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # it has no types
import pytest
import yaml  # type: ignore[import-untyped]  # it has no types

from mmids_trio.cli.commands.drain import Duration
from mmids_trio.config.parser import parse
from mmids_trio.config.references import References

FOLDER = Path(__file__).parents[2] / "examples" / "cluster"
MANIFESTS: list[dict[str, Any]] = list(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text("utf-8")))
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def manifest(kind: str) -> dict[str, Any]:
    [found] = [each for each in MANIFESTS if each["kind"] == kind]
    return found


POD = manifest("StatefulSet")["spec"]["template"]["spec"]
[CONTAINER] = POD["containers"]


@pytest.mark.parametrize("document", MANIFESTS, ids=lambda each: f"{each['kind']} {each['metadata']['name']}")
@pytest.mark.parametrize("version", ["1.28", "1.32"])
def test_kubernetes_takes_each_manifest(document: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(document, version, strict=True)


def test_what_is_wrong_in_a_manifest_is_found() -> None:
    wrong = {**manifest("StatefulSet"), "spec": {**manifest("StatefulSet")["spec"], "replica": 3}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.32", strict=True)


def test_a_pod_has_the_time_that_its_drain_may_take() -> None:
    command = CONTAINER["lifecycle"]["preStop"]["exec"]["command"]
    deadline = Duration().convert(command[command.index("--deadline") + 1], None, None)
    assert POD["terminationGracePeriodSeconds"] >= deadline + 10


def test_newcomers_are_sent_to_nodes_that_are_ready_and_nodes_reach_each_other_in_any_case() -> None:
    services = {each["metadata"]["name"]: each["spec"] for each in MANIFESTS if each["kind"] == "Service"}
    assert services["mmids-nodes"]["publishNotReadyAddresses"]
    assert manifest("StatefulSet")["spec"]["serviceName"] == "mmids-nodes"
    assert "publishNotReadyAddresses" not in services["mmids"]
    assert CONTAINER["readinessProbe"]["httpGet"]["path"] == "/ready"
    assert CONTAINER["livenessProbe"]["httpGet"]["path"] == "/"
    labels = manifest("StatefulSet")["spec"]["template"]["metadata"]["labels"]
    assert all(spec["selector"] == labels for spec in services.values())


def node_of(text: str, environment: dict[str, str]) -> Any:
    """The cluster node of a configuration, with the values of an environment."""
    document = parse(text, "example", References(variable=environment.get))
    assert not document.problems, document.problems
    return document.cluster


def test_the_configuration_in_the_manifest_is_one() -> None:
    environment = {each["name"]: each.get("value", "mmids-0-and-some-more") for each in CONTAINER["env"]}
    environment["ADVERTISE"] = environment["ADVERTISE"].replace("$(NODE)", "mmids-0")
    cluster = node_of(manifest("ConfigMap")["data"]["mmids.config"], environment)
    assert cluster.advertise == "rtmp://mmids-0.mmids-nodes:1935"


@pytest.mark.parametrize("name", ["node-1", "node-2", "node-3"])
def test_the_configuration_of_the_containers_is_one(name: str) -> None:
    cluster = node_of((FOLDER / "mmids.config").read_text("utf-8"), SERVICES[name]["environment"])
    assert (cluster.node, cluster.advertise) == (name, f"rtmp://{name}:1935")
    assert cluster.registry == "redis://redis:6379"


def test_every_variable_of_the_configuration_is_in_the_environment_of_each_node() -> None:
    used = set(re.findall(r"\$\{(\w+)\}", (FOLDER / "mmids.config").read_text("utf-8")))
    for name in ("node-1", "node-2", "node-3"):
        assert used <= SERVICES[name]["environment"].keys()


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="not installed: haproxy")
def test_haproxy_takes_its_file() -> None:
    given = SERVICES["haproxy"]["environment"]
    environment = {name: re.sub(r"^node-\d", "127.0.0.1", value) for name, value in given.items()}
    command = ["haproxy", "-c", "-f", str(FOLDER / "haproxy.cfg")]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
