"""The pages on the HTTP API and on the commands have every call and every command that there is."""

import json
import re
from importlib import import_module
from pathlib import Path

import click

from mmids_trio import http_api
from mmids_trio.__main__ import main
from mmids_trio.definitions import StepDefinition, step_ids
from mmids_trio.http_api.operation import Operation

DOCS = Path(__file__).parents[2] / "docs"
MODULES = sorted((Path(str(http_api.__file__)).parent / "routes").glob("*.py"))


def operations() -> list[Operation]:
    """All that the modules of routes define."""
    modules = [import_module(f"mmids_trio.http_api.routes.{path.stem}") for path in MODULES if path.stem != "__init__"]
    found = {
        value.operation_id: value for module in modules for value in vars(module).values() if type(value) is Operation
    }
    return list(found.values())


def test_every_call_of_the_api_is_listed() -> None:
    page = (DOCS / "http-api.md").read_text("utf-8")
    listed = re.findall(r"^\| `([A-Z]+ /\S*)` \|", page, re.MULTILINE)
    there_are = [f"{operation.method} {operation.path}" for operation in operations() if not operation.is_of_page]
    assert sorted(_without_names(call) for call in listed) == sorted(_without_names(call) for call in there_are)


def test_the_ids_of_example_steps_are_those_of_this_server() -> None:
    page = (DOCS / "http-api.md").read_text("utf-8")
    steps = re.findall(
        r'"step_id": "(\d+)(?:\.\.\.)?", "step_type": "(\w+)",[^}]*?"parameters": ({.*?})', page, re.DOTALL
    )
    assert len(steps) >= 5
    for shown, step_type, parameters in steps:
        [step_id] = step_ids((StepDefinition(step_type, json.loads(parameters)),))
        assert step_id.startswith(shown)


def _without_names(call: str) -> str:
    return re.sub(r"<\w+>|{\w+}", "*", call)


def test_every_command_of_the_program_is_on_some_page() -> None:
    pages = "".join(page.read_text("utf-8") for page in DOCS.glob("*.md"))
    missing = [name for name in main.list_commands(click.Context(main)) if not re.search(rf"[ `]{name}\b", pages)]
    assert missing == []
