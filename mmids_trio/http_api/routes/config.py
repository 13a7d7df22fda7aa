"""`/config`: everything that runs as one text, and how it is changed, planned and reloaded as one.

A body becomes the set of workflows and reactors that it asks for in turns, without holding up the loop.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NoReturn

import structlog
import trio
from attrs import evolve
from quart import Response, request

from mmids_trio.config.encoding import decode
from mmids_trio.config.parser import DefinitionSet, is_empty_on_purpose, parse_set
from mmids_trio.config.references import given_in_the_text
from mmids_trio.definitions import ReactorDefinition, WorkflowDefinition
from mmids_trio.errors import ConfigurationError, Problem
from mmids_trio.http_api import access
from mmids_trio.http_api.answers import json_response, refuse, text_response
from mmids_trio.http_api.canonical import RunningConfig
from mmids_trio.http_api.control import AcceptedReload, Changes, ReloadControl, SetChange, Sets, wait_for
from mmids_trio.http_api.etags import check_change, check_reading, parse_conditions
from mmids_trio.http_api.operation import (
    COMPRESSED,
    CONDITIONS,
    IN_PLACE,
    LOST_RACE,
    NOT_KEPT,
    NOT_MODIFIED,
    SET_NAME,
    SHOW_KEYS,
    TRUE_OR_FALSE,
    WAIT,
    AnswerSpec,
    Body,
    Operation,
    QueryParameter,
    error,
    json_answer,
    text_answer,
)
from mmids_trio.http_api.options import (
    CHANGED,
    LARGEST_NUMBER,
    WORKFLOW_CONTENT_TYPES,
    ConfigOptions,
    PlanOptions,
    ReloadQuery,
    check_content_type,
    parse_config_options,
    parse_plan_options,
    parse_reload_options,
    parse_set_option,
)
from mmids_trio.http_api.refusals import BadRequest, GuardRefused, TextConflict
from mmids_trio.http_api.routing import REQUEST_FILE, Routes, request_body, request_query
from mmids_trio.http_api.schemas import ConfigPlan, ConfigStatus, Error, GuardError, ProblemReport, ReloadReport
from mmids_trio.reload.accepted import RefusedReload, ReloadOptions, ReloadPlan
from mmids_trio.turns import in_turns
from mmids_trio.workflow.events import HubEvent, ReloadRefused
from mmids_trio.workflow.plan import SetPlan, WorkflowSet, leaves_nothing, stops_everything
from mmids_trio.workflow.status import Outcome, OutcomeKind

log = structlog.get_logger()

CONFIG_BODY = Body(
    "Workflow and reactor nodes in the configuration language, without settings. A node `values` before them says what"
    " their variables stand for.",
    WORKFLOW_CONTENT_TYPES,
    "workflow show {\n    rtmp_receive rtmp_app=live stream_key=show\n}\n",
)

PRUNE = QueryParameter(
    "prune",
    "query",
    TRUE_OR_FALSE,
    "The body is all that there shall be of its set: stop what else that has and the token may change.",
)
SET = QueryParameter(
    "set", "query", SET_NAME, "The set that all of the body belongs to, and the ETag is about; without it `default`."
)
SET_SHOWN = QueryParameter("set", "query", SET_NAME, "Only what belongs to this set; without it everything.")
TAKE_OVER = QueryParameter(
    "take_over",
    "query",
    {"type": "string", "enum": ["true", "false", CHANGED]},
    "Whether the body may name what others have (another set, the configuration file, a reactor), and takes it:"
    " all of it, or of theirs only what it changes.",
)
ON_ERROR = QueryParameter(
    "on_error",
    "query",
    {"type": "string", "enum": ["rollback"]},
    "What is always done: if any part fails, all of it is taken back.",
)
MAX_DISCONNECTS = QueryParameter(
    "max_disconnects",
    "query",
    {"type": "string", "pattern": "^[0-9]{1,6}$"},
    f"Change nothing if more publishers and watchers than this would be disconnected; 0 to {LARGEST_NUMBER}.",
)

ALLOW_EMPTY = QueryParameter(
    "allow_empty",
    "query",
    TRUE_OR_FALSE,
    "Whether all workflows of the set may be stopped with nothing in their place. A text of comments alone may always.",
)
DRY_RUN = QueryParameter("dry_run", "query", TRUE_OR_FALSE, "Only say what it would do; nothing is changed.")

_BAD_BODY = {
    400: error("The body is not good, or an option makes no sense; nothing was changed."),
    408: error("The body did not arrive in time."),
    412: LOST_RACE,
    413: error("The body is too large."),
    415: COMPRESSED,
}
_ENDS: dict[int, AnswerSpec] = {
    409: json_answer(
        "It cannot be done, or failed and was taken back as a whole; or something newer came in its way.",
        Error | GuardError,
    ),
    503: error("The server is being stopped."),
    504: error("Still pending after `wait`; it goes on."),
    507: NOT_KEPT,
}

GET_CONFIG = Operation(
    "GET",
    "/config",
    "getConfig",
    "What runs as a configuration file that can be applied again: reactors, and workflows but for those of reactors."
    " With `change:PATTERN` only the workflows that it may change.",
    {
        200: text_answer("The text.", "ETag"),
        304: NOT_MODIFIED,
        400: error("A condition is malformed, or no set can have that name."),
        412: LOST_RACE,
    },
    (SET_SHOWN, *CONDITIONS),
    scope="change",  # it has the secrets that stand in the text, of what the caller may change
)
PUT_CONFIG = Operation(
    "PUT",
    "/config",
    "putConfig",
    "Put a whole set of workflows and reactors in place, all of it or nothing.",
    {200: json_answer("The plan: accepted, with `wait` carried out.", ConfigPlan, "ETag"), **_BAD_BODY, **_ENDS},
    (PRUNE, SET, TAKE_OVER, WAIT, ON_ERROR, MAX_DISCONNECTS, ALLOW_EMPTY, IN_PLACE, *CONDITIONS),
    CONFIG_BODY,
    scope="change",
)
PLAN_CONFIG = Operation(
    "POST",
    "/config/plan",
    "planConfig",
    "What `PUT /config` would do. The ETag is that of the configuration which it was compared with.",
    {
        200: json_answer("The plan.", ConfigPlan, "ETag"),
        **_BAD_BODY,
        409: json_answer(
            "It cannot be done: names or reactors are in conflict, or somebody else's.", Error | GuardError
        ),
    },
    (PRUNE, SET, TAKE_OVER, SHOW_KEYS, IN_PLACE, *CONDITIONS),
    CONFIG_BODY,
    scope="change",
)
RELOAD_CONFIG = Operation(
    "POST",
    "/config/reload",
    "reloadConfig",
    "Read the configuration file again and put in place what it says, all of it or nothing.",
    {
        200: json_answer("Accepted, with `wait` carried out.", ReloadReport, "ETag"),
        400: error("The file cannot be used, or an option makes no sense; nothing was changed."),
        412: LOST_RACE,
        **_ENDS,
    },
    (WAIT, DRY_RUN, SHOW_KEYS, MAX_DISCONNECTS, ALLOW_EMPTY, IN_PLACE, *CONDITIONS),
    scope="change",
)
CONFIG_STATUS = Operation(
    "GET",
    "/config/status",
    "getConfigStatus",
    "What came of the last reload of the configuration file: when, by what, and its plan.",
    {200: json_answer("How the file stands.", ConfigStatus)},
)


MAX_NODES = 10_000
"""Workflows and reactors of one set: ten times what one server is made for, and planned without a long pause."""

WORKFLOWS_PER_TURN = 50
"""Workflows checked at once: a few milliseconds."""


async def parse_in_turns(body: bytes) -> DefinitionSet:
    """What a body defines; others have their turns meanwhile. Raises `ConfigurationError` and `BadRequest`."""
    if not body:
        raise BadRequest("the body is empty; a configuration without anything in it is at least a comment (#)")
    text = decode(body, REQUEST_FILE)
    definitions = await in_turns(parse_set(text, REQUEST_FILE, most=MAX_NODES, references=given_in_the_text()))
    if len(definitions.workflows) + len(definitions.reactors) > MAX_NODES:
        raise BadRequest(f"more than {MAX_NODES} workflows and reactors; one request may bring so many")
    return definitions


async def validate_in_turns(
    definitions: DefinitionSet, sets: Sets, reactors: Sequence[ReactorDefinition], options: PlanOptions
) -> DefinitionSet:
    """The same in canonical spellings; others have their turns meanwhile.

    Raises `ConfigurationError` with every problem.
    """
    await sets.prepare(definitions.workflows, definitions.reactors)
    wanted = as_set(definitions, sets, reactors, options)
    valid: list[WorkflowDefinition] = []
    problems: list[Problem] = []
    for start in range(0, len(wanted.definitions), WORKFLOWS_PER_TURN):
        part = evolve(wanted, definitions=wanted.definitions[start : start + WORKFLOWS_PER_TURN])
        try:
            valid += sets.validate_all(part).definitions
        except ConfigurationError as error:
            problems += error.problems
        await trio.lowlevel.checkpoint()
    if problems:
        raise ConfigurationError(problems)
    return DefinitionSet(tuple(valid), definitions.reactors)


def as_set(
    definitions: DefinitionSet, sets: Sets, reactors: Sequence[ReactorDefinition], options: PlanOptions
) -> WorkflowSet:
    """The set that is asked for, given the `reactors` that there are.

    With `prune` it is all that its owner shall have; without, what is not named stays as it is.
    """
    owner = options.owner
    names = {workflow.name for workflow in definitions.workflows}
    deleted = tuple(sets.prunable(names, owner)) if options.prune else ()
    named = {reactor.name: evolve(reactor, set=owner.set) for reactor in definitions.reactors}
    wanted: tuple[ReactorDefinition, ...] | None = None
    if named or (options.prune and any(reactor.set == owner.set for reactor in reactors)):
        stay = [one for one in reactors if not options.prune or one.name in named or one.set != owner.set]
        wanted = (*(named.pop(reactor.name, reactor) for reactor in stay), *named.values())
    return WorkflowSet(definitions.workflows, deleted, wanted, owner, options.take_over, options.in_place)


def _taken(definitions: DefinitionSet, running: RunningConfig, options: PlanOptions) -> DefinitionSet:
    """What is put in place of what a body defines."""
    return running.without_equal_of_others(definitions, options.owner) if options.takes_changed else definitions


WHAT = "the configuration"

FindConflicts = Callable[[Sequence[WorkflowDefinition]], Iterable[Problem]]
"""What steps of one body want twice."""


FindLacks = Callable[[Sequence[WorkflowDefinition]], Awaitable[Sequence[Problem]]]
"""What the machine lacks that workflows need."""


async def no_lacks(_definitions: Sequence[WorkflowDefinition]) -> Sequence[Problem]:
    """Where nobody looks."""
    await trio.lowlevel.checkpoint()
    return ()


def no_conflicts(_definitions: Sequence[WorkflowDefinition]) -> Iterable[Problem]:
    """Where nobody knows what steps want."""
    return ()


def add_config_routes(
    routes: Routes,
    sets: Sets,
    changes: Changes,
    running: RunningConfig,
    publish: Callable[[HubEvent], None],
    *,
    find_conflicts: FindConflicts,
    find_lacks: FindLacks,
) -> None:
    """Add what looks at everything at once, and changes it; `publish` tells of what was refused."""

    @routes.add(GET_CONFIG)
    async def get_config() -> Response:
        of_set = parse_set_option(request_query())
        caller = access.current_caller()
        text, etag = running.text(caller, of_set), running.tag(caller, of_set)
        check_reading(parse_conditions(request.headers), etag, WHAT)
        return text_response(200, text, etag=etag)

    @routes.add(PLAN_CONFIG)
    async def plan_config() -> Response:
        check_content_type(request.headers.get("Content-Type"))
        options = parse_plan_options(request_query())
        conditions = parse_conditions(request.headers)
        definitions = await _definitions(await request_body(), sets, running, options)
        etag = running.tag(access.current_caller(), options.tagged)
        check_change(conditions, etag, WHAT)
        wanted = _wanted(definitions, sets, running, options)
        plan = sets.plan_all(wanted, show_keys=options.show_keys)
        changed = {view.workflow for view in plan.workflows if view.changed}
        lacks = await find_lacks([workflow for workflow in definitions.workflows if workflow.name in changed])
        problems = tuple(map(ProblemReport.of, (*find_conflicts(definitions.workflows), *lacks)))
        return json_response(200, evolve(ConfigPlan.of(plan), problems=problems), etag=etag)

    @routes.add(PUT_CONFIG)
    async def put_config() -> Response:
        check_content_type(request.headers.get("Content-Type"))
        options = parse_config_options(request_query())
        conditions = parse_conditions(request.headers)
        body = await request_body()
        definitions = await _definitions(body, sets, running, options)
        if problems := tuple(find_conflicts(definitions.workflows)):
            raise TextConflict(problems)
        # From here to the acceptance nobody else has a turn.
        caller = access.current_caller()
        check_change(conditions, running.tag(caller, options.tagged), WHAT)
        wanted = _wanted(definitions, sets, running, options)
        plan = sets.plan_all(wanted)
        if options.max_disconnects is not None:
            _check_cuts(plan, options.max_disconnects)
        running_now = [name for name in sets.prunable((), wanted.owner) if caller.may_change(name)]
        if leaves_nothing(plan, running_now) and not (options.allow_empty or is_empty_on_purpose(body.decode())):
            _refuse_emptiness(plan, len(running_now), publish)
        change = changes.by(caller.name).apply_all(wanted)
        running.accepted(change, wanted.reactors)
        return await _answer(change, options, running)


def _check_rights(definitions: DefinitionSet) -> None:
    """Raises `Forbidden`: whoever names something changes it, or would have to see it to leave it alone.

    Before anything is compared with what runs, so that no answer tells whether a guess of others' secrets is right.
    """
    access.check_change(*(workflow.name for workflow in definitions.workflows))
    if definitions.reactors:
        access.check_change_of_everything("reactors")


def _wanted(definitions: DefinitionSet, sets: Sets, running: RunningConfig, options: PlanOptions) -> WorkflowSet:
    """The set that the caller asks for. What they may not change is for them not there: no `prune` stops it."""
    wanted = as_set(_taken(definitions, running, options), sets, running.reactors(), options)
    caller = access.current_caller()
    if caller.may_change_everything:
        return wanted
    return evolve(wanted, delete=tuple(filter(caller.may_change, wanted.delete)), reactors=None)


def add_reload_route(routes: Routes, reloader: ReloadControl, running: RunningConfig) -> None:
    """Add what has the configuration file read again."""

    @routes.add(CONFIG_STATUS)
    async def config_status() -> Response:
        return json_response(200, ConfigStatus.of(reloader.last))

    @routes.add(RELOAD_CONFIG)
    async def reload_config() -> Response:
        access.check_change_of_everything("the configuration file's part")
        options = parse_reload_options(request_query())
        check_change(parse_conditions(request.headers), running.tag(access.current_caller()), WHAT)
        if options.dry_run:
            planned = await reloader.plan(in_place=options.in_place, show_keys=options.show_keys)
            return json_response(200, _report(planned), etag=running.tag(access.current_caller()))
        try:
            reload = await reloader.reload(_reload_options(options))
        except RefusedReload as error:
            raise GuardRefused(str(error), error.guard) from None
        etag = running.tag(access.current_caller())
        refused = None if options.wait is None else _refusal(await wait_for(reload, options.wait), options.wait)
        return refused or json_response(200, _report(reload), etag=etag)


async def _definitions(body: bytes, sets: Sets, running: RunningConfig, options: PlanOptions) -> DefinitionSet:
    """What the body defines, checked."""
    definitions = await parse_in_turns(body)
    _check_rights(definitions)
    return await validate_in_turns(definitions, sets, running.reactors(), options)


def _check_cuts(plan: SetPlan, allowed: int) -> None:
    cut = plan.publishers + plan.watchers
    if cut > allowed:
        raise GuardRefused(
            f"this would disconnect {cut} clients ({plan.publishers} publishers, {plan.watchers} watchers),"
            f" and max_disconnects allows {allowed}; nothing was changed",
            "max_disconnects",
        )


def _refuse_emptiness(plan: SetPlan, running: int, publish: Callable[[HubEvent], None]) -> NoReturn:
    reason = stops_everything(running, plan.owner, "the body defines no workflow")
    log.warning("configuration refused", problem=reason)
    publish(ReloadRefused("api", reason, plan.publishers, plan.watchers))
    raise GuardRefused(reason, "allow_empty")


async def _answer(change: SetChange, options: ConfigOptions, running: RunningConfig) -> Response:
    etag = running.tag(access.current_caller(), options.tagged)
    refused = None if options.wait is None else _refusal(await wait_for(change, options.wait), options.wait)
    return refused or json_response(200, ConfigPlan.of(change.plan), etag=etag)


def _refusal(outcome: Outcome | None, waited: float) -> Response | None:
    if outcome is None:
        return refuse(504, f"the configuration is still pending after {waited:g} s; the update goes on")
    return None if outcome.kind is OutcomeKind.APPLIED else refuse(409, outcome.message)


def _reload_options(options: ReloadQuery) -> ReloadOptions:
    who = access.current_caller().name
    return ReloadOptions("api", options.max_disconnects, options.allow_empty, options.in_place, who)


def _report(reload: AcceptedReload | ReloadPlan) -> ReloadReport:
    return ReloadReport(
        ConfigPlan.of(reload.plan),
        tuple(reload.applied_settings),
        tuple(reload.needs_restart),
        tuple(reload.warnings),
        tuple(reload.kept_away),
    )
