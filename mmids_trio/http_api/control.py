"""What the HTTP API needs from the rest of the server, declared here by its consumer and nowhere else.

The workflow manager fits these Protocols without knowing of them; `app` brings the two together, and
tests put a scripted stand-in in its place.
"""

from collections.abc import Sequence
from typing import Protocol

from mmids_trio.definitions import WorkflowDefinition
from mmids_trio.reactors.views import ReactorView
from mmids_trio.workflow.status import Outcome, PlanView, WorkflowStatus


class Change(Protocol):
    """A change that was accepted and goes on by itself, whoever waits for it."""

    @property
    def plan(self) -> PlanView:
        """What the change does."""

    async def wait(self) -> Outcome:
        """Wait for the end of the change. Cancelling the wait has no effect on the change."""


class Durability(Protocol):
    """Where changes are kept for after a restart."""

    async def durable(self) -> None:
        """Wait until every change so far is kept; raises `MmidsError` where it cannot be."""


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

    def definition(self, name: str) -> WorkflowDefinition | None:
        """What is wanted of the workflow (that of a pending change, if there is one); `None` if there is none."""

    def validate(self, definition: WorkflowDefinition) -> WorkflowDefinition:
        """The definition in canonical spellings. Raises `ConfigurationError` for what no step accepts."""

    def plan(self, definition: WorkflowDefinition) -> PlanView:
        """What `apply` would do now. Pure."""

    def apply(self, definition: WorkflowDefinition, *, rollback: bool = False) -> Change:
        """Start or update a workflow: accepted and planned on return; the change goes on by itself.

        With `rollback` a failed change leaves the old definition running.
        """

    async def stop(self, name: str) -> None:
        """Stop a workflow and return when nothing of it is left. Unknown names are no error."""
