"""`token`: adds, lists and revokes named tokens of the API, in the file that the server looks at."""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any

import click

from mmids_trio.cli.common_options import json_option
from mmids_trio.cli.known_kinds import KnownKinds
from mmids_trio.config.converters import duration
from mmids_trio.errors import MmidsError, printable
from mmids_trio.http_api.token_file import changed, read_file
from mmids_trio.http_api.tokens import MAX_TOKENS, NamedToken, Scope, make_token
from mmids_trio.moments import rfc3339


@click.group()
def token() -> None:
    """Add, list and revoke named tokens of the HTTP API.

    They are in the file that the setting http_api_tokens_path names. The server looks at it as requests come, so a
    token is valid, or is not any more, within a second. The file has no tokens, only their hashes.
    """


def _on_the_file(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the file, and say in one message what is wrong with it."""

    @click.option(
        "--file",
        "path",
        type=click.Path(path_type=Path),
        help="The file of tokens. Default: what http_api_tokens_path of the configuration file (--config) says.",
    )
    @click.pass_context
    @wraps(function)
    def run(context: click.Context, /, *, path: Path | None, **options: Any) -> None:
        try:
            function(path or _path_of(context.find_root().params["config"]), **options)
        except (MmidsError, ValueError) as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(1)

    return run


def _path_of(config: Path) -> Path:
    path = KnownKinds.of(()).read(config).settings.http_api_tokens_path
    if path is None:
        raise MmidsError(f"{config} has no setting http_api_tokens_path; name the file with --file")
    return Path(path)


@token.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    metavar="SCOPE",
    help="read, change:PATTERN (workflows by name, * for any characters), kick or admin; may be repeated.",
)
@click.option(
    "--expires",
    metavar="TIME",
    help="For how long it is good (45m, 12h, 30d). Default: until it is revoked.",
)
@_on_the_file
def add(path: Path, *, name: str, scopes: tuple[str, ...], expires: str | None) -> None:
    """Make a token for NAME and print it: it is shown this once.

    Exit status: 0 it is valid; 1 error, also if there is a token of that name.
    """
    now = datetime.now(UTC).timestamp()
    end = None if expires is None else rfc3339(now + _seconds(expires))
    secret, made = make_token(name, map(Scope.parse, scopes), rfc3339(now), end)
    with changed(path) as tokens:
        if any(each.name == name for each in tokens):
            raise ValueError(f"there is a token '{name}'; revoke it first, or take another name")
        if len(tokens) >= MAX_TOKENS:
            raise ValueError(f"there are {MAX_TOKENS} tokens, and no more may be")
        tokens.append(made)
    click.echo(f"the token of '{name}' ({_scopes(made)}{_end(made)}), which nobody can show you again:", err=True)
    click.echo(secret)


@token.command("list")
@json_option
@_on_the_file
def list_tokens(path: Path, *, as_json: bool) -> None:
    """Print names and scopes of all tokens, and when they expire."""
    tokens = read_file(path)
    if as_json:
        shown = [
            {"name": each.name, "scopes": list(map(str, each.scopes)), "made": each.made, "expires": each.expires}
            for each in tokens
        ]
        click.echo(json.dumps(shown, ensure_ascii=False))
        return
    width = max((len(each.name) for each in tokens), default=0)
    for each in tokens:
        click.echo(printable(f"{each.name:{width}}  {each.made}  {_scopes(each)}{_end(each)}"))


@token.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@_on_the_file
def revoke(path: Path, *, names: tuple[str, ...]) -> None:
    """Make the tokens of these names worthless.

    Exit status: 0 they are; 1 error, also if one of them is not there: nothing was changed then.
    """
    with changed(path) as tokens:
        known = {each.name for each in tokens}
        if missing := [name for name in names if name not in known]:
            raise ValueError(f"there is no token '{printable(missing[0])}'; nothing was changed")
        tokens[:] = [each for each in tokens if each.name not in names]
    for name in dict.fromkeys(names):
        click.echo(f"the token of '{name}' is revoked")


_lifetime = duration("1m", "9999d")


def _seconds(text: str) -> float:
    try:
        return _lifetime(text)
    except ValueError as error:
        raise ValueError(f"--expires: {error}") from None


def _end(each: NamedToken) -> str:
    return "" if each.expires is None else f", until {each.expires}"


def _scopes(each: NamedToken) -> str:
    return " ".join(map(str, each.scopes))
