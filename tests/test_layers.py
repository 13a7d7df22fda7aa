"""The layers of the architecture, enforced: imports point downward, and modules stay small.

Every import of every module is read from its source, also those inside functions and under `TYPE_CHECKING`.
A new module has to be given its place in `PLACES` first, unless its folder has one.
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = "mmids_trio"
TESTS = Path(__file__).parent
SOURCE = TESTS.parent / PACKAGE
LONGEST_FILE = 700  # lines; beyond it, look for the seam

PLACES: Mapping[str, str] = {
    "errors": "A",
    "reservation": "A",
    "__version__": "A",
    "definitions": "A",
    "guards": "A",
    "masking": "A",
    "media": "A",
    "backoff": "B",
    "config": "B",
    "continuity": "B",
    "ffmpeg": "C",
    "ffmpeg.arguments": "B",
    "ffmpeg.feed": "B",
    "ffmpeg.file_names": "B",
    "ffmpeg.locations": "B",
    "ffmpeg.masking": "B",
    "ffmpeg.media_pipe": "B",
    "ffmpeg.parameters": "B",
    "ffmpeg.slate_arguments": "B",
    "ffmpeg.state": "B",
    "reactors.catalog": "D",
    "reactors.executor": "B",
    "capture": "C",
    "capture.chunk_masking": "B",
    "capture.masking": "B",
    "capture.message_scripts": "B",
    "capture.patching": "B",
    "capture.pseudonyms": "B",
    "capture.records": "B",
    "capture.running": "B",
    "capture.tape": "B",
    "rtmp.protocol": "B",
    "rtmp.server.play_tokens": "B",
    "rtmp.server.registrations": "B",
    "net": "C",
    "net.addresses": "B",
    "fanout": "C",
    "state": "E",
    "state.file": "C",
    "state.record": "B",
    "state.store": "C",
    "state.text": "B",
    "steps.parameters": "B",
    "steps.watch_options": "B",
    "workflow.happenings": "B",
    "workflow.plan": "B",
    "workflow.replay": "B",
    "workflow.rewiring": "B",
    "workflow.status": "B",
    "metrics": "B",
    "metrics.loop": "C",
    "offload": "C",
    "reactors.simple_http": "C",
    "rtmp": "C",
    "steps": "D",
    "reactors": "E",
    "workflow": "E",
    "cli": "F",
    "cli.client.failures": "B",
    "cli.client.plans": "B",
    "cli.client.tables": "B",
    "cli.commands.check": "G",
    "cli.commands.record": "G",
    "cli.commands.replay": "G",
    "cli.serving": "G",
    "http_api": "F",
    "webhook": "F",
    "webhook.backlog": "B",
    "webhook.signature": "B",
    "http_api.etags": "B",
    "http_api.refusals": "B",
    "__main__": "G",
    "server": "G",
    "reload": "F",
    "testing": "G",
    "logs": "L",
}
"""Modules and folders by layer; of several entries that hold a module, the longest counts."""

BELOW = {"A": "A", "B": "AB", "C": "ABC", "D": "ABCD", "E": "ABE", "F": "ABCDEF", "G": "ABCDEFG", "L": "A"}
"""The layers that each layer may import from. L, the set-up of logging, is a leaf."""

OPEN_TO = {"workflow.step": "D", "steps.registry": "E"}
"""Modules open to one layer more than `BELOW` says: the contract of a step, and which steps there are."""

RESERVED_FOR = {"logs": ("cli", "app", "__main__"), "testing": ("testing", "cli.commands.replay")}
"""Modules that only these may import, whatever `BELOW` says. `testing` is for tests, and for replaying tapes."""

PURE = "AB"
"""Layers without the outside world: the rest of the standard library, and of other packages only attrs."""

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


def layer_of(name: str) -> str:
    """The layer of a name inside the package.

    A folder's `__init__` runs before anything in the folder, so it counts as the lowest layer there.
    """
    folder, _, last = name.rpartition(".")
    if last == "__init__":
        return min(layer for place, layer in PLACES.items() if not folder or _share_a_path(place, folder))
    places = [place for place in PLACES if is_within(name, place)]
    if not places:
        raise LookupError(f"no layer is known for {name}: give it a place in tests/test_layers.py")
    return PLACES[max(places, key=len)]


def _share_a_path(place: str, folder: str) -> bool:
    return is_within(place, folder) or is_within(folder, place)


def complaint_about(module: str, imported: str) -> str | None:
    """What is wrong with `module` importing `imported` (a full name), if anything is."""
    if is_within(imported, "asyncio"):
        return "everything runs on trio"
    if is_within(imported, PACKAGE):
        return _complaint_about_ours(module, imported.removeprefix(PACKAGE).removeprefix("."))
    if layer_of(module) not in PURE:
        return None
    if any(_share_a_path(imported, part) for part in OUTSIDE_WORLD):
        return f"layer {layer_of(module)} never touches the outside world"
    known = imported.partition(".")[0] in {*sys.stdlib_module_names, "attrs"}
    return None if known else f"layer {layer_of(module)} needs only attrs"


def _complaint_about_ours(module: str, imported: str) -> str | None:
    layer, target = layer_of(module), layer_of(imported or "__init__")
    for place, importers in RESERVED_FOR.items():
        if is_within(imported, place):
            allowed = any(is_within(module, importer) for importer in importers)
            return None if allowed else f"only {', '.join(importers)} may"
    open_to = [to for name, to in OPEN_TO.items() if is_within(imported, name)]
    allowed = target in BELOW[layer] or layer in open_to
    return None if allowed else f"layer {layer} may not import from layer {target}"


def violations(module: str, source: str) -> list[str]:
    """Every import of `module` (named without the package) that its layer does not allow."""
    layer_of(module)
    found = ((item, complaint_about(module, item.name)) for item in imports_of(module, source))
    return [f"{module}:{item.line} imports {item.name}: {why}" for item, why in found if why]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts)


MODULES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}
FILES = {str(path.relative_to(TESTS.parent)): path for root in (SOURCE, TESTS) for path in sorted(root.rglob("*.py"))}


def test_the_modules_are_found() -> None:
    assert {"errors", "media.events", "workflow.step", "rtmp.protocol.__init__"} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downward(module: str) -> None:
    assert violations(module, MODULES[module].read_text("utf-8")) == []


@pytest.mark.parametrize("file", FILES)
def test_no_file_is_too_long(file: str) -> None:
    assert len(FILES[file].read_text("utf-8").splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize(
    ("module", "source", "why"),
    [
        ("media.codecs", "import trio", "layer A needs only attrs"),
        ("media.codecs", "from mmids_trio.config.parser import parse", "layer A may not import from layer B"),
        (
            "config.parser",
            "def read():\n    from pathlib import Path",
            "layer B never touches the outside world",
        ),
        ("config.parser", "import pathlib", "layer B never touches the outside world"),
        ("config.parser", "import os.path", "layer B never touches the outside world"),
        ("rtmp.protocol.chunks", "from ..server import Server", "layer B may not import from layer C"),
        ("rtmp.protocol.chunks", "import structlog", "layer B needs only attrs"),
        ("rtmp.server.registrations", "from time import monotonic", "layer B never touches the outside world"),
        ("rtmp.__init__", "from mmids_trio.rtmp.server.server import Server", "layer B may not import from layer C"),
        ("__init__", "from mmids_trio.config import parser", "layer A may not import from layer B"),
        ("rtmp.server.server", "from mmids_trio import steps", "layer C may not import from layer D"),
        ("rtmp.server", "import asyncio", "everything runs on trio"),
        ("rtmp.server", "from asyncio import Queue", "everything runs on trio"),
        ("rtmp.server", "from mmids_trio import logs", "only cli, server, __main__ may"),
        (
            "steps.rtmp_watch",
            "from mmids_trio.workflow import runtime",
            "layer D may not import from layer E",
        ),
        (
            "workflow.runtime",
            "from mmids_trio.steps import rtmp_watch",
            "layer E may not import from layer D",
        ),
        ("workflow.runtime", "import mmids_trio.rtmp.server.server", "layer E may not import from layer C"),
        ("http_api.app", "from mmids_trio.app import main", "layer F may not import from layer G"),
        ("app", "from mmids_trio.testing.harness import Harness", "only testing, cli.commands.replay may"),
        ("logs", "from mmids_trio.config import settings", "layer L may not import from layer B"),
    ],
)
def test_an_import_that_points_upward_is_caught(module: str, source: str, why: str) -> None:
    [violation] = violations(module, source)
    assert violation.startswith(f"{module}:{source.count(chr(10)) + 1} imports ")
    assert violation.endswith(f": {why}")


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("media.codecs", "import struct, typing\nfrom attrs import frozen"),
        ("config.parser", "from urllib.parse import urlsplit\nfrom pathlib import PurePath"),
        ("rtmp.protocol.chunks", "from . import limits\nfrom ...errors import ProtocolError"),
        (
            "rtmp.server",
            "import trio, structlog, socket, mmids_trio\nfrom mmids_trio.rtmp.protocol import chunks",
        ),
        ("steps.rtmp_watch", "from mmids_trio.rtmp.server.server import Server\nfrom mmids_trio.steps import base"),
        ("workflow.runtime", "from mmids_trio.steps.base import Step\nfrom mmids_trio.steps import registry"),
        ("testing.__init__", "from mmids_trio.testing.harness import Harness"),
        ("cli.commands", "from mmids_trio import logs"),
        ("server.app", "from mmids_trio.logs import configure\nfrom mmids_trio.http_api import server"),
    ],
)
def test_an_import_that_points_downward_is_fine(module: str, source: str) -> None:
    assert violations(module, source) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [("novelty", ""), ("server.app", "from mmids_trio import novelty")],
)
def test_a_module_without_a_place_is_refused(module: str, source: str) -> None:
    with pytest.raises(LookupError, match=r"no layer is known for .*novelty: give it a place in tests/test_layers"):
        violations(module, source)
