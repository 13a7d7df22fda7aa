"""What a request asks for beside its definitions, checked: query parameters, content types, names of sources.

Pure functions, apart from the handlers: everything that a client can get wrong here has a message that
says what was expected, and a misspelt option is never silently ignored.
"""

import json
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from attrs import frozen

from mmids_trio.config.names import set_problem
from mmids_trio.http_api.refusals import BadRequest
from mmids_trio.workflow.status import WorkflowOwner, of_set

MAX_WAIT_SECONDS = 300
"""Longest `wait`: proxies and clients rarely hold a request longer than five minutes."""

WORKFLOW_CONTENT_TYPES = ("application/vnd.mmids.workflow", "text/plain", "application/x-www-form-urlencoded")
"""The type of the language, plain text, and what curl sends unasked with `--data`."""

OPTION_NAMES = ("wait", "on_error", "dry_run", "show_keys", "set", "in_place")

LARGEST_NUMBER = 999_999
"""Largest number of clients in an option; there are fewer ports."""

Query = Mapping[str, Sequence[str]]
"""Query parameters, each with all its values."""

_NUMBER = re.compile(r"[0-9]{1,6}", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{0,9})?|\.[0-9]{1,9}", re.ASCII)


@frozen
class PutOptions:
    """The query of a PUT. `wait` is in seconds, `None` to answer at once; `show_keys` is for a `dry_run`.

    `set`: the one that the workflow shall belong to; `None`: the one that it does, where it is new the default one.
    `in_place`: whether steps that can take other parameters do so; `None`: as the server has it.
    """

    wait: float | None = None
    rollback: bool = False
    dry_run: bool = False
    show_keys: bool = False
    set: str | None = None
    in_place: bool | None = None


def parse_options(query: Query) -> PutOptions:
    """Read the query parameters, each with all its values; raises `BadRequest`."""
    values = only_values(query, OPTION_NAMES)
    options = PutOptions(
        wait=_seconds(values["wait"]) if "wait" in values else None,
        rollback="on_error" in values and _is_rollback(values["on_error"]),
        dry_run="dry_run" in values and _flag("dry_run", values["dry_run"]),
        show_keys="show_keys" in values and _flag("show_keys", values["show_keys"]),
        set=_set_name(values),
        in_place=_in_place(values),
    )
    _check_show_keys(options)
    if options.rollback and options.wait is None:
        raise BadRequest("on_error=rollback needs wait=<seconds>, which tells you how the update ended")
    return options


@frozen
class PlanOptions:
    """The query of a plan of everything. `take_over`: whether what others have may be named in it; of what is `changed`
    only what differs is taken over.

    `show_keys`: whether it shows the stream keys of publishers; `in_place`: see `PutOptions`.
    `set`: the one that it is about, `None` where none is named: then that is the default one.
    """

    prune: bool = False
    set: str | None = None
    take_over: bool = False
    takes_changed: bool = False
    show_keys: bool = False
    in_place: bool | None = None

    @property
    def owner(self) -> WorkflowOwner:
        """Whose all of it shall be."""
        return of_set(self.set)

    @property
    def tagged(self) -> str | None:
        """The set whose text the entity tag is of; `None`: everything, which may be the matter of a take-over."""
        return None if self.take_over else self.set


@frozen
class ConfigOptions(PlanOptions):
    """The query of a change of everything; see `PutOptions`. `max_disconnects`: clients, `None` for any number.

    `allow_empty`: whether all workflows may be stopped with nothing in their place.
    """

    wait: float | None = None
    max_disconnects: int | None = None
    allow_empty: bool = False


@frozen
class ReloadQuery:
    """The query of a reload; see `ConfigOptions`. `dry_run`: only say what it would do, `show_keys`: in full."""

    wait: float | None = None
    dry_run: bool = False
    max_disconnects: int | None = None
    allow_empty: bool = False
    show_keys: bool = False
    in_place: bool | None = None


def parse_set_option(query: Query) -> str | None:
    """Read the query of `GET /config`: the set that is asked for, `None` for everything. Raises `BadRequest`."""
    return _set_name(known_values(query, ("set",)))


def parse_plan_options(query: Query) -> PlanOptions:
    """Read the query of `POST /config/plan`; raises `BadRequest`."""
    values = only_values(query, ("prune", "set", "take_over", "show_keys", "in_place"))
    return PlanOptions(
        prune="prune" in values and _flag("prune", values["prune"]),
        set=_set_name(values),
        take_over=_takes_over(values),
        takes_changed=values.get("take_over") == CHANGED,
        show_keys="show_keys" in values and _flag("show_keys", values["show_keys"]),
        in_place=_in_place(values),
    )


def parse_config_options(query: Query) -> ConfigOptions:
    """Read the query of `PUT /config`; raises `BadRequest`. A rollback is what it always does."""
    names = ("prune", "set", "take_over", "wait", "on_error", "max_disconnects", "allow_empty", "in_place")
    values = only_values(query, names)
    if "on_error" in values:
        _is_rollback(values["on_error"])
    return ConfigOptions(
        prune="prune" in values and _flag("prune", values["prune"]),
        set=_set_name(values),
        take_over=_takes_over(values),
        takes_changed=values.get("take_over") == CHANGED,
        wait=_seconds(values["wait"]) if "wait" in values else None,
        max_disconnects=_number("max_disconnects", values["max_disconnects"]) if "max_disconnects" in values else None,
        allow_empty="allow_empty" in values and _flag("allow_empty", values["allow_empty"]),
        in_place=_in_place(values),
    )


def parse_reload_options(query: Query) -> ReloadQuery:
    """Read the query of `POST /config/reload`; raises `BadRequest`."""
    values = only_values(query, ("wait", "dry_run", "max_disconnects", "allow_empty", "show_keys", "in_place"))
    options = ReloadQuery(
        wait=_seconds(values["wait"]) if "wait" in values else None,
        dry_run="dry_run" in values and _flag("dry_run", values["dry_run"]),
        max_disconnects=_number("max_disconnects", values["max_disconnects"]) if "max_disconnects" in values else None,
        allow_empty="allow_empty" in values and _flag("allow_empty", values["allow_empty"]),
        show_keys="show_keys" in values and _flag("show_keys", values["show_keys"]),
        in_place=_in_place(values),
    )
    _check_show_keys(options)
    return options


CHANGED = "changed"
"""A third value of `take_over`."""


def _takes_over(values: Mapping[str, str]) -> bool:
    if "take_over" not in values or values["take_over"] == CHANGED:
        return "take_over" in values
    return _flag("take_over", values["take_over"])


def _in_place(values: Mapping[str, str]) -> bool | None:
    return _flag("in_place", values["in_place"]) if "in_place" in values else None


def _check_show_keys(options: PutOptions | ReloadQuery) -> None:
    if options.show_keys and not options.dry_run:
        raise BadRequest("show_keys=true needs dry_run=true: only a plan shows stream keys")


def check_content_type(value: str | None) -> None:
    """Accept a `Content-Type` (its parameters are ignored: the body is UTF-8) or its absence."""
    media_type = (value or "").partition(";")[0].strip(" \t").lower()
    if media_type and media_type not in WORKFLOW_CONTENT_TYPES:
        expected = ", ".join(WORKFLOW_CONTENT_TYPES)
        raise BadRequest(f"unexpected Content-Type {media_type!r}; expected one of {expected}, or none")


def only_values(query: Query, known: Sequence[str]) -> dict[str, str]:
    """The one value of each query parameter; raises `BadRequest` for unknown ones, and those given twice."""
    return {name: _only_value(name, given, known) for name, given in query.items()}


def known_values(query: Query, known: Sequence[str]) -> dict[str, str]:
    """The same for a call that only reads: what it does not know cannot hurt, and is ignored."""
    return only_values({name: given for name, given in query.items() if name in known}, known)


def check_known(name: str, known: Sequence[str]) -> None:
    """Raises `BadRequest` for a query parameter that there is not."""
    if name not in known:
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known) or 'none'}"
        raise BadRequest(f"unknown query parameter {name!r}; {hint}")


def _only_value(name: str, values: Sequence[str], known: Sequence[str]) -> str:
    check_known(name, known)
    if len(values) != 1:
        raise BadRequest(f"query parameter {name!r} was given {len(values)} times; expected once")
    return values[0]


def _seconds(value: str) -> float:
    if _SECONDS.fullmatch(value) is None or float(value) > MAX_WAIT_SECONDS:
        raise BadRequest(f"wait={value!r}; expected a number of seconds from 0 to {MAX_WAIT_SECONDS}")
    return float(value)


def _number(name: str, value: str) -> int:
    if _NUMBER.fullmatch(value) is None:
        raise BadRequest(f"{name}={value!r}; expected a whole number from 0 to {LARGEST_NUMBER}")
    return int(value)


def _set_name(values: Mapping[str, str]) -> str | None:
    name = values.get("set")
    if name is not None and (problem := set_problem(name)):
        raise BadRequest(f"set={name!r}: {problem}")
    return name


def _is_rollback(value: str) -> bool:
    if value != "rollback":
        raise BadRequest(f"on_error={value!r}; the only known value is 'rollback'")
    return True


def _flag(name: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise BadRequest(f"{name}={value!r}; expected 'true' or 'false'")
    return value == "true"


MAX_PAGE, USUAL_PAGE = 1000, 100
"""Objects in one answer at most, and where nobody says."""


@frozen
class PageOptions:
    """The query of a list that comes page by page. `after`: the id of the object behind which the page begins.

    `only`: what an object has to be like, by the names of the parameters.
    """

    limit: int
    after: str | None
    only: Mapping[str, str]


def parse_page_options(query: Query, filters: Sequence[str]) -> PageOptions:
    """Read the query of a list that knows `filters`; raises `BadRequest`."""
    values = known_values(query, ("limit", "after", *filters))
    limit = values.pop("limit", str(USUAL_PAGE))
    if _NUMBER.fullmatch(limit) is None or not 1 <= int(limit) <= MAX_PAGE:
        raise BadRequest(f"limit={limit!r}; expected a whole number from 1 to {MAX_PAGE}")
    return PageOptions(int(limit), values.pop("after", None), values)


def parse_ban(query: Query, longest: int) -> int | None:
    """Read the query of what sends somebody away: seconds, `None` where it may come back. Raises `BadRequest`."""
    value = only_values(query, ("ban",)).get("ban")
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", value, re.ASCII) is None or not 1 <= int(value) <= longest:
        raise BadRequest(f"ban={value!r}; expected a whole number of seconds from 1 to {longest}")
    return int(value)


@frozen
class FleetOptions:
    """The query of a change of all nodes of a cluster; see `ConfigOptions`."""

    take_over: bool
    allow_empty: bool
    in_place: bool | None
    wait: float
    max_disconnects: int | None


USUAL_FLEET_WAIT_SECONDS = 30.0


def parse_fleet_options(query: Query, more: Sequence[str] = ()) -> FleetOptions:
    """Read the query; raises `BadRequest`."""
    values = only_values(query, ("take_over", "allow_empty", "in_place", *more))
    return FleetOptions(
        take_over="take_over" in values and _flag("take_over", values["take_over"]),
        allow_empty="allow_empty" in values and _flag("allow_empty", values["allow_empty"]),
        in_place=_in_place(values),
        wait=_seconds(values["wait"]) if "wait" in values else USUAL_FLEET_WAIT_SECONDS,
        max_disconnects=_number("max_disconnects", values["max_disconnects"]) if "max_disconnects" in values else None,
    )


MAX_DEADLINE_SECONDS = 86_400
"""Of a server that is emptied: a day."""


@frozen
class DrainOptions:
    """The query of what empties servers. `node`: `None` for the one that is asked; `deadline` and `wait` in seconds."""

    node: str | None
    deadline: float | None
    wait: float


def parse_drain_options(query: Query, names: Sequence[str]) -> DrainOptions:
    """Read the query; raises `BadRequest`."""
    values = only_values(query, names)
    if values.get("node") == "":
        raise BadRequest("node is empty; expected the name of a node, or no node for the server that is asked")
    deadline = values.get("deadline")
    if deadline is not None and (_NUMBER.fullmatch(deadline) is None or int(deadline) > MAX_DEADLINE_SECONDS):
        raise BadRequest(f"deadline={deadline!r}; expected a whole number of seconds up to {MAX_DEADLINE_SECONDS}")
    wait = _seconds(values["wait"]) if "wait" in values else 0.0
    return DrainOptions(values.get("node"), None if deadline is None else float(deadline), wait)


EXPECTED = 'expected ?to=NAME, or {"to": "NAME"} as application/json'

JSON_CONTENT_TYPES = ("application/json", "application/x-www-form-urlencoded")
"""What the body is, and what curl sends unasked with `--data`."""


def check_json_type(content_type: str | None, expected: str) -> None:
    """Raises `BadRequest` for a body that claims to be something else; `expected`: what the message says."""
    media_type = (content_type or "").partition(";")[0].strip(" \t").lower()
    if media_type and media_type not in JSON_CONTENT_TYPES:
        raise BadRequest(f"unexpected Content-Type {media_type!r}; {expected}")


def parse_switch(query: Mapping[str, Sequence[str]], content_type: str | None, body: bytes) -> str:
    """The name of the wanted source, which is never empty. Raises `BadRequest`."""
    if unknown := sorted(set(query) - {"to"}):
        raise BadRequest(f"unknown query parameter {unknown[0]!r}; {EXPECTED}")
    names: list[object] = list(query.get("to", ()))
    if body.strip():
        check_json_type(content_type, EXPECTED)
        names.append(_from_json(body))
    if len(names) != 1 or not isinstance(names[0], str) or not names[0]:
        raise BadRequest(f"not exactly one name of a source; {EXPECTED}")
    return names[0]


def _from_json(body: bytes) -> object:
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequest(f"the body is no JSON; {EXPECTED}") from None
    if not isinstance(asked, dict) or list(asked) != ["to"]:
        raise BadRequest(EXPECTED)
    return asked["to"]
