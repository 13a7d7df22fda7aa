"""What the HTTP API needs from the rest of the server, declared here by its consumer, and how a request waits for it.

The workflow manager fits these Protocols without knowing of them; `app` brings the two together, and
tests put a scripted stand-in in its place.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import trio

from mmids_trio.definitions import ReactorDefinition, WorkflowDefinition
from mmids_trio.http_api.counts import HttpCounts
from mmids_trio.http_api.schemas import DrainView
from mmids_trio.reactors.views import ReactorView
from mmids_trio.reload.accepted import LastReload, ReloadOptions, ReloadPlan
from mmids_trio.state.history import ChangeRecord, ChangeSummary
from mmids_trio.workflow.plan import SetPlan, WorkflowSet
from mmids_trio.workflow.status import Outcome, PlanView, Switched, WorkflowOwner, WorkflowStatus

LEAST_PATIENCE_SECONDS = 0.05
"""What `wait=0` waits: long enough to see that a change has nothing to wait for."""


class AcceptedChange(Protocol):
    """A change that was accepted and goes on by itself, whoever waits for it."""

    async def wait_outcome(self) -> Outcome:
        """Wait for the end of the change. Cancelling the wait has no effect on the change."""


async def wait_for(change: AcceptedChange, seconds: float) -> Outcome | None:
    """The outcome, or `None` where there is none yet after so long. The change goes on in any case."""
    with trio.move_on_after(max(seconds, LEAST_PATIENCE_SECONDS)):
        return await change.wait_outcome()
    return None


class WorkflowChange(AcceptedChange, Protocol):
    """A change of one workflow."""

    @property
    def plan(self) -> PlanView:
        """What the change does."""


class Durability(Protocol):
    """Where changes are kept for after a restart."""

    async def durable(self) -> None:
        """Wait until every change so far is kept; raises `MmidsError` where it cannot be."""


class ShownReactors(Protocol):
    """The reactors, to be looked at."""

    def views(self) -> Sequence[ReactorView]:
        """All of them, in the order of the configuration."""

    def view(self, name: str) -> ReactorView | None:
        """The one of that name, `None` if there is none."""

    @property
    def definitions(self) -> Sequence[ReactorDefinition]:
        """What all of them were made from, in the same order."""


class SetChange(AcceptedChange, Protocol):
    """A change of a whole set."""

    @property
    def plan(self) -> SetPlan:
        """What the change does."""

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; `None` as long as it has not."""


class Sets(Protocol):
    """What is asked before many workflows, and the reactors, are changed at once."""

    def names(self) -> Sequence[str]:
        """Names of all workflows, in the order in which they were started."""

    def owner(self, name: str) -> WorkflowOwner | None:
        """Whose the workflow is, `None` if there is none of that name."""

    def prunable(self, kept: Collection[str], owner: WorkflowOwner) -> Sequence[str]:
        """The owner's workflows that are not `kept`."""

    async def prepare(
        self, definitions: Iterable[WorkflowDefinition], reactors: Iterable[ReactorDefinition] = ()
    ) -> None:
        """Have what these need imported in a thread, before the loop looks at them."""

    def validate_all(self, wanted: WorkflowSet) -> WorkflowSet:
        """The set in canonical spellings. Raises `ConfigurationError` with every problem."""

    def plan_all(self, wanted: WorkflowSet, *, show_keys: bool = False) -> SetPlan:
        """What `Changes.apply_all` would do now, `show_keys`: with the stream keys of publishers.

        Pure. Raises `SetConflict`.
        """


class AcceptedReload(AcceptedChange, Protocol):
    """A configuration file that was read again and accepted."""

    @property
    def plan(self) -> SetPlan:
        """What changes."""

    @property
    def applied_settings(self) -> Sequence[str]:
        """Settings that differ and count from now on."""

    @property
    def needs_restart(self) -> Sequence[str]:
        """Settings that differ and count after a restart only."""

    @property
    def warnings(self) -> Sequence[str]:
        """What of the file is ignored, a sentence each."""

    @property
    def kept_away(self) -> Sequence[str]:
        """The workflows of the file that do not run, as the API has deleted them."""


class Metrics(Protocol):
    """What the server counts."""

    @property
    def http(self) -> HttpCounts:
        """Where the API itself counts."""

    def pieces(self) -> Iterator[str]:
        """All of it in Prometheus' text format, in pieces of bounded work; some are empty."""

    def of_steps(self, workflow: str) -> Mapping[str, Mapping[str, float]]:
        """Plain numbers of the workflow's steps, by their ids and by the names of the metrics."""


class Readiness(Protocol):
    """Whether the server does all that its configuration asks for."""

    def reasons(self) -> Sequence[str]:
        """Why it is not ready, a sentence each; none where it is."""


class Drains(Protocol):
    """Who empties servers. `node`: one of the cluster, `None` for this server. Raises `NotHere` for one not there."""

    async def begin(self, node: str | None, deadline: float | None) -> DrainView:
        """Begin, for so many seconds; `None` for any number of them."""

    async def end(self, node: str | None) -> DrainView:
        """Take publishers again."""

    async def wait(self, node: str | None, seconds: float) -> DrainView:
        """How far it is when it is over, or after so long."""


class ReloadControl(Protocol):
    """Who knows the configuration file."""

    @property
    def last(self) -> LastReload | None:
        """The reload that ended last, whoever asked for it."""

    async def reload(self, options: ReloadOptions) -> AcceptedReload:
        """Read the file again, check all of it, and accept what it says.

        Raises `ConfigurationError` (or another `MmidsError`) for a file that cannot be used, `SetConflict` for one that
        cannot be put in place, and `RefusedReload` where a guard forbids it; then nothing was changed.
        """

    async def plan(self, *, in_place: bool | None = None, show_keys: bool = False) -> ReloadPlan:
        """What a reload would do now. Raises as `reload` does, but no `RefusedReload`."""


class History(Protocol):
    """The changes of the last time."""

    def newest_first(self) -> Sequence[ChangeSummary]:
        """All that are kept."""

    def get(self, name: str) -> ChangeRecord | None:
        """The one of that id."""

    def note_kick(self, workflow: str, message: str, *, by: str, publishers: int = 0, watchers: int = 0) -> None:
        """So many were sent away from a workflow that stays as it is."""


class RecentLog(Protocol):
    """The newest lines of the log."""

    @property
    def dropped(self) -> int:
        """Older lines that are not kept any more."""

    def newest(
        self, most: int, *, workflow: str | None, level: str, since: str | None
    ) -> Sequence[Mapping[str, object]]:
        """The newest `most` that are as wanted, the oldest of these first. `level`: at the least; `since`: RFC 3339."""


class Workflows(Protocol):
    """The workflows that run."""

    def names(self) -> Sequence[str]:
        """Names of all workflows, in the order in which they were started."""

    def status(self, name: str) -> WorkflowStatus | None:
        """How the workflow is, `None` if there is none of that name."""

    def owner(self, name: str) -> WorkflowOwner | None:
        """Whose the workflow is, `None` if there is none of that name."""

    def definition(self, name: str) -> WorkflowDefinition | None:
        """What is wanted of the workflow (that of a pending change, if there is one); `None` if there is none."""

    async def prepare(self, definitions: Iterable[WorkflowDefinition]) -> None:
        """Have what these need imported in a thread, before the loop looks at them."""

    def validate(self, definition: WorkflowDefinition) -> WorkflowDefinition:
        """The definition in canonical spellings. Raises `ConfigurationError` for what no step accepts."""

    def plan(
        self,
        definition: WorkflowDefinition,
        *,
        owner: WorkflowOwner,
        in_place: bool | None = None,
        show_keys: bool = False,
    ) -> PlanView:
        """What `Changes.apply` would do now, `show_keys`: with the stream keys of publishers. Pure."""

    def switch(self, name: str, step_id: str, to: str) -> Switched:
        """Have a step send its source `to`. Raises `errors.NoSuchStep` and `errors.CannotSwitch`."""


class Changes(Protocol):
    """The ways to change workflows; what is changed so is remembered."""

    def by(self, who: str) -> "Changes":
        """The same, for changes that the bearer of the token of this name makes."""

    def apply(
        self,
        definition: WorkflowDefinition,
        *,
        rollback: bool = False,
        owner: WorkflowOwner,
        in_place: bool | None = None,
    ) -> WorkflowChange:
        """Start or update a workflow: accepted and planned on return; the change goes on by itself.

        With `rollback` a failed change leaves the old definition running. A new workflow belongs to `owner`.
        `in_place`: whether steps that can take other parameters do so, rather than being replaced; `None`: as the
        server has it.
        """

    def apply_all(self, wanted: WorkflowSet) -> SetChange:
        """Accept a validated set: all of it is put in place, or nothing. Raises `SetConflict`, touching nothing.

        From its return on, `Workflows.definition` says what the set wants.
        """

    async def stop(self, name: str) -> None:
        """Stop a workflow and return when nothing of it is left. Unknown names are no error."""
