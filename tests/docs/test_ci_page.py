"""The pipelines of the page on CI are those of the examples, and call commands that there are."""

import re
import shlex
from itertools import takewhile
from pathlib import Path
from typing import Any

import click
import pytest
import yaml  # type: ignore[import-untyped]  # it has no types

from mmids_trio.__main__ import main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "ci.md").read_text("utf-8")
RELOADS = (ROOT / "docs" / "reloads.md").read_text("utf-8")
PIPELINE = (ROOT / "examples" / "ci" / "github-actions.yml").read_text("utf-8")
SCRIPT = (ROOT / "examples" / "ci" / "deploy.sh").read_text("utf-8")

CLIENT = (
    "plan",
    "apply",
    "reload",
    "list",
    "show",
    "export",
    "wait",
    "delete",
    "switch",
    "streams",
    "clients",
    "kick",
    "ban",
    "top",
    "events",
)
COMMON = {"--server", "--ca", "--token", "--json", "--help"}
SHELL_WORDS = {"|", "||", "&&", ";", ">", ">>", "<", "done", "do", ")"}


def jobs() -> dict[str, Any]:
    """The jobs of the pipeline."""
    document = yaml.safe_load(PIPELINE)
    assert set(document[True]) == {"pull_request", "push"}  # YAML 1.1 takes `on` for true
    found: dict[str, Any] = document["jobs"]
    return found


def commands(text: str) -> list[list[str]]:
    """Every call of the client in a piece of shell, with the words that are its own."""
    calls = []
    for line in text.splitlines():
        for call in re.split(r"(?<![\w/.])mmids(?:_trio)? (?=[a-z])", line.partition("# ")[0])[1:]:
            spaced = re.sub(r"(?<=\S)([;|]|\)$|\)(?=\s))", r" \1", call.split(" | ")[0])
            words = list(takewhile(lambda word: word not in SHELL_WORDS, shlex.split(spaced)))
            calls.append([word for word in words if not word.startswith((">", "<"))])
    return calls


def shown(page: str) -> str:
    """The code spans and indented lines of a page, each on a line."""
    prose = re.sub(r"^```.*?^```$", "", page, flags=re.DOTALL | re.MULTILINE)
    return "\n".join([*re.findall(r"`([^`\n]+)`", prose), *re.findall(r"^    (.+)$", prose, re.MULTILINE)])


def parse(words: list[str]) -> None:
    """Let click read a call; raises for wrong ones."""
    program = click.Context(main, **main.context_settings)
    command = main.get_command(program, words[0])
    assert command is not None, words
    command.make_context(words[0], words[1:], parent=program)


def test_the_pipeline_of_the_page_is_the_example() -> None:
    [block] = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert block == PIPELINE


def test_the_pipeline_plans_pull_requests_and_applies_merges() -> None:
    plan, apply = jobs()["plan"], jobs()["apply"]
    assert plan["if"] == "github.event_name == 'pull_request'"
    assert apply["if"] == "github.event_name == 'push'"
    names = [step.get("name") for step in apply["steps"]]
    assert names[-4:] == ["Keep what runs", "Apply", "Health check", "Roll back"]
    assert apply["steps"][-1]["if"] == "failure() && steps.apply.outcome == 'success'"


RUNS = [step["run"] for job in jobs().values() for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("words", commands("\n".join(RUNS)), ids=lambda words: words[0])
def test_every_call_of_the_pipeline_is_one_of_the_program(words: list[str]) -> None:
    parse(words)


@pytest.mark.parametrize("words", commands(shown(PAGE) + shown(RELOADS)), ids=lambda words: words[0])
def test_every_call_of_the_pages_is_one_of_the_program(words: list[str]) -> None:
    parse(words)


def test_pipeline_and_script_make_the_same_calls() -> None:
    def kinds(text: str) -> set[tuple[str, ...]]:
        found = commands(text)
        return {
            (words[0], *sorted(word for word in words if word.startswith("--") and word != "--")) for words in found
        }

    calls = kinds("\n".join(RUNS))
    assert len(calls) == 7
    assert calls == kinds(SCRIPT)


def test_every_variable_of_the_script_stands_on_the_page() -> None:
    used = set(re.findall(r"\$\{([A-Z_]+)", SCRIPT))
    assert len(used) == 6
    assert [name for name in used if f"`{name}`" not in PAGE] == []


@pytest.mark.parametrize("name", CLIENT)
def test_every_command_and_option_stands_on_the_page(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert re.search(rf"^\| `{name}\b", RELOADS, re.MULTILINE)
    options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
    assert options >= {"--server", "--ca", "--token", "--json"}
    assert [option for option in options - COMMON if not re.search(rf"`{option}\b", RELOADS)] == []


def test_the_common_options_stand_on_the_page() -> None:
    assert re.findall(r"^\| `(--\w+)[^|]*\| `(\w+)", RELOADS, re.MULTILINE) == [
        ("--server", "MMIDS_SERVER"),
        ("--ca", "MMIDS_CA"),
        ("--token", "MMIDS_TOKEN"),
        ("--json", "MMIDS_JSON"),
    ]
