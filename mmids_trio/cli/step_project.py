"""The project that `new-step` writes: a step with typed parameters, its tests, and what has the program find it.

Pure: names in, texts out. Every text is a whole file; the project's own name stands in it as `NAME`, the class of its
step as `CLASS`.
"""

from collections.abc import Mapping

STEP = '''\
"""The step `NAME hide=KEY`: the streams of one name are not heard of behind it; all others pass."""

import trio
from attrs import define, field, frozen

from mmids_trio.steps import (
    Flow,
    Inbox,
    MediaEvent,
    Outbox,
    Step,
    StepContext,
    StepType,
    StreamEnded,
    StreamId,
    StreamStarted,
    parameter,
    text,
)


@frozen
class Parameters:
    """What an operator writes behind the name of the step: a parameter without a default is required."""

    hide: str = parameter(text)


@define(eq=False)
class CLASS:
    """Passes on the very events that it gets, in their order, but for those of the streams that it hides."""

    name: str
    flow: Flow = field(default=Flow.PASSES_ON, init=False)
    _hidden: set[StreamId] = field(factory=set[StreamId], init=False)
    """Those on the air: what ends is forgotten."""

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        """Run until cancelled. What was received is sent, all of it, before more is received."""
        task_status.started()  # ready: whatever a step needs is open and checked before
        while True:
            events = await inbox.receive()
            if passing := [event for event in events if self._passes(event)]:
                await outbox.send(passing)

    def _passes(self, event: MediaEvent) -> bool:
        if isinstance(event, StreamStarted) and event.stream_name == self.name:
            self._hidden.add(event.stream_id)
        is_hidden = event.stream_id in self._hidden
        if isinstance(event, StreamEnded):
            self._hidden.discard(event.stream_id)
        return not is_hidden


def NAME() -> StepType:
    """The kind of step: the entry point in pyproject.toml names this function."""

    def build(parameters: Parameters, context: StepContext) -> Step:
        return CLASS(parameters.hide)

    return StepType("NAME", Parameters, build)


STEPS = [NAME()]
"""What `--load NAME` brings where the project is not installed."""
'''

TEST = '''\
"""The step in a server in memory, under many orders of its tasks, and cancelled wherever it may be."""

from random import Random

import pytest
import trio
from NAME import NAME
from trio.testing import MockClock

from mmids_trio.testing import (
    ConfigurationError,
    Harness,
    RtmpClient,
    cancel_everywhere,
    check_step,
    generate_stream,
)

WORKFLOW = """
workflow tested {
    rtmp_receive rtmp_app=live stream_key=*
    NAME hide=backstage
    rtmp_watch rtmp_app=live stream_key=*
}
"""
FILM = {key: generate_stream(key, seconds=1) for key in ("stage", "backstage")}


async def read_all(watcher: RtmpClient) -> None:
    """Read for a second of virtual time, which is more than a film takes."""
    with trio.move_on_after(1):
        await watcher.read_until_closed()


@pytest.mark.schedules(200)
async def test_one_stream_is_hidden_and_the_other_whole(schedule_seed: int, autojump_clock: MockClock) -> None:
    async with Harness(WORKFLOW, [NAME()]) as h:
        watchers = {key: await h.watch(key) for key in FILM}
        for key in Random(schedule_seed).sample(sorted(FILM), len(FILM)):
            await h.publish(key, FILM[key])
        for watcher in watchers.values():
            await read_all(watcher)
        watchers["stage"].report(FILM["stage"]).require_flawless()
        assert watchers["backstage"].packets == []
    h.assert_quiet()


async def test_a_server_that_is_cancelled_anywhere_leaves_nothing(autojump_clock: MockClock) -> None:
    servers: list[Harness] = []

    async def run() -> None:
        servers.append(Harness(WORKFLOW, [NAME()]))
        async with servers[-1] as h:
            await h.publish("backstage", FILM["backstage"][:10])

    assert await cancel_everywhere(run, lambda: servers[-1].assert_quiet()) > 20


def test_the_step_keeps_the_contract() -> None:
    """In every scenario of the kit; a fault is named with the rule that it breaks."""
    assert check_step(NAME(), "hide=backstage") > 200


def test_what_an_operator_leaves_out_is_told() -> None:
    with pytest.raises(ConfigurationError, match="NAME: missing required parameter 'hide'"):
        Harness(WORKFLOW.replace(" hide=backstage", ""), [NAME()])
'''

PROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "PACKAGE"
version = "0.1.0"
description = "The step NAME for mmids_trio"
requires-python = ">=3.11"
dependencies = ["mmids_trio"]

[project.optional-dependencies]
test = ["mmids_trio[testing]"]

# So mmids_trio finds the step where this project is installed.
[project.entry-points."mmids_trio.steps"]
NAME = "NAME:NAME"

[tool.setuptools]
package-dir = { "" = "src" }
py-modules = ["NAME"]

[tool.pytest.ini_options]
testpaths = ["tests"]
pythonpath = ["src"]
addopts = "--strict-markers --import-mode=importlib"
filterwarnings = ["error"]
trio_mode = true

[tool.mypy]
strict = true
mypy_path = "src"
files = ["src", "tests"]
"""

README = """\
# NAME

A step for mmids_trio. `NAME hide=backstage` hides the streams of the key `backstage` from everything behind
it; all others pass.

Install it where mmids_trio is installed, and test it:

    python -m pip install --editable '.[test]'
    python -m pytest

mmids_trio knows it then, and runs the example:

    python -m mmids_trio steps NAME
    python -m mmids_trio --config example.mmids

Without an installation: `PYTHONPATH=src python -m mmids_trio --load NAME --config example.mmids`.

| file | what |
| --- | --- |
| `src/NAME.py` | the step, its parameters, and what registers it |
| `tests/test_NAME.py` | its tests, in a server in memory; each of 200 runs has another order of tasks |
| `pyproject.toml` | the entry point by which mmids_trio finds the step |
| `example.mmids` | a workflow with the step |
"""

EXAMPLE = """\
# Publish to rtmp://127.0.0.1/live/KEY, and play the same URL.
workflow example {
    rtmp_receive rtmp_app=live stream_key=*
    NAME hide=backstage
    rtmp_watch rtmp_app=live stream_key=*
}
"""

IGNORED = "__pycache__/\n*.egg-info/\nbuild/\nlogs/\n"


def project_files(name: str) -> Mapping[str, str]:
    """The files of the project by their paths below its directory. `name` is that of a Python module, in lower case."""
    words = {
        "CLASS": "".join(part.capitalize() for part in name.split("_")) + "Step",
        "PACKAGE": name.replace("_", "-").strip("-"),
        "NAME": name,
    }

    def filled(text: str) -> str:
        for word, value in words.items():
            text = text.replace(word, value)
        return text

    return {
        "pyproject.toml": filled(PROJECT),
        "README.md": filled(README),
        "example.mmids": filled(EXAMPLE),
        ".gitignore": IGNORED,
        f"src/{name}.py": filled(STEP),
        f"tests/test_{name}.py": filled(TEST),
    }
