"""Declared parameters: an attrs class says what may be written, what is made of it, and what is secret.

    @frozen
    class WatchParameters:
        rtmp_app: str = parameter(text)
        port: int | None = parameter(port_number, default=None)
        send_interval_ms: int = parameter(whole_number(0, 1000), name="send_interval", default=0)
        rtmps: bool = flag()
        play_key: Secret | None = secret_parameter(default=None)

As in every attrs class, required ones come first, unless it is `@frozen(kw_only=True)`.

Pure.  Steps, executors and the settings are declared this way.  What an operator wrote stays as text in the definition,
which is the identity of a step; what a step works with is an instance of its class.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum, auto
from typing import Any, TypeVar, cast, overload

from attrs import NOTHING, Attribute, AttrsInstance, field, fields, frozen

from mmids_trio.config.suggestions import did_you_mean, shown
from mmids_trio.definitions import ParameterValue, Resolved
from mmids_trio.masking import HIDDEN

T = TypeVar("T")
D = TypeVar("D")

Converter = Callable[[str], object]
"""Turns a value as written into that of the attribute; raises `ValueError` with what was expected."""

_DECLARATION = "mmids_trio parameter"
"""Where an attribute of a class keeps how it is written."""


@frozen
class Secret:
    """A value that grants access. Only `text` has it; nothing that is printed or logged does."""

    text: str = field(repr=lambda _text: HIDDEN)

    def __str__(self) -> str:
        return HIDDEN


class Absent(Enum):
    """What a parameter is canonically that says nothing."""

    ABSENT = auto()


ABSENT = Absent.ABSENT


@frozen
class NoParameters:
    """What a kind of step or executor declares that has no parameters."""


@frozen
class Parameter:
    """One declared parameter, as messages and documentation list it. `convert` of `None`: a flag, without a value."""

    attribute: str
    name: str
    convert: Converter | None
    required: bool
    default: object
    aliases: tuple[str, ...] = ()
    secret: bool = False
    """Whether its value grants access, and is shown to nobody."""
    in_place: bool = False
    """Whether a running step can take another value."""
    any_case: bool = False
    """Whether its value may be written in any case; the lower one is canonical."""

    def canonical(self, value: ParameterValue) -> ParameterValue | Absent:
        """A good value in the spelling that counts. `true` and `false` of a flag are the flag and nothing."""
        if self.convert is None and value is not None:
            return None if value == "true" else ABSENT
        return value.lower() if self.any_case and value is not None else value

    def read(self, value: ParameterValue, form: str = "expected a value") -> object:
        """What is made of a value as written. Raises `ValueError` with what was expected; `form`: if there is none."""
        if self.convert is None:
            if value not in (None, "true", "false"):
                raise ValueError("expected no value, as it is a flag, or true or false")
            return value != "false"
        if value is None:
            raise ValueError(form.format(self.name))
        return self.convert(value.lower() if self.any_case else value)


@frozen
class _Declaration:
    name: str | None
    convert: Converter | None
    aliases: tuple[str, ...]
    secret: bool
    in_place: bool
    any_case: bool = False


@overload
def parameter(
    convert: Callable[[str], T],
    *,
    name: str | None = None,
    aliases: tuple[str, ...] = (),
    secret: bool = False,
    any_case: bool = False,
    in_place: bool = False,
) -> T: ...


@overload
def parameter(
    convert: Callable[[str], T],
    *,
    default: D,
    name: str | None = None,
    aliases: tuple[str, ...] = (),
    secret: bool = False,
    any_case: bool = False,
    in_place: bool = False,
) -> T | D: ...


def parameter(
    convert: Converter,
    *,
    default: Any = NOTHING,
    name: str | None = None,
    aliases: tuple[str, ...] = (),
    secret: bool = False,
    any_case: bool = False,
    in_place: bool = False,
) -> Any:
    """An attribute that is written as `name=value`; one without a `default` is required.

    `name`: how it is written, where the attribute's name has a unit besides. `any_case`: see `Parameter`. `in_place`:
    whether a running step can take another value (`workflow.step.StepContext.accept_parameters`).
    """
    return _attribute(_Declaration(name, convert, aliases, secret, in_place, any_case), default)


@overload
def secret_parameter(*, name: str | None = None, in_place: bool = False) -> Secret: ...


@overload
def secret_parameter(*, default: None, name: str | None = None, in_place: bool = False) -> Secret | None: ...


def secret_parameter(*, default: Any = NOTHING, name: str | None = None, in_place: bool = False) -> Any:
    """A password of some kind: any text, but not what stands for one where it is hidden."""
    return _attribute(_Declaration(name, _secret, (), True, in_place), default)


def flag(*, name: str | None = None, in_place: bool = False) -> bool:
    """An attribute that is written as `name` alone, or as `name=true`; true where it is."""
    attribute: bool = _attribute(_Declaration(name, None, (), False, in_place), False)
    return attribute


def _attribute(declaration: _Declaration, default: Any) -> Any:
    return field(default=default, repr=not declaration.secret, metadata={_DECLARATION: declaration})


def _secret(value: str) -> Secret:
    if not value or value == HIDDEN:
        raise ValueError(f"expected a secret, which is not empty and not {HIDDEN}")
    return Secret(value)


def declared(kind: type) -> tuple[Parameter, ...]:
    """The parameters of an attrs class, in order: those of the classes that it extends come first."""
    return tuple(
        _parameter(attribute)
        for attribute in fields(cast(type[AttrsInstance], kind))
        if _DECLARATION in attribute.metadata
    )


def known_spellings(parameters: Iterable[Parameter]) -> dict[str, Parameter]:
    """Every parameter under each of its spellings."""
    return {spelling: each for each in parameters for spelling in (each.name, *each.aliases)}


def secret_names(parameters: Iterable[Parameter]) -> frozenset[str]:
    """Every spelling under which a value is shown to nobody."""
    return frozenset(name for each in parameters if each.secret for name in (each.name, *each.aliases))


def _parameter(attribute: "Attribute[Any]") -> Parameter:
    declaration: _Declaration = attribute.metadata[_DECLARATION]
    return Parameter(
        attribute=attribute.name,
        name=declaration.name or attribute.name,
        convert=declaration.convert,
        required=attribute.default is NOTHING,
        default=None if attribute.default is NOTHING else attribute.default,
        aliases=declaration.aliases,
        secret=declaration.secret,
        any_case=declaration.any_case,
        in_place=declaration.in_place,
    )


@frozen
class Complaint:
    """What is wrong with the parameters as given. `name`: with which one, as it was given; `None`: one is missing."""

    message: str
    name: str | None = None


def convert(
    given: Mapping[str, ParameterValue],
    parameters: Sequence[Parameter],
    *,
    form: str = "expected a value ({}=...)",
    known: Mapping[str, Parameter] | None = None,
) -> tuple[dict[str, Any], list[Complaint]]:
    """The attributes of a class of which these are the `parameters`, and everything that is wrong.

    Attributes that were not given are left out, so that the class has their only defaults.  `form` says how a value
    is given, where one is missing.  `known`: the parameters by all their spellings.  A parameter that is given under
    two of its spellings is a complaint.
    """
    known = known_spellings(parameters) if known is None else known
    values: dict[str, Any] = {}
    complaints = list[Complaint]()
    for name, value in given.items():
        found = known.get(name)
        if found is None:
            message = f"unknown parameter {shown(name)}{did_you_mean(name, known) or _accepted(parameters)}"
            complaints.append(Complaint(message, name))
        elif found.attribute in values:
            message = f"'{name}' is another spelling of '{found.name}', which is given already"
            complaints.append(Complaint(message, name))
        else:
            try:
                values[found.attribute] = found.read(value, form)
            except ValueError as error:
                values[found.attribute] = None
                written = "" if value is None or found.secret or isinstance(value, Resolved) else f" {shown(value)}"
                complaints.append(Complaint(f"bad value{written} for '{name}': {error}", name))
    complaints += [
        Complaint(f"missing required parameter '{parameter.name}'")
        for parameter in parameters
        if parameter.required and parameter.attribute not in values
    ]
    return values, complaints


def _accepted(parameters: Iterable[Parameter]) -> str:
    return f"; expected one of {', '.join(parameter.name for parameter in parameters)}"
