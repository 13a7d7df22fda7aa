"""What the HTTP API needs from the rest of the server, declared here by its consumer and nowhere else.

The workflow manager fits these Protocols without knowing of them; `app` brings the two together, and
tests put a scripted stand-in in its place.
"""

from collections.abc import Sequence
from typing import Protocol

from mmids_trio.definitions import WorkflowDefinition
from mmids_trio.reactors.views import ReactorView
from mmids_trio.workflow.status import Outcome, PlanView, Switched, WorkflowStatus


class Change(Protocol):
    """A change that was accepted and goes on by itself, whoever waits for it."""

    @property
    def plan(self) -> PlanView:
        """What the change does."""

    async def wait(self) -> Outcome:
        """Wait for the end of the change. Cancelling the wait has no effect on the change."""


class Reactors(Protocol):
    """The reactors, to be looked at."""

    def views(self) -> Sequence[ReactorView]:
        """All of them, in the order of the configuration."""

    def view(self, name: str) -> ReactorView | None:
        """The one of that name, `None` if there is none."""


class Workflows(Protocol):
    """The workflows that run, and the ways to change them."""

    def names(self) -> Sequence[str]:
        """Names of all workflows, in the order in which they were started."""

    def status(self, name: str) -> WorkflowStatus | None:
        """How the workflow is, `None` if there is none of that name."""

    def validate(self, definition: WorkflowDefinition) -> WorkflowDefinition:
        """The definition in canonical spellings. Raises `ConfigurationError` for what no step accepts."""

    def plan(self, definition: WorkflowDefinition) -> PlanView:
        """What `apply` would do now. Pure."""

    def apply(self, definition: WorkflowDefinition, *, rollback: bool = False) -> Change:
        """Start or update a workflow: accepted and planned on return; the change goes on by itself.

        With `rollback` a failed change leaves the old definition running.
        """

    def switch(self, name: str, step_id: str, to: str) -> Switched:
        """Have a step send its source `to`. Raises `switching.NoSuchStep` and `switching.CannotSwitch`."""

    async def stop(self, name: str) -> None:
        """Stop a workflow and return when nothing of it is left. Unknown names are no error."""
