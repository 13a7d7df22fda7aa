"""The JSON of the HTTP API: its shapes as types, and one function from what the server knows to what a client reads.

Apart from the handlers because field names and their order are a contract, and the handlers are not.  Most shapes are
the very types of the server (`workflow.status`, `reactors.views`); those that only the API has are here.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from attrs import fields, frozen, has

from mmids_trio.errors import Problem
from mmids_trio.http_api.disk_forecast import DiskView
from mmids_trio.moments import rfc3339
from mmids_trio.on_air.bans import BanKind
from mmids_trio.on_air.views import ClientView, SourceView, StreamView, StreamWarning
from mmids_trio.reactors.views import LeaseView, ReactorView
from mmids_trio.reload.accepted import LastReload
from mmids_trio.state.history import ChangeSummary
from mmids_trio.workflow.plan import PlannedReactor, SetPlan, StepCut
from mmids_trio.workflow.plan_summary import summary
from mmids_trio.workflow.status import (
    NO_CLIENTS,
    PlannedStep,
    PlanView,
    StepStatus,
    StreamStatus,
    WorkflowOwner,
    WorkflowStatus,
)

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None


@frozen
class Ready:
    """Whether the server is ready. `reasons`: why it is not; only for who may read."""

    ready: bool
    reasons: tuple[str, ...] = ()


@frozen
class WorkflowName:
    """One item of the list of workflows. `set`: the one that it belongs to, where that is not the default one."""

    name: str
    set: str | None = None


Hide = Callable[[str], str]

DECIMALS = 1
"""Of every number that has any: they are seconds from now."""

EMPTY = (None, (), NO_CLIENTS)
"""Where there is nothing to say."""


@frozen
class ProblemReport:
    """One thing wrong with a text, and where (null: nowhere). `hint`: how to go on, where that is known."""

    file: str | None
    line: int | None
    column: int | None
    message: str
    hint: str | None = None

    @classmethod
    def of(cls, problem: Problem) -> "ProblemReport":
        """A problem with its place."""
        place = problem.place
        return cls(place.file, place.line, place.column, problem.message, problem.hint)


@frozen
class Error:
    """Body of every refusal. `problems`: every thing that is wrong, where it is about a text."""

    error: str
    problems: tuple[ProblemReport, ...] = ()


@frozen
class GuardError:
    """Body of a refusal by a guard: `refused_by` is the option that would permit the change."""

    error: str
    refused_by: str


@frozen
class ConditionError:
    """Body of a lost race: `etag` is the current one, null where nothing is there."""

    error: str
    etag: str | None


@frozen
class ConfigPlan:
    """What a whole set does: every workflow of it, then what is stopped with it.

    `cuts` has every step that stops, and every one that runs on and excludes clients (`of` those that it has).

    `problems`: what keeps it from being put in place, as far as `POST /config/plan` sees. `publishers` and `watchers`
    are disconnected, as of now. `reactors` is empty where the set leaves them alone.
    `owner`: whose all of it is afterwards, and what is stopped was before. `summary`: all of it in a sentence.
    """

    changed: bool
    publishers: int
    watchers: int
    workflows: tuple[PlanView, ...]
    deleted: tuple[str, ...]
    cuts: tuple[StepCut, ...]
    reactors: tuple[PlannedReactor, ...]
    owner: WorkflowOwner
    summary: str
    problems: tuple[ProblemReport, ...] = ()

    @classmethod
    def of(cls, plan: SetPlan) -> "ConfigPlan":
        """The plan, with what follows from it."""
        return cls(
            plan.changed,
            plan.publishers,
            plan.watchers,
            plan.workflows,
            plan.deleted,
            plan.cuts,
            plan.reactors,
            plan.owner,
            summary(plan),
        )


@frozen
class ReloadReport:
    """What came of reading the configuration file again.

    Of the settings that differ `applied_settings` count from now on, `needs_restart` only after a restart.
    `kept_away` are workflows of the file that do not run, as the API has deleted them.
    """

    plan: ConfigPlan
    applied_settings: tuple[str, ...]
    needs_restart: tuple[str, ...]
    warnings: tuple[str, ...]
    kept_away: tuple[str, ...]


@frozen
class LastReloadReport:
    """The reload of the configuration file that ended last.

    `time` as RFC 3339 has it, in UTC; `by`: `signal` (SIGHUP), `watch` or `api`; `result`: `applied`, `unchanged`,
    `refused` (by a guard) or `failed`; `plan` is null for a file that could not be read.
    """

    time: str
    by: str
    result: str
    message: str
    plan: ConfigPlan | None


@frozen
class StreamPage:
    """Some of the streams, the oldest first. `next`: what `after` has to be for the rest; null where there is none."""

    streams: tuple[StreamView, ...]
    next: str | None


@frozen
class ClientPage:
    """Some of the clients, who came first in front. `next`: see `StreamPage`."""

    clients: tuple[ClientView, ...]
    next: str | None


@frozen
class ChangePage:
    """Some of the changes, the newest first. `next`: see `StreamPage`."""

    changes: tuple[ChangeSummary, ...]
    next: str | None


@frozen
class LogLines:
    """Lines of the log, the oldest first. `dropped`: how many older ones are not kept any more."""

    lines: tuple[dict[str, object], ...]
    dropped: int


@frozen
class BanView:
    """Who may not come back before `until`.

    Either `address` (a host, or the /64 network of an IPv6 one) or a stream, by `app` and `name`; the others are null.
    """

    id: str
    kind: BanKind
    address: str | None
    app: str | None
    name: str | None
    since: str
    until: str
    seconds_left: float


@frozen
class BanList:
    """All bans, in the order in which they were made."""

    bans: tuple[BanView, ...]


@frozen
class DrainView:
    """How far a server is emptied. `over`: nobody is left, or the deadline is.

    `node` is null without a cluster. `asked_to_move`: clients that were asked to connect again, as they had said that
    they can. `seconds_left`: until the deadline; null where there is none.
    """

    node: str | None
    draining: bool
    over: bool
    publishers: int
    watchers: int
    asked_to_move: int
    seconds_left: float | None


@frozen
class PlayLink:
    """What lets a player in that begins before `expires`: `query` stands behind the address and a `?`."""

    query: str
    expires: str


@frozen
class ConfigStatus:
    """How the configuration file stands. `last_reload` is null before the first."""

    last_reload: LastReloadReport | None

    @classmethod
    def of(cls, last: LastReload | None) -> "ConfigStatus":
        """What the reloader knows."""
        if last is None:
            return cls(None)
        at = rfc3339(last.time)
        plan = None if last.plan is None else ConfigPlan.of(last.plan)
        return cls(LastReloadReport(at, last.by, last.result, last.message, plan))


@frozen
class PublisherSummary:
    """Where a stream comes from; see `SourceView`."""

    client: str | None
    protocol: str


@frozen
class StreamSummary:
    """What the dashboard shows of every stream. `watchers`: how many, by protocol. `bitrate`: of all tracks."""

    id: str
    workflow: str
    state: str
    seconds_left: float | None
    since: str
    bitrate: int
    video: str | None
    audio: str | None
    watchers: Mapping[str, int]
    made_from: str | None
    publisher: PublisherSummary | None


@frozen
class StreamWords:
    """What of it people have chosen, or is about them: never compressed (see `Overview`)."""

    name: str
    warnings: Sequence[StreamWarning]
    address: str | None
    agent: str | None
    location: str | None


@frozen
class StateSpan:
    """What a stream was, since seconds after 1970; until the next one, or its end."""

    since: float
    state: str


@frozen
class StreamLane:
    """What one stream was in the last hour. `ended`: when, in seconds after 1970; `None` where it is on the air."""

    id: str
    name: str
    workflow: str
    ended: float | None
    states: Sequence[StateSpan]


@frozen
class TimelineView:
    """The last hour. The lists of numbers belong together: what there was at each `time` (seconds after 1970).

    `bitrate`: bits a second of all media that came. `events`: as `/events` has them, but for clients that come and
    leave. `seconds`: how far back it goes. `left_out`: events and streams that there was no room for.
    """

    seconds: int
    left_out: int
    time: Sequence[float]
    bitrate: Sequence[int]
    publishers: Sequence[int]
    watchers: Sequence[int]
    streams: Sequence[StreamLane]
    events: Sequence[dict[str, object]]


@frozen
class TargetSummary:
    """Where a stream is pushed, and whether media arrives there."""

    name: str
    target: str
    is_up: bool
    message: str
    last_error: str | None


@frozen
class WorkflowSummary:
    """What the dashboard shows of every workflow. `steps`: their types. `owner`: unless it says a stream."""

    name: str
    state: str | None
    owner: WorkflowOwner | None
    steps: tuple[str, ...]
    publishers: int
    watchers: int


@frozen
class WorkflowWords:
    """What of it may repeat a stream, or what somebody else says: never compressed (see `Overview`)."""

    reason: str | None
    owner: WorkflowOwner | None
    targets: tuple[TargetSummary, ...]


ABSENT_WHEN_EMPTY = {
    ConfigPlan: ("problems",),
    Error: ("problems",),
    StepStatus: ("streams", "clients", "on_air", "state", "reason"),
    PlannedStep: ("step_id_before", "changes"),
    StepCut: ("of",),
    Ready: ("reasons",),
    WorkflowStatus: ("owner", "state", "reason"),
    WorkflowWords: ("reason", "owner", "targets"),
    WorkflowOwner: ("name", "stream", "set"),
    WorkflowName: ("set",),
    ReactorView: ("set",),
    PlanView: ("owner", "taken_from"),
    PlannedReactor: ("taken_from",),
    StreamStatus: (
        "state",
        "seconds_left",
        "target",
        "bitrate",
        "last_error",
        "dropped_groups",
        "path",
        "last_segment",
    ),
}
"""Fields that are there only where there is something to say."""

FREE_TEXT: Mapping[type, tuple[str, ...]] = {
    Error: ("error",),
    GuardError: ("error",),
    LastReloadReport: ("message",),
    LeaseView: ("stream", "last_answer", "last_error"),
    ProblemReport: ("message", "hint"),
    Ready: ("reasons",),
    DiskView: ("directories",),
    ReloadReport: ("warnings",),
    StepStatus: ("status", "reason"),
    StreamWords: ("name", "agent", "location"),
    StreamView: ("name",),
    ClientView: ("name", "agent"),
    SourceView: ("agent",),
    StreamStatus: ("name", "message", "target", "last_error"),
    TargetSummary: ("name", "message", "target", "last_error"),
    WorkflowOwner: ("stream",),
    WorkflowStatus: ("status", "reason"),
    WorkflowWords: ("reason",),
}
"""Fields that may repeat what stands in a parameter; names of workflows and reactors are never such a thing."""

PLAIN = frozenset({bool, int, type(None)})
"""Types of what is JSON already."""

KINDS = 256
"""Classes whose fields are remembered; the API has some fifty."""


def shown_as_it_is(text: str) -> str:
    """A text, whatever is in it."""
    return text


def to_json(value: Any, hide: Hide = shown_as_it_is, *, is_free: bool = False) -> Json:
    """Data of attrs classes, sequences and mappings as JSON, fields in their order.

    `hide` takes away what is secret in the fields of `FREE_TEXT` (and in `value` itself where it `is_free`).
    """
    kind = type(value)
    if kind in PLAIN:  # most of what there is
        plain: Json = value
        return plain
    if isinstance(value, str):
        return hide(value) if is_free else value
    if (shape := _shape_of(kind)) is not None:  # type: ignore[arg-type]  # mypy: classes have no hash
        fields: dict[str, Json] = {}
        for name, may_be_absent, free in shape:
            item = getattr(value, name)
            if not may_be_absent or item not in EMPTY:
                fields[name] = to_json(item, hide, is_free=free)
        return fields
    if isinstance(value, Mapping):
        return {str(name): to_json(item, hide) for name, item in value.items()}
    if isinstance(value, Sequence):
        return [to_json(item, hide, is_free=is_free) for item in value]
    number: Json = round(value, DECIMALS) if isinstance(value, float) else value
    return number


@lru_cache(KINDS)
def _shape_of(kind: type) -> tuple[tuple[str, bool, bool], ...] | None:
    """Of an attrs class: each field, whether it is left out where it is empty, and whether it is a free text."""
    if not has(kind):
        return None
    absent, free = ABSENT_WHEN_EMPTY.get(kind, ()), FREE_TEXT.get(kind, ())
    return tuple((field.name, field.name in absent, field.name in free) for field in fields(kind))
