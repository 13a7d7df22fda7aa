"""Typed step parameters: each kind of step declares its own, and gets them checked and converted.

Pure.  What an operator wrote stays as text in the definition (it is the step's identity); what a step works with are
the values that these parameters make of it.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from attrs import frozen

from mmids_trio.config.settings import LARGEST_PORT, whole_number
from mmids_trio.config.suggestions import did_you_mean, shown
from mmids_trio.definitions import HIDDEN, ParameterValue, StepDefinition
from mmids_trio.errors import Place, Problem

Values = Mapping[str, object]
"""Parameter name to converted value; parameters that were not given have their default."""


@frozen
class Parameter:
    """One parameter of a kind of step. `convert` raises `ValueError` with what was expected.

    `convert=None`: a flag, whose value is whether it was given.
    """

    name: str
    convert: Callable[[str], object] | None = str
    required: bool = False
    default: object = None
    aliases: tuple[str, ...] = ()
    secret: bool = False
    """Whether its value grants access, and is shown to nobody."""

    @property
    def is_flag(self) -> bool:
        """Whether it is written without a value."""
        return self.convert is None


def flag(name: str) -> Parameter:
    """A parameter without a value."""
    return Parameter(name, convert=None, default=False)


def secret(name: str) -> Parameter:
    """A parameter whose value is a password of some kind: any text, but not what stands for one where it is hidden."""
    return Parameter(name, _secret_text, secret=True)


def _secret_text(value: str) -> str:
    if not value or value == HIDDEN:
        raise ValueError(f"expected a secret, which is not empty and not {HIDDEN}")
    return value


def text(value: str) -> str:
    """Any text but the empty one."""
    if not value:
        raise ValueError("expected a value that is not empty")
    return value


port_number = whole_number(0, LARGEST_PORT)
"""A TCP port; 0 stands for any free one."""


def seconds(lowest: float, highest: float) -> Callable[[str], float]:
    """A time in seconds between the two, both included, to the millisecond."""

    def convert(value: str) -> float:
        is_time = re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,3})?", value)
        if not is_time or not lowest <= float(value) <= highest:
            raise ValueError(f"expected seconds from {lowest:g} to {highest:g}, as in 5 or 0.5")
        return float(value)

    return convert


def one_of(*accepted: str) -> Callable[[str], str]:
    """One of a few words."""

    def convert(value: str) -> str:
        if value not in accepted:
            raise ValueError(f"expected one of {', '.join(accepted)}{did_you_mean(value, accepted)}")
        return value

    return convert


def canonical(definition: StepDefinition, step_type: str, parameters: Sequence[Parameter]) -> StepDefinition:
    """The same step in canonical spellings of its type and parameters, with its secrets known as such."""
    names = {alias: parameter.name for parameter in parameters for alias in parameter.aliases}
    return StepDefinition(
        step_type,
        {names.get(name, name): value for name, value in definition.parameters.items()},
        definition.place,
        {names.get(name, name): place for name, place in definition.parameter_places.items()},
        frozenset(parameter.name for parameter in parameters if parameter.secret),
    )


def check(definition: StepDefinition, parameters: Sequence[Parameter]) -> tuple[Values, list[Problem]]:
    """Convert the parameters of a step; every problem names the parameter, the place and what was expected.

    `definition` is as written: a parameter given under two of its spellings is a problem.
    """
    known = {spelling: parameter for parameter in parameters for spelling in (parameter.name, *parameter.aliases)}
    values: dict[str, object] = {}
    problems: list[Problem] = []

    def complain(message: str, name: str | None = None) -> None:
        problems.append(Problem(_place(definition, name), f"{definition.step_type}: {message}"))

    for name, value in definition.parameters.items():
        parameter = known.get(name)
        if parameter is None:
            complain(f"unknown parameter {shown(name)}{did_you_mean(name, known) or _accepted(parameters)}", name)
        elif parameter.name in values:
            complain(f"'{name}' is another spelling of '{parameter.name}', which is given already", name)
        else:
            try:
                values[parameter.name] = _convert(parameter, value)
            except ValueError as error:
                values[parameter.name] = None
                given = "" if value is None or parameter.secret else f" {shown(value)}"
                complain(f"bad value{given} for '{name}': {error}", name)
    for parameter in parameters:
        if parameter.name not in values:
            values[parameter.name] = parameter.default
            if parameter.required:
                complain(f"missing required parameter '{parameter.name}'")
    return values, problems


def _convert(parameter: Parameter, value: ParameterValue) -> object:
    if parameter.convert is None:
        if value is not None:
            raise ValueError("expected no value, it is a flag")
        return True
    if value is None:
        raise ValueError(f"expected a value ({parameter.name}=...)")
    return parameter.convert(value)


def _accepted(parameters: Iterable[Parameter]) -> str:
    return f"; expected one of {', '.join(parameter.name for parameter in parameters)}"


def _place(definition: StepDefinition, name: str | None) -> Place:
    """Where the parameter stands, else where the step does; definitions made by code have no place."""
    place = definition.parameter_places.get(name) if name else None
    return place or definition.place or Place("<definition>", 1, 1, definition.step_type)
