"""The kinds of steps there are: by name, with their parameters, their checks and how to build one."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from copy import copy
from functools import cached_property
from importlib import import_module
from typing import Self, TypeVar

from attrs import evolve, frozen

from mmids_trio.config.names import name_problem
from mmids_trio.config.parameters import ABSENT, convert, declared, known_spellings, secret_names
from mmids_trio.config.report import Findings, without_values_of
from mmids_trio.config.suggestions import did_you_mean, shown
from mmids_trio.definitions import StepDefinition, WorkflowDefinition
from mmids_trio.errors import ConfigurationError, Place, Problem
from mmids_trio.offload import Work
from mmids_trio.owners import OWN, owner_of, require_different_names
from mmids_trio.workflow.step import Step, StepContext, StepFactory

MADE_BY_CODE = Place("<definition>", 1, 1, "")
"""Where a definition stands that has no place."""

ANY = "*"
"""What stands for all keys, and is none."""

P = TypeVar("P")
Undo = Callable[[], None]


def do_nothing() -> None:
    """Takes back what has done nothing."""


def no_conflicts(_parameters: object) -> Iterable[str]:
    """The check of a kind of step whose parameters do not depend on each other."""
    return ()


def no_warnings(_parameters: object) -> Iterable[str]:
    """What a kind of step warns of that has nothing to warn of."""
    return ()


def announce_nothing(_parameters: object) -> Undo:
    """What a kind of step says of its start that nobody outside waits for."""
    return do_nothing


@frozen
class _Reading:
    """What became of the parameters of one step: a factory, or problems."""

    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    parameters: object = None
    factory: StepFactory | None = None
    announce: Callable[[], Undo] | None = None


class StepType:
    """A kind of step: its name, the class that declares its parameters, and what builds it from an instance of that.

    `build` raises `StepError` where the parameters cannot work on this server.  `conflicts` says what is wrong with
    parameters that are fine one by one.  `announce` tells whom it concerns that such a step will start, and returns
    what takes that back.  `keys` names parameters that let somebody publish where they are exact, not `*`.
    `warnings` says what of good parameters may not be what was meant.
    """

    def __init__(
        self,
        name: str,
        parameters: type[P],
        build: Callable[[P, StepContext], Step],
        *,
        aliases: tuple[str, ...] = (),
        conflicts: Callable[[P], Iterable[str]] = no_conflicts,
        announce: Callable[[P], Undo] = announce_nothing,
        keys: tuple[str, ...] = (),
        warnings: Callable[[P], Iterable[str]] = no_warnings,
    ) -> None:
        self.name = name
        self.aliases = aliases
        self.owner = owner_of(build)
        """Whose it is: `mmids_trio`, a package, or `module NAME`."""
        self.parameters = declared(parameters)
        self.secrets = secret_names(self.parameters)
        """Names of parameters whose values are shown to nobody."""
        self.in_place = frozenset(parameter.name for parameter in self.parameters if parameter.in_place)
        """Names of parameters of which a running step can take other values."""
        self.keys = keys
        self._spellings = spellings = known_spellings(self.parameters)

        def read(definition: StepDefinition) -> _Reading:
            values, complaints = convert(definition.parameters, self.parameters, known=spellings)
            if complaints:
                return _Reading(
                    tuple(self._problem(definition, complaint.message, complaint.name) for complaint in complaints)
                )
            checked = parameters(**values)
            problems = tuple(self._problem(definition, message) for message in conflicts(checked))
            warned = tuple(self._problem(definition, message) for message in warnings(checked))
            return _Reading(
                problems, warned, checked, lambda context: build(checked, context), lambda: announce(checked)
            )

        self._read = read

    def of(self, owner: str) -> Self:
        """The same kind, of an owner who is known better."""
        other = copy(self)
        other.owner = owner
        return other

    def problems(self, definition: StepDefinition) -> Sequence[Problem]:
        """What is wrong with a step of this kind: with which parameter, where, and what was expected."""
        return self._read(definition).problems

    def warnings(self, definition: StepDefinition) -> Sequence[Problem]:
        """What of a step without problems may not be what was meant."""
        return self._read(definition).warnings

    def factory(self, definition: StepDefinition) -> StepFactory:
        """What builds a step from a definition that has no problems."""
        factory = self._read(definition).factory
        assert factory is not None
        return factory

    def read(self, definition: StepDefinition) -> object:
        """The instance of the class of parameters, from a definition that has no problems."""
        return self._read(definition).parameters

    def announce(self, definition: StepDefinition) -> Undo:
        """Tell whom it concerns that the step will start, from a definition that has no problems."""
        announce = self._read(definition).announce
        assert announce is not None
        return announce()

    def canonical(self, definition: StepDefinition) -> StepDefinition:
        """The same step in canonical spellings of its type and parameters, with its secrets known as such."""
        known = self._spellings
        values = {known[name].name: known[name].canonical(value) for name, value in definition.parameters.items()}
        parameters = {name: value for name, value in values.items() if value is not ABSENT}
        return StepDefinition(
            self.name,
            parameters,
            definition.place,
            {known[name].name: place for name, place in definition.parameter_places.items()},
            self.secrets,
            frozenset(name for name in self.keys if parameters.get(name) not in (None, ANY)),
        )

    def _problem(self, definition: StepDefinition, message: str, name: str | None = None) -> Problem:
        place = (name and definition.parameter_places.get(name)) or _place(definition)
        if self.secrets:
            place = evolve(place, source=without_values_of(self.secrets, place.source))
        return Problem(place, f"{definition.step_type}: {message}")


class LateType:
    """A kind of step of ours that few servers have: its name, and what makes it when more is wanted.

    That imports `module`, which takes a moment. Where clients are served, call `load` before, in a thread.
    """

    aliases: tuple[str, ...] = ()
    owner = OWN

    def __init__(self, name: str, module: str, make: Callable[[], StepType]) -> None:
        self.name = name
        self._module = module
        self._make = make
        self.is_loaded = False

    def load(self) -> None:
        """Import the module, from any thread."""
        import_module(self._module)
        self.is_loaded = True

    @cached_property
    def type(self) -> StepType:
        """The kind, made when it is first asked for."""
        return self._make()


def _place(definition: StepDefinition) -> Place:
    """Where the step stands; definitions made by code have no place."""
    return definition.place or evolve(MADE_BY_CODE, source=definition.step_type)


class StepRegistry:
    """All kinds of steps of a server. Raises `NameTaken`.

    `before`: what has to be done before there is a step with that parameter, besides; see `works`.
    """

    def __init__(self, types: Sequence[StepType | LateType], *, before: Mapping[str, Work] | None = None) -> None:
        require_different_names("step", ((name, kind.owner) for kind in types for name in (kind.name, *kind.aliases)))
        self._types = {spelling: kind for kind in types for spelling in (kind.name, *kind.aliases)}
        self._before = before or {}

    @property
    def types(self) -> tuple[StepType, ...]:
        """All, in the order in which messages and documentation list them. Imports those that are late."""
        return tuple(dict.fromkeys(map(self._type, self._types)))

    def works(self, definition: WorkflowDefinition) -> Iterator[Work]:
        """What is done in a thread before a definition, checked or not, is looked at where clients are served."""
        for step in definition.steps:
            if isinstance(kind := self._types.get(step.step_type), LateType) and not kind.is_loaded:
                yield kind.load
            yield from (self._before[name] for name in step.parameters if name in self._before)

    @property
    def secrets(self) -> frozenset[str]:
        """Names of all parameters whose values are shown to nobody, of whichever kind of step."""
        return frozenset(name for kind in self.types for name in kind.secrets)

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

    def warnings(self, definition: WorkflowDefinition) -> Iterator[Problem]:
        """What of the steps of a workflow may not be what was meant."""
        for step in definition.steps:
            if step.step_type in self._types:
                yield from self._type(step.step_type).warnings(step)

    def validate(self, definition: WorkflowDefinition) -> WorkflowDefinition:
        """The definition in canonical spellings; raises `ConfigurationError` with every problem."""
        problems = self.problems(definition)
        if wrong := name_problem(
            "workflow", definition.name
        ):  # of one made by code: texts are checked as they are read
            problems.insert(0, Problem(definition.place or MADE_BY_CODE, wrong))
        if problems:
            raise ConfigurationError(problems)
        return evolve(definition, steps=tuple(self._type(step.step_type).canonical(step) for step in definition.steps))

    def factory(self, definition: StepDefinition) -> StepFactory:
        """What builds a step from a definition that was validated before."""
        return self._type(definition.step_type).factory(definition)

    def in_place(self, step_type: str) -> frozenset[str]:
        """Names of the parameters of which a running step of a known kind can take other values."""
        return self._type(step_type).in_place

    def read(self, definition: StepDefinition) -> object:
        """The parameters of a step as what it works with, from a definition that was validated before."""
        return self._type(definition.step_type).read(definition)

    def announce(self, definition: WorkflowDefinition) -> Undo:
        """Tell whom it concerns that the steps of a workflow, which was validated before, will start."""
        with ExitStack() as undo:
            for step in definition.steps:
                undo.callback(self._type(step.step_type).announce(step))
            return undo.pop_all().close

    def _type(self, spelling: str) -> StepType:
        kind = self._types[spelling]
        return kind.type if isinstance(kind, LateType) else kind

    def _check(self, step: StepDefinition) -> Sequence[Problem]:
        if step.step_type not in self._types:
            known = did_you_mean(step.step_type, self._types) or f"; expected one of {', '.join(self._types)}"
            return [Problem(_place(step), f"unknown step type {shown(step.step_type)}{known}")]
        return self._type(step.step_type).problems(step)
