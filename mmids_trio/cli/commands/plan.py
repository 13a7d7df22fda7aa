"""`plan`: what `apply` would do. Others that change something show their plans as it does."""

import click
from attrs import evolve

from mmids_trio.cli.client.api import ApiClient, ConfigPart, Refused, given
from mmids_trio.cli.client.command import CommandSession, client_command, set_option, take_over_option
from mmids_trio.cli.client.failures import summary
from mmids_trio.cli.client.files import MergedFiles, no_env_option, read_all
from mmids_trio.cli.client.fleet import fleet_option, plan_fleet, refuse_others
from mmids_trio.cli.client.plans import ShownPlan, diff

show_keys_option = click.option(
    "--show-keys", is_flag=True, help="Show the exact stream keys of rtmp_receive. Default: *** in their place."
)


in_place_option = click.option(
    "--in-place/--no-in-place",
    default=None,
    help="Have running steps take the parameters that they can, with their clients. Default: the server's setting"
    " changes_in_place.",
)


def make_plan(
    api: ApiClient, merged: MergedFiles, part: ConfigPart, *, show_keys: bool = False, if_match: str | None = None
) -> ShownPlan:
    """Ask for the plan. What the server finds in the files it says with their names and lines."""
    try:
        plan = api.plan(merged.text, part, show_keys=show_keys, if_match=if_match)
        if not plan.problems:
            return plan
        found = tuple(merged.localised_problems(plan.problems))
        return evolve(plan, problems=found, document={**plan.document, "problems": found})
    except Refused as error:
        message, problems = with_option(merged.localised(str(error))), merged.localised_problems(error.problems)
        raise Refused(message, status=error.status or 0, etag=error.etag, problems=problems) from None


def with_option(message: str) -> str:
    """What the server says of what others have, with the name that the option has here."""
    return message.replace("or take it over", "or take it over with --take-over")


def show_plan(session: CommandSession, plan: ShownPlan) -> None:
    """Print it for people. The steps are as the server shows them: it alone knows what is secret in them."""
    if not session.output.as_json:
        session.output.show(diff(plan))
    for problem in plan.problems:
        session.output.warn(summary(problem))


@client_command("plan")
@click.argument("paths", metavar="FILE|DIR...", nargs=-1, required=True)
@click.option("--prune", is_flag=True, help="Plan to stop what else the set has, and the files do not name.")
@set_option
@take_over_option
@show_keys_option
@in_place_option
@fleet_option
@no_env_option
def plan(
    session: CommandSession,
    *,
    paths: tuple[str, ...],
    prune: bool,
    of_set: str | None,
    take_over: bool,
    show_keys: bool,
    in_place: bool | None,
    fleet: bool,
    no_env: bool,
) -> int:
    """Show what apply would change: steps kept (=), changed (~), started (+) and stopped (-), what changes in them,
    and whom it disconnects.

    A DIR stands for its *.mmids files, in the order of their names; - is standard input.
    Exit status: 0 no changes, 2 changes, 1 error, also where the plan cannot be carried out.
    """
    merged = read_all(paths, no_env=no_env)
    for note in merged.notes:
        session.output.warn(note)
    if fleet:
        refuse_others(set=of_set, prune=prune, show_keys=show_keys)
        return plan_fleet(session, merged, given(take_over=take_over or None, in_place=in_place))
    with session.api() as api:
        planned = make_plan(api, merged, ConfigPart(of_set, prune, take_over, in_place), show_keys=show_keys)
        show_plan(session, planned)
    session.output.document({**planned.document, "etag": planned.etag})
    return planned.exit_status
