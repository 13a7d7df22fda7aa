"""What a log line may hold: every value that a client may have chosen is short, and no spelling of a secret gets by."""

import json
import logging
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import structlog

from mmids_trio.server.log_lines import (
    DEEPEST,
    LONGEST_TEXT,
    LONGEST_TRACEBACK,
    LONGEST_VALUE,
    MOST_ITEMS,
    client_of,
    fit,
    make_fit,
)
from mmids_trio.server.logs import FILE_NAME, configure


def made_fit(**line: object) -> dict[str, Any]:
    return dict(make_fit(None, "info", dict(line)))


def test_a_long_value_is_cut_and_says_how_long_it_was() -> None:
    assert fit("x" * LONGEST_VALUE) == "x" * LONGEST_VALUE
    assert fit("x" * 60_000) == "x" * LONGEST_VALUE + "… (60000)"


def test_what_the_server_composes_may_be_longer_but_for_lines_about_clients() -> None:
    text = "x" * 60_000
    assert len(made_fit(event="child ended", reason=text)["reason"]) <= LONGEST_TEXT + 10
    assert len(made_fit(event="connection closes", reason=text, connection="192.0.2.1:5")["reason"]) <= 138


@pytest.mark.parametrize("name", ["stream", "app", "workflow", "served", "anything", "exception", "event", "reason"])
def test_no_value_is_longer_than_its_bound(name: str) -> None:
    assert len(made_fit(**{name: "\x00" * 1_000_000})[name]) <= (LONGEST_TRACEBACK + 20) * 4


@pytest.mark.thorough
def test_lists_and_mappings_are_bounded_on_every_level() -> None:
    nested: object = "x"
    for _ in range(50):  # as a text it would fill the memory
        nested = [nested] * 50
    shown = fit(nested)
    for _ in range(DEEPEST):
        assert isinstance(shown, list)
        assert len(shown) == MOST_ITEMS + 1
        assert shown[-1] == "… (50)"
        shown = shown[0]
    assert shown == "…"
    assert len(fit({str(number): "" for number in range(1000)})) == MOST_ITEMS + 1  # type: ignore[arg-type]


def test_a_long_traceback_keeps_both_ends() -> None:
    shown = made_fit(exception="begin" + "x" * 100_000 + "end")["exception"]
    assert len(shown) <= LONGEST_TRACEBACK
    assert shown.startswith("begin")
    assert shown.endswith("end")


MISTYPED = ["k6&token=sesame", "k7;token=sesame", "k9%3Ftoken=sesame", "k?token=sesame", "k？token＝sesame", "k&sesame"]  # noqa: RUF001


@pytest.mark.parametrize("key", MISTYPED)
@pytest.mark.parametrize("name", ["stream", "stream_key", "app", "served"])
def test_a_key_with_a_mistyped_query_shows_no_token(key: str, name: str) -> None:
    assert "sesame" not in made_fit(**{name: key})[name]


@pytest.mark.parametrize("key", MISTYPED[:-1])
def test_neither_do_texts_that_quote_it(key: str) -> None:
    for text in (f"refused: stream key '{key}' is taken", f"rtmp://host/live/{key}", [key], {"a": key}):
        assert "sesame" not in str(made_fit(reason=text, other=text, exception=text))


@pytest.mark.parametrize("padding", [LONGEST_VALUE - 15, LONGEST_VALUE + 1990, LONGEST_VALUE + 2010])
def test_a_cut_never_uncovers_a_secret(padding: int) -> None:
    assert "sesame" not in str(fit("x" * padding + " rtmp://somebody:sesame" + "s" * 60_000 + "@host/live"))
    assert "sesame" not in str(fit("x" * padding + "?sesame" + "s" * 60_000))


def test_controls_and_marks_of_direction_are_escaped_in_all_that_is_written(tmp_path: Path) -> None:
    console = StringIO()
    with configure(level=logging.INFO, directory=tmp_path, console=console):
        structlog.get_logger().info("odd\nforged \x1b[2J", stream="\x1b[2J\u202e\x9b", other=["\x07"])
    [line] = [json.loads(line) for line in (tmp_path / FILE_NAME).read_text().splitlines()]
    assert line["event"] == "odd\\nforged \\x1b[2J"
    assert (line["stream"], line["other"]) == ("\\x1b[2J\\u202e\\x9b", ["\\x07"])
    assert console.getvalue().isprintable() or console.getvalue().count("\n") == 1


@pytest.mark.parametrize(
    ("line", "client"),
    [
        ({"connection": "192.0.2.1:5"}, "192.0.2.1:5"),
        ({"client": "192.0.2.1"}, "192.0.2.1"),
        ({"ip": "2001:db8::/64"}, "2001:db8::/64"),
        ({"client": None, "stream": "x"}, None),
    ],
)
def test_the_client_that_a_line_is_about(line: dict[str, object], client: str | None) -> None:
    assert client_of(line) == client
