"""All reactors of a configuration, asking the reactor test server over loopback."""

from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from mmids_trio.cli.commands.reactor_test_server import serve_workflows
from mmids_trio.config.parser import parse
from mmids_trio.reactors.executor import ExecutorRegistry
from mmids_trio.reactors.registry import Reactors
from mmids_trio.reactors.simple_http import SIMPLE_HTTP
from mmids_trio.reactors.views import LeaseView
from mmids_trio.stream_request import StreamRequest
from tests.reactors.stand_ins import ANYBODY, FakeWorkflows

CONFIGURATION = """
reactor live executor=simple_http {{
    url http://127.0.0.1:{port}/live
}}
reactor vod executor=simple_http update_interval=60 {{
    url http://127.0.0.1:{port}/vod
    on_failure allow
}}
"""


@pytest.fixture
def workflows() -> FakeWorkflows:
    return FakeWorkflows()


@pytest.fixture
async def reactors(tmp_path: Path, nursery: trio.Nursery, workflows: FakeWorkflows) -> Reactors:
    (tmp_path / "live").mkdir()
    (tmp_path / "live" / "s.mmids").write_text("workflow s_watch routed_by_reactor {\n    step\n}\n")
    port = await nursery.start(partial(serve_workflows, tmp_path, 0, shutdown=trio.Event()))
    definitions = parse(CONFIGURATION.format(port=port), "test").reactors
    reactors = Reactors(definitions, ExecutorRegistry([SIMPLE_HTTP]))
    await nursery.start(reactors.run, workflows)
    return reactors


async def test_a_stream_with_a_file_is_valid_while_held(reactors: Reactors, workflows: FakeWorkflows) -> None:
    hold = reactors.hold("live", StreamRequest(key="s"), lambda: None, ANYBODY)
    with trio.fail_after(20):
        await hold.wait_answer()
    assert (hold.is_valid, hold.routable, set(workflows.running)) == (True, ("s_watch",), {"s_watch"})
    view = reactors.view("live")
    assert view is not None
    assert view.leases == (LeaseView("s", "publish", 1, True, ("s_watch",), "valid, to run: s_watch", None, 0, None),)
    hold.release()
    await trio.testing.wait_all_tasks_blocked()
    assert workflows.running == {}


async def test_a_stream_without_a_file_is_not_valid(reactors: Reactors) -> None:
    hold = reactors.hold("vod", StreamRequest(key="s"), lambda: None, ANYBODY)
    with trio.fail_after(20):
        await hold.wait_answer()
    assert hold.is_valid is False


async def test_reactors_are_listed_in_the_order_of_the_configuration(reactors: Reactors) -> None:
    assert reactors.names() == ["live", "vod"]
    assert [(view.name, view.executor, view.update_interval) for view in reactors.views()] == [
        ("live", "simple_http", 0),
        ("vod", "simple_http", 60),
    ]


async def test_a_reactor_that_there_is_not_is_told_apart(reactors: Reactors) -> None:
    assert reactors.view("other") is None
    with pytest.raises(KeyError):
        reactors.hold("other", StreamRequest(key="s"), lambda: None, ANYBODY)
