"""What one server does with its fleet's configuration: it is the set `fleet`, which has just what the text has."""

from collections.abc import Awaitable, Callable, Sequence

from attrs import define, evolve, field

from mmids_trio.cluster.revisions import FLEET, NodePlan, Revision
from mmids_trio.config.parser import DefinitionSet, is_empty_on_purpose
from mmids_trio.definitions import ReactorDefinition, WorkflowDefinition
from mmids_trio.errors import ConfigurationError, MmidsError, Problem
from mmids_trio.http_api.control import Changes, Sets
from mmids_trio.http_api.options import PlanOptions
from mmids_trio.http_api.refusals import BadRequest
from mmids_trio.http_api.routes.config import FindConflicts, as_set, parse_in_turns, validate_in_turns
from mmids_trio.workflow.plan import WorkflowSet, leaves_nothing
from mmids_trio.workflow.plan_summary import summary
from mmids_trio.workflow.status import OutcomeKind


class CannotApply(MmidsError):
    """The configuration is not good here, or failed and was taken back."""


@define(eq=False, kw_only=True)
class FleetConfiguration:
    """See `cluster.fleet.LocalConfiguration`."""

    _sets: Sets
    _changes: Changes
    _reactors: Callable[[], Sequence[ReactorDefinition]]
    _find_conflicts: FindConflicts
    _find_lacks: Callable[[Sequence[WorkflowDefinition]], Awaitable[Sequence[Problem]]]
    left_over: frozenset[str] = field(factory=frozenset, init=False)
    """Workflows of an earlier revision that are remembered, and were not started with the server."""

    of_file: frozenset[str] = field(factory=frozenset, init=False)
    """Workflows of the server's own file that are yet to be started, so that nobody else knows of them."""

    async def plan(self, text: str, revision: Revision) -> NodePlan:
        """See `LocalConfiguration`."""
        definitions, wanted = await self._wanted(text, revision)
        plan = self._sets.plan_all(wanted)
        changed = {view.workflow for view in plan.workflows if view.changed}
        lacks = await self._find_lacks([each for each in definitions.workflows if each.name in changed])
        if problems := (*self._find_conflicts(definitions.workflows), *lacks):
            raise ConfigurationError(problems)
        is_meant = revision.allow_empty or is_empty_on_purpose(text)
        if not is_meant and leaves_nothing(plan, self._sets.prunable((), wanted.owner)):
            raise CannotApply("it would stop everything of the fleet; allow_empty would allow that")
        return NodePlan(plan.changed, plan.publishers, plan.watchers, summary(plan))

    async def apply(self, text: str, revision: Revision) -> None:
        """See `LocalConfiguration`."""
        _, wanted = await self._wanted(text, revision)
        change = self._changes.by(revision.who).apply_all(wanted)
        outcome = await change.wait_outcome()
        if outcome.kind is not OutcomeKind.APPLIED:
            raise CannotApply(outcome.message)
        self.left_over = frozenset()

    async def _wanted(self, text: str, revision: Revision) -> tuple[DefinitionSet, WorkflowSet]:
        options = PlanOptions(prune=True, set=FLEET, take_over=revision.take_over, in_place=revision.in_place)
        try:
            definitions = await parse_in_turns(text.encode())
            definitions = await validate_in_turns(definitions, self._sets, self._reactors(), options)
        except BadRequest as error:
            raise CannotApply(str(error)) from None
        if not revision.take_over:
            for each in definitions.workflows:
                if each.name in self.of_file:
                    raise CannotApply(f"workflow '{each.name}' is the configuration file's; or take it over")
        wanted = as_set(definitions, self._sets, self._reactors(), options)
        named = {definition.name for definition in wanted.definitions}
        return definitions, evolve(wanted, delete=tuple({*wanted.delete, *(self.left_over - named)}))


def reasons_of(hide: Callable[[str], str]) -> Callable[[MmidsError], Sequence[str]]:
    """What others may read of an error: all its problems, and no value from outside."""

    def told(error: MmidsError) -> Sequence[str]:
        problems = error.problems if isinstance(error, ConfigurationError) else ()
        return [hide(problem.summary) for problem in problems] or [hide(str(error))]

    return told
