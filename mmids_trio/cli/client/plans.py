"""The plan of a change as the server answers it, read into types, and as lines to read.

Every workflow that changes is shown with each of its steps and whom it disconnects.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from attrs import NOTHING, AttrsInstance, evolve, fields_dict, frozen

from mmids_trio.cli.client.failures import ClientError, ProblemData, as_problem
from mmids_trio.config.writer import write_workflow
from mmids_trio.definitions import ParameterValue, StepDefinition, WorkflowDefinition
from mmids_trio.errors import printable
from mmids_trio.masking import HIDDEN, mask, names_a_secret
from mmids_trio.workflow.plan import PlannedReactor, StepCut
from mmids_trio.workflow.plan_summary import clients, count, summary
from mmids_trio.workflow.status import BY_API, Clients, ParameterChange, PlannedStep, PlanView, WorkflowOwner

NOTHING_CHANGES = 0
HAS_PROBLEMS = 1
CHANGES = 2
"""Exit statuses of `plan`, as those of `diff`-like tools; 1 is an error."""

T = TypeVar("T", bound=AttrsInstance)


@frozen
class ShownPlan:
    """What a set does. `document` is the server's answer, for machines; `etag` what it was compared with."""

    changed: bool
    publishers: int
    watchers: int
    workflows: tuple[PlanView, ...]
    deleted: tuple[str, ...]
    cuts: tuple[StepCut, ...]
    reactors: tuple[PlannedReactor, ...]
    owner: WorkflowOwner
    etag: str | None
    document: Mapping[str, Any]
    problems: tuple[ProblemData, ...] = ()
    """What keeps it from being put in place, as far as the server sees."""

    @property
    def clients(self) -> int:
        """Publishers and watchers that would be disconnected."""
        return self.publishers + self.watchers

    @property
    def exit_status(self) -> int:
        """Of `plan`."""
        if self.problems:
            return HAS_PROBLEMS
        return CHANGES if self.changed else NOTHING_CHANGES

    @property
    def changing(self) -> tuple[PlanView, ...]:
        """The workflows that start or change."""
        return tuple(view for view in self.workflows if view.changed)


def read_plan(document: Any, etag: str | None = None) -> ShownPlan:
    """Read the JSON of a plan. Raises `ClientError` for any other."""
    try:
        return ShownPlan(
            changed=document["changed"],
            publishers=int(document["publishers"]),
            watchers=int(document["watchers"]),
            workflows=tuple(_view(item) for item in document["workflows"]),
            deleted=tuple(map(str, document["deleted"])),
            cuts=_cuts(document["cuts"]),
            reactors=tuple(_planned_reactor(item) for item in document["reactors"]),
            owner=_owner(document.get("owner")) or BY_API,
            etag=etag,
            document=document,
            problems=tuple(map(as_problem, document.get("problems", ()))),
        )
    except (TypeError, KeyError, ValueError):
        raise ClientError("the answer is not the plan of a change; is this the HTTP API of an mmids_trio?") from None


def _view(item: Mapping[str, Any]) -> PlanView:
    steps = tuple(
        evolve(step, changes=_all(ParameterChange, document.get("changes", ())))
        for step, document in zip(_all(PlannedStep, item["steps"]), item["steps"], strict=True)
    )
    owner, taken_from = _owner(item.get("owner")), _owner(item.get("taken_from"))
    return PlanView(item["workflow"], item["created"], item["changed"], steps, owner, taken_from)


def _planned_reactor(item: Mapping[str, Any]) -> PlannedReactor:
    return PlannedReactor(item["name"], item["action"], _owner(item.get("taken_from")))


def _owner(item: Mapping[str, Any] | None) -> WorkflowOwner | None:
    return None if item is None else WorkflowOwner(item["kind"], item.get("name"), item.get("stream"), item.get("set"))


def _cuts(items: Sequence[Mapping[str, Any]]) -> tuple[StepCut, ...]:
    return tuple(
        evolve(cut, of=Clients(**item["of"]) if item.get("of") else None)
        for cut, item in zip(_all(StepCut, items), items, strict=True)
    )


def _all(shape: type[T], items: Sequence[Mapping[str, Any]]) -> tuple[T, ...]:
    """Fields that only a newer server has are left out; those that only it knows have their defaults."""
    known = fields_dict(shape)
    return tuple(
        shape(**{name: item[name] for name, known_as in known.items() if name in item or known_as.default is NOTHING})
        for item in items
    )


def too_many(plan: ShownPlan, allowed: int | None) -> str | None:
    """Why the plan may not be carried out, given how many clients it may disconnect (`None`: any number)."""
    if allowed is None or plan.clients <= allowed:
        return None
    return (
        f"refused: this would disconnect {clients(plan.publishers, plan.watchers)}, and --max-disconnects allows"
        f" {allowed}; nothing was changed"
    )


MARKS = {"keep": "=", "start": "+", "stop": "-", "change": "~"}
STYLES = {"keep": "dim", "start": "green", "stop": "red", "change": "yellow"}
ALARM = "bold red"


@frozen
class PlanLine:
    """A line to print: `text`, and a `note` behind it, each with how it looks."""

    text: str
    style: str = ""
    note: str = ""
    note_style: str = ""

    def __str__(self) -> str:
        return f"{self.text}   {self.note}" if self.note else self.text


def diff(plan: ShownPlan) -> Iterator[PlanLine]:
    """The whole plan; its last line is a summary."""
    for reactor in plan.reactors:
        if reactor.is_news:
            yield _reactor(reactor)
    cuts = {(cut.workflow, cut.step_id): cut for cut in plan.cuts}
    for view in plan.changing:
        yield from _workflow(view, cuts)
    for name in plan.deleted:
        yield from _deleted(name, plan.owner, [cut for cut in plan.cuts if cut.workflow == name])
    yield PlanLine(summary(plan), "bold")


def _reactor(reactor: PlannedReactor) -> PlanLine:
    note = _taken(reactor.taken_from)
    return PlanLine(f"{MARKS[reactor.action]} reactor {printable(reactor.name)}", STYLES[reactor.action], note)


def _workflow(view: PlanView, cuts: Mapping[tuple[str, str], StepCut]) -> Iterator[PlanLine]:
    action = "start" if view.created else "change"
    notes = (_whose(view.owner), _taken(view.taken_from), _why(view))
    note = "; ".join(filter(None, notes))
    yield PlanLine(f"{MARKS[action]} workflow {printable(view.workflow)}", f"bold {STYLES[action]}", note)
    for step in view.steps:
        if step.action == "change":
            yield _changed(step, cuts.get((view.workflow, str(step.step_id_before))))
            continue
        cut = cuts.get((view.workflow, step.step_id)) if step.action == "stop" else None
        yield _step(step.action, _text(step), [cut] if cut else [], _differences(step))


def _why(view: PlanView) -> str:
    """What changes where all steps are kept."""
    if view.created or view.taken_from is not None or any(step.action != "keep" for step in view.steps):
        return ""
    return "reordered, or restarted after a failure"


def _whose(owner: WorkflowOwner | None) -> str:
    """What goes without saying is left out: that it is the default set's."""
    if owner is None or owner == BY_API:
        return ""
    return printable(f"set {owner.set}" if owner.kind == "api" else str(owner))


def _taken(owner: WorkflowOwner | None) -> str:
    return "" if owner is None else printable(f"taken over from the {owner}")


def _deleted(name: str, owner: WorkflowOwner, cuts: Sequence[StepCut]) -> Iterator[PlanLine]:
    yield PlanLine(f"{MARKS['stop']} workflow {printable(name)}", f"bold {STYLES['stop']}", _whose(owner))
    for cut in cuts:
        yield _step("stop", _text(cut), [cut])


def _text(step: PlannedStep | StepCut) -> str:
    """Parameters in the order of the file."""
    return step_text(step.step_type, step.parameters)


def _step(action: str, text: str, cuts: Sequence[StepCut], differences: str = "") -> PlanLine:
    publishers, watchers = sum(cut.publishers for cut in cuts), sum(cut.watchers for cut in cuts)
    line = f"    {MARKS[action]} {text}"
    if publishers or watchers:
        return PlanLine(line, STYLES[action], f"disconnects {clients(publishers, watchers)}", ALARM)
    return PlanLine(line, STYLES[action], differences, STYLES["change"])


def _changed(step: PlannedStep, cut: StepCut | None) -> PlanLine:
    """A step that runs on, with what it takes, and whom that cuts."""
    line = f"    {MARKS['change']} {printable(step.step_type)} {_differences(step)}"
    if cut is None or cut.of is None:
        return PlanLine(line, STYLES["change"])
    numbers = ((cut.publishers, cut.of.publishers, "publisher"), (cut.watchers, cut.of.watchers, "watcher"))
    parts = [f"{some} of {count(all_, what)}" for some, all_, what in numbers if some]
    verb = "is" if cut.publishers + cut.watchers == 1 else "are"
    return PlanLine(line, STYLES["change"], f"{' and '.join(parts)} {verb} cut", ALARM)


def _differences(step: PlannedStep) -> str:
    """`allow_ips 10.0.0.0/8 -> 10.1.0.0/16, gop_cache (none) -> off`: what a step has in place of what it replaces."""
    return ", ".join(
        f"{printable(change.name)} {_value(change.name, change.before)} -> {_value(change.name, change.after)}"
        for change in step.changes
    )


def _value(name: str, value: str | bool | None) -> str:
    """In quotes where it could be taken for something else."""
    if value is None:
        return "(none)"
    if value is True:
        return "(set)"
    text = printable(str(_shown(name, str(value))))
    return text if text and not set(text) & set(" (") else f'"{text}"'


def step_text(step_type: str, parameters: Mapping[str, ParameterValue]) -> str:
    """A step in one line, in the configuration language but for what is masked."""
    shown = {name: _shown(name, value) for name, value in parameters.items()}
    definition = WorkflowDefinition("shown", (StepDefinition(step_type, shown),))
    try:
        line = write_workflow(definition).split("\n")[1].strip()
    except ValueError:
        line = f"{step_type} {shown}"
    return printable(line).replace(f'"{HIDDEN}"', HIDDEN)


def _shown(name: str, value: ParameterValue) -> ParameterValue:
    """The server hides what is declared as secret; here goes what only looks like it, too."""
    if value is None:
        return None
    return HIDDEN if names_a_secret(name) else mask(value)
