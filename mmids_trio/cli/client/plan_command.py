"""`plan`: what `apply` would do."""

import click

from mmids_trio.cli.client.command import Session, client_command
from mmids_trio.cli.client.shown_plan import make_plan, show_plan
from mmids_trio.cli.client.sources import read_all


@client_command("plan")
@click.argument("paths", metavar="FILE|DIR...", nargs=-1, required=True)
@click.option("--prune", is_flag=True, help="Plan to stop what the files do not name (but for workflows of reactors).")
def plan(session: Session, *, paths: tuple[str, ...], prune: bool) -> int:
    """Show what apply would change: steps kept (=), started (+) and stopped (-), and whom that disconnects.

    Of a DIR all *.mmids files count, in the order of their names; - is standard input.
    Exit status: 0 no change, 2 changes, 1 an error.
    """
    merged = read_all(paths)
    for note in merged.notes:
        session.output.warn(note)
    with session.api() as api:
        planned = make_plan(api, merged, prune=prune)
        show_plan(session, planned)
    session.output.document({**planned.document, "etag": planned.etag})
    return planned.exit_status
