"""Executors: what a reactor asks about a stream, as a contract, and the kinds of them by name.

Pure, and apart from the executors themselves, so that a configuration is checked the same way whether or not
anything is going to run, and so that a new kind of executor needs nothing but this.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from attrs import frozen

from mmids_trio.config.suggestions import did_you_mean, shown
from mmids_trio.definitions import ParameterValue, ReactorDefinition, WorkflowDefinition
from mmids_trio.errors import ConfigurationError, MmidsError, Place, Problem
from mmids_trio.steps.parameters import Parameter, Values, one_of

ALLOW = "allow"
ON_FAILURE = Parameter("on_failure", one_of("deny", ALLOW), default="deny")
"""What a first request means that fails after all tries; every kind of executor has this parameter."""


class ExecutorFailure(MmidsError):
    """An executor could not find out; `str()` says why, for logs and API, and holds nothing secret."""


def describe(error: ConfigurationError) -> str:
    """The problems without their source lines, which may hold keys: it goes to logs and API."""
    return "; ".join(
        f"{problem.place.file}:{problem.place.line}:{problem.place.column}: {problem.message}"
        for problem in error.problems
    )


@frozen
class Answer:
    """What an executor says about a stream: whether it is valid, and what has to run while it is used."""

    valid: bool
    workflows: tuple[WorkflowDefinition, ...] = ()


class Executor(Protocol):
    """Looks streams up. Questions about different streams may overlap; of one stream they never do."""

    async def ask(self, stream_name: str) -> Answer:
        """One try, bounded in time; raises `ExecutorFailure` (or, for a bad workflow, `ConfigurationError`)."""


OpenExecutor = Callable[[], AbstractAsyncContextManager[Executor]]
"""Makes a fresh executor, to be used inside its context (which keeps its connections)."""


@frozen
class ExecutorKind:
    """A kind of executor. `open` gets the checked values of `parameters`, and `on_failure`."""

    name: str
    parameters: tuple[Parameter, ...]
    open: Callable[[Values], AbstractAsyncContextManager[Executor]]


@frozen
class ExecutorChoice:
    """What a checked definition asks for."""

    open: OpenExecutor
    allow_on_failure: bool


class ExecutorRegistry:
    """All kinds of executors of a server."""

    def __init__(self, kinds: Sequence[ExecutorKind]) -> None:
        self._kinds = {kind.name: kind for kind in kinds}

    def problems(self, definition: ReactorDefinition) -> list[Problem]:
        """Everything that is wrong with a reactor's executor and its parameters, at the reactor's place."""
        place = definition.place or Place("<definition>", 1, 1, definition.name)
        kind = self._kinds.get(definition.executor)
        if kind is None:
            hint = did_you_mean(definition.executor, self._kinds) or f"; expected one of {', '.join(self._kinds)}"
            return [Problem(place, f"unknown executor {shown(definition.executor)}{hint}")]
        _, complaints = _check(definition.parameters, (*kind.parameters, ON_FAILURE))
        return [Problem(place, f"reactor {shown(definition.name)}: {complaint}") for complaint in complaints]

    def choose(self, definition: ReactorDefinition) -> ExecutorChoice:
        """The executor that a definition asks for; raises `ConfigurationError` with every problem."""
        problems = self.problems(definition)
        if problems:
            raise ConfigurationError(problems)
        kind = self._kinds[definition.executor]
        values, _ = _check(definition.parameters, (*kind.parameters, ON_FAILURE))
        return ExecutorChoice(lambda: kind.open(values), values[ON_FAILURE.name] == ALLOW)


def _check(given: Mapping[str, ParameterValue], parameters: Sequence[Parameter]) -> tuple[Values, list[str]]:
    """Convert the parameters of an executor, which stand on lines of their own and may be secret: none is shown."""
    known = {parameter.name: parameter for parameter in parameters}
    values: dict[str, object] = {parameter.name: parameter.default for parameter in parameters}
    complaints = [_unknown(name, known) for name in given if name not in known]
    for name, parameter in known.items():
        if name not in given:
            complaints += [f"missing required parameter '{name}'"] if parameter.required else []
            continue
        try:
            values[name] = _convert(parameter, given[name])
        except ValueError as error:
            complaints.append(f"bad value for '{name}': {error}")
    return values, complaints


def _unknown(name: str, known: Iterable[str]) -> str:
    hint = did_you_mean(name, known) or f"; expected one of {', '.join(known)}"
    return f"unknown parameter {shown(name)}{hint}"


def _convert(parameter: Parameter, value: ParameterValue) -> object:
    if parameter.convert is None:
        raise TypeError(f"{parameter.name}: parameters of executors are never flags")
    if value is None:
        raise ValueError("expected a value after the name")
    return parameter.convert(value)
