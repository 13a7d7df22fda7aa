"""`/ui`: the dashboard's page, its files, who is signed in, and what only the page asks for.

All else that the page does it does with the API itself, below `/ui/api`, where the cookie of the sign-in is good.
"""

import json
import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import trio
from attrs import frozen
from quart import Response, request

from mmids_trio.delivery.page.assets import Asset
from mmids_trio.http_api.access import Access, current_caller, still_may
from mmids_trio.http_api.answers import refuse, respond
from mmids_trio.http_api.assets import FOR_EVER, PAGE_HEADERS, Dashboard, load_dashboard
from mmids_trio.http_api.control import Metrics, Workflows
from mmids_trio.http_api.event_shapes import EVENT_TYPES
from mmids_trio.http_api.operation import JSON, Operation
from mmids_trio.http_api.overview import Overview
from mmids_trio.http_api.previews import MAX_PREVIEWS, Preview, Previews
from mmids_trio.http_api.refusals import BadRequest, NotHere
from mmids_trio.http_api.routing import Routes, request_body
from mmids_trio.http_api.session_cookie import (
    MAX_TOKEN_BYTES,
    PATH,
    no_session_cookie,
    session_cookie,
    session_credentials,
)
from mmids_trio.http_api.tokens import NOBODY, Caller
from mmids_trio.late import late
from mmids_trio.offload import in_thread
from mmids_trio.rejections import RejectCounters, RejectReason
from mmids_trio.steps.ports import OpenPorts

if TYPE_CHECKING:
    from mmids_trio import qr as qr_codes
else:
    qr_codes = late("mmids_trio.qr")

ASSETS_PATH = f"{PATH}/assets"
SESSION_PATH = f"{PATH}/session"
QR_PATH = f"{PATH}/qr"

GET_PAGE = Operation("GET", PATH, "uiPage", "The page.", {}, public=True, is_of_page=True)
GET_ASSET = Operation(
    "GET", f"{ASSETS_PATH}/{{path}}", "uiAsset", "One of its files.", {}, public=True, is_of_page=True
)
GET_SESSION = Operation("GET", SESSION_PATH, "uiSession", "Who is signed in.", {}, public=True, is_of_page=True)
SIGN_IN = Operation("POST", SESSION_PATH, "uiSignIn", "Sign in.", {}, public=True, is_of_page=True)
SIGN_OUT = Operation("DELETE", SESSION_PATH, "uiSignOut", "Sign out.", {}, public=True, is_of_page=True)
GET_OVERVIEW = Operation("GET", f"{PATH}/overview", "uiOverview", "All at once.", {}, is_of_page=True)
GET_STEPS = Operation("GET", f"{PATH}/steps/{{name}}", "uiSteps", "Of a workflow's steps.", {}, is_of_page=True)
GET_PREVIEW = Operation("GET", f"{PATH}/media/{{id}}/live.flv", "uiPreview", "A stream.", {}, is_of_page=True)

MAKE_QR = Operation("POST", QR_PATH, "uiQr", "An address as a QR code.", {}, is_of_page=True, scope="read")
"""A POST, as a signed link is a secret, and addresses stand in logs."""

FLV = "video/x-flv"

ADDRESS = re.compile(r"(?:https?|rtmps?)://[!-~]+")
"""What is made a QR code: an address as this server has them."""

MAX_ADDRESS = 520
"""What a QR code of 77 modules in a row holds (version 15), which a phone still reads from a screen."""

QR_EXPECTED = f'expected {{"address": "..."}} as application/json, with an address of {MAX_ADDRESS} bytes at most'

EXPECTED = 'expected {"token": "..."} as application/json'


@frozen
class StepsNow:
    """What steps count, and the ports on which they take clients, by their ids."""

    _workflows: Workflows
    _metrics: Metrics | None
    _ports: OpenPorts | None

    def of(self, name: str) -> dict[str, object]:
        """Those of one workflow; nothing where there is none."""
        definition = self._workflows.definition(name)
        return {
            "counts": {} if self._metrics is None else self._metrics.of_steps(name),
            "ports": {} if self._ports is None or definition is None else self._ports.of(definition),
        }


def add_dashboard_routes(
    routes: Routes,
    access: Access,
    *,
    overview: Overview,
    previews: Previews,
    steps: StepsNow,
    version: str,
    rejections: RejectCounters,
) -> None:
    """Add the page, and what it shows of media."""
    _add_page(routes)
    _add_session(routes, access, previews, version, rejections)
    drawing = trio.CapacityLimiter(1)

    @routes.add(MAKE_QR)
    async def make_qr() -> Response:
        address = _address_of(await request_body())
        encode = partial(qr_codes.encode, address, MAX_ADDRESS)
        async with drawing:
            code = await in_thread(encode)
        rows = ["".join("1" if module else "0" for module in row) for row in code]
        return respond(200, json.dumps({"rows": rows}) + "\n", JSON)

    @routes.add(GET_OVERVIEW)
    async def get_overview() -> Response:
        compressed = await overview.compressed() if _takes_gzip() else None
        return _answer(
            await overview.plain() if compressed is None else compressed, JSON, is_gzip=compressed is not None
        )

    @routes.add(GET_STEPS)
    async def get_steps(name: str) -> Response:
        return respond(200, json.dumps(steps.of(name)) + "\n", JSON)

    @routes.add(GET_PREVIEW)
    async def get_preview(id: str) -> Response:
        stream = previews.on_air.stream(id)
        if stream is None:
            raise NotHere("Stream not found")
        if not previews.has_room():
            response = refuse(503, f"{MAX_PREVIEWS} previews are open; try again later")
            response.headers["Retry-After"] = "2"
            return response
        preview = Preview(previews, stream, still_may(GET_PREVIEW.scope), session_credentials(request.headers))
        response = respond(200, "" if request.method == "HEAD" else preview, FLV)
        response.timeout = None
        return response


def _add_page(routes: Routes) -> None:
    dashboard = _once(lambda: load_dashboard(ASSETS_PATH))

    @routes.add(GET_PAGE)
    async def page() -> Response:
        response = _compressed(dashboard().page)
        response.headers.update(PAGE_HEADERS)
        return response

    @routes.add(GET_ASSET)
    async def asset(path: str) -> Response:
        found = dashboard().files.find(path)
        if found is None:
            raise NotHere("no such file of the dashboard; load the page again")
        response = _compressed(found)
        response.headers["Cache-Control"] = FOR_EVER
        return response


def _add_session(routes: Routes, access: Access, previews: Previews, version: str, rejections: RejectCounters) -> None:
    @routes.add(GET_SESSION)
    async def session() -> Response:
        return _session(current_caller(), access.is_locked, version)

    @routes.add(SIGN_IN)
    async def sign_in() -> Response:
        token = _token_of(await request_body())
        caller = await access.bearer(token)
        if caller is None:
            rejections.count(RejectReason.API_TOKEN)
            return refuse(401, "refused: this is no valid token")
        response = _session(caller, access.is_locked, version)
        response.headers["Set-Cookie"] = session_cookie(token, is_secure=_is_secure())
        return response

    @routes.add(SIGN_OUT)
    async def sign_out() -> Response:
        if (session := session_credentials(request.headers)) is not None:
            previews.sign_out(session)
        response = _session(Caller(NOBODY), access.is_locked, version)
        response.headers["Set-Cookie"] = no_session_cookie(is_secure=_is_secure())
        return response


def _once(load: Callable[[], Dashboard]) -> Callable[[], Dashboard]:
    """Loads when the first page is asked for: most servers are started for other things."""
    loaded: list[Dashboard] = []

    def get() -> Dashboard:
        if not loaded:
            loaded.append(load())
        return loaded[0]

    return get


def _compressed(asset: Asset) -> Response:
    is_gzip = _takes_gzip()
    return _answer(asset.compressed() if is_gzip else asset.data, asset.type, is_gzip=is_gzip)


def _takes_gzip() -> bool:
    return request.accept_encodings.quality("gzip") > 0


def _answer(content: bytes, content_type: str, *, is_gzip: bool) -> Response:
    response = respond(200, content, content_type)
    response.headers["Vary"] = "Accept-Encoding"
    if is_gzip:
        response.headers["Content-Encoding"] = "gzip"
    return response


def _session(caller: Caller, is_locked: bool, version: str) -> Response:
    who = None if caller.name == NOBODY else {"name": caller.name, "scopes": [str(scope) for scope in caller.scopes]}
    content = {"version": version, "locked": is_locked, "caller": who, "events": list(EVENT_TYPES)}
    return respond(200, json.dumps(content) + "\n", JSON)


def _token_of(body: bytes) -> bytes:
    try:
        token = json.loads(body)["token"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise BadRequest(f"the body is not what signs in; {EXPECTED}") from None
    if not isinstance(token, str) or len(token) > MAX_TOKEN_BYTES:
        raise BadRequest(EXPECTED)
    return token.encode("utf-8", "replace")


def _address_of(body: bytes) -> str:
    try:
        address = json.loads(body)["address"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise BadRequest(QR_EXPECTED) from None
    if not isinstance(address, str) or len(address) > MAX_ADDRESS or ADDRESS.fullmatch(address) is None:
        raise BadRequest(QR_EXPECTED)
    return address


def _is_secure() -> bool:
    """Whether the browser speaks TLS, with this server or with a proxy in front of it."""
    return request.scheme == "https" or request.headers.get("Origin", "").lower().startswith("https://")
