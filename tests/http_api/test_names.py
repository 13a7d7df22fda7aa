"""Every name that is accepted can be addressed: as the commands write it, and read over a socket."""

from random import Random

import httpx2
import pytest

from mmids_trio.cli.client.api import workflow_path
from mmids_trio.config.names import MAX_NAME_BYTES
from tests.http_api.conftest import ScriptedWorkflows

pytestmark = pytest.mark.thorough

AWKWARD = [
    *("...", ".a", "a/", "/", "//", "/a", "a//b", "a/.../b", "a/steps/1/switch/", "steps/1/switch", "switch"),
    *("%", "%2e%2e", "%2F", "%00", "a%", "?", "a?b", "#a", "a#b", "a;b", "a&b", "+", "a+b", "~", "\\", "..\\a"),
    *(":", "http://h/a", "@", "a:80", "*", "$(x)", "'", "`", "größe", "視頻", "🎥", "e\u0301", "\u202ea", "\x85"),
    *("a" * MAX_NAME_BYTES, "é" * (MAX_NAME_BYTES // 2), "%" * MAX_NAME_BYTES),
]


def some_names(count: int) -> list[str]:
    """Of the characters that mean something in paths, and some others."""
    random = Random(17)
    return ["x" + "".join(random.choices("./.%2eF?#;:@&+\\~aé/", k=random.randrange(1, 12))) for _ in range(count)]


@pytest.mark.parametrize("names", [AWKWARD, some_names(200)], ids=["awkward", "random"])
async def test_what_is_accepted_is_found_and_deleted(
    names: list[str], client: httpx2.AsyncClient, workflows: ScriptedWorkflows
) -> None:
    accepted = []
    for name in names:
        if (await client.put("/workflows", content=f"workflow {name} {{\n}}\n".encode())).status_code == 200:
            accepted.append(name)
            assert (await client.get(workflow_path(name))).json()["status"] == "Running"
            assert (await client.delete(workflow_path(name))).status_code == 200
    assert workflows.stopped == accepted
    assert workflows.statuses == {}
    assert len(accepted) > len(names) / 2
