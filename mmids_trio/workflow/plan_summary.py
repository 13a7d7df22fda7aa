"""What a plan does, in a sentence: the one that commands print and that the dashboard shows. Pure."""

from collections.abc import Sequence
from typing import Protocol

from mmids_trio.workflow.plan import PlannedReactor
from mmids_trio.workflow.status import PlanView


class Summarised(Protocol):
    """What the sentence is made of."""

    @property
    def changed(self) -> bool:
        """Whether anything is to be done."""

    @property
    def publishers(self) -> int:
        """Publishers that would be disconnected."""

    @property
    def watchers(self) -> int:
        """Watchers that would be disconnected."""

    @property
    def workflows(self) -> Sequence[PlanView]:
        """Every workflow that it names, also those that stay as they are."""

    @property
    def deleted(self) -> Sequence[str]:
        """Workflows that it stops."""

    @property
    def reactors(self) -> Sequence[PlannedReactor]:
        """What it does to reactors."""


def summary(plan: Summarised) -> str:
    """`workflows: 1 new, 2 changed; disconnects 1 publisher and 40 watchers`."""
    if not plan.changed:
        verb = "is" if len(plan.workflows) == 1 else "are"
        return f"No changes: {count(len(plan.workflows), 'workflow')} {verb} up to date"
    changing = [view for view in plan.workflows if view.changed]
    created = sum(view.created for view in changing)
    numbers = ((created, "new"), (len(changing) - created, "changed"), (len(plan.deleted), "stopped"))
    parts = [f"{number} {what}" for number, what in numbers if number]
    if unchanged := len(plan.workflows) - len(changing):
        parts.append(f"{unchanged} unchanged")
    reactors = [reactor for reactor in plan.reactors if reactor.is_news]
    more = [f"reactors: {len(reactors)} changed"] if reactors else []
    workflows = [f"workflows: {', '.join(parts)}"] if parts else []
    return "; ".join([*workflows, *more, f"disconnects {clients(plan.publishers, plan.watchers)}"])


def clients(publishers: int, watchers: int) -> str:
    """`1 publisher and 40 watchers`; `nobody`."""
    parts = [count(number, what) for number, what in ((publishers, "publisher"), (watchers, "watcher")) if number]
    return " and ".join(parts) or "nobody"


def count(number: int, what: str) -> str:
    """`1 step`, `2 steps`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
