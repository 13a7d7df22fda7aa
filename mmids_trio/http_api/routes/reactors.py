"""`/reactors`: what reactors know, to be looked at."""

from quart import Response

from mmids_trio.http_api.answers import json_response
from mmids_trio.http_api.control import ShownReactors
from mmids_trio.http_api.operation import NAME, Operation, error, json_answer
from mmids_trio.http_api.refusals import NotHere
from mmids_trio.http_api.routing import Routes
from mmids_trio.reactors.views import ReactorView

LIST_REACTORS = Operation(
    "GET",
    "/reactors",
    "listReactors",
    "All reactors with their leases, in the order of the configuration.",
    {200: json_answer("The reactors.", list[ReactorView])},
)
GET_REACTOR = Operation(
    "GET",
    "/reactors/{name}",
    "getReactor",
    "One reactor with its leases.",
    {200: json_answer("The reactor.", ReactorView), 404: error("There is none of that name.")},
    (NAME,),
)


def add_reactor_routes(routes: Routes, reactors: ShownReactors) -> None:
    """Add what looks at reactors."""

    @routes.add(LIST_REACTORS)
    async def list_reactors() -> Response:
        return json_response(200, reactors.views())

    @routes.add(GET_REACTOR)
    async def get_reactor(name: str) -> Response:
        reactor = reactors.view(name)
        if reactor is None:
            raise NotHere("Reactor not found")
        return json_response(200, reactor)
