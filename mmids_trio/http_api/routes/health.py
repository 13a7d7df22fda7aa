"""`GET /`: that the server is there, and which version it is."""

from quart import Response

from mmids_trio.http_api.answers import text_response
from mmids_trio.http_api.operation import Operation, text_answer
from mmids_trio.http_api.routing import Routes

HEALTH = Operation(
    "GET", "/", "health", "The version; also the health check.", {200: text_answer("It runs.")}, public=True
)


def add_health_routes(routes: Routes, version: str) -> None:
    """Add the health check."""

    @routes.add(HEALTH)
    async def health() -> Response:
        return text_response(200, f"Mmids version {version}")
