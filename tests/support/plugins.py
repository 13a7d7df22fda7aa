"""Modules and packages with steps and executors of one's own, as tests write them into a folder."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STUDIO = """
from contextlib import asynccontextmanager

import trio
from attrs import field, frozen

from mmids_trio.steps import (
    Answer, ExecutorKind, Flow, NoParameters, Secret, StepType, duration, one_of, parameter, secret_parameter
)


@frozen
class Parameters:
    after_s: float = parameter(duration("100ms", "1h"), name="after", default=5.0)
    side: str = parameter(one_of("left", "right"), default="left", in_place=True)
    key: Secret | None = secret_parameter(default=None)


@frozen
class Passing:
    flow: Flow = field(default=Flow.PASSES_ON, init=False)

    async def run(self, inbox, outbox, *, task_status):
        task_status.started()
        while True:
            await outbox.send(await inbox.receive())


class Nodding:
    async def ask(self, request):
        return Answer(True)

    async def release(self, request):
        pass


@asynccontextmanager
async def nodding(parameters):
    yield Nodding()


def passing():
    return StepType("passing", Parameters, lambda parameters, context: Passing())


def nods():
    return ExecutorKind("nods", NoParameters, nodding)
"""

LISTED = "\nSTEPS = [passing()]\nEXECUTORS = [nods()]\n"

WORKFLOW = "workflow live {\n    rtmp_receive rtmp_app=live stream_key=*\n    passing after=2s\n}\n"


def write_package(folder: Path, name: str, module: str, *, version: str = "1.5", **groups: str) -> None:
    """A package as pip leaves it: a module, and what says its name and its entry points (`steps="x = module:y"`)."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(module, "utf-8")
    information = folder / f"{name}-{version}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    entries = "".join(f"[mmids_trio.{group}]\n{line}\n" for group, line in groups.items())
    (information / "entry_points.txt").write_text(entries)


@contextmanager
def imports_undone() -> Iterator[None]:
    """What is imported in the block, and where Python looks, is forgotten behind it."""
    modules, path = set(sys.modules), list(sys.path)
    try:
        yield
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - modules:
            if not name.startswith("mmids_trio"):
                del sys.modules[name]
