"""`top`: the streams of a server as they are right now, again and again."""

import sys
import time
from collections.abc import Callable

import click
from rich.console import Console
from rich.live import Live

from mmids_trio.cli.client.api import ApiClient, Refused
from mmids_trio.cli.client.board import Board, Row
from mmids_trio.cli.client.command import CommandSession, client_command
from mmids_trio.cli.client.pages import everything
from mmids_trio.cli.client.screen import key_within, keyboard, picture
from mmids_trio.cli.commands.kick import send_away

Look = Callable[[ApiClient, Board], None]
"""Fills a board once."""


@client_command("top")
@click.option(
    "--interval",
    type=click.FloatRange(0.2, 3600),
    metavar="SECONDS",
    default=1.0,
    show_default=True,
    help="From one look at the server to the next.",
)
@click.option(
    "--count", type=click.IntRange(1), metavar="N", help="End after so many looks; 1 where there is no terminal."
)
@click.option("--cluster", is_flag=True, help="The nodes of the server's cluster, and the streams of all.")
def top(session: CommandSession, *, interval: float, count: int | None, cluster: bool) -> int:
    """Show streams with bitrate, watchers, the lag of the slowest one, and warnings; beside them targets and CPU.

    Keys: n, b, w, l, s sort by name, bitrate, watchers, lag and state; arrows choose a stream, x kicks it, q quits.
    Without a terminal it prints a line for the server and one for each stream. With --cluster there are the nodes, no
    lags, and no kicks.
    """
    is_live = sys.stdin.isatty() and sys.stdout.isatty() and not session.output.as_json
    look = _look_at_cluster if cluster else _look
    with session.api() as api:
        if is_live:
            _Screen(api, look, interval, count).run()
        else:
            _print(session, api, look, interval, count or 1)
    return 0


def _look(api: ApiClient, board: Board) -> None:
    streams, clients = (list(everything(api, kind, {})) for kind in ("streams", "clients"))
    metrics = api.request("GET", "/metrics").text
    board.look(streams, clients, metrics, time.monotonic())


def _look_at_cluster(api: ApiClient, board: Board) -> None:
    """Without its registry, a node knows nothing of the streams of others."""
    cluster = api.request("GET", "/cluster").json()
    is_up = cluster["registry"] == "up"
    board.look_at_cluster(cluster, list(everything(api, "streams", {"scope": "cluster"})) if is_up else None)


def _print(session: CommandSession, api: ApiClient, look: Look, interval: float, count: int) -> None:
    board, seen = Board(order="n"), []
    for number in range(count):
        if number:
            time.sleep(interval)
        look(api, board)
        for line in board.lines():
            session.output.say(line)
        seen.append(board.document())
    session.output.document(seen)


class _Screen:
    """The live table."""

    def __init__(self, api: ApiClient, look: Look, interval: float, count: int | None) -> None:
        self._api, self._look, self._interval, self._count = api, look, interval, count
        self._board = Board()

    def run(self) -> None:
        """Until somebody has seen enough."""
        console = Console()
        with keyboard() as keys, Live(console=console, screen=True, auto_refresh=False) as live:
            looks = 0
            while self._count is None or looks < self._count:
                self._look(self._api, self._board)
                looks += 1
                until = time.monotonic() + self._interval
                while True:
                    live.update(picture(self._board, console), refresh=True)
                    left = until - time.monotonic()
                    if left <= 0:
                        break
                    key = key_within(keys, left)
                    if key == "q" and self._board.asked is None:
                        return
                    if key is not None and (row := self._board.press(key)) is not None:
                        self._board.note = kicked(self._api, row)
                        break


def kicked(api: ApiClient, row: Row) -> str:
    """Send a stream away; why that was not done, where it was not: the table goes on. Raises `ClientError`."""
    try:
        return "" if send_away(api, row.id) is not None else f"{row.name} has ended before"
    except Refused as error:
        return f"{row.name}: {error}"
