"""The page for users says what the code does: its examples parse, its table lists the settings and their defaults."""

import re
from pathlib import Path

import pytest

from mmids_trio.config.parser import parse
from mmids_trio.config.scanner import MAX_LINE_LENGTH, is_plain
from mmids_trio.config.settings import KNOWN_SETTINGS, Settings

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```mmids\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
ROWS = re.findall(r"^\| (`.*?) \| (.*) \| (.*) \|$", PAGE, re.MULTILINE)


def test_the_page_has_examples() -> None:
    assert len(EXAMPLES) == 3


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_parses_without_a_word(example: str) -> None:
    document = parse(example, "example")
    assert (document.problems, document.warnings) == ((), ())


def test_the_spellings_mean_what_the_page_says() -> None:
    [workflow] = parse(EXAMPLES[1], "example").workflows
    assert [dict(step.parameters) for step in workflow.steps] == [
        {"path": "C:\\hls output\\", "count": "5", "stream_name": "a#b"},
        {"target": "rtmp://example.com/app/{key}"},
        {"path": "/srv/größe", "count": "0"},
    ]


def test_every_setting_has_a_row_and_every_row_a_setting() -> None:
    documented = [name for names, _, _ in ROWS for name in re.findall(r"`(\w+)`", names)]
    assert sorted(documented) == sorted(KNOWN_SETTINGS)


def test_the_table_gives_the_defaults() -> None:
    defaults = Settings()
    for names, _, written in ROWS:
        [name, *_] = re.findall(r"`(\w+)`", names)
        value = getattr(defaults, KNOWN_SETTINGS[name].attribute)
        if value in (None, ()):
            assert not re.fullmatch(r"`.*`", written)
        else:
            assert written == f"`{str(value).lower() if isinstance(value, bool) else value}`"


def test_the_page_gives_the_limits_and_the_plain_characters() -> None:
    assert f"{MAX_LINE_LENGTH:,}" in PAGE
    [listed] = re.findall(r"any script and `(.*?)` and", PAGE)
    assert all(is_plain(character) for character in listed.split())
    assert not any(is_plain(character) for character in ' "{}\t')
