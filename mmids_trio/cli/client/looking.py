"""`list`, `show` and `export`: what runs."""

import os
from difflib import get_close_matches
from pathlib import Path

import click

from mmids_trio.cli.client.api import Api
from mmids_trio.cli.client.command import Session, client_command
from mmids_trio.cli.client.failures import ClientError
from mmids_trio.cli.client.tables import HEADINGS, description, in_columns, rows, summary_of
from mmids_trio.errors import printable


@client_command("list")
@click.option("--names", is_flag=True, help="Print only the names, one per line, for scripts.")
def list_workflows(session: Session, *, names: bool) -> int:
    """List the workflows, in the order in which they started."""
    with session.api() as api:
        found = api.names()
        if names:
            session.output.document(found)
            for name in found:
                session.output.say(printable(name))
            return 0
        statuses = [(name, status) for name in found if (status := api.workflow(name)) is not None]
    summaries = [summary_of(name, status) for name, status in statuses]
    session.output.document(summaries)
    if summaries:
        heading, *lines = in_columns([HEADINGS, *rows(summaries)])
        session.output.say(heading, "bold")
        for summary, line in zip(summaries, lines, strict=True):
            session.output.say(line, "" if summary["status"] == "Running" else "red")
    else:
        session.output.say("No workflows are running")
    return 0


@client_command("show")
@click.argument("name")
def show(session: Session, *, name: str) -> int:
    """Show a workflow: its steps, their states and clients."""
    with session.api() as api:
        status = api.workflow(name)
        if status is None:
            raise missing(api, name)
    session.output.document({"name": name, **status})
    for line in description(name, status):
        session.output.say(line)
    return 0


@client_command("export")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Write a file that only its owner can read.")
@click.option(
    "--etag", is_flag=True, help="Print only the ETag (for `apply --if-match`). --output still writes the file."
)
def export(session: Session, *, output: Path | None, etag: bool) -> int:
    """Print what runs as a configuration file, which `apply` can put in place again.

    It leaves out settings and the workflows of reactors. The output contains secrets.
    """
    with session.api() as api:
        answer = api.request("GET", "/config")
    if output is not None:
        _write(output, answer.text)
    if session.output.as_json:
        session.output.document({"config": answer.text, "etag": answer.etag})
    elif etag:
        session.output.say(answer.etag or "")
    elif output is None:
        session.output.raw(answer.text)
    return 0


def missing(api: Api, name: str) -> ClientError:
    """That there is no such workflow; perhaps it has another name."""
    close = get_close_matches(name, api.names(), n=1)
    hint = f"; did you mean '{printable(close[0])}'?" if close else ""
    return ClientError(f"there is no workflow '{printable(name)}'{hint}", status=404)


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
