"""`plan`: what `apply` would do."""

import click

from mmids_trio.cli.client.command import Session, client_command
from mmids_trio.cli.client.shown_plan import make_plan, show_plan
from mmids_trio.cli.client.sources import read_all


@client_command("plan")
@click.argument("paths", metavar="FILE|DIR...", nargs=-1, required=True)
@click.option("--prune", is_flag=True, help="Plan to stop what the files do not name (except workflows of reactors).")
def plan(session: Session, *, paths: tuple[str, ...], prune: bool) -> int:
    """Show what apply would change: steps kept (=), started (+) and stopped (-), and whom it disconnects.

    A DIR stands for its *.mmids files, in the order of their names; - is standard input.
    Exit status: 0 no changes, 2 changes, 1 error.
    """
    merged = read_all(paths)
    for note in merged.notes:
        session.output.warn(note)
    with session.api() as api:
        planned = make_plan(api, merged, prune=prune)
        show_plan(session, api, planned, merged)
    session.output.document({**planned.document, "etag": planned.etag})
    return planned.exit_status
