"""`export`: what runs, as a configuration file."""

import os
from pathlib import Path

import click

from mmids_trio.cli.client.api import set_params
from mmids_trio.cli.client.command import CommandSession, client_command
from mmids_trio.cli.client.failures import ClientError


@client_command("export")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Write a file that only its owner can read.")
@click.option(
    "--etag", is_flag=True, help="Print only the ETag (for `apply --if-match`). --output still writes the file."
)
@click.option("--set", "of_set", metavar="NAME", help="Only what belongs to this set. Default: everything.")
def export(session: CommandSession, *, output: Path | None, etag: bool, of_set: str | None) -> int:
    """Print what runs as a configuration file, which `apply` can put in place again.

    It leaves out settings and the workflows of reactors. The output contains secrets.
    """
    with session.api() as api:
        answer = api.request("GET", "/config", params=set_params(of_set))
    if output is not None:
        _write(output, answer.text)
    if session.output.as_json:
        session.output.document({"config": answer.text, "etag": answer.etag})
    elif etag:
        session.output.say(answer.etag or "")
    elif output is None:
        session.output.raw(answer.text)
    return 0


def _write(path: Path, text: str) -> None:
    """All of it or nothing: a backup that is cut short is none."""
    new = path.with_name(path.name + ".new")
    try:
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        raise ClientError(f"cannot write {path}: {error.strerror}") from error
