"""The kinds of steps there are: by name, with their parameters, their checks and how to build one."""

from collections.abc import Callable, Iterable, Sequence

from attrs import evolve, frozen

from mmids_trio.config.report import Findings
from mmids_trio.config.suggestions import did_you_mean, shown
from mmids_trio.definitions import StepDefinition, WorkflowDefinition
from mmids_trio.errors import ConfigurationError, Place, Problem
from mmids_trio.steps.parameters import Parameter, Values, canonical, check
from mmids_trio.workflow.step import Step, StepContext, StepFactory

Build = Callable[[Values, StepContext], Step]
"""Makes a step from its checked parameters; raises `StepError` where that cannot work on this server."""


def no_conflicts(_values: Values) -> Iterable[str]:
    """The check of a kind of step whose parameters do not depend on each other."""
    return ()


@frozen
class StepType:
    """A kind of step. `conflicts` says what is wrong with parameters that are fine one by one."""

    name: str
    parameters: tuple[Parameter, ...]
    build: Build
    aliases: tuple[str, ...] = ()
    conflicts: Callable[[Values], Iterable[str]] = no_conflicts


class StepRegistry:
    """All kinds of steps of a server."""

    def __init__(self, types: Sequence[StepType]) -> None:
        self.types = tuple(types)
        """In the order in which messages and documentation list them."""
        self._types = {spelling: kind for kind in types for spelling in (kind.name, *kind.aliases)}

    def problems(self, definition: WorkflowDefinition) -> list[Problem]:
        """Everything that is wrong with the steps of a workflow, in their order, as far as a report lists it."""
        findings = Findings()
        self.check(definition, findings)
        return findings.problems

    def check(self, definition: WorkflowDefinition, findings: Findings) -> None:
        """Add what is wrong with the steps of a workflow to a report; stops when that is full."""
        for step in definition.steps:
            if findings.is_full:
                break
            for problem in self._check(step):
                findings.add(problem.place, problem.message)

    def validate(self, definition: WorkflowDefinition) -> WorkflowDefinition:
        """The definition in canonical spellings; raises `ConfigurationError` with every problem."""
        problems = self.problems(definition)
        if problems:
            raise ConfigurationError(problems)
        return evolve(definition, steps=tuple(self._canonical(step) for step in definition.steps))

    def factory(self, definition: StepDefinition) -> StepFactory:
        """What builds a step from a definition that was validated before."""
        kind = self._types[definition.step_type]
        values, _ = check(definition, kind.parameters)
        return lambda context: kind.build(values, context)

    def _canonical(self, step: StepDefinition) -> StepDefinition:
        kind = self._types[step.step_type]
        return canonical(step, kind.name, kind.parameters)

    def _check(self, step: StepDefinition) -> list[Problem]:
        place = step.place or Place("<definition>", 1, 1, step.step_type)
        kind = self._types.get(step.step_type)
        if kind is None:
            known = did_you_mean(step.step_type, self._types) or f"; expected one of {', '.join(self._types)}"
            return [Problem(place, f"unknown step type {shown(step.step_type)}{known}")]
        values, problems = check(step, kind.parameters)
        if not problems:
            problems = [Problem(place, f"{step.step_type}: {conflict}") for conflict in kind.conflicts(values)]
        return problems
