"""What pages show as commands is run by tests/e2e/test_page_commands.py, or says above it why it cannot be."""

import re
from pathlib import Path

import pytest

from tests.support.pages import HEADS, PAGES, ROOT, blocks, script

ALL = [block for page in (*PAGES, *HEADS) for block in blocks(page)]


def test_most_blocks_are_run() -> None:
    run = [block for block in ALL if block.not_run is None]
    assert len(run) > 40
    assert len(run) > 2 * len([block for block in ALL if block.not_run is not None])


def test_what_is_not_run_says_why_in_a_sentence() -> None:
    for block in ALL:
        assert block.not_run is None or len(block.not_run.split()) >= 3, block.place


@pytest.mark.parametrize("page", [*PAGES, *HEADS], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_mark_stands_above_a_block(page: Path) -> None:
    text = page.read_text("utf-8")
    marks = len(re.findall(r"^<!-- (?:not run|file|first|exits)", text, re.MULTILINE))
    used = sum(
        (block.not_run is not None) + (block.name is not None) + bool(block.first) + bool(block.exits)
        for block in blocks(page)
    )
    assert used >= marks, "a mark stands above no block"


def test_a_page_becomes_a_script_with_everything_in_its_order(tmp_path: Path) -> None:
    given = tmp_path / "page.md"
    given.write_text(
        "Text.\n\n<!-- file: a.mmids -->\n```mmids\nworkflow a {\n}\n```\n\nRun it:\n\n<!-- exits: 2 -->\n\n"
        "    mmids_trio plan a.mmids\n\n<!-- not run: it never ends -->\n\n    yes\n\n"
        '    {"an": "answer"}\n\n    curl -N http://127.0.0.1:9011/events\n    ffplay x &\n'
    )
    assert script(given).count("until_at_work") == 2
    assert [(block.text, block.name, block.not_run, block.exits) for block in blocks(given)] == [
        ("workflow a {\n}\n", "a.mmids", None, ()),
        ("mmids_trio plan a.mmids\n", None, None, (2,)),
        ("yes\n", None, "it never ends", ()),
        ("curl -N http://127.0.0.1:9011/events\nffplay x &\n", None, None, ()),
    ]
