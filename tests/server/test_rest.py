"""A server at rest: nothing wakes it up, however many workflows it has."""

from collections import Counter

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock

from mmids_trio.config.parser import parse
from mmids_trio.config.settings import Settings
from mmids_trio.server.building import World, build_server
from mmids_trio.testing.network import MemoryNetwork

pytestmark = pytest.mark.thorough

WORKFLOWS = 100
HOUR = 3600.0
SETTLED = 60.0
"""Seconds after which what belongs to the start is over."""

MOST_STEPS = 10
"""Of tasks in an hour: the test's own, and room for something that looks every quarter of an hour."""

LOOKS = 4 * 360
"""Of the API's timeline, and at disks from a thread: every ten seconds."""


def resting(number: int) -> str:
    """A workflow of which every step waits: for a publisher, for players, for streams."""
    return f"""
workflow w{number} {{
    rtmp_receive rtmp_app=in{number} stream_key=*
    failover primary=a backup=b output=c after=3
    rtmp_watch rtmp_app=out{number} stream_key=*
    http_watch app=web{number} stream_key=*
    rtmp_push target=rtmp://127.0.0.1:9/live/{number}
}}
"""


@define(eq=False)
class TaskSteps(trio.abc.Instrument):
    """Counts by the names of tasks."""

    counts: Counter[str] = field(factory=Counter)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.counts[task.name] += 1


@pytest.mark.parametrize(("api_port", "most"), [(None, MOST_STEPS), (0, MOST_STEPS + LOOKS)], ids=["no API", "API"])
async def test_a_server_with_a_hundred_workflows_at_rest_makes_no_steps_but_its_looks(
    api_port: int | None, most: int, autojump_clock: MockClock
) -> None:
    settings = Settings(http_api_port=api_port, http_api_host="127.0.0.1", http_api_token="t" * 32)
    server = build_server(settings, world=World(network=MemoryNetwork()))
    text = "".join(map(resting, range(WORKFLOWS)))
    definitions = [server.workflows.validate(workflow) for workflow in parse(text, "test").workflows]
    steps = TaskSteps()
    async with trio.open_nursery() as nursery:
        for change in await nursery.start(server.run, definitions):
            await change.wait_outcome()
        statuses = [server.workflows.status(each.name) for each in definitions]
        assert {status.status for status in statuses if status is not None} == {"Running"}
        await trio.sleep(SETTLED)
        trio.lowlevel.add_instrument(steps)
        await trio.sleep(HOUR)
        trio.lowlevel.remove_instrument(steps)
        server.stop()
    assert steps.counts.total() <= most, steps.counts.most_common(5)
