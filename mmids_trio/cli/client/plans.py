"""The plan of a change as the server answers it, read into types, with what follows from it: counts, exit statuses."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from attrs import AttrsInstance, fields_dict, frozen

from mmids_trio.cli.client.failures import ClientError
from mmids_trio.workflow.plan import PlannedReactor, StepCut
from mmids_trio.workflow.status import PlannedStep, PlanView

NOTHING_CHANGES = 0
CHANGES = 2
"""Exit statuses of `plan`, as those of `diff`-like tools; 1 is an error."""

T = TypeVar("T", bound=AttrsInstance)


@frozen
class Plan:
    """What a set does. `document` is the server's answer, for machines; `etag` what it was compared with."""

    changed: bool
    publishers: int
    watchers: int
    workflows: tuple[PlanView, ...]
    deleted: tuple[str, ...]
    cuts: tuple[StepCut, ...]
    reactors: tuple[PlannedReactor, ...]
    etag: str | None
    document: Mapping[str, Any]

    @property
    def clients(self) -> int:
        """Publishers and watchers that would be disconnected."""
        return self.publishers + self.watchers

    @property
    def exit_status(self) -> int:
        """Of `plan`."""
        return CHANGES if self.changed else NOTHING_CHANGES

    @property
    def changing(self) -> tuple[PlanView, ...]:
        """The workflows that start or change."""
        return tuple(view for view in self.workflows if view.changed)


def read_plan(document: Any, etag: str | None = None) -> Plan:
    """Read the JSON of a plan. Raises `ClientError` for any other."""
    try:
        return Plan(
            changed=document["changed"],
            publishers=int(document["publishers"]),
            watchers=int(document["watchers"]),
            workflows=tuple(_view(item) for item in document["workflows"]),
            deleted=tuple(map(str, document["deleted"])),
            cuts=_all(StepCut, document["cuts"]),
            reactors=_all(PlannedReactor, document["reactors"]),
            etag=etag,
            document=document,
        )
    except (TypeError, KeyError, ValueError):
        raise ClientError("the answer is not the plan of a change; is this the HTTP API of an mmids_trio?") from None


def _view(item: Mapping[str, Any]) -> PlanView:
    return PlanView(item["workflow"], item["created"], item["changed"], _all(PlannedStep, item["steps"]))


def _all(shape: type[T], items: Sequence[Mapping[str, Any]]) -> tuple[T, ...]:
    """Fields that only a newer server has are left out."""
    known = fields_dict(shape)
    return tuple(shape(**{name: item[name] for name in known}) for item in items)


def too_many(plan: Plan, allowed: int | None) -> str | None:
    """Why the plan may not be carried out, given how many clients it may disconnect (`None`: any number)."""
    if allowed is None or plan.clients <= allowed:
        return None
    return (
        f"refused: this would disconnect {clients(plan.publishers, plan.watchers)}, and --max-disconnects allows"
        f" {allowed}; nothing was changed"
    )


def clients(publishers: int, watchers: int) -> str:
    """`1 publisher and 40 watchers`; `nobody`."""
    parts = [count(number, what) for number, what in ((publishers, "publisher"), (watchers, "watcher")) if number]
    return " and ".join(parts) or "nobody"


def count(number: int, what: str) -> str:
    """`1 step`, `2 steps`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
