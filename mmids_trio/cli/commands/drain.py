"""`drain`: empty a server before it stops, and wait until it is."""

import time
from collections.abc import Mapping
from typing import Any

import click

from mmids_trio.cli.client.api import ApiClient, Method
from mmids_trio.cli.client.command import FAILED, CommandSession, client_command
from mmids_trio.cli.client.failures import ClientError
from mmids_trio.config.converters import duration
from mmids_trio.errors import MmidsError, printable
from mmids_trio.workflow.plan_summary import clients

LOOK_SECONDS = 0.5
"""Between two looks: little for a server, and short for what waits to be stopped."""

PATH = "/cluster/drain"
_parse = duration("0s", "24h")


class Duration(click.ParamType[float]):
    """A number of seconds, or one with a unit as the configuration has it."""

    name = "DURATION"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """In seconds."""
        text = str(value)
        try:
            return _parse(f"{text}s" if text.isdecimal() else text)
        except (MmidsError, ValueError) as error:
            self.fail(str(error), param, ctx)


@client_command("drain")
@click.argument("node", required=False)
@click.option(
    "--deadline",
    type=Duration(),
    default="5m",
    show_default=True,
    help="How long to wait at most, such as 30s or 10m; the server then counts as drained, whoever is left.",
)
@click.option("--lift", is_flag=True, help="Have it take publishers again.")
def drain(session: CommandSession, *, node: str | None, deadline: float, lift: bool) -> int:
    """Empty a server: nobody may publish to it any more, /ready answers 503, and clients that can (Enhanced RTMP) are
    asked to connect again. Return when nobody is left.

    NODE is a node of the cluster, which any other can be asked for; without it, it is the server that is asked.
    Exit status: 0 it is empty; 1 somebody is left at the deadline, or error.
    """
    params = {} if node is None else {"node": node}
    with session.api() as api:
        if lift:
            session.output.document(_asked(api, "DELETE", params))
            session.output.say("takes publishers again", "green")
            return 0
        state = _asked(api, "POST", {**params, "deadline": str(round(deadline))})
        if state["asked_to_move"]:
            session.output.say(f"{state['asked_to_move']} were asked to connect again")
        with session.output.working(f"draining {_name(state)}, for {deadline:g} s at most"):
            while not state["over"]:
                time.sleep(LOOK_SECONDS)
                state = _asked(api, "GET", params)
                if not state["draining"]:
                    raise ClientError("it was told to take publishers again")
    session.output.document(state)
    if state["publishers"] or state["watchers"]:
        session.output.warn(f"the deadline is over with {clients(state['publishers'], state['watchers'])}")
        return FAILED
    session.output.say(f"{_name(state)} is drained", "green")
    return 0


def _asked(api: ApiClient, method: Method, params: Mapping[str, str]) -> Mapping[str, Any]:
    state = api.request(method, PATH, params=params).json()
    if not isinstance(state, Mapping) or not {"draining", "over"} <= set(state):
        raise ClientError("the answer does not say how far it is; is this the HTTP API of an mmids_trio?")
    return state


def _name(state: Mapping[str, Any]) -> str:
    return f"node {printable(state['node'])}" if state.get("node") else "the server"
