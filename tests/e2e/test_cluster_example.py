"""The example of a cluster: the commands of its compose file, with real Redis, HAProxy and ffmpeg."""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
import yaml  # type: ignore[import-untyped]  # it has no types
from attrs import define

from tests.support.commands import as_process
from tests.support.ffmpeg import Crew, Recording
from tests.support.processes import Child, start
from tests.support.program import Answer, curl
from tests.support.registries import free_ports, opens
from tests.support.waiting import eventually_answered

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("haproxy") is None, reason="not installed: haproxy"),
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="not installed: redis"),
]

FOLDER = Path(__file__).parents[2] / "examples" / "cluster"
SERVICES: Mapping[str, Any] = yaml.safe_load((FOLDER / "docker-compose.yml").read_text("utf-8"))["services"]
NODES = ("node-1", "node-2", "node-3")
TOKEN = SERVICES["node-1"]["environment"]["API_TOKEN"]


MINE = b"workflow live {\n    rtmp_receive rtmp_app=mine stream_key=* port=0\n}\n"
"""Of one node alone, with the name of a workflow of the fleet."""

START_SECONDS = 110.0
"""For three servers and who waits for them, where others use the machine as well."""


@define(eq=False)
class Example:
    """The running containers' commands: each node has an address of its own, and all the same ports."""

    nursery: trio.Nursery
    rtmp: int
    api: int
    front: int

    def address(self, node: str) -> str:
        return f"127.0.0.1{NODES.index(node) + 1}"

    async def command(self, node: str, *arguments: str) -> Child:
        environment = {"MMIDS_SERVER": f"http://{self.address(node)}:{self.api}", "MMIDS_TOKEN": TOKEN}
        more = {"RTMP_PORT": str(self.rtmp)}
        return await start(self.nursery, as_process(*arguments), name=arguments[0], environment=environment | more)

    async def ask(self, node: str, path: str, *options: str, body: bytes | None = None) -> Answer:
        url = f"http://{self.address(node)}:{self.api}{path}"
        return await curl(url, "--header", f"Authorization: Bearer {TOKEN}", *options, body=body)

    async def get(self, node: str, path: str) -> Any:
        return (await self.ask(node, path)).json

    async def workflows(self, node: str) -> Sequence[str]:
        return [each["name"] for each in await self.get(node, "/workflows")]

    async def nodes(self) -> Mapping[str, Any]:
        return {each["node"]: each for each in (await self.get("node-1", "/cluster"))["nodes"]}


async def run(nursery: trio.Nursery, service: str, ports: Mapping[str, str], directory: Path) -> Child:
    """The command of a service, where hosts and files of containers are those of this machine."""
    definition = SERVICES[service]
    command = [translated(word, ports) for word in definition["command"]]
    for volume in definition.get("volumes", ()):
        source, target, _ = volume.split(":")
        command = [str(FOLDER / source) if word == target else word for word in command]
    environment = {name: translated(value, ports) for name, value in definition.get("environment", {}).items()}
    if service in NODES:
        folder = directory / service
        folder.mkdir()
        address = f"127.0.0.1{NODES.index(service) + 1}"
        hosts = {"RTMP_HOST": address, "API_HOST": address, "API_PORT": ports["9011"], "RTMP_PORT": ports["1935"]}
        environment |= {**hosts, "STATE": str(folder / "state.mmids"), "LOGS": str(folder)}
        command = as_process(*command)
    if service == "redis":
        command += ["--port", ports["6379"]]
    if service == "haproxy":
        environment |= {f"API_{number}": ports["9011"] for number in (1, 2, 3)}
    cwd = directory if service == "redis" else None
    return await start(nursery, command, name=service, directory=cwd, environment=environment)


def translated(text: str, ports: Mapping[str, str]) -> str:
    """With the hosts and ports that a test has."""
    text = re.sub(r"node-(\d)(?=:)", r"127.0.0.1\1", text).replace("redis:6379", f"127.0.0.1:{ports['6379']}")
    text = text.replace("*:1935", f"127.0.0.1:{ports['front']}")
    return re.sub(r":1935\b", f":{ports['1935']}", text)


@pytest.fixture
async def example(nursery: trio.Nursery, tmp_path: Path) -> Example:
    rtmp, api, front, redis = free_ports(4)
    ports = {"1935": str(rtmp), "9011": str(api), "6379": str(redis), "front": str(front)}
    example = Example(nursery, rtmp, api, front)
    await run(nursery, "redis", ports, tmp_path)
    await opens(redis)
    for node in NODES:
        await run(nursery, node, ports, tmp_path)
    for node in NODES:
        waiting = await example.command(node, "wait", "--ready", "--timeout", "100")
        assert await waiting.end(START_SECONDS) == 0, waiting.err.text
    await run(nursery, "haproxy", ports, tmp_path)
    await opens(front)

    async def all_are_there() -> bool:
        return len(await example.nodes()) == len(NODES)

    await eventually_answered(all_are_there, "three nodes")
    return example


async def test_a_fleet_is_changed_by_one_command_and_a_drained_node_gets_no_newcomers(
    example: Example, crew: Crew, show: Recording
) -> None:
    whole = FOLDER / "live.mmids"
    mine = await example.ask("node-3", "/workflows?wait=20", "-X", "PUT", body=MINE)
    assert mine.status == 200, mine.text
    before = await example.nodes()
    refused = await example.command("node-2", "apply", "--fleet", str(whole))
    assert await refused.end() == 1
    reasons = [line for line in refused.err.text.splitlines() if re.match(r"node-\d: ", line)]
    assert [line.partition(":")[0] for line in reasons] == ["node-3"], refused.err.text
    assert "'live'" in reasons[0]
    assert [await example.workflows(node) for node in NODES] == [[], [], ["live"]]
    assert {each["revision"] for each in before.values()} == {
        each["revision"] for each in (await example.nodes()).values()
    }
    assert (await example.ask("node-3", "/workflows/live", "-X", "DELETE")).status == 200

    planned = await example.command("node-2", "plan", "--fleet", str(whole))
    assert await planned.end() == 2, planned.err.text
    applied = await example.command("node-2", "apply", "--fleet", str(whole))
    assert await applied.end() == 0, applied.err.text
    assert "applied at 3 nodes as revision" in applied.out.text
    assert len({each["revision"] for each in (await example.nodes()).values()}) == 1

    front = f"rtmp://127.0.0.1:{example.front}/live"
    await crew.publish(show, f"{front}/first")

    async def publisher() -> str | None:
        return next((name for name, each in (await example.nodes()).items() if each["publishers"]), None)

    owner = await eventually_answered(publisher, "publisher")
    asked = next(name for name in NODES if name != owner)
    draining = await example.command(asked, "drain", owner, "--deadline", "1s")
    assert await draining.end() == 1, draining.out.text
    assert "over with 1 publisher" in draining.err.text
    assert (await example.get(owner, "/ready"))["reasons"] == ["the server is being emptied"]

    for key in ("second", "third"):
        await crew.publish(show, f"{front}/{key}")

        async def found(key: str = key) -> str | None:
            streams = (await example.get(asked, "/streams?scope=cluster"))["streams"]
            return next((each["node"] for each in streams if each["name"] == key), None)

        assert await eventually_answered(found, f"stream {key}") != owner
    listed = await example.command(asked, "cluster", "--json")
    assert await listed.end() == 0, listed.err.text
    states = {each["node"]: each["draining"] for each in json.loads(listed.out.text)["nodes"]}
    assert states == {name: name == owner for name in NODES}
