"""Which changes were made lately, by whom, and what came of them: a bounded list, told by who makes changes.

Pure.  A change stands in it from when it is accepted; what is secret in a configuration never gets here.
"""

import zlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from attrs import define, evolve, field, fields, frozen

from mmids_trio.config.writer import write_step, write_workflow_of
from mmids_trio.definitions import Resolved, StepDefinition, WorkflowDefinition, publish_keys
from mmids_trio.workflow.events import HubEvent, WorkflowChanged
from mmids_trio.workflow.plan import SetPlan, shown_in_plan
from mmids_trio.workflow.status import Outcome, OutcomeKind, PlanView

MOST_CHANGES = 1_000
"""Changes that are kept: a month of a busy crew."""

MOST_BYTES = 16 * 1024 * 1024
"""Of the texts of all of them; beyond it the oldest go."""

MAX_TEXT = 64 * 1024
"""Characters of a configuration before or after one change: 500 workflows."""

MOST_WORKFLOWS = 100
"""Workflows of one change that are named."""

BYTES_OF_WORKFLOW = 200
"""What a workflow counts for that a change names."""

PACKING, LAST_TEXTS = 1, 4
"""Level of zlib: higher ones take several times as long for little. Texts whose packed form is remembered."""

MOST_KICKS = 200
"""Changes that only sent somebody away: whoever kicks all day must not push out what became of the configuration."""

CUT = "# (more is not kept)\n"

Via = Literal["api", "signal", "watch"]
"""By what somebody asked: the API, SIGHUP, or the file that is watched."""

Ended = Literal["pending", "applied", "failed", "rolled back", "superseded", "stopped", "unknown"]
"""`unknown`: the server ended before the change did."""


@frozen
class ChangedWorkflow:
    """What a change does with one workflow, in numbers of steps. `kick`: it only sends somebody away."""

    workflow: str
    action: Literal["start", "change", "stop", "kick"]
    started: int = 0
    changed: int = 0
    stopped: int = 0
    kept: int = 0


@frozen(kw_only=True)
class ChangeSummary:
    """One change: when, by whom, its plan in short, how it ended.

    `by`: name of the API's token, or `signal` and `watch`. `publishers` and `watchers` were disconnected.
    `more_workflows`: how many are not named.
    """

    id: str
    time: str
    by: str
    via: Via
    workflows: tuple[ChangedWorkflow, ...]
    more_workflows: int
    reactors: tuple[str, ...]
    publishers: int
    watchers: int
    outcome: Ended
    message: str

    @property
    def is_kick(self) -> bool:
        """Whether it only sent somebody away."""
        return all(each.action == "kick" for each in self.workflows) and bool(self.workflows)

    def is_about(self, workflow: str) -> bool:
        """Whether it names this workflow."""
        return any(each.workflow == workflow for each in self.workflows)


@frozen(kw_only=True)
class ChangeRecord(ChangeSummary):
    """The same with the workflows that it is about, `before` and `after`, in the configuration language."""

    before: str
    after: str

    @property
    def size(self) -> int:
        """Bytes of it, about."""
        texts = len(self.before) + len(self.after) + len(self.message)
        return texts + BYTES_OF_WORKFLOW * len(self.workflows)

    @property
    def summary(self) -> ChangeSummary:
        """Without the texts."""
        return ChangeSummary(
            id=self.id,
            time=self.time,
            by=self.by,
            via=self.via,
            workflows=self.workflows,
            more_workflows=self.more_workflows,
            reactors=self.reactors,
            publishers=self.publishers,
            watchers=self.watchers,
            outcome=self.outcome,
            message=self.message,
        )


@frozen(eq=False)
class KeptChange:
    """A change as it is held: its texts are packed, which takes a fortieth of large configurations."""

    summary: ChangeSummary
    _before: bytes
    _after: bytes
    size: int
    """Bytes of it unpacked, about."""

    @property
    def record(self) -> ChangeRecord:
        """With its texts."""
        short = {field.name: getattr(self.summary, field.name) for field in fields(ChangeSummary)}
        return ChangeRecord(**short, before=_unpacked(self._before), after=_unpacked(self._after))


Definitions = Mapping[str, WorkflowDefinition | None]


@frozen(eq=False)
class _Written:
    """A workflow as it may be shown, with the line of each step by its id. `keys` are hidden in all of them."""

    definition: WorkflowDefinition
    keys: frozenset[str]
    lines: Mapping[str, str]
    text: str


def _unpacked(packed: bytes) -> str:
    return zlib.decompress(packed).decode()


def nobody_keeps(_record: ChangeRecord) -> None:
    """Where there is no file."""


@define(eq=False)
class ChangeHistory:
    """See the module. `calendar`: the time, as RFC 3339 has it. `keep` gets each record, and again at its end."""

    calendar: Callable[[], str] = field(default=lambda: "1970-01-01T00:00:00.000Z")
    keep: Callable[[ChangeRecord], None] = nobody_keeps
    publish: Callable[[HubEvent], None] = lambda _: None
    _records: dict[str, KeptChange] = field(factory=dict, init=False)
    """The oldest first."""
    _packed: dict[str, bytes] = field(factory=dict, init=False)
    """The last `LAST_TEXTS` texts: what is after one change is before the next, and each change is put here twice."""
    _size: int = field(default=0, init=False)
    _count: int = field(default=0, init=False)
    _kicks: deque[str] = field(factory=deque, init=False)
    """Ids of changes that only sent somebody away."""
    _written: dict[str, _Written] = field(factory=dict, init=False)
    """By its name, a workflow as it was written last; what was used last is the last, and `MOST_WORKFLOWS` are kept."""

    def load(self, records: Iterable[ChangeRecord]) -> None:
        """Begin with what was kept, the oldest first."""
        for record in records:
            self._put(evolve(record, outcome="unknown") if record.outcome == "pending" else record)
        self._count = max((int(name) for name in self._records), default=0)

    def newest_first(self) -> list[ChangeSummary]:
        """All that are kept."""
        return [kept.summary for kept in reversed(self._records.values())]

    def all(self) -> list[KeptChange]:
        """The same with their texts, the oldest first."""
        return list(self._records.values())

    def get(self, name: str) -> ChangeRecord | None:
        """The one of that id."""
        kept = self._records.get(name)
        return None if kept is None else kept.record

    def note(
        self, plan: PlanView | SetPlan, before: Definitions, after: Definitions, *, by: str, via: Via = "api"
    ) -> Callable[[Outcome], None]:
        """A change was accepted. Returns what is to be told how it ends; one that changes nothing is none."""
        whole = SetPlan((plan,)) if isinstance(plan, PlanView) else plan
        if not whole.changed:
            return lambda _: None
        views = [view for view in whole.workflows if view.changed]
        names = [*(view.workflow for view in views), *whole.deleted]
        changed = [*map(_changed, views), *(ChangedWorkflow(name, "stop") for name in whole.deleted)]
        self._count += 1
        record = ChangeRecord(
            id=str(self._count),
            time=self.calendar(),
            by=by,
            via=via,
            workflows=tuple(changed[:MOST_WORKFLOWS]),
            more_workflows=max(0, len(changed) - MOST_WORKFLOWS),
            reactors=tuple(reactor.name for reactor in whole.reactors if reactor.is_news)[:MOST_WORKFLOWS],
            publishers=whole.publishers,
            watchers=whole.watchers,
            outcome="pending",
            message="",
            before=_text(self._shown(before.get(name)) for name in names),
            after=_text(self._shown(after.get(name)) for name in names),
        )
        self._put(record)
        self.keep(record)

        def settle(outcome: Outcome) -> None:
            self._settle(evolve(record, outcome=outcome.kind.value, message=outcome.message), changed)

        return settle

    def note_kick(self, workflow: str, message: str, *, by: str, publishers: int = 0, watchers: int = 0) -> None:
        """So many were sent away from a workflow that stays as it is."""
        self._count += 1
        record = ChangeRecord(
            id=str(self._count),
            time=self.calendar(),
            by=by,
            via="api",
            workflows=(ChangedWorkflow(workflow, "kick"),),
            more_workflows=0,
            reactors=(),
            publishers=publishers,
            watchers=watchers,
            outcome="applied",
            message=message,
            before="",
            after="",
        )
        self._put(record)
        self.keep(record)

    def _shown(self, definition: WorkflowDefinition | None) -> str:
        """What one change has made of a workflow the next one finds, and most of its steps stay as they are."""
        if definition is None:
            return ""
        known = self._written.pop(definition.name, None)
        if known is None or known.definition is not definition:
            known = _written(definition, known)
        self._written[definition.name] = known
        if len(self._written) > MOST_WORKFLOWS:
            del self._written[next(iter(self._written))]
        return known.text

    def _settle(self, record: ChangeRecord, changed: Iterable[ChangedWorkflow]) -> None:
        if record.id in self._records:
            self._put(record)
            self.keep(record)
        if record.outcome == OutcomeKind.APPLIED.value:
            for each in changed:
                self.publish(
                    WorkflowChanged(
                        each.workflow, record.by, each.action, each.started, each.changed, each.stopped, record.id
                    )
                )

    def _put(self, record: ChangeRecord) -> None:
        if (old := self._records.get(record.id)) is not None:
            self._size -= old.size
        kept = KeptChange(record.summary, self._pack(record.before), self._pack(record.after), record.size)
        self._records[record.id] = kept  # in the place that it has, if it has one
        self._size += record.size
        if old is None and record.is_kick:
            self._kicks.append(record.id)
            if len(self._kicks) > MOST_KICKS:
                self._drop(self._kicks.popleft())
        while len(self._records) > MOST_CHANGES or (self._size > MOST_BYTES and len(self._records) > 1):
            self._drop(next(iter(self._records)))

    def _pack(self, text: str) -> bytes:
        packed = self._packed.pop(text, None) or zlib.compress(text.encode(), PACKING)
        self._packed[text] = packed
        if len(self._packed) > LAST_TEXTS:
            del self._packed[next(iter(self._packed))]
        return packed

    def _drop(self, name: str) -> None:
        gone = self._records.pop(name, None)
        self._size -= 0 if gone is None else gone.size


def _changed(view: PlanView) -> ChangedWorkflow:
    actions = [step.action for step in view.steps]
    return ChangedWorkflow(
        view.workflow,
        "start" if view.created else "change",
        started=actions.count("start"),
        changed=actions.count("change"),
        stopped=actions.count("stop"),
        kept=actions.count("keep"),
    )


def _text(texts: Iterable[str]) -> str:
    """These as one, as far as there is room."""
    pieces, size = [], 0
    for piece in texts:
        size += len(piece)
        if size > MAX_TEXT:
            pieces.append(CUT)
            break
        pieces.append(piece)
    return "".join(pieces)


def _written(definition: WorkflowDefinition, known: _Written | None) -> _Written:
    """It without what is secret in it, as plans have it; lines that are `known` are not made again."""
    keys = publish_keys(definition.steps)
    lines = known.lines if known is not None and known.keys == keys else {}
    steps = zip(definition.step_ids, definition.steps, strict=True)
    try:
        lines = {
            step_id: _line(step, keys) if step_id not in lines or _has_variables(step) else lines[step_id]
            for step_id, step in steps
        }
        return _Written(definition, keys, lines, write_workflow_of(definition, lines.values()))
    except ValueError:  # made by a program, not read from a text
        text = f"# workflow {definition.name!a}, which the language cannot express\n"
        return _Written(definition, keys, {}, text)


def _line(step: StepDefinition, keys: frozenset[str]) -> str:
    return write_step(evolve(step, parameters=shown_in_plan(step.shown_parameters(), keys)))


def _has_variables(step: StepDefinition) -> bool:
    """Whether a value came from outside: it is equal to one that was written there, and yet shown otherwise."""
    return any(isinstance(value, Resolved) for value in step.parameters.values())
