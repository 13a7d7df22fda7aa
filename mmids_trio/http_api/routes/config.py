"""`/config`: everything that runs as one text, and how it is changed, planned and reloaded as one."""

from quart import Response, request

from mmids_trio.config.parser import DefinitionSet
from mmids_trio.http_api.answers import json_response, refuse, text_response
from mmids_trio.http_api.config_set import as_set, parse_in_turns, validate_in_turns
from mmids_trio.http_api.control import Changes, Reload, Reloader, SetChange, Sets
from mmids_trio.http_api.etags import check_change, check_reading, parse_conditions
from mmids_trio.http_api.put import (
    ConfigOptions,
    check_content_type,
    parse_config_options,
    parse_plan_options,
    parse_reload_options,
)
from mmids_trio.http_api.refusals import Conflict
from mmids_trio.http_api.routes.config_operations import GET_CONFIG, PLAN_CONFIG, PUT_CONFIG, RELOAD_CONFIG
from mmids_trio.http_api.routing import Routes, request_body, request_query
from mmids_trio.http_api.running_config import RunningConfig
from mmids_trio.http_api.schemas import ConfigPlan, ReloadReport
from mmids_trio.http_api.waiting import wait_for
from mmids_trio.workflow.plan import SetPlan
from mmids_trio.workflow.status import Outcome, OutcomeKind

WHAT = "the configuration"


def add_config_routes(routes: Routes, sets: Sets, changes: Changes, running: RunningConfig) -> None:
    """Add what looks at everything at once, and changes it."""

    @routes.add(GET_CONFIG)
    async def get_config() -> Response:
        text = running.text()
        etag = running.tag()
        check_reading(parse_conditions(request.headers), etag, WHAT)
        return text_response(200, text, etag=etag)

    @routes.add(PLAN_CONFIG)
    async def plan_config() -> Response:
        check_content_type(request.headers.get("Content-Type"))
        options = parse_plan_options(request_query())
        conditions = parse_conditions(request.headers)
        definitions = await _definitions(sets, running, prune=options.prune)
        etag = running.tag()
        check_change(conditions, etag, WHAT)
        wanted = as_set(definitions, sets, running.reactors(), prune=options.prune)
        return json_response(200, ConfigPlan.of(sets.plan_all(wanted)), etag=etag)

    @routes.add(PUT_CONFIG)
    async def put_config() -> Response:
        check_content_type(request.headers.get("Content-Type"))
        options = parse_config_options(request_query())
        conditions = parse_conditions(request.headers)
        definitions = await _definitions(sets, running, prune=options.prune)
        # From here to the acceptance nobody else has a turn.
        check_change(conditions, running.tag(), WHAT)
        wanted = as_set(definitions, sets, running.reactors(), prune=options.prune)
        if options.max_disconnects is not None:
            _check_cuts(sets.plan_all(wanted), options.max_disconnects)
        change = changes.apply_all(wanted)
        running.accepted(change, wanted.reactors)
        return await _answer(change, options, running)


def add_reload_route(routes: Routes, reloader: Reloader, running: RunningConfig) -> None:
    """Add what has the configuration file read again."""

    @routes.add(RELOAD_CONFIG)
    async def reload_config() -> Response:
        wait = parse_reload_options(request_query())
        reload = await reloader.reload()
        etag = running.tag()
        refused = None if wait is None else _refusal(await wait_for(reload, wait), wait)
        return refused or json_response(200, _report(reload), etag=etag)


async def _definitions(sets: Sets, running: RunningConfig, *, prune: bool) -> DefinitionSet:
    """What the body defines, checked."""
    definitions = await parse_in_turns(await request_body())
    return await validate_in_turns(definitions, sets, running.reactors(), prune=prune)


def _check_cuts(plan: SetPlan, allowed: int) -> None:
    cut = plan.publishers + plan.watchers
    if cut > allowed:
        raise Conflict(
            f"this would disconnect {cut} clients ({plan.publishers} publishers, {plan.watchers} watchers),"
            f" and max_disconnects allows {allowed}; nothing was changed"
        )


async def _answer(change: SetChange, options: ConfigOptions, running: RunningConfig) -> Response:
    etag = running.tag()
    refused = None if options.wait is None else _refusal(await wait_for(change, options.wait), options.wait)
    return refused or json_response(200, ConfigPlan.of(change.plan), etag=etag)


def _refusal(outcome: Outcome | None, waited: float) -> Response | None:
    if outcome is None:
        return refuse(504, f"the configuration is still pending after {waited:g} s; the update goes on")
    return None if outcome.kind is OutcomeKind.APPLIED else refuse(409, outcome.message)


def _report(reload: Reload) -> ReloadReport:
    return ReloadReport(
        ConfigPlan.of(reload.plan),
        tuple(reload.applied_settings),
        tuple(reload.needs_restart),
        tuple(reload.warnings),
    )
