"""The command that makes named tokens of the API, lists and revokes them."""

import json
from datetime import datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mmids_trio.__main__ import main
from mmids_trio.http_api.token_file import read_file
from mmids_trio.http_api.tokens import bearer_of


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


def test_a_token_is_printed_once_and_valid_until_it_is_revoked(file: Path) -> None:
    made = run("token", "add", "anna", "--scope", "read", "--scope", "change:team-*", "--file", str(file))
    assert made.exit_code == 0
    secret = made.stdout.strip()
    assert "until" not in made.stderr
    assert secret not in made.stderr
    token = bearer_of(secret.encode(), read_file(file))
    assert token is not None
    assert token.name == "anna"
    listed = run("token", "list", "--json", "--file", str(file))
    [shown] = json.loads(listed.stdout)
    assert (shown["name"], shown["scopes"]) == ("anna", ["read", "change:team-*"])
    assert secret not in listed.output
    assert token.digest not in listed.output
    revoked = run("token", "revoke", "anna", "--file", str(file))
    assert (revoked.exit_code, revoked.output) == (0, "the token of 'anna' is revoked\n")
    assert read_file(file) == ()


@pytest.mark.parametrize(("expires", "seconds"), [("45m", 2700), ("12h", 43_200), ("30d", 2_592_000)])
def test_a_token_may_expire(file: Path, expires: str, seconds: int) -> None:
    made = run("token", "add", "anna", "--scope", "read", "--expires", expires, "--file", str(file))
    assert made.exit_code == 0
    [token] = read_file(file)
    assert token.expires is not None
    lasts = datetime.fromisoformat(token.expires) - datetime.fromisoformat(token.made)
    assert lasts.total_seconds() == pytest.approx(seconds, abs=0.01)
    assert f"(read, until {token.expires})" in made.stderr
    [shown] = json.loads(run("token", "list", "--json", "--file", str(file)).stdout)
    assert shown["expires"] == token.expires
    assert run("token", "list", "--file", str(file)).stdout.endswith(f"read, until {token.expires}\n")


def test_the_file_is_the_one_of_the_configuration(tmp_path: Path) -> None:
    config = tmp_path / "mmids.config"
    config.write_text("settings {\n    http_api_tokens_path secrets/tokens.json\n}\n")
    (tmp_path / "secrets").mkdir()
    assert run("--config", str(config), "token", "add", "bert", "--scope", "kick").exit_code == 0
    assert [token.name for token in read_file(tmp_path / "secrets" / "tokens.json")] == ["bert"]
    listed = run("--config", str(config), "token", "list")
    assert listed.stdout.split()[0::2] == ["bert", "kick"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("add", "anna", "--scope", "read"), "there is a token 'anna'; revoke it first, or take another name"),
        (("add", "bert", "--scope", "write"), "unknown scope 'write'; expected read, change:PATTERN, kick or admin"),
        (("add", "a b", "--scope", "read"), "no token can be called 'a b'; expected 1 to 64 of A-Z a-z 0-9 . _ -"),
        (
            ("add", "bert", "--scope", "read", "--expires", "0d"),
            "--expires: expected a time from 1m to 9999d, with its unit, as in 200ms, 2s, 5m or 1h",
        ),
        (("revoke", "anna", "bert"), "there is no token 'bert'; nothing was changed"),
    ],
)
def test_what_cannot_be_done_changes_nothing(file: Path, arguments: tuple[str, ...], message: str) -> None:
    run("token", "add", "anna", "--scope", "read", "--file", str(file))
    before = file.read_bytes()
    refused = run("token", *arguments, "--file", str(file))
    assert (refused.exit_code, refused.output) == (1, f"error: {message}\n")
    assert file.read_bytes() == before


def test_without_a_file_the_command_says_how_to_name_one(tmp_path: Path) -> None:
    config = tmp_path / "mmids.config"
    config.write_text("settings {\n}\n")
    refused = run("--config", str(config), "token", "list")
    assert refused.exit_code == 1
    assert refused.output == f"error: {config} has no setting http_api_tokens_path; name the file with --file\n"
