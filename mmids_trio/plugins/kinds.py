"""The kinds of steps and executors that there are, as people and programs read them."""

import re
from collections.abc import Iterator, Sequence
from math import isfinite
from typing import Literal

from attrs import frozen

from mmids_trio.config.parameters import Parameter
from mmids_trio.reactors.executor import ExecutorRegistry
from mmids_trio.steps.registry import StepRegistry


@frozen
class ParameterView:
    """A parameter as it may be written.

    `default` of `None`: it says nothing then. `expects` is a sentence without its beginning (`a whole number from 1 to
    5`). A `flag` is written without a value, a `secret` shown to nobody, and `in_place` what may change while it runs.
    """

    name: str
    required: bool
    default: str | None
    expects: str
    aliases: tuple[str, ...] = ()
    flag: bool = False
    secret: bool = False
    in_place: bool = False


@frozen
class KindView:
    """A kind of step or of executor. `owner`: `mmids_trio`, a package with its version, or `module NAME`."""

    kind: Literal["step", "executor"]
    name: str
    owner: str
    parameters: tuple[ParameterView, ...]
    aliases: tuple[str, ...] = ()


def kinds_of(steps: StepRegistry, executors: ExecutorRegistry) -> tuple[KindView, ...]:
    """All of a server, in the order in which messages list them."""
    return (
        *(KindView("step", each.name, each.owner, _views(each.parameters), each.aliases) for each in steps.types),
        *(KindView("executor", each.name, each.owner, _views(each.parameters)) for each in executors.kinds),
    )


def _views(parameters: Sequence[Parameter]) -> tuple[ParameterView, ...]:
    return tuple(
        ParameterView(
            name=parameter.name,
            required=parameter.required,
            default=_default(parameter),
            expects=_expected(parameter),
            aliases=parameter.aliases,
            flag=parameter.convert is None,
            secret=parameter.secret,
            in_place=parameter.in_place,
        )
        for parameter in parameters
    )


def _expected(parameter: Parameter) -> str:
    """What its converter says of values that hardly any takes; converters say what they expect, and nothing else."""
    for value in ("", "\0"):
        complaint = _complaint(parameter, value)
        if complaint is not None and complaint.startswith("expected "):
            return complaint.removeprefix("expected ").partition("; did you mean")[0]
    return "a value"


def _complaint(parameter: Parameter, value: str) -> str | None:
    try:
        parameter.read(value)
    except Exception as error:  # a converter of others may raise anything, and is only looked at here
        return str(error) if isinstance(error, ValueError) else ""
    return None


def _default(parameter: Parameter) -> str | None:
    """The default as an operator would write it; converters only go the other way, so likely spellings are tried."""
    default = parameter.default
    if parameter.required or parameter.convert is None or default in (None, ()):
        return None
    for spelling in _spellings(parameter, default):
        try:
            if parameter.convert(spelling) == default:
                return spelling
        except Exception:  # as above
            continue
    return None if isinstance(default, float) and not isfinite(default) else str(default)


def _spellings(parameter: Parameter, default: object) -> Iterator[str]:
    if isinstance(default, str):
        yield default
    elif isinstance(default, bool):
        yield str(default).lower()
    elif isinstance(default, int | float):
        yield from (f"{default:.15g}", f"{default:.15g}s", f"{default * 1000:.15g}ms")
    yield from re.findall(r"[^\s,;()]+", _expected(parameter))
