"""The layers of the architecture, enforced: folders import downwards only, and modules stay small.

Every import of every module is read from its source, also those inside functions and under `TYPE_CHECKING`.
A new folder has to be given its place in `LAYERS` first.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = "mmids_trio"
TESTS = Path(__file__).parent
SOURCE = TESTS.parent / PACKAGE
LONGEST_FILE = 700  # lines; beyond it, look for the seam

LAYERS = (
    "",  # the modules beside the folders: errors, definitions, addresses and the like
    "metrics",
    "media",
    "on_air",
    "config",
    "net",
    "fanout",
    "rtmp.protocol",
    "rtmp",
    "rtmp.client",
    "rtmp.server",
    "delivery",
    "continuity",
    "ffmpeg",
    "workflow",
    "reactors",
    "guards",
    "cluster",
    "steps",
    "plugins",
    "state",
    "reload",
    "capture",
    "http_api",
    "webhook",
    "server",
    "testing",
    "cli",
)
"""Packages, each of which imports only itself and those above it in this list (which lie below it in the building)."""

PURE = ("media", "on_air", "config", "continuity", "rtmp.protocol")
"""Packages without trio, sockets, files and clocks: of the standard library what computes, of other packages attrs."""

PURE_MODULES = (
    "addresses",
    "backoff",
    "definitions",
    "errors",
    "masking",
    "rejections",
    "reservation",
    "stream_request",
)
"""Modules beside the folders that pure packages may import, and that are pure themselves."""

OUTSIDE_WORLD = (
    "concurrent",
    "datetime",
    "http",
    "io",
    "logging",
    "multiprocessing",
    "os",
    "pathlib.Path",
    "select",
    "selectors",
    "shutil",
    "signal",
    "socket",
    "socketserver",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "urllib.request",
)


class Import(NamedTuple):
    """One imported name (`trio`, `mmids_trio.media.events.StreamId`) and its line."""

    name: str
    line: int


def imports_of(module: str, source: str) -> Iterator[Import]:
    """Everything that `source` imports, relative imports made absolute; `x.y` for `from x import y`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = f"{PACKAGE}.{module}".split(".")[: -node.level] if node.level else []
            origin = ".".join([*parents, *([node.module] if node.module else [])])
            yield from (Import(f"{origin}.{alias.name}", node.lineno) for alias in node.names)


def is_within(name: str, folder: str) -> bool:
    return name == folder or name.startswith(f"{folder}.")


FOLDERS = {".".join(path.parent.relative_to(SOURCE).parts) for path in SOURCE.rglob("*.py")}


def package_of(name: str) -> str:
    """The package in `LAYERS` that a module (or a name in one) belongs to. `__main__` is part of the command line."""
    if name.partition(".")[0] == "__main__":
        return "cli"
    found = [package for package in LAYERS if package and is_within(name, package)]
    if found:
        return max(found, key=len)
    top = name.partition(".")[0]
    if top and top in FOLDERS:
        raise LookupError(f"no layer is known for {name}: give {top} its place in tests/test_layers.py")
    return ""


def complaint_about(module: str, imported: str) -> str | None:
    """What is wrong with `module` importing `imported` (a full name), if anything is."""
    if is_within(imported, "asyncio"):
        return "everything runs on trio"
    package = package_of(module)
    if is_within(imported, PACKAGE):
        target = package_of(imported.removeprefix(PACKAGE).removeprefix("."))
        if LAYERS.index(target) > LAYERS.index(package):
            return f"{target} lies above {package or 'the modules beside the folders'}"
        is_pure_target = target in PURE or (not target and is_pure_module(imported.removeprefix(f"{PACKAGE}.")))
        return None if is_pure_target or not is_pure(module) else f"{imported} is not pure, and {module} is"
    if not is_pure(module):
        return None
    if any(is_within(imported, part) or is_within(part, imported) for part in OUTSIDE_WORLD):
        return f"{module} is pure: it never touches the outside world"
    known = imported.partition(".")[0] in {*sys.stdlib_module_names, "attrs"}
    return None if known else f"{module} is pure: it needs only attrs"


def is_pure_module(name: str) -> bool:
    return name.partition(".")[0] in PURE_MODULES or name in {"__version__", PACKAGE}


def is_pure(module: str) -> bool:
    package = package_of(module)
    return package in PURE or (not package and is_pure_module(module))


def violations(module: str, source: str) -> list[str]:
    """Every import of `module` (named without the package) that is not allowed."""
    found = ((item, complaint_about(module, item.name)) for item in imports_of(module, source))
    return [f"{module}:{item.line} imports {item.name}: {why}" for item, why in found if why]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts)


MODULES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}
FILES = {str(path.relative_to(TESTS.parent)): path for root in (SOURCE, TESTS) for path in sorted(root.rglob("*.py"))}


def test_the_modules_are_found() -> None:
    assert {"errors", "media.events", "workflow.step", "rtmp.protocol.__init__"} <= set(MODULES)


def test_every_folder_has_its_place_and_every_place_is_a_folder() -> None:
    tops = {folder.partition(".")[0] for folder in FOLDERS}
    assert {package.partition(".")[0] for package in LAYERS} == tops
    assert set(LAYERS) <= FOLDERS
    assert len(set(LAYERS)) == len(LAYERS)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downward(module: str) -> None:
    assert violations(module, MODULES[module].read_text("utf-8")) == []


@pytest.mark.parametrize("file", FILES)
def test_no_file_is_too_long(file: str) -> None:
    assert len(FILES[file].read_text("utf-8").splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize(
    ("module", "source", "why"),
    [
        ("media.codecs", "import trio", "media.codecs is pure: it needs only attrs"),
        ("media.codecs", "from mmids_trio.config.parser import parse", "config lies above media"),
        ("media.codecs", "from mmids_trio.offload import in_thread", "mmids_trio.offload.in_thread is not pure, and"),
        ("config.parser", "def read():\n    from pathlib import Path", "config.parser is pure: it never touches"),
        ("config.parser", "import pathlib", "config.parser is pure: it never touches"),
        ("config.parser", "import os.path", "config.parser is pure: it never touches"),
        ("rtmp.protocol.chunks", "from ..server import server", "rtmp.server lies above rtmp.protocol"),
        ("rtmp.protocol.chunks", "import structlog", "rtmp.protocol.chunks is pure: it needs only attrs"),
        ("rtmp.client.client", "from mmids_trio.rtmp.server.server import RtmpServer", "rtmp.server lies above"),
        ("errors", "from mmids_trio.config import parser", "config lies above the modules beside the folders"),
        ("errors", "from time import monotonic", "errors is pure: it never touches"),
        ("fanout.channel", "from mmids_trio.rtmp.rendering import RtmpRendering", "rtmp lies above fanout"),
        ("rtmp.server.server", "from mmids_trio import steps", "steps lies above rtmp.server"),
        ("rtmp.server.server", "import asyncio", "everything runs on trio"),
        ("rtmp.server.server", "from asyncio import Queue", "everything runs on trio"),
        ("workflow.runtime", "from mmids_trio.steps import rtmp_watch", "steps lies above workflow"),
        ("http_api.app", "from mmids_trio.server.app import Server", "server lies above http_api"),
        ("server.app", "from mmids_trio.testing.harness import Harness", "testing lies above server"),
        ("testing.harness", "from mmids_trio.cli import serving", "cli lies above testing"),
    ],
)
def test_an_import_that_points_upward_is_caught(module: str, source: str, why: str) -> None:
    [violation] = violations(module, source)
    assert violation.startswith(f"{module}:{source.count(chr(10)) + 1} imports ")
    assert f": {why}" in violation


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("media.codecs", "import struct, typing\nfrom attrs import frozen"),
        ("config.parser", "from urllib.parse import urlsplit\nfrom pathlib import PurePath"),
        ("rtmp.protocol.chunks", "from . import limits\nfrom ...errors import ProtocolError"),
        (
            "rtmp.server.server",
            "import trio, structlog, socket, mmids_trio\nfrom mmids_trio.rtmp.protocol import chunks",
        ),
        (
            "steps.rtmp_watch",
            "from mmids_trio.rtmp.server.server import RtmpServer\nfrom mmids_trio.workflow import step",
        ),
        ("cli.commands.replay", "from mmids_trio.testing.replaying import run_replay"),
        ("__main__", "from mmids_trio.cli.lazy import load"),
    ],
)
def test_an_import_that_points_downward_is_fine(module: str, source: str) -> None:
    assert violations(module, source) == []


def test_a_folder_without_a_place_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "FOLDERS", {*FOLDERS, "novelty"})
    with pytest.raises(
        LookupError, match=r"no layer is known for novelty\.x: give novelty its place in tests/test_layers"
    ):
        violations("server.app", "from mmids_trio.novelty import x")
