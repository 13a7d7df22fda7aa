"""`/bans`: who may not come back yet, and who may again; and what bans who is sent away."""

from collections.abc import Awaitable, Callable

import trio
from attrs import frozen
from quart import Response

from mmids_trio.errors import shortened
from mmids_trio.http_api.access import current_caller
from mmids_trio.http_api.answers import json_response, json_text, respond, text_response
from mmids_trio.http_api.control import History
from mmids_trio.http_api.operation import JSON, Operation, QueryParameter, error, json_answer, text_answer
from mmids_trio.http_api.options import parse_ban
from mmids_trio.http_api.refusals import Conflict, NotHere
from mmids_trio.http_api.routing import Routes, request_query
from mmids_trio.http_api.schemas import BanList, BanView
from mmids_trio.moments import rfc3339
from mmids_trio.on_air.bans import LONGEST_BAN, Ban, Bans, TooManyBans
from mmids_trio.on_air.directory import OnAir
from mmids_trio.on_air.views import ClientRole

BANS_PER_SLICE = 64
"""Bans that are written between two turns of everybody else."""

BAN = QueryParameter(
    "ban",
    "query",
    {"type": "integer", "minimum": 1, "maximum": LONGEST_BAN},
    "Seconds for which it may not come back: the address of a client, the application and key of a stream.",
)
BANNED = json_answer("It is sent away, and banned.", BanView)
BAN_ID = QueryParameter("id", "path", {"type": "string", "minLength": 1, "examples": ["b-0011223344-1"]}, "An id.")

LIST_BANS = Operation(
    "GET", "/bans", "listBans", "Who may not come back yet.", {200: json_answer("All bans.", BanList)}
)
LIFT_BAN = Operation(
    "DELETE",
    "/bans/{id}",
    "liftBan",
    "Let somebody come back.",
    {
        200: text_answer("The ban is lifted."),
        400: error("An unknown option."),
        404: error("There is none of that id, or it is over."),
    },
    (BAN_ID,),
    scope="kick",
)


@frozen
class Banning:
    """Bans who is sent away. `are_kept` waits until bans are on the disk, where they are kept. `history`: who did."""

    on_air: OnAir
    are_kept: Callable[[], Awaitable[None]]
    history: History | None = None

    @property
    def bans(self) -> Bans:
        """All there are."""
        return self.on_air.bans

    def seconds(self) -> int | None:
        """For how long the present request wants that, if at all. Raises `BadRequest`."""
        return parse_ban(request_query(), LONGEST_BAN)

    def ban(self, make: Callable[[], Ban]) -> Ban:
        """Raises `Conflict` where there are too many."""
        try:
            return make()
        except TooManyBans as error:
            raise Conflict(str(error)) from error

    def note(self, workflow: str, what: str, seconds: int | None, *, role: ClientRole | None) -> None:
        """Somebody in that role (`None`: nobody) is sent away, and may not come back for so long."""
        if self.history is not None:
            self.history.note_kick(
                workflow,
                what if seconds is None else f"{what}, and may not come back for {seconds} s",
                by=current_caller().name,
                publishers=int(role == "publisher"),
                watchers=int(role == "watcher"),
            )

    async def answer(self, ban: Ban | None) -> Response:
        """That somebody is sent away, and what keeps it from coming back."""
        if ban is None:
            return text_response(200, "")
        await self.are_kept()
        return json_response(201, view_of(ban, self.bans.now()))


def view_of(ban: Ban, now: float) -> BanView:
    """A ban as it is shown; names that its client made up are shortened."""
    return BanView(
        id=ban.id,
        kind=ban.kind,
        address=ban.address,
        app=None if ban.app is None else shortened(ban.app),
        name=None if ban.key is None else shortened(ban.key),
        since=rfc3339(ban.since),
        until=rfc3339(ban.until),
        seconds_left=max(ban.until - now, 0.0),
    )


def add_ban_routes(routes: Routes, banning: Banning) -> None:
    """Add what lists bans and lifts them."""

    @routes.add(LIST_BANS)
    async def list_bans() -> Response:
        bans, shown = banning.bans, list[str]()
        for count, ban in enumerate(bans.all(), 1):
            shown.append(json_text(view_of(ban, bans.now())))
            if count % BANS_PER_SLICE == 0:
                await trio.lowlevel.checkpoint()
        return respond(200, f'{{"bans": [{", ".join(shown)}]}}\n', JSON)

    @routes.add(LIFT_BAN)
    async def lift_ban(id: str) -> Response:
        if banning.bans.lift(id) is None:
            raise NotHere("Ban not found")
        await banning.are_kept()
        return text_response(200, "")
