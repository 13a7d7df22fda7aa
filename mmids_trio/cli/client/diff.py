"""A plan as lines to read: every workflow that changes, with each of its steps, and whom it disconnects."""

from collections.abc import Iterator, Mapping, Sequence

from attrs import frozen

from mmids_trio.cli.client.plans import Plan, clients, count
from mmids_trio.cli.client.step_texts import step_text
from mmids_trio.errors import printable
from mmids_trio.workflow.sets import PlannedReactor, StepCut
from mmids_trio.workflow.status import PlannedStep, PlanView

MARKS = {"keep": "=", "start": "+", "stop": "-", "change": "~"}
STYLES = {"keep": "dim", "start": "green", "stop": "red", "change": "yellow"}
ALARM = "bold red"


@frozen
class Line:
    """A line to print: `text`, and a `note` behind it, each with how it looks."""

    text: str
    style: str = ""
    note: str = ""
    note_style: str = ""

    def __str__(self) -> str:
        return f"{self.text}   {self.note}" if self.note else self.text


def diff(plan: Plan) -> Iterator[Line]:
    """The whole plan; its last line is a summary."""
    for reactor in plan.reactors:
        if reactor.action != "keep":
            yield _reactor(reactor)
    cuts = {(cut.workflow, cut.step_id): cut for cut in plan.cuts}
    for view in plan.changing:
        yield from _workflow(view, cuts)
    for name in plan.deleted:
        yield from _deleted(name, [cut for cut in plan.cuts if cut.workflow == name])
    yield Line(summary(plan), "bold")


def summary(plan: Plan) -> str:
    """What a plan does, in a sentence."""
    if not plan.changed:
        return f"no change: {count(len(plan.workflows), 'workflow')} as wanted"
    created = sum(view.created for view in plan.changing)
    numbers = ((created, "new"), (len(plan.changing) - created, "changed"), (len(plan.deleted), "stopped"))
    parts = [f"{number} {what}" for number, what in numbers if number]
    if unchanged := len(plan.workflows) - len(plan.changing):
        parts.append(f"{unchanged} unchanged")
    reactors = [reactor for reactor in plan.reactors if reactor.action != "keep"]
    more = [f"reactors: {len(reactors)} changed"] if reactors else []
    workflows = [f"workflows: {', '.join(parts)}"] if parts else []
    return "; ".join([*workflows, *more, f"disconnects {clients(plan.publishers, plan.watchers)}"])


def _reactor(reactor: PlannedReactor) -> Line:
    return Line(f"{MARKS[reactor.action]} reactor {printable(reactor.name)}", STYLES[reactor.action])


def _workflow(view: PlanView, cuts: Mapping[tuple[str, str], StepCut]) -> Iterator[Line]:
    action = "start" if view.created else "change"
    yield Line(f"{MARKS[action]} workflow {printable(view.workflow)}", f"bold {STYLES[action]}", _why(view))
    for step in view.steps:
        cut = cuts.get((view.workflow, step.step_id)) if step.action == "stop" else None
        yield _step(step.action, _text(step), [cut] if cut else [])


def _why(view: PlanView) -> str:
    """What changes where all steps are kept."""
    if view.created or any(step.action != "keep" for step in view.steps):
        return ""
    return "in another order, or again after a failure"


def _deleted(name: str, cuts: Sequence[StepCut]) -> Iterator[Line]:
    yield Line(f"{MARKS['stop']} workflow {printable(name)}", f"bold {STYLES['stop']}")
    for cut in cuts:
        yield _step("stop", _text(cut), [cut])


def _text(step: PlannedStep | StepCut) -> str:
    """Parameters by name, so that two versions of a step can be compared."""
    return step_text(step.step_type, dict(sorted(step.parameters.items())))


def _step(action: str, text: str, cuts: Sequence[StepCut]) -> Line:
    publishers, watchers = sum(cut.publishers for cut in cuts), sum(cut.watchers for cut in cuts)
    note = f"disconnects {clients(publishers, watchers)}" if publishers or watchers else ""
    return Line(f"    {MARKS[action]} {text}", STYLES[action], note, ALARM)
